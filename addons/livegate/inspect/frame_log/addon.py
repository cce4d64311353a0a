"""Addon that logs every WebSocket, and the HTTP exchanges of LiveView tabs, to the frame log."""

import asyncio
import logging
from typing import Any, Protocol

from mitmproxy import http
from mitmproxy.websocket import WebSocketMessage

from livegate.inspect.frame_log.writer import FrameLogWriter, Line, frame_line
from livegate.inspect.recorder import ObservedExchange, ObservedFrame, Recorder, frame_info_of, socket_of
from livegate.phoenix.sessions.socket import SocketTracker
from livegate.redaction.redactor import Redactor
from livegate.settings import FrameLog
from livegate.tasks import retain

logger = logging.getLogger(__name__)


class Sink(Protocol):
    """Destination of lines."""

    def put(self, line: Line, data: bytes | None = None, *, text: bool = True) -> None:
        """Log a line with the data of a frame, without blocking."""
        ...


class FrameLogger:
    """Logs frames while there is a `writer`: a file of the settings, or a sink that the caller passes."""

    def __init__(self, recorder: Recorder, redactor: Redactor, writer: Sink | None = None) -> None:
        self.writer = writer
        self._redactor = redactor
        self._file: FrameLogWriter | None = None
        self._dropped = 0
        recorder.on_frame.append(self._log_frame)
        recorder.on_exchange.append(self._log_exchange)
        recorder.on_longpoll_end.append(self._log_longpoll_end)

    @property
    def dropped(self) -> int:
        """Lines dropped since the start."""
        return self._dropped + (self._file.dropped if self._file is not None else 0)

    def write_to(self, settings: FrameLog | None) -> None:
        """Switch to the file of the settings, or to none; a thread closes the previous file."""
        old = self._file
        if old is not None and old.settings == settings:
            return
        self.writer = self._file = None
        if old is not None:
            self._dropped += old.dropped
            retain(asyncio.ensure_future(self._close(old, old.dropped)))
        if settings is None:
            return
        try:
            self.writer = self._file = FrameLogWriter(settings, self._redactor)
        except OSError as error:
            logger.error("inspect.frame_log: %s cannot be written: %s", settings.path, error.strerror)

    async def _close(self, file: FrameLogWriter, counted: int) -> None:
        """Close a file, then count the lines that it dropped beyond `counted`."""
        await asyncio.to_thread(file.close)
        self._dropped += file.dropped - counted

    def done(self) -> None:
        if self._file is not None:
            self.writer = None
            self._file.close()

    def websocket_start(self, flow: http.HTTPFlow) -> None:
        if self.writer is not None:
            at = flow.response.timestamp_start if flow.response is not None else flow.request.timestamp_start
            self.writer.put(self._open_line(flow, at, "websocket"))

    def websocket_message(self, flow: http.HTTPFlow) -> None:
        if self.writer is not None and flow.websocket is not None and flow.websocket.messages:
            self.log_message(flow, flow.websocket.messages[-1])

    def log_message(self, flow: http.HTTPFlow, message: WebSocketMessage) -> None:
        """Log a message of a WebSocket that is not Phoenix's; Phoenix frames are logged when they are decoded."""
        if self.writer is not None and socket_of(flow) is None and frame_info_of(message) is None:
            self.writer.put(_unread_frame_line(message, flow.id), message.content, text=message.is_text)

    def websocket_end(self, flow: http.HTTPFlow) -> None:
        websocket = flow.websocket
        if self.writer is None or websocket is None:
            return
        socket = socket_of(flow)
        line = {"kind": "close", "at": websocket.timestamp_end, "flow": flow.id, "session": _session_number(socket)}
        reason = self._redactor.text(websocket.close_reason or "")
        by = "client" if websocket.closed_by_client else "server"
        self.writer.put(line | {"code": websocket.close_code, "reason": reason, "by": by})

    # Long-poll, and all other HTTP

    def _log_frame(self, observed: ObservedFrame) -> None:
        """Log a Phoenix frame."""
        if self.writer is not None:
            line = frame_line(observed.info, observed.socket.info.id)
            if observed.flow.websocket is None:
                line["via"] = observed.flow.id
            self.writer.put(line, observed.data, text=observed.text)

    def _log_exchange(self, observed: ObservedExchange) -> None:
        if self.writer is None:
            return
        exchange, longpoll = observed.exchange, observed.longpoll
        line: dict[str, Any] = {"kind": "http", "at": exchange.at, "session": observed.session, "flow": exchange.id}
        line |= {"method": exchange.method, "url": self._url(observed.flow), "status": exchange.status}
        line |= {"ms": round(exchange.seconds * 1000, 3), "size": exchange.size}
        if observed.page is not None:
            line["views"] = observed.page.topics
        self.writer.put(line)
        if longpoll is not None and longpoll.replaced is not None:
            self._log_longpoll_end(longpoll.replaced)
        if longpoll is not None and longpoll.opened:
            self.writer.put(self._open_line(observed.flow, longpoll.at, "longpoll"))

    def _log_longpoll_end(self, socket: SocketTracker) -> None:
        """Log the close of a long-poll socket."""
        info = socket.info
        if self.writer is not None:
            line = {"kind": "close", "at": info.closed_at, "flow": info.id, "session": _session_number(socket)}
            by = "client" if info.closed_by == "client" else "server"
            self.writer.put(line | {"code": info.close_code, "reason": info.close_reason, "by": by})

    def _open_line(self, flow: http.HTTPFlow, at: float, transport: str) -> Line:
        return {"kind": "open", "at": at, "flow": flow.id, "transport": transport, "url": self._url(flow)}

    def _url(self, flow: http.HTTPFlow) -> str:
        return self._redactor.url(flow.request.pretty_url)


def _session_number(socket: SocketTracker | None) -> int | None:
    session = socket.session if socket is not None else None
    return session.number if session is not None else None


def _unread_frame_line(message: WebSocketMessage, flow_id: str) -> Line:
    """Return the line of a frame that is not Phoenix's."""
    direction = "up" if message.from_client else "down"
    line = {"kind": "frame", "at": message.timestamp, "session": None, "flow": flow_id}
    return line | {"dir": direction, "size": len(message.content)}
