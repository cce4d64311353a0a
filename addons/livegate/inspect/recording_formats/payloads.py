"""Formatter of the payloads of recorded frames: the changes of the page, and the content as JSON."""

import base64
import binascii
import json

from livegate.inspect.recording_formats.replay import Line
from livegate.inspect.text import changes_text, raw_text
from livegate.phoenix.formatting import size_text
from livegate.phoenix.frames import Frame
from livegate.phoenix.sessions.frame_info import FrameInfo
from livegate.phoenix.sessions.socket import SocketTracker
from livegate.phoenix.sessions.tracker import Tracker
from livegate.redaction.printable import escaped
from livegate.redaction.redactor import Redactor

MAX_JSON_CHARACTERS = 256 * 1024
"""Length of one frame's content. Beyond, it is cut, and its size is added."""
DEFAULT_URL = "/live/websocket?vsn=2.0.0"
"""URL of a socket whose opening is not in the recording."""


class PayloadFormatter:
    """Formatter that decodes a recording line by line, because a frame's changes depend on the frames before it."""

    def __init__(self) -> None:
        self._redactor = Redactor()
        self._tracker = Tracker()
        self._sockets: dict[str, SocketTracker] = {}

    def format(self, line: Line) -> str:
        """Return the payload of a line's frame as text. Must be called with every line, in order."""
        flow = str(line.get("flow"))
        if line.get("kind") == "open":
            self._sockets[flow] = self._tracker.open(str(line.get("url")), float(line.get("at") or 0))
            return ""
        if line.get("kind") != "frame":
            return ""
        payload = _data(line)
        if payload is None:
            return "  (no content: the frame was logged without its payload, or is larger than 256 KiB)"
        data, is_text = payload
        if flow not in self._sockets:
            self._sockets[flow] = self._tracker.open(DEFAULT_URL, 0.0)
        info = self._sockets[flow].read_frame(
            data, text=is_text, from_client=line.get("dir") == "up", at=float(line.get("at") or 0)
        )
        changes = changes_text(info.changes, self._redactor) if info.changes is not None else []
        content = self._content(info, data, is_text).split("\n")
        return "\n".join([*map(escaped, changes), *(f"  {escaped(each)}" for each in content)])

    def _content(self, info: FrameInfo, data: bytes, is_text: bool) -> str:
        if not is_text or not isinstance(info.frame, Frame):
            return raw_text(data, text=is_text, redactor=self._redactor)

        redacted = self._redactor.frame(data).decode("utf-8", "replace")
        try:
            pretty = json.dumps(json.loads(redacted), ensure_ascii=False, indent=2)
        except (ValueError, RecursionError):
            pretty = redacted
        if len(pretty) > MAX_JSON_CHARACTERS:
            return f"{pretty[:MAX_JSON_CHARACTERS]}… ({size_text(len(data))})"
        return pretty


def _data(line: Line) -> tuple[bytes, bool] | None:
    """Return the bytes of a line's frame, and whether they are text; None without data."""
    data = line.get("data")
    if not isinstance(data, str):
        return None
    try:
        return (base64.b64decode(data), False) if line.get("base64") else (data.encode("utf-8", "replace"), True)
    except (binascii.Error, ValueError):
        return None
