"""Finds frames of a session by words; for the admin listener."""

import asyncio
import json
from typing import Any

from livegate.admin.state import GatewayState
from livegate.inspect.text import raw_text
from livegate.observe.history.recordings import RecordedFrame
from livegate.redaction.redactor import Redactor

MAX_SEARCHED_BYTES = 4 * 1024 * 1024
"""Of frames whose content is looked through for one answer; of those after them only the sentences are."""
BREATH_BYTES = 256 * 1024
"""After so much the thread's loop has its turn: inside mitmweb it is the gateway's own."""


async def matching(
    state: GatewayState, number: int, lines: list[dict[str, Any]], words: list[str]
) -> list[dict[str, Any]]:
    """Return the lines that have every word, in lower case, in their sentence, their names or the frame itself."""
    missing = {line["n"]: _missing(line, words) for line in lines}
    recording = await state.bridge.call(state.history.recordings.get, number)
    wanted = [n for n, left in missing.items() if left] if recording is not None else []
    kept = await state.bridge.call(lambda: [recording.frame(n) for n in wanted]) if recording is not None else []
    searched = 0
    for n, frame in zip(wanted, kept, strict=True):
        if frame is None or searched + len(frame.data) > MAX_SEARCHED_BYTES:
            continue
        if searched // BREATH_BYTES != (searched := searched + len(frame.data)) // BREATH_BYTES:
            await asyncio.sleep(0)
        if shows(frame, missing[n], state.redactor):
            missing[n] = []
    return [line for line in lines if not missing[line["n"]]]


def _missing(line: dict[str, Any], words: list[str]) -> list[str]:
    """The words that are not in what is said of a frame."""
    names = f"{line['text']} {line['event'] or ''} {line['view'] or ''}".lower()
    return [word for word in words if word not in names]


def shows(kept: RecordedFrame, words: list[str], redactor: Redactor) -> bool:
    """Return whether a frame has the words in the text that a person sees: what is redacted cannot be searched for."""
    if not kept.text:
        return False
    forms = [{word, json.dumps(word)[1:-1]} for word in words]  # JSON may have escapes in place of letters
    if not _all_in(forms, kept.data.decode("utf-8", "replace").lower()):  # redaction costs far more than this
        return False
    return _all_in(forms, raw_text(kept.data, text=True, redactor=redactor).lower())


def _all_in(forms: list[set[str]], text: str) -> bool:
    return all(any(form in text for form in each) for each in forms)
