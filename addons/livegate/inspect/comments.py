"""Comment and marker of the flow of a LiveView socket."""

from mitmproxy import ctx, hooks, http

from livegate.inspect.markers import SOCKET_MARKERS, marker_for
from livegate.inspect.text import socket_text
from livegate.logs.context import FlowAttribute, evicted_text
from livegate.phoenix.sessions.socket import SocketTracker
from livegate.redaction.redactor import Redactor

DELAY_S = 0.5
"""Time between a frame and the update of the comment, which covers all frames in it."""
_WRITTEN = FlowAttribute[str]("livegate_comment")
"""Of a flow: the comment that was written last; another comment is the user's own."""


class FlowComments:
    """Comments of socket flows, written at most once in DELAY_S a flow. A comment or marker of the user stays."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._pending: dict[str, SocketTracker] = {}
        """Sockets whose comment is scheduled, by flow id."""

    def schedule(self, flow: http.HTTPFlow, socket: SocketTracker) -> None:
        """Write the comment of a flow after DELAY_S."""
        if flow.id not in self._pending:
            ctx.master.event_loop.call_later(DELAY_S, self._write_due, flow)
        self._pending[flow.id] = socket

    def write_final(self, flow: http.HTTPFlow, socket: SocketTracker | None) -> None:
        """Write the comment of a flow whose socket is closed."""
        self._pending.pop(flow.id, None)
        if socket is not None:
            self.write(flow, socket)

    def write(self, flow: http.HTTPFlow, socket: SocketTracker) -> None:
        """Write the comment and the marker now."""
        session, evicted = socket.session, evicted_text(flow)
        if session is None:
            return
        text = self._redactor.text(socket_text(socket.info, session)) + (f" · {evicted}" if evicted else "")
        if flow.comment in ("", evicted, _WRITTEN.get(flow)):
            flow.comment = text
            _WRITTEN.set(flow, text)
        marker = marker_for(socket.info)
        if marker and (not flow.marked or flow.marked in SOCKET_MARKERS):
            flow.marked = marker

    def _write_due(self, flow: http.HTTPFlow) -> None:
        socket = self._pending.pop(flow.id, None)
        if socket is not None:
            self.write(flow, socket)
            ctx.master.addons.trigger(hooks.UpdateHook([flow]))
