"""Merges a diff into a rendered tree, as LiveView's client does (rendered.js, 0.18 to 1.2). O(diff), see `Merger`."""

from typing import Any

from livegate.phoenix.rendered import streams
from livegate.phoenix.rendered.changes import Changes
from livegate.phoenix.rendered.entries import PersistentVector
from livegate.phoenix.rendered.items import EMPTY
from livegate.phoenix.rendered.nodes import (
    COMPONENTS,
    COUNT,
    DYNAMICS,
    KEYED,
    MAX_DEPTH,
    MOVES,
    STATICS,
    STREAM,
    STREAM_GENERATION,
    STREAM_ITEMS,
    TEMPLATES,
    Node,
    Path,
    Table,
    TreeError,
    check_depth,
    dynamics_of,
    entries_of,
    is_comprehension,
    resolve_statics,
    resolve_templates,
)

_NOTHING: Node = {}
_NOT_OF_A_NODE = frozenset({TEMPLATES, COMPONENTS})
_SPECIAL = frozenset({TEMPLATES, COMPONENTS, STREAM, DYNAMICS, STATICS})


class Merger:
    """One merge: what it changed, and the components that stream items may show.

    It costs O(diff), plus for each list of entries that the diff touches a 64th of the list, and for each stream as
    `items` says.
    """

    def __init__(self, changes: Changes, components: dict[int, Node], generation: int) -> None:
        self.changes = changes
        self._components = components
        self._generation = generation
        self._made: dict[int, Node] = {}
        self._moved = False
        """Whether an entry of the list that is being merged was moved."""
        self._known: dict[tuple[int, object], list[str]] = {}
        """Templates that were used, by table and number; the tables are parts of the diff and live as long."""
        self._effect = streams.StreamEffect()

    def build(self, old: object, new: object, table: Table, depth: int) -> Any:
        """Return a value as a tree holds it, in place of an old one: statics are resolved, streams have items."""
        if depth > MAX_DEPTH:
            check_depth(depth)
        if not isinstance(new, dict):
            return _plain(new)
        was = old if isinstance(old, dict) else _NOTHING
        if TEMPLATES in new:
            table = resolve_templates(new, table)
        found: Node = {}
        for key, value in new.items():
            if value.__class__ is str:
                found[key] = value
            elif key == STATICS:
                found[key] = self._statics(value, table)
            elif key == STREAM:
                found[key] = value
            elif key == DYNAMICS:
                found[key] = self._rows(value, table, depth)
            elif key == KEYED:
                found[key] = self._entries(value, table, depth)
            elif key not in _NOT_OF_A_NODE:
                found[key] = self.build(was.get(key), value, table, depth + 1)
        if new.get(STATICS).__class__ is str:
            raise TreeError("statics that are no list of texts")
        return self._streamed(was, found) if STREAM in found else found

    def _statics(self, value: object, table: Table) -> list[str]:
        """Return the statics of a node; a template is checked once, however many nodes are made of it."""
        if value.__class__ is not int:
            return resolve_statics(value, table)
        place = (id(table), value)
        known = self._known.get(place)
        if known is None:
            known = self._known[place] = resolve_statics(value, table)
        return known

    def _rows(self, rows: object, table: Table, depth: int) -> list[Any]:
        if not isinstance(rows, list):
            raise TreeError("a comprehension whose d is no list")
        return [
            [
                value if isinstance(value, str) else self.build(None, value, table, depth + 1)
                for value in dynamics_of(row).values()
            ]
            for row in rows
        ]

    def _entries(self, keyed: object, table: Table, depth: int) -> PersistentVector:
        """The entries of a comprehension that is new."""
        changed, count = _keyed_parts(keyed)
        return _entries_with(
            PersistentVector((), 0), {at: self.build(None, each, table, depth + 1) for at, each in changed}, count
        )

    def merge(self, old: Node, diff: Node, path: Path, table: Table, depth: int) -> Node:
        """Return a node with `diff`, which has no statics of its own, merged onto it."""
        check_depth(depth)
        table = resolve_templates(diff, table)
        if KEYED in diff:
            return self._keyed(old, diff, path, table, depth)
        found = dict(old)
        for key, value in diff.items():
            if value.__class__ is str and key not in _SPECIAL:
                found[key] = value
                self.changes.add_text(path, key, old.get(key), value)
            elif key == STREAM:
                found[key] = value
            elif key == DYNAMICS:
                found[key] = self._rows(value, table, depth)
                if STREAM not in diff:  # whose items are told one by one
                    self.changes.add((*path, key), old.get(key), found[key])
            elif key not in _NOT_OF_A_NODE:
                found[key] = self._one(old.get(key), value, (*path, key), table, depth)
        return self._streamed(old, found) if STREAM in diff else found

    def _one(self, before: object, value: object, path: Path, table: Table, depth: int) -> Any:
        if isinstance(value, dict) and STATICS not in value and isinstance(before, dict):
            return self.merge(before, value, path, table, depth + 1)
        after = self.build(before, value, table, depth + 1)
        self.changes.add(path, before, after)
        return after

    def _keyed(self, old: Node, diff: Node, path: Path, table: Table, depth: int) -> Node:
        """Entries by number: an object is merged, a number moved from there, a pair moved and merged."""
        before = (
            old.get(KEYED) if STREAM not in old and STREAM_ITEMS not in old else None
        )  # the client forgets a stream's
        if before is None:
            before = PersistentVector((), 0)
        if not isinstance(before, PersistentVector):
            raise TreeError("a comprehension whose k is no object")
        changed, count = _keyed_parts(diff[KEYED])
        listed, more = len(self.changes.paths), self.changes.paths_omitted
        moved, self._moved = self._moved, False
        made = {at: self._entry(before, entry, (*path, KEYED, at), table, depth) for at, entry in changed}
        self.changes.unmarked_moves |= self._moved and MOVES not in diff[KEYED]
        self._moved = moved
        found = {**old, KEYED: _entries_with(before, made, count)}
        if STREAM in diff:  # whose items are listed one by one
            del self.changes.paths[listed:]
            self.changes.paths_omitted = more
            found[STREAM] = diff[STREAM]
            return self._streamed(old, found)
        for at in range(count, len(before)):
            self.changes.add((*path, KEYED, at), before[at], None)
        return found

    def _entry(self, before: PersistentVector, entry: object, path: Path, table: Table, depth: int) -> Any:
        at = int(path[-1])
        if isinstance(entry, dict):
            was = before[at] if at < len(before) else None
            if isinstance(was, dict):
                return self.merge(was, entry, path, table, depth + 1)
            found = self.build(None, entry, table, depth + 1)
            self.changes.add(path, None, found)
            return found
        place, change = entry if isinstance(entry, list) and len(entry) == 2 else (entry, None)
        self._moved = True
        number = place if isinstance(place, int) and not isinstance(place, bool) else -1
        moved = before[number] if 0 <= number < len(before) else None
        if not isinstance(moved, dict):
            raise TreeError("an entry that was moved from where none is")
        self.changes.add(path, before[at] if at < len(before) else None, moved)
        if change is None:
            return moved
        if not isinstance(change, dict):
            raise TreeError("an entry that was moved and changed by what is no object")
        return self.merge(moved, change, path, table, depth + 1)

    # Streams

    def _streamed(self, old: Node, new: Node) -> Node:
        """Give a comprehension that is a stream the items that the browser has after it."""
        if not is_comprehension(new):
            return new
        orders = streams.parse_update(new[STREAM])
        statics = new.get(STATICS)

        def id_of(entry: Any) -> str | None:
            return streams.first_dom_id({STATICS: statics, **dynamics_of(entry)}, self._components)

        same = STREAM in old and streams.stream_ref(old[STREAM]) == orders.ref
        before = old.get(STREAM_ITEMS, EMPTY) if same else EMPTY
        new[STREAM_ITEMS] = streams.apply_update(before, orders, entries_of(new), id_of, self._effect)
        new[STREAM_GENERATION] = self._generation
        self.changes.stream_resets += orders.reset
        return new

    def finish(self) -> None:
        """Write down what became of all streams together; there may be as many as there are places."""
        effect, changes = self._effect, self.changes
        changes.stream_inserts, changes.stream_updates = tuple(effect.inserted), tuple(effect.updated)
        changes.stream_deletes, changes.stream_limited = tuple(effect.deleted), effect.limited

    # Components

    def component(self, cid: int, given: dict[int, Node], old: dict[int, Node], within: tuple[int, ...] = ()) -> Node:
        """Return a component of a diff: new, changed, or made after another one by a link in its statics."""
        made = self._made.get(cid)
        if made is None:
            made = self._made[cid] = self._component(cid, given, old, within)
        return made

    def _component(self, cid: int, given: dict[int, Node], old: dict[int, Node], within: tuple[int, ...]) -> Node:
        diff = given[cid]
        link = diff.get(STATICS)
        path: Path = ("c", cid)
        if isinstance(link, int) and not isinstance(link, bool):
            if cid in within:
                raise TreeError(f"component {cid} is linked to itself")
            source = self._linked(link, given, old, (*within, cid))
            rest = {key: value for key, value in diff.items() if key != STATICS}
            return self.merge(source, rest, path, None, 0)
        before = old.get(cid)
        if link is not None or before is None:
            found = self.build(before, diff, None, 0)
            self.changes.add(path, before, found)
            return found  # type: ignore[no-any-return]
        return self.merge(before, diff, path, None, 0)

    def _linked(self, link: int, given: dict[int, Node], old: dict[int, Node], within: tuple[int, ...]) -> Node:
        """Positive: a component of this diff; negative: one as it was before."""
        check_depth(len(within))
        if link > 0 and link in given:
            return self.component(link, given, old, within)
        found = old.get(abs(link))
        if found is None:
            raise TreeError(f"a component is linked to component {abs(link)}, which is not there")
        return found


def _keyed_parts(keyed: object) -> tuple[list[tuple[int, Any]], int]:
    """The entries of a `k` that are below its count, by index, and the count."""
    if not isinstance(keyed, dict):
        raise TreeError("a comprehension whose k is no object")
    count = keyed.get(COUNT)
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise TreeError("a comprehension without a count")
    numbers = ((int(key), value) for key, value in keyed.items() if key.isascii() and key.isdigit() and len(key) < 10)
    return [(at, value) for at, value in numbers if at < count], count


def _entries_with(before: PersistentVector, made: dict[int, Any], count: int) -> PersistentVector:
    if count > len(before) + len(made):
        raise TreeError("a comprehension whose count is not that of its entries")
    try:
        return before.updated(made, count)
    except KeyError as error:
        raise TreeError(f"entry {error} of a comprehension is missing") from None


def _plain(value: object) -> object:
    if isinstance(value, list):
        raise TreeError("a list where a text, a number or an object is due")
    return value
