"""Streams (Phoenix.LiveView.stream/4): parses the update in a diff and applies it to the items of the browser."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from livegate.phoenix.rendered.nodes import STATICS, Node, TreeError, is_comprehension
from livegate.phoenix.rendered.persistent_vector import PersistentVector
from livegate.phoenix.rendered.stream_items import EMPTY, StreamEdit, StreamItems

MAX_ITEMS = 20_000
"""Items of one stream. A longer one raises TreeError, so that the page is dropped."""
MAX_TAG_PARTS, MAX_TAG_DEPTH = 256, 20
"""Statics and dynamics read, and levels descended, to find the id of an item's first tag."""
_ID = re.compile(r"""(?<![\w-])id=["']?([^"'\s>]+)""")


class Insert(NamedTuple):
    """Place of an item. `at` is an index, -1 the end; `limit` keeps items at the start, a negative one at the end."""

    id: str
    at: int
    limit: int | None
    update_only: bool


@dataclass(frozen=True, slots=True)
class StreamUpdate:
    """Update of one stream by a diff, whichever version's form it has."""

    ref: str | None
    inserts: tuple[Insert, ...]
    deletes: tuple[str, ...]
    reset: bool
    ordered: bool = True
    """Whether the inserts are in the order of the entries. Those of an object are not."""


@dataclass(slots=True)
class StreamEffect:
    """Effect of updates on the items of all streams, by DOM id."""

    inserted: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    limited: int = 0
    """Items that a `limit` removed."""


def parse_update(value: object) -> StreamUpdate:
    """Parse the `stream` of a comprehension, LiveView 0.18.16 to 1.2. Raises TreeError."""
    if not isinstance(value, list) or len(value) < 2:
        raise TreeError("a stream is not a list")
    if isinstance(value[0], dict):  # 0.18: no ref, {id: at}
        return StreamUpdate(None, _inserts(value[0]), _ids(value[1]), reset=False, ordered=False)
    deletes = value[2] if len(value) > 2 else []
    reset, ordered = len(value) > 3 and bool(value[3]), isinstance(value[1], list)
    return StreamUpdate(str(value[0]), _inserts(value[1]), _ids(deletes), reset, ordered)


def stream_ref(value: object) -> str | None:
    """Return the ref of a stream that `parse_update` accepted; None for 0.18."""
    return None if not isinstance(value, list) or isinstance(value[0], dict) else str(value[0])


def _ids(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TreeError("the deletes of a stream are not a list of ids")
    return tuple(value)


def _inserts(value: object) -> tuple[Insert, ...]:
    if isinstance(value, dict):  # {id: at} or {id: [at, limit]}
        rows = [[id_, *(place if isinstance(place, list) else [place])] for id_, place in value.items()]
    elif isinstance(value, list):
        rows = value
    else:
        raise TreeError("the inserts of a stream are neither list nor object")
    return tuple(_insert(row) for row in rows)


def _insert(row: object) -> Insert:
    if not isinstance(row, list) or len(row) < 2 or not isinstance(row[0], str) or not isinstance(row[1], int):
        raise TreeError("an insert into a stream has no id or no index")
    limit = row[2] if len(row) > 2 and isinstance(row[2], int) else None
    return Insert(row[0], row[1], limit, update_only=len(row) > 3 and bool(row[3]))


def apply_update(
    items: StreamItems,
    update: StreamUpdate,
    entries: list[Any] | PersistentVector,
    id_of: Callable[[Any], str | None],
    effect: StreamEffect,
) -> StreamItems:
    """Return the items of a stream after an update, and add what changed to `effect`. Raises TreeError.

    `id_of` reads the DOM id of an entry from its HTML. That is expensive, so it is called only if an entry does not
    contain the id of the insert at its index, or if the inserts have no order.
    """
    if not entries and not update.deletes and not update.reset:
        return items
    edit = StreamEdit(EMPTY if update.reset else items)
    for id_ in update.deletes:
        if id_ in edit:
            edit.delete(id_)
            effect.deleted.append(id_)
    inserts = update.inserts
    by_id: dict[str, Insert] | None = None
    in_order = update.ordered and len(inserts) == len(entries)
    for number, entry in enumerate(entries):
        insert = inserts[number] if number < len(inserts) else None
        if not in_order or insert is None or not _contains_id(entry, insert.id):
            if by_id is None:
                by_id = {each.id: each for each in inserts}
            insert = by_id.get(id_of(entry) or "", insert)
        if insert is not None:
            _put(edit, insert, entry, effect)
    if len(edit) > MAX_ITEMS:
        raise TreeError(f"a stream of more than {MAX_ITEMS} items")
    return edit.finish()


def _contains_id(entry: Any, id_: str) -> bool:
    """Return whether the first text of an entry contains the id."""
    first = entry[0] if isinstance(entry, list) and entry else entry.get("0") if isinstance(entry, dict) else None
    return isinstance(first, str) and id_ in first


def _put(edit: StreamEdit, insert: Insert, entry: Any, effect: StreamEffect) -> None:
    if insert.id in edit:
        edit.replace(insert.id, entry)
        effect.updated.append(insert.id)
        return
    if insert.update_only:
        return
    edit.insert(insert.at, insert.id, entry)
    effect.inserted.append(insert.id)
    if insert.limit is not None:
        before = len(edit)
        edit.trim(insert.limit)
        effect.limited += before - len(edit)


def first_dom_id(node: Node, components: dict[int, Node]) -> str | None:
    """Return the id of a node's first tag, which may be in a component; None if it has none.

    Reads at most MAX_TAG_PARTS parts.
    """
    parts = []
    for part in islice(_texts(node, components, 0), MAX_TAG_PARTS):
        parts.append(part)
        if ">" in part:
            break
    match = _ID.search("".join(parts))
    return match.group(1) if match is not None else None


def _texts(value: Any, components: dict[int, Node], depth: int) -> Iterator[str]:
    """Yield the texts of a value in the order of its HTML, up to the first comprehension."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = components.get(value)
    if not isinstance(value, dict):
        yield str(value or "")
        return
    statics = value.get(STATICS)
    if not isinstance(statics, list) or is_comprehension(value) or depth > MAX_TAG_DEPTH:
        return
    for number, static in enumerate(statics):
        yield static
        if number + 1 < len(statics):
            yield from _texts(value.get(str(number)), components, depth + 1)
