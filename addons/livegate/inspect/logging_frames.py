"""Feeds the frame log from mitmproxy's hooks: every WebSocket, Phoenix's or not, and the pages of LiveViews."""

from mitmproxy import http

from livegate.inspect.frame_log import FrameLogWriter, frame_line
from livegate.inspect.recorder import PAGE_MARK, Recorder, channels_of, note_of
from livegate.inspect.redaction import Redactor
from livegate.phoenix.note import Note


class FrameLogger:
    """Logs frames as long as there is a `writer`."""

    def __init__(self, recorder: Recorder, redactor: Redactor) -> None:
        self.writer: FrameLogWriter | None = None
        self._redactor = redactor
        recorder.listeners.append(self._polled)

    def response(self, flow: http.HTTPFlow) -> None:
        response = flow.response
        if self.writer is None or response is None or "html" not in response.headers.get("content-type", ""):
            return
        content = response.get_content(strict=False) or b""
        if PAGE_MARK not in content:
            return
        began = flow.request.timestamp_start
        ended = response.timestamp_end or response.timestamp_start or began
        line = {"kind": "http", "at": began, "flow": flow.id, "method": flow.request.method, "url": self._url(flow)}
        self.writer.put(line | {"status": response.status_code, "ms": round((ended - began) * 1000, 3)})

    def websocket_start(self, flow: http.HTTPFlow) -> None:
        if self.writer is not None:
            at = flow.response.timestamp_start if flow.response is not None else flow.request.timestamp_start
            self.writer.put({"kind": "open", "at": at, "flow": flow.id, "url": self._url(flow)})

    def websocket_message(self, flow: http.HTTPFlow) -> None:
        if self.writer is None or flow.websocket is None or not flow.websocket.messages:
            return
        message = flow.websocket.messages[-1]
        note = note_of(message)
        if note is not None:
            line = frame_line(note, flow.id)
        else:
            way = "up" if message.from_client else "down"
            line = {
                "kind": "frame",
                "at": message.timestamp,
                "session": None,
                "flow": flow.id,
                "dir": way,
                "size": len(message.content),
            }
        self.writer.put(line, message.content, text=message.is_text)

    def websocket_end(self, flow: http.HTTPFlow) -> None:
        websocket = flow.websocket
        if self.writer is None or websocket is None:
            return
        channels = channels_of(flow)
        session = channels.session if channels is not None else None
        line = {"kind": "close", "at": websocket.timestamp_end, "flow": flow.id}
        line |= {"session": session.number if session is not None else None, "code": websocket.close_code}
        reason = self._redactor.text(websocket.close_reason or "")
        self.writer.put(line | {"reason": reason, "by": "client" if websocket.closed_by_client else "server"})

    def _polled(self, flow: http.HTTPFlow, note: Note) -> None:
        """A frame of a long-poll session; the HTTP exchange that carried it has its body in the flow."""
        if self.writer is not None and flow.websocket is None:
            self.writer.put(frame_line(note, flow.id))

    def _url(self, flow: http.HTTPFlow) -> str:
        return self._redactor.url(flow.request.pretty_url)
