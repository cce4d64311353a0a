"""The items of a stream in order, by DOM id: one more costs about the same whether there are ten or ten thousand.

Items are never changed: an edit makes new ones that share all pieces but those that it touched, so that the page of
an earlier frame stays what it was. Only the newest have an index of ids; it goes from each to the next.
"""

from collections.abc import Iterator
from typing import Any

CHUNK = 64
"""An edit writes pieces of at most twice as many items anew."""

type StreamItem = tuple[str, Any]
"""Its DOM id and its entry."""
type Chunk = tuple[StreamItem, ...]


class StreamIndex:
    """Where each id stands, for the newest items of a stream; pieces have numbers, which stay when one is edited."""

    __slots__ = ("chunk_of", "chunks", "order", "owner")

    def __init__(self, items: "StreamItems") -> None:
        self.owner: StreamItems | None = items
        self.order = list(range(len(items.chunks)))
        self.chunks = dict(enumerate(items.chunks))
        self.chunk_of = {id_: number for number, piece in enumerate(items.chunks) for id_, _ in piece}


class StreamItems:
    """Some items."""

    __slots__ = ("_index", "chunks", "count")

    def __init__(self, pieces: tuple[Chunk, ...] = (), count: int = 0) -> None:
        self.chunks = pieces
        self.count = count
        self._index: StreamIndex | None = None

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[StreamItem]:
        for piece in self.chunks:
            yield from piece

    def acquire_index(self) -> StreamIndex:
        """The index, for an edit: nobody else gets it until the edit has ended. Made anew for older items."""
        index, self._index = self._index, None
        if index is None or index.owner is not self:
            index = StreamIndex(self)
        index.owner = None
        return index

    def release_index(self, index: StreamIndex) -> None:
        """Have the index, which is of these items now."""
        self._index, index.owner = index, self


EMPTY = StreamItems()


class StreamEdit:
    """Makes new items out of others; the cost is that of what is changed."""

    def __init__(self, items: StreamItems) -> None:
        self._index = items.acquire_index()
        self._count = items.count
        self._open: dict[int, list[StreamItem]] = {}
        """Chunks that this edit has made or copied."""
        self._next = max(self._index.chunks, default=-1) + 1

    def __contains__(self, id_: str) -> bool:
        return id_ in self._index.chunk_of

    def __len__(self) -> int:
        return self._count

    def replace(self, id_: str, entry: Any) -> None:
        """Give an item that is there another entry; its place stays."""
        piece = self._opened(self._index.chunk_of[id_])
        piece[_place(piece, id_)] = (id_, entry)

    def delete(self, id_: str) -> None:
        """Take an item out, if it is there."""
        number = self._index.chunk_of.pop(id_, None)
        if number is not None:
            piece = self._opened(number)
            del piece[_place(piece, id_)]
            self._count -= 1
            if not piece:
                self._drop(self._index.order.index(number))

    def insert(self, at: int, id_: str, entry: Any) -> None:
        """Put in an item that is not there yet; a negative place, or one beyond the end, is the end."""
        rank, within = self._found(at)
        number = self._index.order[rank]
        piece = self._opened(number)
        piece.insert(within, (id_, entry))
        self._index.chunk_of[id_] = number
        self._count += 1
        if len(piece) > 2 * CHUNK:
            self._split(rank)

    def trim(self, limit: int) -> None:
        """Keep so many from the start, or, of a negative limit, from the end."""
        rank = 0 if limit < 0 else -1
        while self._count > abs(limit):
            piece = self._opened(self._index.order[rank])
            more = self._count - abs(limit)
            if limit < 0:
                gone = piece[:more]
                del piece[:more]
            else:
                start = max(0, len(piece) - more)
                gone = piece[start:]
                del piece[start:]
            for id_, _ in gone:
                del self._index.chunk_of[id_]
            self._count -= len(gone)
            if not piece:
                self._drop(rank)

    def finish(self) -> StreamItems:
        """The new items; the edit has ended."""
        index = self._index
        index.chunks.update((number, tuple(piece)) for number, piece in self._open.items())
        items = StreamItems(tuple(map(index.chunks.__getitem__, index.order)), self._count)
        items.release_index(index)
        return items

    def _opened(self, number: int) -> list[StreamItem]:
        piece = self._open.get(number)
        if piece is None:
            piece = self._open[number] = list(self._index.chunks[number])
        return piece

    def _found(self, at: int) -> tuple[int, int]:
        """Which piece has a place, and where in it."""
        order = self._index.order
        if not order:
            self._add(0, [])
        if 0 <= at < self._count:
            for rank, number in enumerate(order):
                size = len(self._open.get(number) or self._index.chunks[number])
                if at <= size:
                    return rank, at
                at -= size
        return len(order) - 1, 2 * CHUNK + 1

    def _add(self, rank: int, piece: list[StreamItem]) -> None:
        number, self._next = self._next, self._next + 1
        self._open[number] = piece
        self._index.chunks[number] = ()
        self._index.order.insert(rank, number)
        self._index.chunk_of.update((id_, number) for id_, _ in piece)

    def _split(self, rank: int) -> None:
        piece = self._open[self._index.order[rank]]
        rest = piece[CHUNK:]
        del piece[CHUNK:]
        self._add(rank + 1, rest)

    def _drop(self, rank: int) -> None:
        number = self._index.order.pop(rank)
        self._open.pop(number, None)
        del self._index.chunks[number]


def _place(piece: list[StreamItem], id_: str) -> int:
    return next(place for place, item in enumerate(piece) if item[0] == id_)
