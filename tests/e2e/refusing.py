"""Refuses requests as their client's `id` asks for: an addon beside the gateway, and the rule that the app shares.

An id is `PHASE/FAULT/...`. The phases, each with the requests that meet the fault:
`open` the first two polls without a token, `poll` the second with one, `join` the first POST, `send` the second POST,
`upgrade` the first two WebSocket upgrades, `start` the first three requests that upgrade or have no token. A fault
that is a number is an HTTP status, answered by the gateway; the app sees to the others.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

MEETS = {"open": (1, 2), "poll": (2,), "join": (1,), "send": (2,), "upgrade": (1, 2), "start": (1, 2, 3)}


def fault_of(path: str, method: str, query: Mapping[str, str], counts: Counter[str]) -> str | None:
    """The fault that a request meets, or None."""
    name = query.get("id", "")
    phase, _, rest = name.partition("/")
    if phase not in MEETS:
        return None
    if path.endswith("/websocket"):
        kinds = ("upgrade", "start")
    elif method == "POST":
        kinds = ("join", "send")
    else:
        kinds = ("poll", "") if query.get("token") else ("open", "start")
    if phase not in kinds:
        return None
    counts[name] += 1
    # phoenix.js 1.5 keeps polls of a connection that it has given up: if the second fails after the third has opened
    # the connection, its channels stay down, with or without a gateway.
    meets = (1,) if phase == "open" and "/1.5" in rest else MEETS[phase]
    return rest.partition("/")[0] if counts[name] in meets else None


class Refusing:
    """Refuse requests that have no response yet, with the gateway's own responses."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def request(self, flow: Any) -> None:
        from livegate.http1.refusal import Refusal
        from livegate.pipeline.exchange.responses import refuse

        if flow.response is not None:
            return
        fault = fault_of(
            flow.request.path.partition("?")[0], flow.request.method, dict(flow.request.query), self._counts
        )
        if fault is not None and fault.isdecimal():
            refuse(flow, Refusal(int(fault), "Refused for a test.", "test"))


addons = [Refusing()]
