"""Breaks the reference cycles in mitmproxy's layers after a connection has closed.

Reference counting then frees them at once. A full garbage collection would pause all connections for more than a second
with a thousand sockets.
"""

import asyncio
from types import MethodType

from mitmproxy.proxy import events, layer


def ignore(event: events.Event) -> layer.CommandGenerator[None]:
    """Ignore an event for a closed layer."""
    del event
    yield from ()


def break_cycles(top: layer.Layer) -> None:
    """Clear a closed layer and its children, and cancel its timers. Later events are ignored.

    A layer of the gateway keeps the attributes in its `KEPT_AFTER_CLOSE`.
    """
    pending = [top]
    while pending:
        each = pending.pop()
        own = vars(each)
        context = own.get("context")
        if context is None:
            continue
        context.layers.clear()  # its own list; parents keep theirs
        pending += [child for value in own.values() if (child := _layer_in(value)) is not None]
        for timer in [value for value in own.values() if isinstance(value, asyncio.Handle)]:
            timer.cancel()  # it would run on a cleared layer
        for values in [value for value in own.values() if isinstance(value, dict)]:
            pending += [value for value in values.values() if isinstance(value, layer.Layer)]
        for name in own.keys() - getattr(each, "KEPT_AFTER_CLOSE", frozenset()):
            del own[name]
        own["_paused"], own["_handle_event"] = None, ignore


def _layer_in(value: object) -> layer.Layer | None:
    """Return a layer, or the layer that a method is bound to."""
    owner = value.__self__ if isinstance(value, MethodType) else value
    return owner if isinstance(owner, layer.Layer) else None
