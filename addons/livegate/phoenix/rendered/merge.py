"""Merges a diff into a rendered tree, as LiveView's client does (rendered.js, 0.18 to 1.2). O(diff), see `Merger`."""

from typing import Any

from livegate.phoenix.rendered import streams
from livegate.phoenix.rendered.changes import Changes
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
from livegate.phoenix.rendered.persistent_vector import PersistentVector
from livegate.phoenix.rendered.stream_items import EMPTY

_EMPTY_NODE: Node = {}
_NOT_DYNAMICS = frozenset({TEMPLATES, COMPONENTS})
_SPECIAL = frozenset({TEMPLATES, COMPONENTS, STREAM, DYNAMICS, STATICS})


class Merger:
    """State of one merge.

    A merge costs O(diff), plus O(n / CHUNK) for each comprehension of n entries that the diff touches, and for each
    stream the operations of `stream_items.StreamEdit`.
    """

    def __init__(self, changes: Changes, components: dict[int, Node], generation: int) -> None:
        self.changes = changes
        self._components = components
        self._generation = generation
        self._merged_components: dict[int, Node] = {}
        self._moved = False
        """Whether an entry of the comprehension that is being merged was moved."""
        self._checked_statics: dict[tuple[int, object], list[str]] = {}
        """Templates in use, by `id()` of their table and number. The tables belong to the diff, which outlives this."""
        self._effect = streams.StreamEffect()

    def build(self, old: object, new: object, table: Table, depth: int) -> Any:
        """Return a value as the tree holds it, in place of `old`: statics are resolved, streams have their items."""
        if depth > MAX_DEPTH:
            check_depth(depth)
        if not isinstance(new, dict):
            return _plain(new)
        before = old if isinstance(old, dict) else _EMPTY_NODE
        if TEMPLATES in new:
            table = resolve_templates(new, table)
        node: Node = {}
        for key, value in new.items():
            if value.__class__ is str:
                node[key] = value
            elif key == STATICS:
                node[key] = self._statics(value, table)
            elif key == STREAM:
                node[key] = value
            elif key == DYNAMICS:
                node[key] = self._rows(value, table, depth)
            elif key == KEYED:
                node[key] = self._new_entries(value, table, depth)
            elif key not in _NOT_DYNAMICS:
                node[key] = self.build(before.get(key), value, table, depth + 1)
        if new.get(STATICS).__class__ is str:
            raise TreeError("statics are not a list of texts")
        return self._with_stream_items(before, node) if STREAM in node else node

    def _statics(self, value: object, table: Table) -> list[str]:
        """Return the statics of a node. A template is checked once, however many nodes use it."""
        if value.__class__ is not int:
            return resolve_statics(value, table)
        template = (id(table), value)
        statics = self._checked_statics.get(template)
        if statics is None:
            statics = self._checked_statics[template] = resolve_statics(value, table)
        return statics

    def _rows(self, rows: object, table: Table, depth: int) -> list[Any]:
        if not isinstance(rows, list):
            raise TreeError("the d of a comprehension is not a list")
        return [
            [
                value if isinstance(value, str) else self.build(None, value, table, depth + 1)
                for value in dynamics_of(row).values()
            ]
            for row in rows
        ]

    def _new_entries(self, keyed: object, table: Table, depth: int) -> PersistentVector:
        """Return the entries of a new comprehension."""
        changed, count = _keyed_parts(keyed)
        return _updated(
            PersistentVector((), 0), {at: self.build(None, each, table, depth + 1) for at, each in changed}, count
        )

    def merge(self, old: Node, diff: Node, path: Path, table: Table, depth: int) -> Node:
        """Return a node with `diff` merged into it; a diff that has statics of its own replaces a node (`build`)."""
        check_depth(depth)
        table = resolve_templates(diff, table)
        if KEYED in diff:
            return self._merge_keyed(old, diff, path, table, depth)
        node = dict(old)
        for key, value in diff.items():
            if value.__class__ is str and key not in _SPECIAL:
                node[key] = value
                self.changes.add_text(path, key, old.get(key), value)
            elif key == STREAM:
                node[key] = value
            elif key == DYNAMICS:
                node[key] = self._rows(value, table, depth)
                if STREAM not in diff:  # the items of a stream are listed by id instead
                    self.changes.add((*path, key), old.get(key), node[key])
            elif key not in _NOT_DYNAMICS:
                node[key] = self._merge_dynamic(old.get(key), value, (*path, key), table, depth)
        return self._with_stream_items(old, node) if STREAM in diff else node

    def _merge_dynamic(self, before: object, value: object, path: Path, table: Table, depth: int) -> Any:
        if isinstance(value, dict) and STATICS not in value and isinstance(before, dict):
            return self.merge(before, value, path, table, depth + 1)
        after = self.build(before, value, table, depth + 1)
        self.changes.add(path, before, after)
        return after

    def _merge_keyed(self, old: Node, diff: Node, path: Path, table: Table, depth: int) -> Node:
        """Merge a `k`: per index an object to merge, the index to move an entry from, or a pair of both."""
        before = (
            old.get(KEYED) if STREAM not in old and STREAM_ITEMS not in old else None
        )  # the client forgets a stream's
        if before is None:
            before = PersistentVector((), 0)
        if not isinstance(before, PersistentVector):
            raise TreeError("the k of a comprehension is not an object")
        changed, count = _keyed_parts(diff[KEYED])
        listed, omitted = len(self.changes.paths), self.changes.paths_omitted
        moved, self._moved = self._moved, False
        merged = {at: self._merge_entry(before, entry, (*path, KEYED, at), table, depth) for at, entry in changed}
        self.changes.unmarked_moves |= self._moved and MOVES not in diff[KEYED]
        self._moved = moved
        node = {**old, KEYED: _updated(before, merged, count)}
        if STREAM in diff:  # the items of a stream are listed by id instead
            del self.changes.paths[listed:]
            self.changes.paths_omitted = omitted
            node[STREAM] = diff[STREAM]
            return self._with_stream_items(old, node)
        for at in range(count, len(before)):
            self.changes.add((*path, KEYED, at), before[at], None)
        return node

    def _merge_entry(self, before: PersistentVector, entry: object, path: Path, table: Table, depth: int) -> Any:
        at = int(path[-1])
        if isinstance(entry, dict):
            current = before[at] if at < len(before) else None
            if isinstance(current, dict):
                return self.merge(current, entry, path, table, depth + 1)
            built = self.build(None, entry, table, depth + 1)
            self.changes.add(path, None, built)
            return built
        source, change = entry if isinstance(entry, list) and len(entry) == 2 else (entry, None)
        self._moved = True
        index = source if isinstance(source, int) and not isinstance(source, bool) else -1
        moved = before[index] if 0 <= index < len(before) else None
        if not isinstance(moved, dict):
            raise TreeError("an entry was moved from an index without an entry")
        self.changes.add(path, before[at] if at < len(before) else None, moved)
        if change is None:
            return moved
        if not isinstance(change, dict):
            raise TreeError("the change of a moved entry is not an object")
        return self.merge(moved, change, path, table, depth + 1)

    # Streams

    def _with_stream_items(self, old: Node, new: Node) -> Node:
        """Set the items that the browser has after this update of a stream's comprehension."""
        if not is_comprehension(new):
            return new
        update = streams.parse_update(new[STREAM])
        statics = new.get(STATICS)

        def id_of(entry: Any) -> str | None:
            return streams.first_dom_id({STATICS: statics, **dynamics_of(entry)}, self._components)

        same = STREAM in old and streams.stream_ref(old[STREAM]) == update.ref
        before = old.get(STREAM_ITEMS, EMPTY) if same else EMPTY
        new[STREAM_ITEMS] = streams.apply_update(before, update, entries_of(new), id_of, self._effect)
        new[STREAM_GENERATION] = self._generation
        self.changes.stream_resets += update.reset
        return new

    def finish(self) -> None:
        """Copy the effect on all streams to `changes`, once per merge because a page may have many streams."""
        effect, changes = self._effect, self.changes
        changes.stream_inserts, changes.stream_updates = tuple(effect.inserted), tuple(effect.updated)
        changes.stream_deletes, changes.stream_limited = tuple(effect.deleted), effect.limited

    # Components

    def component(self, cid: int, diffs: dict[int, Node], old: dict[int, Node], linking: tuple[int, ...] = ()) -> Node:
        """Return a component of a diff: new, changed, or based on another component that its statics link to.

        `linking` are the components whose links led here. Raises TreeError.
        """
        merged = self._merged_components.get(cid)
        if merged is None:
            merged = self._merged_components[cid] = self._component(cid, diffs, old, linking)
        return merged

    def _component(self, cid: int, diffs: dict[int, Node], old: dict[int, Node], linking: tuple[int, ...]) -> Node:
        diff = diffs[cid]
        link = diff.get(STATICS)
        path: Path = ("c", cid)
        if isinstance(link, int) and not isinstance(link, bool):
            if cid in linking:
                raise TreeError(f"component {cid} links to itself")
            source = self._linked(link, diffs, old, (*linking, cid))
            rest = {key: value for key, value in diff.items() if key != STATICS}
            return self.merge(source, rest, path, None, 0)
        before = old.get(cid)
        if link is not None or before is None:
            built = self.build(before, diff, None, 0)
            self.changes.add(path, before, built)
            return built  # type: ignore[no-any-return]
        return self.merge(before, diff, path, None, 0)

    def _linked(self, link: int, diffs: dict[int, Node], old: dict[int, Node], linking: tuple[int, ...]) -> Node:
        """Return the target of a link: a component of this diff, or for a negative number one as it was before."""
        check_depth(len(linking))
        if link > 0 and link in diffs:
            return self.component(link, diffs, old, linking)
        target = old.get(abs(link))
        if target is None:
            raise TreeError(f"a component links to component {abs(link)}, which does not exist")
        return target


def _keyed_parts(keyed: object) -> tuple[list[tuple[int, Any]], int]:
    """Return the entries of a `k` with an index below its count, and the count. Raises TreeError."""
    if not isinstance(keyed, dict):
        raise TreeError("the k of a comprehension is not an object")
    count = keyed.get(COUNT)
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise TreeError("a comprehension has no count")
    numbers = ((int(key), value) for key, value in keyed.items() if key.isascii() and key.isdigit() and len(key) < 10)
    return [(at, value) for at, value in numbers if at < count], count


def _updated(before: PersistentVector, merged: dict[int, Any], count: int) -> PersistentVector:
    if count > len(before) + len(merged):
        raise TreeError("the count of a comprehension is not that of its entries")
    try:
        return before.updated(merged, count)
    except KeyError as error:
        raise TreeError(f"entry {error} of a comprehension is missing") from None


def _plain(value: object) -> object:
    if isinstance(value, list):
        raise TreeError("a list instead of a text, a number or an object")
    return value
