"""Nodes of rendered trees in LiveView's wire format (Phoenix.LiveView.Diff and rendered.js, 0.18 to 1.2), with checks.

A node is a dict: `s` holds its statics, `0` to `n` its dynamics. Trees are persistent: a merge creates new nodes on the
path to each change and shares all others. So an older tree stays as it was, and a snapshot costs nothing.
"""

from typing import Any

from livegate.phoenix.rendered.persistent_vector import PersistentVector

MAX_DEPTH = 150
"""Levels of nested nodes. Deeper trees raise TreeError before Python's recursion limit is reached."""
STATICS, DYNAMICS, KEYED, COUNT, TEMPLATES, STREAM, COMPONENTS = "s", "d", "k", "kc", "p", "stream", "c"
MOVES = "km"
"""Key of a `k` that says that entries were moved; LiveView sends it from 1.2.8 on."""
STREAM_ITEMS = "livegate:items"
"""Our own key of a stream's comprehension: the items that the browser has; the wire format has only new ones."""
STREAM_GENERATION = "livegate:fresh"
"""Our own key: generation of the tree in which the `d` or `k` of a stream came. The client drops both once rendered."""

type Node = dict[str, Any]
type Table = dict[str, Any] | None
type Path = tuple[str | int, ...]


_TEXTS = frozenset({str})


class TreeError(ValueError):
    """Raised for values that are not a rendered tree, or a diff that does not fit the current one."""


def check_depth(depth: int) -> None:
    """Raise TreeError beyond MAX_DEPTH."""
    if depth > MAX_DEPTH:
        raise TreeError(f"nested more than {MAX_DEPTH} deep")


def is_comprehension(node: Node) -> bool:
    """Return whether a node repeats its statics for each of its entries."""
    return DYNAMICS in node or KEYED in node


def resolve_templates(value: Node, outer: Table) -> Table:
    """Return the template table of a node, given that of its parent. Raises TreeError.

    For a comprehension the outermost table wins, for other nodes the innermost (rendered.js).
    """
    own = value.get(TEMPLATES)
    if own is None:
        return outer
    table = own if outer is None or not is_comprehension(value) else outer
    if not isinstance(table, dict):
        raise TreeError("templates are not a table")
    return table


def resolve_statics(value: object, table: Table) -> list[str]:
    """Return the statics of a node, looked up in the template table if they are a number. Raises TreeError."""
    if isinstance(value, int) and not isinstance(value, bool):
        if table is None or str(value) not in table:
            raise TreeError(f"the template {value} is not in the table")
        value = table[str(value)]
    if not isinstance(value, list) or not {*map(type, value)} <= _TEXTS:
        raise TreeError("statics are not a list of texts")
    return value


def entries_of(node: Node) -> list[Any] | PersistentVector:
    """Return the entries of a comprehension: lists for `d`, dicts for `k`. Raises TreeError."""
    entries = node[DYNAMICS] if DYNAMICS in node else node.get(KEYED)
    if not isinstance(entries, list | PersistentVector):
        raise TreeError("a comprehension has no entries")
    return entries


def dynamics_of(entry: object) -> dict[str, Any]:
    """Return the dynamics of a comprehension's entry by number. Raises TreeError."""
    if isinstance(entry, dict):
        return entry
    if isinstance(entry, list):
        return {str(number): value for number, value in enumerate(entry)}
    raise TreeError("an entry of a comprehension is neither list nor object")
