"""The parts of LiveView's rendered trees as they are on the wire, and the checks that all code on them relies on.

A node is a dict: `s` its statics, `0` to `n` its dynamics. Trees are never changed in place: a merge makes new nodes
along the way to what changed and shares the rest, so that an older tree stays what it was and a copy costs nothing.
"""

from typing import Any

from livegate.phoenix.rendered.entries import PersistentVector

MAX_DEPTH = 150
STATICS, DYNAMICS, KEYED, COUNT, TEMPLATES, STREAM, COMPONENTS = "s", "d", "k", "kc", "p", "stream", "c"
MOVES = "km"
"""Of a `k`: whether entries were moved, from 1.2.8 on."""
STREAM_ITEMS = "livegate:items"
"""Of a stream: the items that the browser has, in order; the wire has only what is new."""
STREAM_GENERATION = "livegate:fresh"
"""Of a stream: in which generation of the tree its `d` or `k` came; the client forgets them once they are shown."""

type Node = dict[str, Any]
type Table = dict[str, Any] | None
type Path = tuple[str | int, ...]


_TEXTS = frozenset({str})


class TreeError(ValueError):
    """What was sent is no rendered tree, or does not fit the one that is there."""


def check_depth(depth: int) -> None:
    """Raise TreeError for what is nested too deeply."""
    if depth > MAX_DEPTH:
        raise TreeError(f"nested more than {MAX_DEPTH} deep")


def is_comprehension(node: Node) -> bool:
    """Whether a node repeats its statics for each of several entries."""
    return DYNAMICS in node or KEYED in node


def resolve_templates(value: Node, outer: Table) -> Table:
    """The template table that counts for a node, given the one around it.

    Of a comprehension the outermost table counts, of other nodes the innermost (rendered.js). Raises TreeError.
    """
    own = value.get(TEMPLATES)
    if own is None:
        return outer
    table = own if outer is None or not is_comprehension(value) else outer
    if not isinstance(table, dict):
        raise TreeError("templates that are no table")
    return table


def resolve_statics(value: object, table: Table) -> list[str]:
    """The statics of a node, by their number in a template table or as they are. Raises TreeError."""
    if isinstance(value, int) and not isinstance(value, bool):
        if table is None or str(value) not in table:
            raise TreeError(f"the template {value} is not in the table")
        value = table[str(value)]
    if not isinstance(value, list) or not {*map(type, value)} <= _TEXTS:
        raise TreeError("statics that are no list of texts")
    return value


def entries_of(node: Node) -> list[Any] | PersistentVector:
    """The entries of a comprehension: of `d` lists, of `k` dicts. Raises TreeError."""
    entries = node[DYNAMICS] if DYNAMICS in node else node.get(KEYED)
    if not isinstance(entries, list | PersistentVector):
        raise TreeError("a comprehension whose entries are none")
    return entries


def dynamics_of(entry: object) -> dict[str, Any]:
    """The dynamics of a comprehension's entry, by number."""
    if isinstance(entry, dict):
        return entry
    if isinstance(entry, list):
        return {str(number): value for number, value in enumerate(entry)}
    raise TreeError("an entry of a comprehension that is neither list nor object")
