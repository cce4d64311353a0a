"""Search in frames: by summary, names and content, and never by what is redacted."""

import json
from typing import Any

import pytest
from admin_client import AdminClient
from gateway_parts import Parts, session

from livegate.admin import frame_search
from livegate.observe.history.recordings import RecordedFrame
from livegate.phoenix.sessions.frame_info import FrameInfo

SECRET = "hunter2canary"


def frame(n: int, data: bytes, summary: str = "a summary", *, text: bool = True) -> RecordedFrame:
    note = FrameInfo("event", float(n), from_client=True, size=len(data), frame=None, summary=summary)
    return RecordedFrame(note, "ok", "CountLive", None, None, data, text, "flow", "socket")


def event(value: Any) -> bytes:
    return json.dumps(["4", "8", "lv:phx-1", "event", {"type": "form", "event": "save", "value": value}]).encode()


async def found(api: AdminClient, query: str) -> list[int]:
    response = await api("GET", "/api/v1/sessions/1/frames", query)
    assert response.status == 200, response.body
    return [line["n"] for line in response.json["frames"]]


async def test_words_are_found_in_the_summary_the_view_and_the_content(parts: Parts, api: AdminClient) -> None:
    parts.know(session(1))
    parts.record(1, frame(0, event("x"), "join Shop"), frame(1, event("Größe 42")), frame(2, event({"a": "größe"})))
    parts.record(1, frame(3, "raw größe".encode()), frame(4, b"gr", text=False))
    assert await found(api, "q=shop") == [0]
    assert await found(api, "q=countlive+SUMMARY") == [1, 2, 3, 4], "every word of it, in any case"
    assert await found(api, "q=gr%C3%B6%C3%9Fe") == [1, 2, 3], "written with escapes or without"
    assert await found(api, "q=gr%C3%B6%C3%9Fe+42") == [1]
    assert await found(api, "q=gr%C3%B6%C3%9Fe&from=2&count=1") == [2], "in the selected frames"
    assert await found(api, "q=+") == [0, 1, 2, 3, 4]
    assert await found(api, "q=nowhere") == []


async def test_what_is_redacted_is_not_found(parts: Parts, api: AdminClient) -> None:
    parts.know(session(1))
    parts.record(1, frame(0, event(f"name=zed&password={SECRET}")))
    assert await found(api, "q=zed") == [0]
    assert await found(api, f"q={SECRET}") == []
    assert await found(api, f"q={SECRET[:4]}") == []


async def test_a_search_is_bounded(parts: Parts, api: AdminClient, monkeypatch: pytest.MonkeyPatch) -> None:
    parts.know(session(1))
    parts.record(
        1, frame(0, event("needle" + "x" * 900)), frame(1, event("needle")), frame(2, event("needle"), "needle")
    )
    monkeypatch.setattr(frame_search, "MAX_SEARCHED_BYTES", 1000)
    monkeypatch.setattr(frame_search, "YIELD_AFTER_BYTES", 100)
    assert await found(api, "q=needle") == [0, 2], "beyond the limit only the summary is searched"
    response = await api("GET", "/api/v1/sessions/1/frames", f"q={'x' * 201}")
    assert response.status == 400


async def test_a_session_without_frames_has_none_to_find(parts: Parts, api: AdminClient) -> None:
    parts.know(session(1))
    assert await found(api, "q=x") == []
