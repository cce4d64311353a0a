"""Content views "LiveView" and "LiveView heartbeat", which mitmproxy selects automatically for Phoenix's frames.

The first shows a summary, the changes, and the frame. The second shows a heartbeat as one line in the colour of
comments. It is a view of its own, because a view has one syntax highlighting.
"""

from mitmproxy import http
from mitmproxy.contentviews import Contentview, Metadata

from livegate.inspect import recorder
from livegate.inspect.text import frame_text
from livegate.phoenix.sessions.frame_info import FrameInfo
from livegate.redaction.redactor import Redactor

PRIORITY = 10.0
"""Priority above mitmproxy's views for JSON and text."""


class LiveViewContentview(Contentview):
    """Content view of a frame of a Phoenix socket."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    @property
    def name(self) -> str:
        return "LiveView"

    @property
    def syntax_highlight(self) -> str:  # type: ignore[override]  # one of a few words
        return "none"

    def prettify(self, data: bytes, metadata: Metadata) -> str:
        message, note = metadata.websocket_message, _frame_info(metadata)
        if message is None or note is None:
            raise ValueError("not a frame of a Phoenix socket")
        return frame_text(note, message.content, text=message.is_text, redactor=self._redactor)

    def render_priority(self, data: bytes, metadata: Metadata) -> float:
        return PRIORITY if data and _frame_info(metadata) is not None else -1


class HeartbeatContentview(Contentview):
    """Content view of a heartbeat or its reply."""

    @property
    def name(self) -> str:
        return "LiveView heartbeat"

    @property
    def syntax_highlight(self) -> str:  # type: ignore[override]  # one of a few words
        return "yaml"

    def prettify(self, data: bytes, metadata: Metadata) -> str:
        note = _frame_info(metadata)
        if note is None or note.kind != "heartbeat":
            raise ValueError("not a heartbeat of a Phoenix socket")
        return f"# ♥ {note.summary}"

    def render_priority(self, data: bytes, metadata: Metadata) -> float:
        note = _frame_info(metadata) if data else None
        return PRIORITY + 1 if note is not None and note.kind == "heartbeat" else -1


def _frame_info(metadata: Metadata) -> FrameInfo | None:
    """Return the meaning of a message; a flow from a file is decoded first."""
    message, flow = metadata.websocket_message, metadata.flow
    if message is None or not isinstance(flow, http.HTTPFlow):
        return None
    note = recorder.frame_info_of(message)
    if note is None and not recorder.is_classified(flow):
        recorder.replay(flow)
        note = recorder.frame_info_of(message)
    return note
