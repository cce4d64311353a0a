"""The content view "LiveView": a sentence, what changed, and the frame; chosen by itself for Phoenix's frames."""

from mitmproxy import http
from mitmproxy.contentviews import Contentview, Metadata

from livegate.inspect import recorder
from livegate.inspect.describe import note_text
from livegate.inspect.redaction import Redactor
from livegate.phoenix.note import Note

PRIORITY = 10.0
"""Above mitmproxy's views for JSON and text."""


class LiveViewContentview(Contentview):
    """Shows one frame of a Phoenix socket."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    @property
    def name(self) -> str:
        return "LiveView"

    @property
    def syntax_highlight(self) -> str:  # type: ignore[override]  # one of a few words
        return "none"

    def prettify(self, data: bytes, metadata: Metadata) -> str:
        message, note = metadata.websocket_message, _note(metadata)
        if message is None or note is None:
            raise ValueError("not a frame of a Phoenix socket")
        return note_text(note, message.content, text=message.is_text, redactor=self._redactor)

    def render_priority(self, data: bytes, metadata: Metadata) -> float:
        return PRIORITY if data and _note(metadata) is not None else -1


def _note(metadata: Metadata) -> Note | None:
    """What is known of the message; of a flow from a file, everything is read first."""
    message, flow = metadata.websocket_message, metadata.flow
    if message is None or not isinstance(flow, http.HTTPFlow):
        return None
    note = recorder.note_of(message)
    if note is None and recorder.is_phoenix(flow) and recorder.channels_of(flow) is None:
        recorder.replay(flow)
        note = recorder.note_of(message)
    return note
