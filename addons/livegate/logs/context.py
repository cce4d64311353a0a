"""Whom a log line is about: whoever logs of a flow passes `extra=about(flow)`, and the gate makes ids of it.

A leaf that every package may import. What it reads was left on the flow by others: the pipeline's record of a request,
and the browser tab that the inspector has found out. So a line costs a look-up when it is written, and nothing before.
"""

from typing import Any, Protocol

from mitmproxy import http

EXCHANGE = "livegate_exchange"
"""Attribute of a flow: the pipeline's record of it, whose `request_id` is told. Never saved or copied with the flow."""
FLOW = "livegate_flow"
"""Attribute of a log record, until it has passed the gate."""
KIND = "livegate_kind"
"""Attribute of a log record, see `about`."""
_TAB = "livegate_tab"
EVICTED_MESSAGES = "livegate_not_kept"
"""Key of a flow's metadata: number of WebSocket messages that were evicted from its history."""
EVICTED_UPLOADS = "livegate_uploads_not_kept"
"""Key of a flow's metadata: number of those messages that were chunks of uploads."""


class Tab(Protocol):
    """A LiveView session, or what will tell its number once it is known."""

    @property
    def number(self) -> int | None:
        """The session's number; None as long as there is none."""
        ...


def about(flow: http.HTTPFlow, kind: str = "") -> dict[str, Any]:
    """The `extra` of a log call that is about a flow; `kind` tells lines of one template apart when they are counted.

    It holds names from the settings and the code only: whatever strangers can choose would make kinds without end.
    """
    return {FLOW: flow, KIND: kind}


def set_session(flow: http.HTTPFlow, tab: Tab | int) -> None:
    """The inspector has found out whose flow this is: a session's number, or what will know it."""
    setattr(flow, _TAB, tab)


def request_id_of(flow: http.HTTPFlow) -> str | None:
    """The id of a flow's request, or None for one that did not come through the gateway."""
    exchange = vars(flow).get(EXCHANGE)
    return exchange.request_id if exchange is not None else None


def session_of(flow: http.HTTPFlow) -> int | None:
    """The number of the LiveView session that a flow belongs to, as far as it is known."""
    tab: Tab | int | None = vars(flow).get(_TAB)
    return tab if tab is None or isinstance(tab, int) else tab.number


def evicted_text(flow: http.HTTPFlow) -> str:
    """Return how many messages were evicted from a flow's history, for its comment; empty when none were."""
    count, uploads = flow.metadata.get(EVICTED_MESSAGES), flow.metadata.get(EVICTED_UPLOADS)
    if not isinstance(count, int) or not count:
        return ""
    if not isinstance(uploads, int) or not uploads:
        return f"{count:,} earlier messages not kept"
    rest = f", {count - uploads:,} earlier messages" if count > uploads else ""
    return f"{uploads:,} upload chunks{rest} not kept"
