"""Streams: the server sends what is new and forgets it; the browser keeps the items, and so do we."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from livegate.phoenix.nodes import TreeError

_ID = re.compile(r"""\bid=["']?([^"'\s>]+)""")
MAX_ITEMS = 20_000

type Item = tuple[str, Any]
"""Its DOM id and its entry."""


@dataclass(frozen=True, slots=True)
class Insert:
    """Where an item goes: `at` an index, -1 at the end; `limit` keeps so many at the start, negative at the end."""

    id: str
    at: int
    limit: int | None
    update_only: bool


@dataclass(frozen=True, slots=True)
class Orders:
    """What a diff says of a stream, in whichever version's form."""

    ref: str | None
    inserts: tuple[Insert, ...]
    deletes: tuple[str, ...]
    reset: bool


def orders_of(value: object) -> Orders:
    """Read the `stream` of a comprehension, of LiveView 0.18.16 to 1.2. Raises TreeError."""
    if not isinstance(value, list) or len(value) < 2:
        raise TreeError("a stream that is no list")
    if isinstance(value[0], dict):  # 0.18: no ref, {id: at}
        return Orders(None, _inserts(value[0]), _ids(value[1]), reset=False)
    deletes = value[2] if len(value) > 2 else []
    return Orders(str(value[0]), _inserts(value[1]), _ids(deletes), reset=len(value) > 3 and bool(value[3]))


def _ids(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TreeError("a stream whose deletes are no list of ids")
    return tuple(value)


def _inserts(value: object) -> tuple[Insert, ...]:
    if isinstance(value, dict):  # {id: at} or {id: [at, limit]}
        rows = [[id_, *(place if isinstance(place, list) else [place])] for id_, place in value.items()]
    elif isinstance(value, list):
        rows = value
    else:
        raise TreeError("a stream whose inserts are neither list nor object")
    return tuple(_insert(row) for row in rows)


def _insert(row: object) -> Insert:
    if not isinstance(row, list) or len(row) < 2 or not isinstance(row[0], str) or not isinstance(row[1], int):
        raise TreeError("an insert into a stream that has no id and place")
    limit = row[2] if len(row) > 2 and isinstance(row[2], int) else None
    return Insert(row[0], row[1], limit, update_only=len(row) > 3 and bool(row[3]))


def after(items: tuple[Item, ...], orders: Orders, entries: list[Any], html: Callable[[Any], str]) -> tuple[Item, ...]:
    """The items of a stream once the orders were followed; `html` renders an entry. Raises TreeError."""
    kept = [] if orders.reset else [item for item in items if item[0] not in set(orders.deletes)]
    inserts = {insert.id: insert for insert in orders.inserts}
    for number, entry in enumerate(entries):
        match = _ID.search(html(entry))
        found = match.group(1) if match is not None else None
        insert = inserts.get(found or "") or (orders.inserts[number] if number < len(orders.inserts) else None)
        if insert is not None:
            _put(kept, insert, entry)
    if len(kept) > MAX_ITEMS:
        raise TreeError(f"a stream of more than {MAX_ITEMS} items")
    return tuple(kept)


def _put(items: list[Item], insert: Insert, entry: Any) -> None:
    for number, (id_, _) in enumerate(items):
        if id_ == insert.id:
            items[number] = (id_, entry)
            return
    if insert.update_only:
        return
    items.insert(insert.at if insert.at >= 0 else len(items), (insert.id, entry))
    if insert.limit is not None and len(items) > abs(insert.limit):
        if insert.limit < 0:
            del items[: len(items) + insert.limit]
        else:
            del items[insert.limit :]
