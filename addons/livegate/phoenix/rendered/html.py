"""Writes a rendered tree as HTML, as `Rendered.toString` of phoenix_live_view's rendered.js does."""

from typing import Any

from livegate.phoenix.rendered.nodes import (
    STATICS,
    STREAM,
    STREAM_GENERATION,
    STREAM_ITEMS,
    Node,
    TreeError,
    check_depth,
    dynamics_of,
    entries_of,
    is_comprehension,
)
from livegate.phoenix.rendered.persistent_vector import PersistentVector

MAX_HTML_CHARACTERS = 8 * 1024 * 1024
"""Characters of a page. A longer one raises TreeError, because components may be repeated without limit."""


class Renderer:
    """Writer of one page, or of a part of one."""

    def __init__(self, components: dict[int, Node], generation: int, *, streams: bool) -> None:
        """`streams`: write all items that the browser has, instead of those of the last diff as the client does."""
        self._components = components
        self._generation = generation
        self._streams = streams
        self._output: list[str] = []
        self._size = 0
        self._open_components: list[int] = []

    def html(self, value: object) -> str:
        """Return the HTML of a node, of a component by its number, or of a text. Raises TreeError."""
        self._value(value, 0)
        return "".join(self._output)

    def _write(self, text: str) -> None:
        self._size += len(text)
        if self._size > MAX_HTML_CHARACTERS:
            raise TreeError(f"a page of more than {MAX_HTML_CHARACTERS} characters")
        self._output.append(text)

    def _value(self, value: object, depth: int) -> None:
        check_depth(depth)
        if isinstance(value, str):
            self._write(value)
        elif isinstance(value, dict):
            self._node(value, depth)
        elif isinstance(value, int) and not isinstance(value, bool):
            self._component(value, depth)
        elif value is not None:
            self._write(str(value))

    def _component(self, cid: int, depth: int) -> None:
        node = self._components.get(cid)
        if node is None:
            raise TreeError(f"component {cid} does not exist")
        if cid in self._open_components:
            raise TreeError(f"component {cid} contains itself")
        self._open_components.append(cid)
        self._node(node, depth)
        self._open_components.pop()

    def _node(self, node: Node, depth: int) -> None:
        statics = node.get(STATICS)
        if not isinstance(statics, list):
            raise TreeError("a node has no statics")
        if not is_comprehension(node):
            self._interleave(statics, node, depth)
            return
        for entry in self._entries(node):
            self._interleave(statics, dynamics_of(entry), depth)

    def _entries(self, node: Node) -> list[Any] | PersistentVector:
        if STREAM not in node and STREAM_ITEMS not in node:
            return entries_of(node)
        if self._streams:
            return [entry for _, entry in node.get(STREAM_ITEMS, ())]
        return entries_of(node) if node.get(STREAM_GENERATION) == self._generation else []

    def _interleave(self, statics: list[str], dynamics: dict[str, Any], depth: int) -> None:
        if not statics:
            return
        self._write(statics[0])
        for number in range(len(statics) - 1):
            self._value(dynamics.get(str(number)), depth + 1)
            self._write(statics[number + 1])
