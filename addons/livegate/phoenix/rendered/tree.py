"""Rendered tree of one LiveView: created by a join, changed by diffs, written as HTML at any moment."""

from typing import Any, Self

from msgspec import Struct

from livegate.phoenix.rendered.changes import Changes
from livegate.phoenix.rendered.html import Renderer
from livegate.phoenix.rendered.merge import Merger
from livegate.phoenix.rendered.nodes import COMPONENTS, STATICS, TEMPLATES, Node, TreeError
from livegate.phoenix.rendered.size import estimate_bytes

__all__ = ["Tree", "TreeError"]

MAX_COMPONENTS = 20_000
"""Components of one view. More raise TreeError, so that the page is dropped."""
_NOT_ROOT = frozenset({TEMPLATES, COMPONENTS})
"""Top-level keys of a diff that do not change the root."""
GROWTH, SLACK_BYTES = 1.25, 2048
"""A tree is measured again when diffs may have grown it by this factor, so that measuring costs O(1) per byte sent."""
LARGE_BYTES, LARGE_GROWTH = 32 * 1024, 4
"""Factor after a diff of at least LARGE_BYTES: measuring waits for a smaller one, because merging took long already."""


class Tree(Struct, gc=False):
    """One LiveView's rendered tree, of LiveView 0.18 to 1.2."""

    root: Node
    components: dict[int, Node]
    title: str | None
    generation: int
    size: int = 0
    """Estimated bytes in memory: never much too low, and up to LARGE_GROWTH times too high while large diffs come."""
    measured: int = 0
    """Estimated bytes when it was last measured."""

    @classmethod
    def join(cls, rendered: object) -> Self:
        """Return the tree of a join's `rendered`. Raises TreeError."""
        tree = cls({}, {}, None, 0)
        tree.merge(rendered)
        if STATICS not in tree.root:
            raise TreeError("a page has no statics")
        return tree

    def snapshot(self) -> "Tree":
        """Return the tree as it is now, in O(1). Later diffs do not change the snapshot."""
        return Tree(self.root, self.components, self.title, self.generation)

    def replace_with(self, other: "Tree") -> None:
        """Take over the state of `other`, which was merged from a snapshot of this tree."""
        self.root, self.components = other.root, other.components
        self.title, self.generation = other.title, other.generation

    def unchanged_since(self, other: "Tree") -> bool:
        """Return whether no diff was merged since the snapshot `other`."""
        return self.generation == other.generation and self.root is other.root and self.components is other.components

    def add_size(self, size: int) -> None:
        """Account for a join or diff of `size` bytes, some of which replaced others."""
        if size >= self.size:  # measuring costs about as much as the merge, and most of the tree is new
            self.size = self.measured = self.size + size
            return
        self.size += size
        growth = GROWTH if size < LARGE_BYTES else LARGE_GROWTH
        if self.size > growth * self.measured + SLACK_BYTES:
            self.size = self.measured = estimate_bytes((self.root, *self.components.values()))

    def merge(self, diff: object) -> Changes:
        """Merge a diff as the client does. Raises TreeError and leaves the tree unchanged if it does not fit."""
        if not isinstance(diff, dict):
            raise TreeError("a diff is not an object")
        try:
            return self._merge(diff)
        except RecursionError:
            raise TreeError("nested too deeply") from None

    def _merge(self, diff: dict[str, Any]) -> Changes:
        changes = Changes()
        rest = _without_metadata(diff, changes)
        diffs = _component_diffs(diff.get(COMPONENTS))
        generation = self.generation + 1
        components = dict(self.components) if diffs else self.components
        merger = Merger(changes, components, generation)
        merged = {cid: merger.component(cid, diffs, self.components) for cid in diffs}
        components.update(merged)
        if len(components) > MAX_COMPONENTS:
            raise TreeError(f"more than {MAX_COMPONENTS} components")
        if STATICS in rest:
            root = merger.build(self.root, rest, None, 0)
            changes.add((), self.root or None, root)
        else:
            root = merger.merge(self.root, rest, (), None, 0) if rest.keys() - _NOT_ROOT else self.root
        merger.finish()
        if diffs:
            changes.components = frozenset(diffs)
        self.root, self.components, self.generation = root, components, generation
        if changes.title is not None:
            self.title = changes.title
        return changes

    def html(self, *, streams: bool = True) -> str:
        """Return the page. With `streams=False` only the stream items of the last diff, as the client's renderer does.

        Raises TreeError if the page cannot be rendered.
        """
        try:
            return Renderer(self.components, self.generation, streams=streams).html(self.root)
        except RecursionError:
            raise TreeError("nested too deeply") from None

    def delete_components(self, cids: list[int]) -> None:
        """Remove the components that the client reported as destroyed."""
        destroyed = set(cids)
        self.components = {cid: node for cid, node in self.components.items() if cid not in destroyed}


def _without_metadata(diff: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """Move title, events and reply of a diff to `changes`; return the rest, which is part of the tree."""
    rest = dict(diff)
    title = rest.pop("t", None)
    changes.title = title if isinstance(title, str) else None
    events = rest.pop("e", None)
    if isinstance(events, list):
        named = [event for event in events if isinstance(event, list) and event and isinstance(event[0], str)]
        changes.events = tuple((event[0], event[1] if len(event) > 1 else None) for event in named)
    if isinstance(rest.get("r"), dict):
        changes.reply = rest.pop("r")
    return rest


def _component_diffs(value: object) -> dict[int, Node]:
    """Return the components of a diff by number. Raises TreeError."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TreeError("components are not an object")
    diffs: dict[int, Node] = {}
    for key, node in value.items():
        if not key.isascii() or not key.isdigit() or len(key) > 15 or not isinstance(node, dict):
            raise TreeError("a component has no number, or is not an object")
        diffs[int(key)] = node
    return diffs
