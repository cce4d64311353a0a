"""How much a rendered tree holds: what is in it now, however much went by to make it."""

from collections.abc import Iterable
from typing import Any

from livegate.phoenix.entries import Entries
from livegate.phoenix.items import Items
from livegate.phoenix.nodes import STATICS

VALUE_BYTES = 8
"""What a value takes besides its text, about."""


def size_of(values: Iterable[Any]) -> int:
    """Bytes of some values of a tree, about; statics that several nodes share count once. O(what they hold)."""
    size = 0
    shared: set[int] = set()
    rest: list[Any] = [*values]
    while rest:
        value = rest.pop()
        size += VALUE_BYTES
        if isinstance(value, str):
            size += len(value)
        elif isinstance(value, dict):
            statics = value.get(STATICS)
            if isinstance(statics, list) and id(statics) not in shared:
                shared.add(id(statics))
                size += sum(map(len, statics)) + VALUE_BYTES * len(statics)
            rest += [item for key, item in value.items() if key != STATICS]
        elif isinstance(value, list | tuple | Items | Entries):
            rest += value
    return size
