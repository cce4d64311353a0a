"""Estimates the memory of a rendered tree, for the bound on all trees together (`SessionLimits.tree_bytes`)."""

from collections.abc import Iterable
from typing import Any

from livegate.phoenix.rendered.persistent_vector import PersistentVector
from livegate.phoenix.rendered.stream_items import StreamItems

VALUE_BYTES = 8
"""Estimated bytes of a value besides its text."""


def estimate_bytes(values: Iterable[Any]) -> int:
    """Return the estimated bytes of some values of a tree. Statics that several nodes share count once. O(values)."""
    size = 0
    shared: set[int] = set()
    rest: list[Any] = [[*values]]
    while rest:
        container = rest.pop()
        for value in container.values() if container.__class__ is dict else container:
            size += VALUE_BYTES
            if value.__class__ is str:
                size += len(value)
            elif value.__class__ is list:  # statics, or the entries of a `d`
                if id(value) not in shared:
                    shared.add(id(value))
                    rest.append(value)
            elif isinstance(value, dict | tuple | StreamItems | PersistentVector):
                rest.append(value)
    return size
