"""Full-text search in the recorded frames of a session."""

import asyncio
import json

from livegate.admin.bodies import Frame
from livegate.admin.state import GatewayState
from livegate.inspect.text import raw_text
from livegate.observe.history.recordings import RecordedFrame
from livegate.redaction.redactor import Redactor

MAX_SEARCHED_BYTES = 4 * 1024 * 1024
"""Content that is searched per request. Beyond, only the summaries are, because redacting content is slow."""
YIELD_AFTER_BYTES = 256 * 1024
"""Content that is searched before other tasks run, because in mitmweb this event loop is the gateway's own."""


async def matching(state: GatewayState, number: int, frames: list[Frame], words: list[str]) -> list[Frame]:
    """Return the frames that have each lower-case word in their summary, names or content."""
    missing = {frame.n: _missing(frame, words) for frame in frames}
    recording = await state.bridge.call(state.history.recordings.get, number)
    if recording is not None:
        candidates = [n for n, words_left in missing.items() if words_left]
        recorded = await state.bridge.call(lambda: [recording.frame(n) for n in candidates])
        searched = 0
        for n, frame in zip(candidates, recorded, strict=True):
            if frame is None or searched + len(frame.data) > MAX_SEARCHED_BYTES:
                continue
            if searched // YIELD_AFTER_BYTES != (searched := searched + len(frame.data)) // YIELD_AFTER_BYTES:
                await asyncio.sleep(0)
            if contains(frame, missing[n], state.redactor):
                missing[n] = []
    return [frame for frame in frames if not missing[frame.n]]


def _missing(frame: Frame, words: list[str]) -> list[str]:
    """Return the words that are not in a frame's summary and names."""
    names = f"{frame.text} {frame.event or ''} {frame.view or ''}".lower()
    return [word for word in words if word not in names]


def contains(frame: RecordedFrame, words: list[str], redactor: Redactor) -> bool:
    """Return whether a frame's content contains all words. Redacted text cannot be found."""
    if not frame.text:
        return False
    forms = [{word, json.dumps(word)[1:-1]} for word in words]  # JSON may have escapes in place of letters
    if not _all_in(forms, frame.data.decode("utf-8", "replace").lower()):  # redaction costs far more than this
        return False
    return _all_in(forms, raw_text(frame.data, text=True, redactor=redactor).lower())


def _all_in(forms: list[set[str]], text: str) -> bool:
    return all(any(form in text for form in each) for each in forms)
