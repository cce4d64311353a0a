"""Keeps mitmweb and mitmproxy's console from growing for ever: of finished flows, the newest stay."""

from typing import Any
from weakref import WeakValueDictionary

from mitmproxy import ctx, http

from livegate.pipeline.exchange import exchange_of
from livegate.settings import FlowHistory as FlowHistoryBounds

FLOW_BYTES = 4096
"""What a flow takes besides its bodies and messages, about."""


class FlowHistory:
    """Remove the oldest finished flows from the view; marked ones stay, and so does what was loaded from a file."""

    def __init__(self) -> None:
        self._flows: WeakValueDictionary[str, http.HTTPFlow] = WeakValueDictionary()
        self._sizes: dict[str, int] = {}
        """By flow id, the oldest first."""
        self._bytes = 0

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

    def _is_full(self, bounds: FlowHistoryBounds) -> bool:
        return len(self._sizes) > bounds.flows or self._bytes > bounds.flow_bytes

    def _prune(self, bounds: FlowHistoryBounds, view: Any) -> None:
        for flow_id in list(self._sizes):
            if not self._is_full(bounds):
                return
            flow = self._flows.get(flow_id)  # None once somebody has cleared the view
            if flow is not None and (flow.marked or flow.live):
                continue
            self._bytes -= self._sizes.pop(flow_id)
            if flow is not None:
                view.remove([flow])  # one by one: mitmproxy shows an alert for several


def _size(flow: http.HTTPFlow) -> int:
    bodies = [message.raw_content or b"" for message in (flow.request, flow.response) if message is not None]
    messages = [message.content for message in flow.websocket.messages] if flow.websocket is not None else []
    return FLOW_BYTES + sum(map(len, bodies)) + sum(map(len, messages))
