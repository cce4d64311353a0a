"""The parts of LiveView's rendered trees as they are on the wire, and the checks that all code on them relies on.

A node is a dict: `s` its statics, `0` to `n` its dynamics. Trees are never changed in place: a merge makes new nodes
along the way to what changed and shares the rest, so that an older tree stays what it was and a copy costs nothing.
"""

from typing import Any

MAX_DEPTH = 150
STATICS, DYNAMICS, KEYED, COUNT, TEMPLATES, STREAM, COMPONENTS = "s", "d", "k", "kc", "p", "stream", "c"
ITEMS = "livegate:items"
"""Of a stream: the items that the browser has, in order; the wire has only what is new."""
FRESH = "livegate:fresh"
"""Of a stream: in which generation of the tree its `d` or `k` came; the client forgets them once they are shown."""

type Node = dict[str, Any]
type Path = tuple[str | int, ...]


class TreeError(ValueError):
    """What was sent is no rendered tree, or does not fit the one that is there."""


def check_depth(depth: int) -> None:
    """Raise TreeError for what is nested too deeply."""
    if depth > MAX_DEPTH:
        raise TreeError(f"nested more than {MAX_DEPTH} deep")


def is_comprehension(node: Node) -> bool:
    """Whether a node repeats its statics for each of several entries."""
    return DYNAMICS in node or KEYED in node


def resolved(value: object, templates: object, depth: int = 0, *, component: bool = False) -> Any:
    """A copy in which statics given by number are those of a template table; tables are taken off.

    Of a comprehension the outermost table counts, of other nodes the innermost (rendered.js). A component's own number
    is a link to another component: it stays.
    """
    check_depth(depth)
    if isinstance(value, list):
        return [item if item.__class__ is str else resolved(item, templates, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    own = value.get(TEMPLATES)
    first, second = (templates, own) if is_comprehension(value) else (own, templates)
    table = first if first is not None else second
    if table is not None and not isinstance(table, dict):
        raise TreeError("templates that are no table")
    found: Node = {}
    for key, item in value.items():
        if key in (TEMPLATES, COMPONENTS):
            continue
        if item.__class__ is str and key != STATICS:
            found[key] = item
        elif key == STATICS:
            found[key] = _statics(item, table, component=component)
        elif key == STREAM:
            found[key] = item
        else:
            found[key] = resolved(item, table, depth + 1)
    return found


def _statics(value: object, table: dict[str, Any] | None, *, component: bool) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        if component:
            return value
        if table is None or str(value) not in table:
            raise TreeError(f"the template {value} is not in the table")
        value = table[str(value)]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TreeError("statics that are no list of texts")
    return value


def entries_of(node: Node) -> list[Any]:
    """The entries of a comprehension: of `d` lists, of `k` dicts. Raises TreeError."""
    if DYNAMICS in node:
        entries = node[DYNAMICS]
        if not isinstance(entries, list):
            raise TreeError("a comprehension whose d is no list")
        return entries
    keyed = node.get(KEYED)
    count = keyed.get(COUNT) if isinstance(keyed, dict) else None
    if not isinstance(keyed, dict) or not isinstance(count, int) or not 0 <= count < len(keyed):
        raise TreeError("a comprehension whose count is not that of its entries")
    try:
        return [keyed[str(number)] for number in range(count)]
    except KeyError as error:
        raise TreeError(f"entry {error} of a comprehension is missing") from None


def dynamics_of(entry: object) -> dict[str, Any]:
    """The dynamics of a comprehension's entry, by number."""
    if isinstance(entry, dict):
        return entry
    if isinstance(entry, list):
        return {str(number): value for number, value in enumerate(entry)}
    raise TreeError("an entry of a comprehension that is neither list nor object")
