"""Long-poll: what the client sends is read when it asks; a socket ends when Phoenix ends it."""

import json
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.test import taddons, tflow

from livegate.inspect.addon import LiveViewInspector
from livegate.inspect.longpoll import IDLE_TIMEOUT_S
from livegate.inspect.recorder import ObservedFrame, Recorder
from livegate.phoenix.sessions.socket import SocketTracker

NOW = 1_700_000_000.0
TOPIC = "lv:phx-1"
JOIN = ["4", "4", TOPIC, "phx_join", {"url": "http://app.test/count", "params": {"_mounts": 0}}]
JOINED = ["4", "4", TOPIC, "phx_reply", {"status": "ok", "response": {"rendered": {"s": ["<p>", "</p>"], "0": "0"}}}]
BEAT = [None, "5", "phoenix", "phx_reply", {"status": "ok", "response": {}}]
URL = "/live/longpoll?vsn=2.0.0"


class Poller:
    """A long-poll client, its requests and the server's answers, in whatever order a test wants them."""

    def __init__(self, recorder: Recorder | None = None) -> None:
        self.recorder = recorder or Recorder()
        self.seen: list[ObservedFrame] = []
        self.recorder.on_frame.append(self.seen.append)
        self.gone: list[SocketTracker] = []
        self.recorder.on_longpoll_end.append(self.gone.append)

    def ask(self, token: str | None, at: float, *frames: Any, read: bool = True) -> http.HTTPFlow:
        flow = tflow.tflow()
        body = "\n".join(map(json.dumps, frames)).encode()
        path = URL if token is None else f"{URL}&token={token}"
        fields = {"Content-Type": "application/x-ndjson", "Host": "app.test"}
        flow.request = http.Request.make("POST" if frames else "GET", f"http://app.test{path}", body, fields)
        flow.request.timestamp_start = flow.request.timestamp_end = NOW + at
        if read:
            self.recorder.request(flow)
        return flow

    def respond(self, flow: http.HTTPFlow, at: float, **body: Any) -> None:
        flow.response = http.Response.make(200, json.dumps(body))
        flow.response.timestamp_start = flow.response.timestamp_end = NOW + at
        self.recorder.exchange(flow)

    def open(self, at: float = 0.0, token: str = "T") -> None:
        self.respond(self.ask(None, at), at, status=410, token=token, messages=[])

    def join(self, at: float = 1.0) -> None:
        self.respond(self.ask("T", at, JOIN), at, status=200)
        self.respond(self.ask("T", at), at, status=200, token="T", messages=[json.dumps(JOINED)])

    @property
    def session(self) -> Any:
        (session,) = self.recorder.tracker.sessions.values()
        return session


def test_a_reply_in_a_poll_whose_response_precedes_that_of_its_push_is_paired_with_it() -> None:
    poller = Poller()
    poller.open()
    waiting = poller.ask("T", 1.0)
    sending = poller.ask("T", 1.1, JOIN)
    poller.respond(waiting, 1.2, status=200, token="T", messages=[json.dumps(JOINED)])
    poller.respond(sending, 1.3, status=200)
    assert [seen.info.summary for seen in poller.seen] == ["join /count (#4)", "joined /count, 113 B after 100 ms"]
    assert poller.session.main.state == "up"


def test_a_request_that_was_not_read_in_time_is_read_with_its_response() -> None:
    """As one whose body was streamed past."""
    poller = Poller()
    poller.open()
    sending = poller.ask("T", 1.0, JOIN, read=False)
    poller.respond(sending, 1.1, status=200)
    assert [seen.info.kind for seen in poller.seen] == ["join"]


def test_a_socket_without_a_request_ends_when_phoenix_ends_it() -> None:
    poller = Poller()
    poller.open()
    poller.join()
    poller.recorder.expire(NOW + 1 + IDLE_TIMEOUT_S - 1)
    assert poller.session.state == "live"
    poller.recorder.expire(NOW + 1 + IDLE_TIMEOUT_S + 1)
    socket = poller.session.sockets[0]
    assert (poller.session.state, socket.close_code, socket.closed_by) == ("closed", None, "client")
    assert socket.close_reason == "no request for 15 s"
    assert len(poller.gone) == 1
    poller.recorder.expire(NOW + 1000)
    assert len(poller.gone) == 1


def test_a_poll_that_waits_keeps_its_socket() -> None:
    poller = Poller()
    poller.open()
    poller.join()
    waiting = poller.ask("T", 2.0)
    poller.recorder.expire(NOW + 100)
    assert poller.session.state == "live"
    waiting.error = None
    waiting.response = None
    poller.recorder.exchange(waiting)  # the browser has gone
    poller.recorder.expire(waiting.request.timestamp_start + 10_000_000_000)
    assert poller.session.state == "closed"


def test_a_socket_that_responds_after_its_timeout_is_reopened() -> None:
    poller = Poller()
    poller.open()
    poller.join()
    poller.recorder.expire(NOW + 100)
    poller.respond(poller.ask("T", 101.0), 101.0, status=204)
    assert poller.session.state == "live"
    assert poller.session.sockets[0].closed_at is None


def test_a_session_that_the_app_no_longer_knows_begins_again_in_the_same_tab() -> None:
    poller = Poller()
    poller.open()
    poller.join()
    poller.respond(poller.ask("T", 5.0), 5.0, status=410, token="T2", messages=[])
    assert poller.session.sockets[0].close_code == 3410
    poller.respond(poller.ask("T2", 6.0, JOIN), 6.0, status=200)
    assert [socket.transport for socket in poller.session.sockets] == ["longpoll", "longpoll"]


def test_a_tab_whose_posts_are_refused_is_not_live() -> None:
    poller = Poller()
    poller.open()
    poller.respond(poller.ask("T", 1.0, JOIN), 1.0, status=403)
    poller.respond(poller.ask("T", 1.0), 1.0, status=204)
    assert (poller.session.state, poller.session.sockets[0].refused_status) == ("refused", 403)
    poller.respond(poller.ask("T", 2.0, JOIN), 2.0, status=200)
    assert poller.session.sockets[0].refused_status is None


@pytest.mark.parametrize(("status", "found"), [(200, 1), (204, 1), (403, 0), (408, 0)])
def test_a_socket_that_was_opened_before_anybody_looked(status: int, found: int) -> None:
    poller = Poller()
    poller.respond(poller.ask("T", 1.0, JOIN), 1.0, status=status, messages=[])
    assert len(poller.recorder.tracker.sessions) == found


def test_a_response_of_another_app_opens_and_pairs_nothing() -> None:
    poller = Poller()
    poller.open()
    flow = poller.ask("T", 1.0, JOIN)
    flow.response = http.Response.make(502, b"Bad gateway")
    assert poller.recorder.exchange(flow) is None
    assert [seen.info.kind for seen in poller.seen] == ["join"]
    unknown = poller.ask("U", 1.0, JOIN)
    unknown.response = http.Response.make(502, b"Bad gateway")
    assert poller.recorder.exchange(unknown) is None


def test_the_comment_of_a_poll_has_its_worst_frame() -> None:
    inspector = LiveViewInspector()
    poller = Poller(inspector.recorder)
    with taddons.context(inspector):
        poller.open()
        sending = poller.ask("T", 1.0, JOIN)
        poller.respond(sending, 1.1, status=200)
        polled = poller.ask("T", 1.0)
        poller.respond(polled, 1.2, status=200, token="T", messages=[json.dumps(JOINED), json.dumps(BEAT)])
    assert sending.comment == "▲ join /count (#4)"
    assert polled.comment == "▼ joined /count, 113 B after 200 ms · and 1 more"


def test_a_crash_stands_first_in_the_comment_of_its_poll_and_a_users_own_comment_stays() -> None:
    inspector = LiveViewInspector()
    poller = Poller(inspector.recorder)
    crash = ["4", "4", TOPIC, "phx_error", {"reason": "channel_crash"}]
    with taddons.context(inspector):
        poller.open()
        poller.join()
        polled = poller.ask("T", 2.0)
        poller.respond(polled, 2.1, status=200, messages=[json.dumps(BEAT), json.dumps(crash), json.dumps(BEAT)])
        mine = poller.ask("T", 3.0)
        mine.comment = "look at this"
        poller.respond(mine, 3.1, status=200, messages=[json.dumps(BEAT)])
    assert (polled.comment, polled.marked) == ("▼ CRASH of /count · and 2 more", ":boom:")
    assert (mine.comment, mine.marked) == ("look at this", "")
