"""Frees mitmproxy's layers when their connection has ended: they refer to each other and to themselves.

Left alone they would stay until Python's collector of cycles comes by, which goes through everything that is kept and
holds up every connection meanwhile: a second and more with a thousand sockets.
"""

import asyncio
from types import MethodType

from mitmproxy.proxy import events, layer


def ignore(event: events.Event) -> layer.CommandGenerator[None]:
    """What a layer does with an event that comes after its end."""
    del event
    yield from ()


def break_cycles(top: layer.Layer) -> None:
    """Empty a layer that has ended, and those that it has made, and cancel its timers. Later events are ignored.

    A layer of ours keeps the attributes that it names in `KEPT_AFTER_CLOSE`.
    """
    pending = [top]
    while pending:
        each = pending.pop()
        own = vars(each)
        context = own.get("context")
        if context is None:
            continue
        context.layers.clear()  # a list of its own; those above it go on
        pending += [found for value in own.values() if (found := _layer_in(value)) is not None]
        for timer in [value for value in own.values() if isinstance(value, asyncio.Handle)]:
            timer.cancel()  # it would find the layer empty
        for values in [value for value in own.values() if isinstance(value, dict)]:
            pending += [value for value in values.values() if isinstance(value, layer.Layer)]
        for name in own.keys() - getattr(each, "KEPT_AFTER_CLOSE", frozenset()):
            del own[name]
        own["_paused"], own["_handle_event"] = None, ignore


def _layer_in(value: object) -> layer.Layer | None:
    """A layer, or the one that a method is bound to."""
    owner = value.__self__ if isinstance(value, MethodType) else value
    return owner if isinstance(owner, layer.Layer) else None
