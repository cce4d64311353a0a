"""Bounds the flow list of mitmweb and mitmproxy's console by removing the oldest finished flows."""

from typing import Any
from weakref import WeakValueDictionary

from mitmproxy import ctx, http

from livegate.pipeline.exchange.record import exchange_of
from livegate.settings import FlowHistoryLimits
from livegate.websocket.history import MESSAGE_OVERHEAD_BYTES

FLOW_BYTES = 4096
"""Estimated memory of a flow without its bodies and messages."""


class FlowHistory:
    """Remove finished flows beyond the limits from the view, except flows loaded from a file or marked by a person.

    A flow that livegate itself has marked, for example as a crash, stays twice as long.
    """

    def __init__(self, own_markers: frozenset[str]) -> None:
        self._own_markers = own_markers
        self._flows: WeakValueDictionary[str, http.HTTPFlow] = WeakValueDictionary()
        self._sizes: dict[str, int] = {}
        """Estimated bytes by flow id, oldest first."""
        self._bytes = 0
        self._spared: set[str] = set()
        """Ids of flows that were kept once because of livegate's marker."""

    def response(self, flow: http.HTTPFlow) -> None:
        if flow.websocket is None:
            self._add(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        self._add(flow)

    def websocket_end(self, flow: http.HTTPFlow) -> None:
        self._add(flow)

    def _add(self, flow: http.HTTPFlow) -> None:
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
        for flow_id in (*oldest_first[:-1], *oldest_first):  # twice, because at first all but the new one may be spared
            if not self._is_full(bounds):
                return
            flow = self._flows.get(flow_id)  # None after the view was cleared
            if flow_id not in self._sizes or (flow is not None and self._stays(flow)):
                continue
            self._bytes -= self._sizes.pop(flow_id)
            self._spared.discard(flow_id)
            if flow is not None:
                view.remove([flow])  # one by one: mitmproxy shows an alert for several

    def _stays(self, flow: http.HTTPFlow) -> bool:
        """Return whether the oldest flow stays. One that livegate has marked counts as new once."""
        if flow.marked in self._own_markers and flow.id not in self._spared:
            self._spared.add(flow.id)
            self._sizes[flow.id] = self._sizes.pop(flow.id)
            return True
        return flow.live or bool(flow.marked and flow.marked not in self._own_markers)


def _size(flow: http.HTTPFlow) -> int:
    bodies = [message.raw_content or b"" for message in (flow.request, flow.response) if message is not None]
    messages = [message.content for message in flow.websocket.messages] if flow.websocket is not None else []
    return FLOW_BYTES + sum(map(len, bodies)) + sum(map(len, messages)) + MESSAGE_OVERHEAD_BYTES * len(messages)
