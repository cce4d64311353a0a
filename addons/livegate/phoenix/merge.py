"""Merges a diff into a rendered tree, as LiveView's client does (rendered.js, 0.18 to 1.2)."""

from typing import Any

from livegate.phoenix import streams
from livegate.phoenix.changes import Changes
from livegate.phoenix.items import EMPTY
from livegate.phoenix.nodes import (
    COUNT,
    DYNAMICS,
    FRESH,
    ITEMS,
    KEYED,
    STATICS,
    STREAM,
    Node,
    Path,
    TreeError,
    check_depth,
    dynamics_of,
    entries_of,
    is_comprehension,
)

_AS_THEY_ARE = frozenset({STATICS, STREAM})
_REPEATED = frozenset({DYNAMICS, KEYED})


class Merger:
    """One merge: what it changed, and the components that stream items may show."""

    def __init__(self, changes: Changes, components: dict[int, Node], generation: int) -> None:
        self.changes = changes
        self._components = components
        self._generation = generation
        self._inserts: list[str] = []
        self._deletes: list[str] = []

    def replace(self, old: object, new: object, path: Path, depth: int) -> Any:
        """A value that takes the place of another; the streams in it are told what to show."""
        check_depth(depth)
        if not isinstance(new, dict):
            if isinstance(new, list):
                raise TreeError("a list where a text, a number or an object is due")
            return new
        was = old if isinstance(old, dict) else {}
        found: Node = {}
        for key, value in new.items():
            if key in _AS_THEY_ARE or (value.__class__ is str and key not in _REPEATED):  # nearly all are texts
                found[key] = value
            elif key == DYNAMICS:
                found[key] = self._rows(value, path, depth)
            elif key == KEYED:
                found[key] = self._entries(value, path, depth)
            else:
                found[key] = self.replace(was.get(key), value, (*path, key), depth + 1)
        return self._streamed(was, found)

    def _rows(self, rows: object, path: Path, depth: int) -> list[Any]:
        if not isinstance(rows, list):
            raise TreeError("a comprehension whose d is no list")
        return [
            [
                value if value.__class__ is str else self.replace(None, value, path, depth + 1)
                for value in (row if isinstance(row, list) else dynamics_of(row).values())
            ]
            for row in rows
        ]

    def _entries(self, keyed: object, path: Path, depth: int) -> Node:
        if not isinstance(keyed, dict):
            raise TreeError("a comprehension whose k is no object")
        return {
            key: value if key in (COUNT, "km") else self.replace(None, value, path, depth + 1)
            for key, value in keyed.items()
        }

    def merge(self, old: Node, diff: Node, path: Path, depth: int) -> Node:
        """`diff`, which has no statics, onto a node."""
        check_depth(depth)
        if KEYED in diff:
            return self._keyed(old, diff, path, depth)
        found = dict(old)
        for key, value in diff.items():
            if key == STREAM:
                found[key] = value
            elif key == DYNAMICS:
                found[key] = self._rows(value, path, depth)
                if STREAM not in diff:  # whose items are told one by one
                    self.changes.add((*path, key), old.get(key), found[key])
            else:
                found[key] = self._one(old.get(key), value, (*path, key), depth)
        return self._streamed(old, found) if STREAM in diff else found

    def _one(self, before: object, value: object, path: Path, depth: int) -> Any:
        if isinstance(value, dict) and STATICS not in value and isinstance(before, dict):
            return self.merge(before, value, path, depth + 1)
        after = self.replace(before, value, path, depth + 1)
        self.changes.add(path, before, after)
        return after

    def _keyed(self, old: Node, diff: Node, path: Path, depth: int) -> Node:
        """Entries by number: an object is merged, a number moved from there, a pair moved and merged."""
        changed = diff[KEYED]
        before = old.get(KEYED, {COUNT: 0}) if self._is_shown(old) else {COUNT: 0}
        if not isinstance(changed, dict) or not isinstance(before, dict):
            raise TreeError("a comprehension whose k is no object")
        count = changed.get(COUNT)
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise TreeError("a comprehension without a count")
        after: Node = dict(before)
        after.pop("km", None)
        gone = self._beyond(after, count) if before.get(COUNT) != count or len(after) != count + 1 else []
        after[COUNT] = count
        told = len(self.changes.paths)
        for key, entry in changed.items():
            if key.isdigit():
                after[key] = self._entry(before, key, entry, (*path, KEYED, int(key)), depth)
        found = {**old, KEYED: after}
        if STREAM in diff:
            found[STREAM] = diff[STREAM]
            del self.changes.paths[told:]  # a stream's items are told one by one
            return self._streamed(old, found)
        for key in gone:
            if key not in after:
                self.changes.add((*path, KEYED, int(key)), before[key], None)
        return found

    def _beyond(self, entries: Node, count: int) -> list[str]:
        """Take off what stands beyond a count; returns which."""
        gone = [key for key in entries if key.isdigit() and int(key) >= count]
        for key in gone:
            del entries[key]
        return gone

    def _is_shown(self, node: Node) -> bool:
        """Whether the client still has the entries of a comprehension: those of a stream it forgets."""
        return STREAM not in node and ITEMS not in node

    def _entry(self, before: Node, key: str, entry: object, path: Path, depth: int) -> Any:
        if isinstance(entry, dict):
            was = before.get(key)
            if isinstance(was, dict):
                return self.merge(was, entry, path, depth + 1)
            found = self.replace(None, entry, path, depth + 1)
            self.changes.add(path, None, found)
            return found
        place, change = entry if isinstance(entry, list) and len(entry) == 2 else (entry, None)
        moved = before.get(str(place)) if isinstance(place, int) else None
        if not isinstance(moved, dict):
            raise TreeError("an entry that was moved from where none is")
        self.changes.add(path, before.get(key), moved)
        if change is None:
            return moved
        if not isinstance(change, dict):
            raise TreeError("an entry that was moved and changed by what is no object")
        return self.merge(moved, change, path, depth + 1)

    def _streamed(self, old: Node, new: Node) -> Node:
        """A comprehension that is a stream gets the items that the browser has after it."""
        if STREAM not in new or not is_comprehension(new):
            return new
        orders = streams.orders_of(new[STREAM])
        statics = new.get(STATICS)

        def id_of(entry: Any) -> str | None:
            return streams.first_id({STATICS: statics, **dynamics_of(entry)}, self._components)

        same = STREAM in old and streams.ref_of(old[STREAM]) == orders.ref
        before = old.get(ITEMS, EMPTY) if same else EMPTY
        new[ITEMS] = streams.after(before, orders, entries_of(new), id_of)
        new[FRESH] = self._generation
        self._inserts += [insert.id for insert in orders.inserts]
        self._deletes += orders.deletes
        self.changes.stream_resets += orders.reset
        return new

    def finish(self) -> None:
        """Write down what became of all streams together; there may be as many as there are places."""
        self.changes.stream_inserts, self.changes.stream_deletes = tuple(self._inserts), tuple(self._deletes)

    # Components

    def component(self, cid: int, given: dict[int, Node], old: dict[int, Node], within: tuple[int, ...] = ()) -> Node:
        """A component of a diff: new, changed, or made after another one by a link in its statics."""
        diff = given[cid]
        link = diff.get(STATICS)
        path: Path = ("c", cid)
        if isinstance(link, int):
            if cid in within:
                raise TreeError(f"component {cid} is linked to itself")
            source = self._linked(link, given, old, (*within, cid))
            rest = {key: value for key, value in diff.items() if key != STATICS}
            return self.merge(source, rest, path, 0)
        before = old.get(cid)
        if link is not None or before is None:
            found = self.replace(before, diff, path, 0)
            self.changes.add(path, before, found)
            return found  # type: ignore[no-any-return]
        return self.merge(before, diff, path, 0)

    def _linked(self, link: int, given: dict[int, Node], old: dict[int, Node], within: tuple[int, ...]) -> Node:
        """Positive: a component of this diff; negative: one as it was before."""
        check_depth(len(within))
        if link > 0 and link in given:
            return self.component(link, given, old, within)
        found = old.get(abs(link))
        if found is None:
            raise TreeError(f"a component is linked to component {abs(link)}, which is not there")
        return found
