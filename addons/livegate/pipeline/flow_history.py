"""Keeps mitmweb and mitmproxy's console from growing for ever: of finished flows, the newest stay."""

from typing import Any
from weakref import WeakValueDictionary

from mitmproxy import ctx, http

from livegate.pipeline.exchange.record import exchange_of
from livegate.settings import FlowHistoryLimits
from livegate.websocket.history import MESSAGE_BYTES

FLOW_BYTES = 4096
"""What a flow takes besides its bodies and messages, about."""


class FlowHistory:
    """Remove the oldest finished flows from the view; what was loaded from a file stays, and what a person has marked.

    What livegate itself has marked, as a crash, stays twice as long as the others do.
    """

    def __init__(self, own_markers: frozenset[str]) -> None:
        self._own_markers = own_markers
        self._flows: WeakValueDictionary[str, http.HTTPFlow] = WeakValueDictionary()
        self._sizes: dict[str, int] = {}
        """By flow id, the oldest first."""
        self._bytes = 0
        self._spared: set[str] = set()
        """The flows, by id, that stayed once because of livegate's mark."""

    def response(self, flow: http.HTTPFlow) -> None:
        if flow.websocket is None:
            self._finished(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        self._finished(flow)

    def websocket_end(self, flow: http.HTTPFlow) -> None:
        self._finished(flow)

    def _finished(self, flow: http.HTTPFlow) -> None:
        exchange, view = exchange_of(flow), ctx.master.addons.get("view")
        if exchange is None or view is None:
            return
        self._flows[flow.id] = flow
        self._bytes -= self._sizes.pop(flow.id, 0)
        self._sizes[flow.id] = size = _size(flow)
        self._bytes += size
        if self._is_full(exchange.settings.history):
            self._prune(exchange.settings.history, view)

    def _is_full(self, bounds: FlowHistoryLimits) -> bool:
        return len(self._sizes) > bounds.flows or self._bytes > bounds.flow_bytes

    def _prune(self, bounds: FlowHistoryLimits, view: Any) -> None:
        oldest_first = [*self._sizes]
        for flow_id in (*oldest_first[:-1], *oldest_first):  # twice, as all but the new one may be spared at first
            if not self._is_full(bounds):
                return
            flow = self._flows.get(flow_id)  # None once somebody has cleared the view
            if flow_id not in self._sizes or (flow is not None and self._stays(flow)):
                continue
            self._bytes -= self._sizes.pop(flow_id)
            self._spared.discard(flow_id)
            if flow is not None:
                view.remove([flow])  # one by one: mitmproxy shows an alert for several

    def _stays(self, flow: http.HTTPFlow) -> bool:
        """Whether a flow that is the oldest stays; one that livegate has marked then counts as new, once."""
        if flow.marked in self._own_markers and flow.id not in self._spared:
            self._spared.add(flow.id)
            self._sizes[flow.id] = self._sizes.pop(flow.id)
            return True
        return flow.live or bool(flow.marked and flow.marked not in self._own_markers)


def _size(flow: http.HTTPFlow) -> int:
    bodies = [message.raw_content or b"" for message in (flow.request, flow.response) if message is not None]
    messages = [message.content for message in flow.websocket.messages] if flow.websocket is not None else []
    return FLOW_BYTES + sum(map(len, bodies)) + sum(map(len, messages)) + MESSAGE_BYTES * len(messages)
