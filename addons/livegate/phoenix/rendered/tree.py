"""The page that a LiveView shows: joined once, then changed by diffs; as HTML at any moment."""

from typing import Any, Self

from msgspec import Struct

from livegate.phoenix.rendered.changes import Changes
from livegate.phoenix.rendered.html import Renderer
from livegate.phoenix.rendered.merge import Merger
from livegate.phoenix.rendered.nodes import COMPONENTS, STATICS, TEMPLATES, Node, TreeError
from livegate.phoenix.rendered.size import estimate_bytes

__all__ = ["Tree", "TreeError"]

MAX_COMPONENTS = 20_000
_BESIDE = frozenset({TEMPLATES, COMPONENTS})
"""What stands at the top of a diff without changing the root."""
GROWTH, SLACK_BYTES = 1.25, 2048
"""What a tree holds is counted anew when it may be so much more than it was: a byte that comes costs a few at most."""
LARGE_BYTES, LARGE_GROWTH = 32 * 1024, 4
"""Large diffs take long enough to merge: counting waits for a smaller one, unless nothing but large ones comes."""


class Tree(Struct, gc=False):
    """One LiveView's rendered tree, of LiveView 0.18 to 1.2."""

    root: Node
    components: dict[int, Node]
    title: str | None
    generation: int
    size: int = 0
    """Bytes that it holds, about; never much less, and up to LARGE_GROWTH times as many while large diffs come."""
    measured: int = 0
    """Bytes that it held when it was counted."""

    @classmethod
    def join(cls, rendered: object) -> Self:
        """The tree of a join's `rendered`. Raises TreeError."""
        tree = cls({}, {}, None, 0)
        tree.merge(rendered)
        if STATICS not in tree.root:
            raise TreeError("a page without statics")
        return tree

    def snapshot(self) -> "Tree":
        """The tree as it is now, at no cost: what comes later does not change it."""
        return Tree(self.root, self.components, self.title, self.generation)

    def replace_with(self, other: "Tree") -> None:
        """Take over what was made of a copy of this tree."""
        self.root, self.components = other.root, other.components
        self.title, self.generation = other.title, other.generation

    def unchanged_since(self, copy: "Tree") -> bool:
        """Whether nothing has come since the copy was made."""
        return self.generation == copy.generation and self.root is copy.root and self.components is copy.components

    def add_size(self, size: int) -> None:
        """Have `size` count a join or a diff of so many bytes, of which some took the place of others."""
        if size >= self.size:  # counting costs about as much as the merge, and what is new is most of it
            self.size = self.measured = self.size + size
            return
        self.size += size
        growth = GROWTH if size < LARGE_BYTES else LARGE_GROWTH
        if self.size > growth * self.measured + SLACK_BYTES:
            self.size = self.measured = estimate_bytes((self.root, *self.components.values()))

    def merge(self, diff: object) -> Changes:
        """Change the page as the client does. Raises TreeError, and is then what it was before."""
        if not isinstance(diff, dict):
            raise TreeError("a diff that is no object")
        try:
            return self._merge(diff)
        except RecursionError:
            raise TreeError("nested too deeply") from None

    def _merge(self, diff: dict[str, Any]) -> Changes:
        changes = Changes()
        rest = _taken_off(diff, changes)
        given = _components(diff.get(COMPONENTS))
        generation = self.generation + 1
        components = dict(self.components) if given else self.components
        merger = Merger(changes, components, generation)
        made = {cid: merger.component(cid, given, self.components) for cid in given}
        components.update(made)
        if len(components) > MAX_COMPONENTS:
            raise TreeError(f"more than {MAX_COMPONENTS} components")
        if STATICS in rest:
            root = merger.build(self.root, rest, None, 0)
            changes.add((), self.root or None, root)
        else:
            root = merger.merge(self.root, rest, (), None, 0) if rest.keys() - _BESIDE else self.root
        merger.finish()
        if given:
            changes.components = frozenset(given)
        self.root, self.components, self.generation = root, components, generation
        if changes.title is not None:
            self.title = changes.title
        return changes

    def html(self, *, streams: bool = True) -> str:
        """The page. `streams=False`: of streams only what came last, as the client's own renderer has it.

        Raises TreeError for what cannot be shown.
        """
        return self._rendered(self.root, streams=streams)

    def component_html(self, cid: int, *, streams: bool = True) -> str:
        """One component. Raises TreeError."""
        return self._rendered(cid, streams=streams)

    def _rendered(self, value: object, *, streams: bool) -> str:
        try:
            return Renderer(self.components, self.generation, streams=streams).html(value)
        except RecursionError:
            raise TreeError("nested too deeply") from None

    def delete_components(self, cids: list[int]) -> None:
        """The client has told that these are gone."""
        gone = set(cids)
        self.components = {cid: node for cid, node in self.components.items() if cid not in gone}


def _taken_off(diff: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """What stands at the top of a diff without being part of the tree: title, events, reply."""
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


def _components(value: object) -> dict[int, Node]:
    """The components of a diff by number."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TreeError("components that are no object")
    found: dict[int, Node] = {}
    for key, node in value.items():
        if not key.isascii() or not key.isdigit() or len(key) > 15 or not isinstance(node, dict):
            raise TreeError("a component that has no number, or is no object")
        found[int(key)] = node
    return found
