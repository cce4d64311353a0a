"""Persistent vector: the entries of a keyed comprehension. A new version shares all chunks that did not change.

The page is kept for each frame. When one row of a list of 5,000 changes, that costs two small tuples, not a copy.
"""

from collections.abc import Iterator, Mapping
from typing import Any

CHUNK = 64
"""Entries per chunk."""


class PersistentVector:
    """Immutable sequence; `updated` returns another version."""

    __slots__ = ("_chunks", "count")

    def __init__(self, chunks: tuple[tuple[Any, ...], ...], count: int) -> None:
        """Take chunks of CHUNK entries each, the last of at most that many; `from_list` builds them."""
        self._chunks = chunks
        self.count = count

    @classmethod
    def from_list(cls, items: list[Any]) -> "PersistentVector":
        """Return a vector of these entries. O(len(items))."""
        return cls(_chunked(items), len(items))

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Any]:
        for chunk in self._chunks:
            yield from chunk

    def __getitem__(self, index: int) -> Any:
        """Return the entry at an index from 0. Raises IndexError."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        return self._chunks[index // CHUNK][index % CHUNK]

    def updated(self, changed: Mapping[int, Any], count: int) -> "PersistentVector":
        """Return a vector of `count` entries, with those in `changed` (by index) replaced or appended.

        O(len(changed) * CHUNK + count / CHUNK) if the count stays. Raises KeyError for an index without an entry.
        """
        if count != self.count:
            return self._resized(changed, count)
        touched: dict[int, list[Any]] = {}
        for index, item in changed.items():
            at = index // CHUNK
            if at not in touched:
                touched[at] = list(self._chunks[at])
            touched[at][index % CHUNK] = item
        chunks = list(self._chunks)
        for at, chunk in touched.items():
            chunks[at] = tuple(chunk)
        return PersistentVector(tuple(chunks), count)

    def _resized(self, changed: Mapping[int, Any], count: int) -> "PersistentVector":
        """Share the chunks before the first that changes, and build the others anew."""
        first = min([min(self.count, count), *changed]) // CHUNK
        kept = self._chunks[:first]
        rest = []
        for index in range(first * CHUNK, count):
            if index in changed:
                rest.append(changed[index])
            elif index < self.count:
                rest.append(self._chunks[index // CHUNK][index % CHUNK])
            else:
                raise KeyError(index)
        return PersistentVector(kept + _chunked(rest), count)


def _chunked(items: list[Any]) -> tuple[tuple[Any, ...], ...]:
    return tuple(tuple(items[at : at + CHUNK]) for at in range(0, len(items), CHUNK))
