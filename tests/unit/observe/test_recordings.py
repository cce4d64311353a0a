"""What is kept of frames: each as it was when it came, within bounds, and no page twice."""

import json
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.test import taddons, tflow
from mitmproxy.websocket import WebSocketMessage
from wsproto.frame_protocol import Opcode

from livegate.inspect.recorder import Recorder
from livegate.observe.history import recordings
from livegate.observe.history.addon import History
from livegate.observe.history.recordings import RecordedFrame, Recording
from livegate.redaction.redactor import Redactor

TOPIC = "lv:phx-1"


class Watched:
    """A recorder with a watch, and one socket."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.watch = History(self.recorder, Redactor())
        self.watch.active = True
        self.flow: http.HTTPFlow = tflow.twebsocketflow(messages=False, close_code=None)
        self.flow.request.path = "/live/websocket?vsn=2.0.0"
        self.at = 100.0

    def say(self, *frame: Any, up: bool) -> None:
        self.at += 0.25
        data = json.dumps(frame).encode()
        self.recorder.message(self.flow, WebSocketMessage(Opcode.TEXT, up, data, self.at))

    def join(self, topic: str = TOPIC) -> None:
        self.say("4", "4", topic, "phx_join", {"url": "http://h/count", "params": {}}, up=True)
        answer = {"status": "ok", "response": {"rendered": {"s": ["<p>", "</p>"], "0": "0"}}}
        self.say("4", "4", topic, "phx_reply", answer, up=False)

    def click(self, ref: str, diff: Any, name: str = "inc") -> None:
        self.say("4", ref, TOPIC, "event", {"type": "click", "event": name, "value": {}}, up=True)
        self.say("4", ref, TOPIC, "phx_reply", {"status": "ok", "response": {"diff": diff}}, up=False)

    @property
    def recording(self) -> Recording:
        found = self.watch.recordings.get(1)
        assert found is not None
        return found

    def lines(self, start: int, count: int) -> list[dict[str, Any]]:
        lines = [self.recording.line(number) for number in range(start, start + count)]
        return [line for line in lines if line is not None]

    def kept(self, number: int) -> RecordedFrame:
        found = self.recording.frame(number)
        assert found is not None
        return found


def test_a_frame_is_told_as_things_stood_when_it_came() -> None:
    watched = Watched()
    watched.join()
    watched.click("5", {"0": "1"})
    (view,) = watched.watch.session(1)[0].views.values()  # type: ignore[index]
    view.module = "App.Renamed"
    lines = watched.lines(0, 4)
    told = [(line["n"], line["dir"], line["what"], line["outcome"], line["ms"], line["view"]) for line in lines]
    assert told == [
        (0, "up", "join", "pending", None, "/count"),
        (1, "down", "joined", "ok", 250.0, "/count"),
        (2, "up", "event", "pending", None, "/count"),
        (3, "down", "reply", "ok", 250.0, "/count"),
    ]
    assert {line["socket"] for line in lines} == {watched.flow.id}


def test_every_frame_has_the_page_of_its_moment_and_no_page_is_kept_twice() -> None:
    watched = Watched()
    watched.join()
    watched.click("5", {"0": "1"})
    watched.click("6", {})
    watched.click("7", {"0": "2"})
    pages = [watched.kept(number).page for number in range(8)]
    shown = [page.html() if page is not None else None for page in pages]
    assert shown == [None, *["<p>0</p>"] * 2, *["<p>1</p>"] * 4, "<p>2</p>"]
    assert pages[1] is pages[2]
    assert pages[3] is pages[4]


def test_the_oldest_frames_go_and_the_numbers_of_the_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "MAX_FRAMES", 5)
    watched = Watched()
    watched.join()
    for number in range(5):
        watched.click(str(10 + number), {"0": str(number)})
    recording = watched.recording
    assert (recording.first, recording.next_number, recording.frame(6)) == (7, 12, None)
    assert [line["n"] for line in watched.lines(7, 3)] == [7, 8, 9]


def test_of_all_sessions_the_quietest_is_forgotten_first() -> None:
    watched = Watched()
    watched.watch.recordings.max_bytes = 5 * recordings.OVERHEAD_BYTES
    watched.join()
    for number in range(2):
        other = Watched()
        other.recorder, other.watch = watched.recorder, watched.watch
        other.join(f"lv:phx-other-{number}")
    kept = watched.watch.recordings
    assert [kept.get(number) is None for number in (1, 2, 3)] == [True, False, False]
    assert kept.evicted == 1


def test_what_nobody_could_look_at_is_not_kept() -> None:
    watched = Watched()
    watched.watch.active = False
    with taddons.context():
        watched.join()
    assert watched.watch.recordings.get(1) is None
