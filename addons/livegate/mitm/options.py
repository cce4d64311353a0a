"""Reads what mitmproxy's `ctx.options` does not offer."""

from typing import Any

from mitmproxy import ctx, optmanager


def is_set(option: str) -> bool:
    """Return whether an option was set by the user, even to its default. `has_changed` compares values only."""
    entry: Any = getattr(ctx.options, "_options", {}).get(option)
    unset = getattr(optmanager, "unset", None)
    if unset is None or not hasattr(entry, "value"):
        return bool(ctx.options.has_changed(option))  # an unknown mitmproxy: the closest public check
    return entry.value is not unset
