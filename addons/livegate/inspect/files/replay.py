"""What readers of recorded traffic have in common: lines, errors, what was found, and flows turned into lines."""

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
"""Beyond it no value of a recording is: it is a time of the year 5138."""

type Line = dict[str, Any]


class ReadError(Exception):
    """What was asked for cannot be read or shown; the text says why, for a person."""


@dataclass(slots=True)
class Contents:
    """What a recording turned out to hold, filled in as it is read."""

    kind: str = "recording"
    """A frame log, a flow file, or a HAR file and who wrote it."""
    exchanges: int = 0
    """HTTP requests, of LiveView or not."""
    sockets: int = 0
    frames: int = 0
    """WebSocket messages, and frames of long-polls."""
    liveview: int = 0
    """Frames that were understood as Phoenix's."""
    other_flows: int = 0
    """Flows of other protocols, such as DNS."""
    sessions: set[int] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    """What a person should know of it, such as a last line that is cut off."""

    def count(self, line: Line) -> None:
        """Count a line that was read."""
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
        """What it holds in one line: kind, counts, and whether there is anything of LiveView."""
        counts = [
            _counted(self.exchanges, "HTTP exchange"),
            _counted(self.sockets, "socket"),
            _counted(self.frames, "frame"),
        ]
        if self.other_flows:
            counts.append(_counted(self.other_flows, "flow") + " of other protocols")
        none = "" if self.liveview else "; no frame of LiveView or of a Phoenix channel"
        return f"{self.kind}: {', '.join(counts)}{none}"


FRAME_LOG = "frame log"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


class FlowLines:
    """Makes the lines of flows as a frame log would have them."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._redactor = Redactor()
        self._recorder = Recorder()
        self._lines: list[Line] = []
        self._logger = FrameLogger(self._recorder, self._redactor, self)

    def put(self, line: Line, data: bytes | None = None, *, text: bool = True) -> None:
        """Take a line of the frame logger."""
        self._lines.append(complete_line(line, data, "redacted", self._redactor, text=text))

    def lines_for(self, flow: http.HTTPFlow) -> Iterator[Line]:
        """Make the lines of one flow. Flows have to come in the order in which they happened."""
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
            websocket.messages.append(message)  # one by one: the inspector looks at how many there were
            self._recorder.message(flow, message)
            self._logger.log_message(flow, message)
        self._recorder.closed(flow)
        if websocket.close_code is not None:
            self._logger.websocket_end(flow)


def _repair(message: WebSocketMessage) -> None:
    """Make bytes of a content that is text, as mitmproxy before 8 has saved it, and a time of one that is none."""
    content, at = cast("object", message.content), cast("object", message.timestamp)
    if isinstance(content, str):
        message.content = content.encode("utf-8", "surrogatepass")
    elif not isinstance(content, bytes):
        message.content = b""
    message.timestamp = float(at) if isinstance(at, int | float) and abs(at) < MAX_NUMBER else 0.0
