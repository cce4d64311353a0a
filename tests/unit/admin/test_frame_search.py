"""Frames are found by what is said of them and by what they carry, and never by what is redacted."""

import json
from typing import Any

import pytest
from gateway_parts import Parts, session

from livegate.admin import frame_search
from livegate.admin.api import Api
from livegate.observe.history.recordings import RecordedFrame
from livegate.phoenix.sessions.frame_info import FrameInfo

SECRET = "hunter2canary"


def frame(n: int, data: bytes, sentence: str = "a sentence", *, text: bool = True) -> RecordedFrame:
    note = FrameInfo("event", float(n), from_client=True, size=len(data), frame=None, summary=sentence)
    return RecordedFrame(note, "ok", "CountLive", None, None, data, text, "flow", "socket")


def event(value: Any) -> bytes:
    return json.dumps(["4", "8", "lv:phx-1", "event", {"type": "form", "event": "save", "value": value}]).encode()


async def found(parts: Parts, query: str) -> list[int]:
    answer = await Api(parts.state).answer("GET", "/api/v1/sessions/1/frames", query)
    assert answer.status == 200, answer.body
    return [line["n"] for line in json.loads(answer.body)["frames"]]


async def test_words_are_found_in_the_sentence_the_view_and_the_content(parts: Parts) -> None:
    parts.know(session(1))
    parts.record(1, frame(0, event("x"), "join Shop"), frame(1, event("Größe 42")), frame(2, event({"a": "größe"})))
    parts.record(1, frame(3, "raw größe".encode()), frame(4, b"gr", text=False))
    assert await found(parts, "q=shop") == [0]
    assert await found(parts, "q=countlive+SENTENCE") == [1, 2, 3, 4], "every word of it, in any case"
    assert await found(parts, "q=gr%C3%B6%C3%9Fe") == [1, 2, 3], "written with escapes or without"
    assert await found(parts, "q=gr%C3%B6%C3%9Fe+42") == [1]
    assert await found(parts, "q=gr%C3%B6%C3%9Fe&from=2&count=1") == [2], "of the frames that were asked for"
    assert await found(parts, "q=+") == [0, 1, 2, 3, 4]
    assert await found(parts, "q=nowhere") == []


async def test_what_is_redacted_is_not_found(parts: Parts) -> None:
    parts.know(session(1))
    parts.record(1, frame(0, event(f"name=zed&password={SECRET}")))
    assert await found(parts, "q=zed") == [0]
    assert await found(parts, f"q={SECRET}") == []
    assert await found(parts, f"q={SECRET[:4]}") == []


async def test_a_search_is_bounded(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    parts.know(session(1))
    parts.record(
        1, frame(0, event("needle" + "x" * 900)), frame(1, event("needle")), frame(2, event("needle"), "needle")
    )
    monkeypatch.setattr(frame_search, "MAX_SEARCHED_BYTES", 1000)
    monkeypatch.setattr(frame_search, "BREATH_BYTES", 100)
    assert await found(parts, "q=needle") == [0, 2], "of the last only the sentence was looked at"
    answer = await Api(parts.state).answer("GET", "/api/v1/sessions/1/frames", f"q={'x' * 201}")
    assert answer.status == 400


async def test_a_session_without_frames_has_none_to_find(parts: Parts) -> None:
    parts.know(session(1))
    assert await found(parts, "q=x") == []
