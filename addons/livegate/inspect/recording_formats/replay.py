"""Common parts of the readers: lines, errors, the contents of a recording, and conversion of flows to lines."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from mitmproxy import http
from mitmproxy.websocket import WebSocketMessage

from livegate.inspect.frame_log.addon import FrameLogger
from livegate.inspect.frame_log.writer import complete_line
from livegate.inspect.recorder import Recorder
from livegate.redaction.redactor import Redactor

MAX_NUMBER = 1e11
"""Upper bound of valid numbers in a recording; as a time it is in the year 5138."""

type Line = dict[str, Any]


class ReadError(Exception):
    """Raised when a recording cannot be read or shown; its text is for a person."""


@dataclass(slots=True)
class Contents:
    """Contents of a recording, counted while it is read."""

    kind: str = "recording"
    """Frame log, flow file, or HAR file with the name of the tool that wrote it."""
    exchanges: int = 0
    """HTTP requests, of LiveView or not."""
    sockets: int = 0
    frames: int = 0
    """WebSocket messages, and frames of the long-poll transport."""
    liveview: int = 0
    """Frames that were decoded as Phoenix's."""
    other_flows: int = 0
    """Flows of other protocols, such as DNS."""
    sessions: set[int] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    """Problems that a person should know of, such as a last line that is cut off."""

    def count(self, line: Line) -> None:
        """Count a line."""
        session = line.get("session")
        if isinstance(session, int):
            self.sessions.add(session)
        match line.get("kind"):
            case "frame":
                self.frames += 1
                self.liveview += "what" in line
            case "http":
                self.exchanges += self.kind == FRAME_LOG
            case "open":
                self.sockets += 1

    def summary(self) -> str:
        """Return kind and counts in one line, and whether there are Phoenix frames."""
        counts = [
            _counted(self.exchanges, "HTTP exchange"),
            _counted(self.sockets, "socket"),
            _counted(self.frames, "frame"),
        ]
        if self.other_flows:
            counts.append(_counted(self.other_flows, "flow") + " of other protocols")
        none = "" if self.liveview else "; no frames of LiveView or Phoenix channels"
        return f"{self.kind}: {', '.join(counts)}{none}"


FRAME_LOG = "frame log"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


class FlowLines:
    """Converter of flows to the lines that a frame log would have for them."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._redactor = Redactor()
        self._recorder = Recorder()
        self._lines: list[Line] = []
        self._logger = FrameLogger(self._recorder, self._redactor, self)

    def put(self, line: Line, data: bytes | None = None, *, text: bool = True) -> None:
        """Collect a line of the frame logger."""
        self._lines.append(complete_line(line, data, "redacted", self._redactor, text=text))

    def lines_for(self, flow: http.HTTPFlow) -> Iterator[Line]:
        """Yield the lines of a flow. Flows must come in order of time."""
        if flow.websocket is None:
            self._contents.exchanges += 1
            self._recorder.exchange(flow)
        else:
            self._socket(flow)
        lines, self._lines = self._lines, []
        yield from lines

    def _socket(self, flow: http.HTTPFlow) -> None:
        websocket = flow.websocket
        if websocket is None:
            return
        messages, websocket.messages = websocket.messages, []
        self._logger.websocket_start(flow)
        for message in messages:
            _repair(message)
            websocket.messages.append(message)  # one by one, because the recorder counts them
            self._recorder.message(flow, message)
            self._logger.log_message(flow, message)
        self._recorder.closed(flow)
        if websocket.close_code is not None:
            self._logger.websocket_end(flow)


def _repair(message: WebSocketMessage) -> None:
    """Convert text content, which mitmproxy before 8 saved, to bytes, and replace an invalid time by 0."""
    content, at = cast("object", message.content), cast("object", message.timestamp)
    if isinstance(content, str):
        message.content = content.encode("utf-8", "surrogatepass")
    elif not isinstance(content, bytes):
        message.content = b""
    message.timestamp = float(at) if isinstance(at, int | float) and abs(at) < MAX_NUMBER else 0.0
