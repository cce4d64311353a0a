"""Persistent ordered map from DOM id to entry: the items of a stream.

The server forgets the items of a stream, the browser keeps them (Phoenix.LiveView.stream/4), and so does this package.
An edit returns a new version that shares all chunks that it did not touch, so that the page of an earlier frame
stays as it was. Only the newest version has an index of ids; each edit passes it on to the next version.
"""

from collections.abc import Iterator
from typing import Any

CHUNK = 64
"""Items per chunk; one of more than twice as many is split. An edit copies only the chunks that it touches."""

type StreamItem = tuple[str, Any]
"""DOM id and entry."""
type Chunk = tuple[StreamItem, ...]


class StreamIndex:
    """Chunk of each DOM id, for the newest version of a stream; the number of a chunk stays when it is edited."""

    __slots__ = ("chunk_of", "chunks", "order", "owner")

    def __init__(self, items: "StreamItems") -> None:
        self.owner: StreamItems | None = items
        self.order = list(range(len(items.chunks)))
        self.chunks = dict(enumerate(items.chunks))
        self.chunk_of = {id_: number for number, chunk in enumerate(items.chunks) for id_, _ in chunk}


class StreamItems:
    """One version of the items of a stream."""

    __slots__ = ("_index", "chunks", "count")

    def __init__(self, chunks: tuple[Chunk, ...] = (), count: int = 0) -> None:
        self.chunks = chunks
        self.count = count
        self._index: StreamIndex | None = None

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[StreamItem]:
        for chunk in self.chunks:
            yield from chunk

    def acquire_index(self) -> StreamIndex:
        """Return the index for an edit, which has it alone until `release_index`. Built anew for an older version."""
        index, self._index = self._index, None
        if index is None or index.owner is not self:
            index = StreamIndex(self)
        index.owner = None
        return index

    def release_index(self, index: StreamIndex) -> None:
        """Take over the index, which is now that of these items."""
        self._index, index.owner = index, self


EMPTY = StreamItems()


class StreamEdit:
    """Builder of the next version of a stream's items. Each operation costs O(CHUNK), or O(chunks) to find a place."""

    def __init__(self, items: StreamItems) -> None:
        self._index = items.acquire_index()
        self._count = items.count
        self._written: dict[int, list[StreamItem]] = {}
        """Chunks that this edit has created or copied, by number."""
        self._next = max(self._index.chunks, default=-1) + 1

    def __contains__(self, id_: str) -> bool:
        return id_ in self._index.chunk_of

    def __len__(self) -> int:
        return self._count

    def replace(self, id_: str, entry: Any) -> None:
        """Replace the entry of an item. Its place stays. Raises KeyError for an unknown id."""
        chunk = self._writable(self._index.chunk_of[id_])
        chunk[_position(chunk, id_)] = (id_, entry)

    def delete(self, id_: str) -> None:
        """Remove an item, if there is one with this id."""
        number = self._index.chunk_of.pop(id_, None)
        if number is not None:
            chunk = self._writable(number)
            del chunk[_position(chunk, id_)]
            self._count -= 1
            if not chunk:
                self._remove_chunk(self._index.order.index(number))

    def insert(self, at: int, id_: str, entry: Any) -> None:
        """Insert a new item at an index. A negative index, or one beyond the end, appends it."""
        rank, within = self._locate(at)
        number = self._index.order[rank]
        chunk = self._writable(number)
        chunk.insert(within, (id_, entry))
        self._index.chunk_of[id_] = number
        self._count += 1
        if len(chunk) > 2 * CHUNK:
            self._split(rank)

    def trim(self, limit: int) -> None:
        """Keep `limit` items from the start, or -`limit` from the end if it is negative."""
        rank = 0 if limit < 0 else -1
        while self._count > abs(limit):
            chunk = self._writable(self._index.order[rank])
            excess = self._count - abs(limit)
            if limit < 0:
                removed = chunk[:excess]
                del chunk[:excess]
            else:
                start = max(0, len(chunk) - excess)
                removed = chunk[start:]
                del chunk[start:]
            for id_, _ in removed:
                del self._index.chunk_of[id_]
            self._count -= len(removed)
            if not chunk:
                self._remove_chunk(rank)

    def finish(self) -> StreamItems:
        """End the edit and return the new version."""
        index = self._index
        index.chunks.update((number, tuple(chunk)) for number, chunk in self._written.items())
        items = StreamItems(tuple(map(index.chunks.__getitem__, index.order)), self._count)
        items.release_index(index)
        return items

    def _writable(self, number: int) -> list[StreamItem]:
        chunk = self._written.get(number)
        if chunk is None:
            chunk = self._written[number] = list(self._index.chunks[number])
        return chunk

    def _locate(self, at: int) -> tuple[int, int]:
        """Return the rank of the chunk that has an index, and the place in it."""
        order = self._index.order
        if not order:
            self._insert_chunk(0, [])
        if 0 <= at < self._count:
            for rank, number in enumerate(order):
                size = len(self._written.get(number) or self._index.chunks[number])
                if at <= size:
                    return rank, at
                at -= size
        return len(order) - 1, 2 * CHUNK + 1

    def _insert_chunk(self, rank: int, chunk: list[StreamItem]) -> None:
        number, self._next = self._next, self._next + 1
        self._written[number] = chunk
        self._index.chunks[number] = ()
        self._index.order.insert(rank, number)
        self._index.chunk_of.update((id_, number) for id_, _ in chunk)

    def _split(self, rank: int) -> None:
        chunk = self._written[self._index.order[rank]]
        rest = chunk[CHUNK:]
        del chunk[CHUNK:]
        self._insert_chunk(rank + 1, rest)

    def _remove_chunk(self, rank: int) -> None:
        number = self._index.order.pop(rank)
        self._written.pop(number, None)
        del self._index.chunks[number]


def _position(chunk: list[StreamItem], id_: str) -> int:
    return next(place for place, item in enumerate(chunk) if item[0] == id_)
