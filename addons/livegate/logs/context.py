"""Context of log lines: who logs about a flow passes `extra=about(flow)`, and the handler adds the ids of the flow.

Other packages attach their state to flows with `FlowAttribute`; a line costs its look-ups only when it is written.
"""

from typing import Any, Protocol

from mitmproxy import http
from mitmproxy.websocket import WebSocketMessage

EXCHANGE = "livegate_exchange"
"""Attribute of a flow: the pipeline's record of it, which has a `request_id`."""
FLOW = "livegate_flow"
"""Attribute of a log record until the handler has read it: the flow."""
KIND = "livegate_kind"
"""Attribute of a log record, see `about`."""
EVICTED_MESSAGES = "livegate_not_kept"
"""Key of a flow's metadata: number of WebSocket messages that were evicted from its history."""
EVICTED_UPLOADS = "livegate_uploads_not_kept"
"""Key of a flow's metadata: number of those messages that were chunks of uploads."""


class FlowAttribute[T]:
    """Attribute that livegate adds to flows or messages. mitmproxy neither saves nor copies it."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def get(self, owner: http.HTTPFlow | WebSocketMessage) -> T | None:
        """Return the value, or None when there is none."""
        return getattr(owner, self._name, None)

    def set(self, owner: http.HTTPFlow | WebSocketMessage, value: T) -> None:
        """Set the value."""
        setattr(owner, self._name, value)


class Numbered(Protocol):
    """LiveView session."""

    @property
    def number(self) -> int:
        """Its number."""
        ...


class SessionSource(Protocol):
    """Phoenix socket, whose session is unknown until its first join."""

    @property
    def session(self) -> Numbered | None:
        """The session, once it is known."""
        ...


_SESSION = FlowAttribute[SessionSource | int]("livegate_session")


def about(flow: http.HTTPFlow, kind: str = "") -> dict[str, Any]:
    """Return the `extra` of a log call about a flow. `kind` distinguishes lines of one template for the throttle.

    `kind` consists of names from the settings and the code. Names from clients would create kinds without limit.
    """
    return {FLOW: flow, KIND: kind}


def set_session(flow: http.HTTPFlow, source: SessionSource | int) -> None:
    """Link a flow to its LiveView session: by its number, or by a socket that will know the session."""
    _SESSION.set(flow, source)


def request_id_of(flow: http.HTTPFlow) -> str | None:
    """Return the id of a flow's request, or None for a flow that did not come through the gateway."""
    exchange = getattr(flow, EXCHANGE, None)
    return exchange.request_id if exchange is not None else None


def session_of(flow: http.HTTPFlow) -> int | None:
    """Return the number of the LiveView session that a flow belongs to, or None while it is unknown."""
    source = _SESSION.get(flow)
    if source is None or isinstance(source, int):
        return source
    session = source.session
    return session.number if session is not None else None


def evicted_text(flow: http.HTTPFlow) -> str:
    """Return how many messages were evicted from a flow's history, for its comment; empty when none were."""
    count, uploads = flow.metadata.get(EVICTED_MESSAGES), flow.metadata.get(EVICTED_UPLOADS)
    if not isinstance(count, int) or not count:
        return ""
    if not isinstance(uploads, int) or not uploads:
        return f"{count:,} earlier messages not kept"
    rest = f", {count - uploads:,} earlier messages" if count > uploads else ""
    return f"{uploads:,} upload chunks{rest} not kept"
