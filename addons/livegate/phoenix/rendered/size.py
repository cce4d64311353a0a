"""How much a rendered tree holds: what is in it now, however much went by to make it."""

from collections.abc import Iterable
from typing import Any

from livegate.phoenix.rendered.entries import PersistentVector
from livegate.phoenix.rendered.items import StreamItems

VALUE_BYTES = 8
"""What a value takes besides its text, about."""


def estimate_bytes(values: Iterable[Any]) -> int:
    """Bytes of some values of a tree, about; statics that several nodes share count once. O(what they hold)."""
    size = 0
    shared: set[int] = set()
    rest: list[Any] = [[*values]]
    while rest:
        within = rest.pop()
        for value in within.values() if within.__class__ is dict else within:
            size += VALUE_BYTES
            if value.__class__ is str:
                size += len(value)
            elif value.__class__ is list:  # statics, or entries of their own
                if id(value) not in shared:
                    shared.add(id(value))
                    rest.append(value)
            elif isinstance(value, dict | tuple | StreamItems | PersistentVector):
                rest.append(value)
    return size
