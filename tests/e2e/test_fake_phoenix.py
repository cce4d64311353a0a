"""The fake app of the tests sends what a genuine one has sent: the same frames, with the same refs and keys, in the same order."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from browser import browser_page
from fake_phoenix.app import App, Frame, Socket, encoded
from fake_phoenix.server import FakePhoenix, bundled
from playwright.sync_api import expect

from scenes.recording import Step, scene

type Shape = tuple[Any, ...]


def shape(frame: Any) -> Shape:
    """A server's frame without what is the app's own: refs as they are, and of payloads the keys, in their order."""
    join_ref, ref, topic, event, payload = frame
    found: list[Any] = [join_ref, ref, topic, event]
    if event not in ("diff", "presence_state"):
        found.append(list(payload))
    response = payload.get("response")
    if event == "phx_reply":
        found += [payload["status"], list(response), response.get("reason")]
    if event in ("presence_diff", "presence_state"):
        people = payload if event == "presence_state" else {**payload["joins"], **payload["leaves"]}
        found += [len(people), *[[list(each), *map(list, each["metas"])] for each in people.values()]]
    if event in ("phx_error", "phx_close"):
        found.append(payload)
    return tuple(json.dumps(each) for each in found)


class Conversation:
    """What a recorded client has said, said to the fake app; by socket and topic what was answered then and now."""

    def __init__(self, steps: list[Step]) -> None:
        self.app = App()
        self.steps = steps
        self.sockets: dict[int, Socket] = {}
        self.then: dict[tuple[int, str], list[Shape]] = {}
        self.now: dict[tuple[int, str], list[Shape]] = {}

    def play(self, step: Step) -> None:
        match step.kind:
            case "open":
                self._open(step.conn)
            case "close":
                self.sockets.pop(step.conn).close()
            case "frame" if step.up:
                self.app.late_close = not self._is_answered(step)
                self.sockets[step.conn].receive(tuple(json.loads(step.data)))
            case "frame":
                self._recorded(step.conn, json.loads(step.data))
            case "ask" | "answer" if "/live/longpoll" in step.url:
                self._polled(step)

    def _is_answered(self, step: Step) -> bool:
        """Whether the recording has a reply: to a leave there is none when the next join was quicker than the view's end."""
        ref = json.loads(step.data)[1]
        answers = [
            json.loads(each.data)
            for each in self.steps
            if (each.kind, each.conn, each.up) == ("frame", step.conn, False)
        ]
        return any(answer[1] == ref for answer in answers)

    def _polled(self, step: Step) -> None:
        if not self.sockets:
            self._open(0)
        if step.method == "POST" and step.kind == "ask":
            for line in step.data.splitlines():
                self.sockets[0].receive(tuple(json.loads(line)))
        elif step.kind == "answer":
            for message in json.loads(step.data).get("messages", ()):
                self._recorded(0, json.loads(message))

    def _open(self, conn: int) -> None:
        def told(frame: Frame) -> None:
            self.now.setdefault((conn, frame[2]), []).append(shape(json.loads(encoded(frame))))

        self.sockets[conn] = Socket(self.app, told)

    def _recorded(self, conn: int, frame: Any) -> None:
        self.then.setdefault((conn, frame[2]), []).append(shape(frame))


@pytest.mark.parametrize("name", ["nested", "sticky-two-users", "two-roots", "channels-and-presence", "longpoll"])
def test_it_answers_a_recorded_client_as_the_genuine_app_did(name: str) -> None:
    steps = scene(name)
    conversation = Conversation(steps)
    for step in steps:
        conversation.play(step)
    assert conversation.now.keys() == conversation.then.keys()
    for place, frames in conversation.then.items():
        assert conversation.now[place] == frames, place


class Client:
    """One socket of the fake app."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.socket = Socket(App(), lambda frame: self.heard.append(json.loads(encoded(frame))))

    def say(self, *frame: Any) -> list[Any]:
        self.heard.clear()
        self.socket.receive(frame)
        return list(self.heard)


def refused(ref: str, topic: str, response: Any, join_ref: str | None = "4") -> list[Any]:
    return [[join_ref, ref, topic, "phx_reply", {"response": response, "status": "error"}]]


@pytest.mark.parametrize(
    ("payload", "response"),
    [
        ({"url": "http://a.test/count", "session": "stale"}, {"reason": "stale"}),
        ({"url": "http://a.test/broken"}, {"reason": "join crashed"}),
        ({"url": "http://a.test/private"}, {"redirect": {"to": "/s1"}}),
        ({"redirect": "http://a.test/admin"}, {"reason": "unauthorized"}),
    ],
)
def test_joins_are_refused_in_phoenixs_words(payload: Any, response: Any) -> None:
    assert Client().say("4", "4", "lv:phx-1", "phx_join", payload) == refused("4", "lv:phx-1", response)


def test_a_topic_that_nobody_serves_is_unmatched_with_a_null_join_ref() -> None:
    client = Client()
    expected = refused("4", "nobody:1", {"reason": "unmatched topic"}, None)
    assert client.say("4", "4", "nobody:1", "phx_join", {}) == expected
    assert client.say("4", "4", "nobody:1", "event", {}) == expected


def test_a_second_join_is_answered_and_then_the_first_is_closed_whose_frames_are_dropped() -> None:
    client = Client()
    client.say("4", "4", "room:a", "phx_join", {})
    answers = client.say("6", "6", "room:a", "phx_join", {})
    assert [each[:4] for each in answers[:2]] == [
        ["6", "6", "room:a", "phx_reply"],
        ["4", "4", "room:a", "phx_close"],
    ]
    assert client.say("4", "7", "room:a", "echo", {}) == []


def test_a_heartbeat_has_no_join_ref() -> None:
    assert Client().say(None, "9", "phoenix", "heartbeat", {}) == [
        [None, "9", "phoenix", "phx_reply", {"response": {}, "status": "ok"}]
    ]


async def test_a_poll_is_answered_before_the_push_whose_reply_it_brings() -> None:
    with FakePhoenix() as app:
        url = f"{app.url}/live/longpoll"
        async with aiohttp.ClientSession() as client:
            async with client.get(url, params={"vsn": "2.0.0"}) as answer:
                opened = await answer.json()
            assert (answer.status, opened["status"], opened["messages"]) == (200, 410, [])
            order: list[str] = []

            async def asked(method: str, body: str | None = None) -> Any:
                async with client.request(method, url, params={"token": opened["token"]}, data=body) as told:
                    found = await told.json(content_type=None)
                order.append(method)
                return found

            poll = asyncio.ensure_future(asked("GET"))
            while not app.parked:
                await asyncio.sleep(0)
            pushed = await asked("POST", json.dumps([None, "1", "phoenix", "heartbeat", {}]))
            assert (pushed, (await poll)["status"], order) == ({"status": 200}, 200, ["GET", "POST"])


def test_the_genuine_client_joins_again_after_a_crash_of_a_nested_view_and_of_the_page(
    chromium: str, npm_packages: Path, tmp_path: Path
) -> None:
    assert (npm_packages / "lv12").is_dir()
    with FakePhoenix(bundled(tmp_path)) as app, browser_page(chromium) as page:
        opened: list[str] = []
        page.on("websocket", lambda socket: opened.append(socket.url))
        page.goto(f"{app.url}/tab?m=a1")
        page.wait_for_function("window.tab && tab.ready(1)")
        page.evaluate("tab.mark()")
        clock, player, count = page.locator("#clock-child .clock"), page.locator("#player .clock"), page.locator("#n")
        for shown in (clock, player):
            expect(shown).to_contain_text("clock 1")
        page.click("#clock-child .crash")
        expect(clock).to_contain_text("clock 0")
        expect(count).to_have_text("1")
        page.click("#own .crash")
        expect(count).to_have_text("0")
        expect(player).to_contain_text("clock 1")
        page.wait_for_function("tab.ready(1)")
        assert len(opened) == 3, "LiveView's, the plain channel's, live_reload's"
