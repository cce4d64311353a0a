"""Large frames are read in a thread: in order, without holding anybody up, and not without end."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from mitmproxy.test import taddons, tflow
from mitmproxy.websocket import WebSocketMessage
from wsproto.frame_protocol import Opcode

from livegate.inspect import reading_thread, recorder
from livegate.inspect.addon import LiveViewInspector
from livegate.inspect.reading_thread import LARGE_BYTES
from livegate.inspect.recorder import ObservedFrame
from livegate.phoenix.sessions.preparation import prepare_frame

TOPIC = "lv:phx-1"
JOIN = ["4", "4", TOPIC, "phx_join", {"url": "http://app.test/count", "params": {}}]
LARGE = "x" * 2 * LARGE_BYTES


def joined(text: str = "0") -> list[Any]:
    return ["4", "4", TOPIC, "phx_reply", {"status": "ok", "response": {"rendered": {"s": ["<p>", "</p>"], "0": text}}}]


def diff(text: str) -> list[Any]:
    return ["4", None, TOPIC, "diff", {"0": text}]


class Browser:
    def __init__(self, inspector: LiveViewInspector) -> None:
        self.inspector = inspector
        self.seen: list[str] = []
        inspector.recorder.on_frame.append(self._note)
        self.flow = tflow.twebsocketflow(messages=False, close_code=None, close_reason="")
        assert self.flow.websocket
        self.flow.request.path = "/live/websocket?vsn=2.0.0"

    def _note(self, seen: ObservedFrame) -> None:
        self.seen.append(seen.info.kind)

    def frame(self, frame: Any, *, up: bool = False) -> WebSocketMessage:
        message = WebSocketMessage(Opcode.TEXT, up, json.dumps(frame).encode(), 1.0)
        assert self.flow.websocket
        self.flow.websocket.messages.append(message)
        self.inspector.websocket_message(self.flow)
        return message

    @property
    def html(self) -> str:
        (session,) = self.inspector.recorder.tracker.sessions.values()
        tree = session.views[TOPIC].tree
        assert tree is not None
        return tree.html()

    async def read(self) -> None:
        unread = self.inspector.recorder.pending_reads(self.flow)
        if unread is not None:
            await asyncio.wait_for(unread, 10)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    inspector = LiveViewInspector()
    with taddons.context(inspector):
        yield Browser(inspector)
        inspector.recorder.close()


class Held:
    """Holds the reading thread until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.may, self.begun = threading.Event(), threading.Event()
        monkeypatch.setattr(recorder, "prepare_frame", self._read)

    def _read(self, *args: Any) -> Any:
        self.begun.set()
        assert self.may.wait(10)
        return prepare_frame(*args)


async def test_what_follows_a_large_frame_waits_and_the_loop_does_not(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    browser.frame(JOIN, up=True)
    large = browser.frame(joined(LARGE))
    small = browser.frame(diff("after"))
    await asyncio.to_thread(held.begun.wait, 10)
    assert browser.seen == ["join"]
    assert recorder.frame_info_of(large) is None
    held.may.set()
    await browser.read()
    assert browser.seen == ["join", "joined", "diff"]
    assert recorder.frame_info_of(small) is not None
    assert browser.html == "<p>after</p>"
    assert browser.inspector.recorder.pending_reads(browser.flow) is None


async def test_many_large_frames_are_read_in_their_order(browser: Browser) -> None:
    browser.frame(JOIN, up=True)
    browser.frame(joined())
    for number in range(20):
        browser.frame(diff(f"{number} {LARGE}"))
        browser.frame(["4", str(10 + number), TOPIC, "event", {"type": "click", "event": "inc"}], up=True)
    await browser.read()
    assert browser.seen == ["join", "joined", *["diff", "event"] * 20]
    assert browser.html.startswith("<p>19 ")


async def test_a_socket_ends_when_all_of_it_has_been_read(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(monkeypatch)
    browser.frame(JOIN, up=True)
    browser.frame(joined(LARGE))
    assert browser.flow.websocket
    browser.flow.websocket.close_code = 1001
    ending = browser.inspector.websocket_end(browser.flow)
    assert ending is not None
    (session,) = browser.inspector.recorder.tracker.sessions.values()
    assert session.sockets[0].closed_at is None
    held.may.set()
    await ending
    assert session.sockets[0].close_code == 1001
    assert session.unanswered == 0
    assert browser.inspector.websocket_end(browser.flow) is None


async def test_a_fault_in_the_thread_leaves_the_frame_to_the_loop(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> Any:
        raise ValueError("on purpose")

    monkeypatch.setattr(recorder, "prepare_frame", fail)
    browser.frame(JOIN, up=True)
    browser.frame(joined(LARGE))
    await browser.read()
    assert browser.seen == ["join", "joined"]
    assert browser.html == f"<p>{LARGE}</p>"


async def test_more_than_can_wait_is_passed_over_and_counted(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_thread, "MAX_PENDING_BYTES", 3 * len(LARGE))
    held = Held(monkeypatch)
    browser.frame(JOIN, up=True)
    browser.frame(joined(LARGE))
    for number in range(4):
        browser.frame(diff(f"{number} {LARGE}"))
    held.may.set()
    await browser.read()
    assert browser.seen == ["join", "joined", "diff", "other", "other", "other"]
    assert browser.inspector.recorder.skipped == 3
    (session,) = browser.inspector.recorder.tracker.sessions.values()
    assert "its burst was too large" in str(session.views[TOPIC].tree_problem)
    browser.frame(JOIN, up=True)
    browser.frame(joined("again"))
    assert browser.html == "<p>again</p>"


async def test_large_frames_of_two_sessions_do_not_wait_for_each_other_on_the_loop(browser: Browser) -> None:
    other = Browser(browser.inspector)
    for each, topic in ((browser, TOPIC), (other, "lv:phx-2")):
        each.frame(["4", "4", topic, *JOIN[3:]], up=True)
        each.frame(["4", "4", topic, *joined(LARGE)[3:]])
    await browser.read()
    await other.read()
    trees = [
        view.tree for session in browser.inspector.recorder.tracker.sessions.values() for view in session.views.values()
    ]
    assert len([tree for tree in trees if tree is not None]) == 2


def test_without_a_loop_everything_is_read_at_once() -> None:
    inspector = LiveViewInspector()
    with taddons.context(inspector):
        browser = Browser(inspector)
        browser.frame(JOIN, up=True)
        assert recorder.frame_info_of(browser.frame(joined(LARGE))) is not None
        assert inspector.websocket_end(browser.flow) is None


async def test_a_frame_that_is_too_large_is_not_read_at_all(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "MAX_FRAME_BYTES", 4 * len(LARGE))
    browser.frame(JOIN, up=True)
    browser.frame(joined())
    huge = browser.frame(diff(5 * LARGE))
    note = recorder.frame_info_of(huge)
    assert note is not None
    assert note.summary.startswith("not read: 320.0 KiB")
    browser.frame(diff(LARGE))
    browser.frame(diff(5 * LARGE))
    await browser.read()
    assert browser.seen == ["join", "joined", "other", "diff", "other"], "in its turn"


def test_of_large_frames_only_a_few_bytes_stay_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "MAX_DETAILED_BYTES", 3 * len(LARGE))
    inspector = LiveViewInspector()
    with taddons.context(inspector):
        browser = Browser(inspector)
        browser.frame(JOIN, up=True)
        notes = [recorder.frame_info_of(browser.frame(joined(LARGE))) for _ in range(5)]
    kept = [note is not None and note.frame is not None for note in notes]
    assert kept[:3] == [False] * 3
    assert kept[-1]
