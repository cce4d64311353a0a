"""Plays a recorded scene into the inspector's hooks, with mitmproxy's own flows and no process: quick, for unit tests.

    played = play("nested")
    played.notes[19]        # what the frame of the recording's line 19 meant
    played.sessions         # all sessions, by number
    played.recorder         # as in production, listeners included

Times are those of the recording, from `BEGAN` on. Each tab letter is a browser of its own: its connections, its cookie.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mitmproxy import connection, http
from mitmproxy.flow import Error
from mitmproxy.test import taddons
from mitmproxy.websocket import WebSocketData, WebSocketMessage
from wsproto.frame_protocol import Opcode

from livegate.inspect.addon import LiveViewInspector
from livegate.inspect.recorder import ObservedFrame, Recorder
from livegate.phoenix.model import Session
from livegate.phoenix.sessions.frame_info import FrameInfo
from scenes.recording import GOING_AWAY, SESSION_COOKIE, USER_AGENT, Step, scene

BEGAN = 1_700_000_000.0
"""Seconds since 1970 at which every scene begins."""
LATENCY_S = 0.001
"""Of an answer to a document or an upgrade; of polls the recording has it."""


@dataclass(slots=True)
class Played:
    """What came of a scene."""

    inspector: LiveViewInspector
    steps: list[Step]
    notes: dict[int, list[FrameInfo]] = field(default_factory=dict)
    """By line of the recording; a poll may have several."""
    flows: list[http.HTTPFlow] = field(default_factory=list)
    """In the order of their requests."""
    leave: Callable[[], None] = lambda: None
    """Let all browsers go, as people do: polls end without an answer, sockets with 1001."""

    @property
    def recorder(self) -> Recorder:
        return self.inspector.recorder

    @property
    def sessions(self) -> list[Session]:
        """By number."""
        return sorted(self.recorder.tracker.sessions.values(), key=lambda session: session.number)


@contextmanager
def playing(name: str, *others: Any, until: int | None = None) -> Iterator[Played]:
    """Play a scene, up to the recording's line `until` if given; `others` are addons after the inspector.

    Within the context mitmproxy's `ctx` is there, and everything that was open still is.
    """
    played = Played(LiveViewInspector(), scene(name))
    with taddons.context(played.inspector, *others) as context:
        context.options.update(liveview_log="off")
        player = Player(played, [played.inspector, *others])
        played.leave = player.leave
        for step in played.steps:
            if until is None or step.number <= until:
                player.play(step)
        yield played


def play(name: str, *others: Any, until: int | None = None) -> Played:
    """As `playing`, for whoever needs no `ctx` afterwards."""
    with playing(name, *others, until=until) as played:
        return played


class Player:
    """Plays steps, one after the other."""

    def __init__(self, played: Played, addons: list[Any]) -> None:
        self._played, self._addons = played, addons
        self._sockets: dict[int, http.HTTPFlow] = {}
        self._asked: dict[int, http.HTTPFlow] = {}
        self._with_cookie: set[str] = set()
        self._ports = iter(range(50_000, 60_000))
        self._line = 0
        played.recorder.on_frame.append(self._seen)

    def play(self, step: Step) -> None:
        self._line = step.number
        steps: dict[str, Callable[[Step], None]] = {
            "page": self._page,
            "open": self._open,
            "frame": self._frame,
            "close": self._close,
            "ask": self._ask,
            "answer": self._answer,
        }
        if step.kind in steps:
            steps[step.kind](step)

    def _seen(self, seen: ObservedFrame) -> None:
        self._played.notes.setdefault(self._line, []).append(seen.info)

    def _call(self, flow: http.HTTPFlow, *hooks: str) -> None:
        for hook in hooks:
            for addon in self._addons:
                if hasattr(addon, hook):
                    getattr(addon, hook)(flow)

    def _page(self, step: Step) -> None:
        flow = self._begin(step)
        self._call(flow, "requestheaders", "request")
        fields = {"content-type": step.content_type, "x-request-id": f"GO-{step.number}"}
        if step.tab not in self._with_cookie:
            self._with_cookie.add(step.tab)
            fields["set-cookie"] = f"{SESSION_COOKIE}={cookie_of(step.tab)}; path=/; HttpOnly; SameSite=Lax"
        self._end(flow, step.status, step.data, BEGAN + step.at + LATENCY_S, fields)

    def _ask(self, step: Step) -> None:
        flow = self._asked[step.number] = self._begin(step)
        self._call(flow, "requestheaders", "request")

    def _answer(self, step: Step) -> None:
        flow = self._asked.pop(step.asked)
        self._end(flow, step.status, step.data, BEGAN + step.at, {"content-type": step.content_type})

    def _end(self, flow: http.HTTPFlow, status: int, body: bytes, at: float, fields: dict[str, str]) -> None:
        flow.response = http.Response.make(status, body, fields)
        flow.response.timestamp_start, flow.response.timestamp_end = at, at
        self._call(flow, "responseheaders", "response")

    def _open(self, step: Step) -> None:
        flow = self._sockets[step.conn] = self._begin(step)
        flow.request.headers["upgrade"] = "websocket"
        flow.request.headers["connection"] = "Upgrade"
        flow.request.headers["sec-websocket-key"] = "dGhlIHNhbXBsZSBub25jZQ=="
        flow.request.headers["sec-websocket-version"] = "13"
        flow.request.headers["origin"] = f"http://{step.host}"
        self._call(flow, "requestheaders", "request")
        flow.response = http.Response.make(101, b"", {"upgrade": "websocket", "connection": "upgrade"})
        flow.response.timestamp_start = flow.response.timestamp_end = BEGAN + step.at + LATENCY_S
        self._call(flow, "responseheaders", "response")
        flow.websocket = WebSocketData()
        self._call(flow, "websocket_start")

    def _frame(self, step: Step) -> None:
        flow = self._sockets[step.conn]
        kind = Opcode.TEXT if step.text else Opcode.BINARY
        assert flow.websocket is not None
        flow.websocket.messages.append(WebSocketMessage(kind, step.up, step.data, BEGAN + step.at))
        self._call(flow, "websocket_message")

    def _close(self, step: Step) -> None:
        flow = self._sockets.pop(step.conn)
        assert flow.websocket is not None
        flow.websocket.closed_by_client, flow.websocket.close_code = True, step.code
        flow.websocket.timestamp_end = BEGAN + step.at
        self._call(flow, "websocket_end")

    def leave(self) -> None:
        for flow in self._asked.values():
            flow.error = Error("Client disconnected.")
            self._call(flow, "error")
        for flow in self._sockets.values():
            assert flow.websocket is not None
            flow.websocket.closed_by_client, flow.websocket.close_code = True, GOING_AWAY
            flow.websocket.timestamp_end = BEGAN + self._played.steps[-1].at
            self._call(flow, "websocket_end")
        self._asked.clear()
        self._sockets.clear()

    def _begin(self, step: Step) -> http.HTTPFlow:
        client = connection.Client(
            peername=("127.0.0.1", next(self._ports)), sockname=("127.0.0.1", 4000), timestamp_start=BEGAN + step.at
        )
        flow = http.HTTPFlow(client, connection.Server(address=("127.0.0.1", 4101)), live=True)
        url = step.url.replace("ws://", "http://", 1)
        headers = {"host": step.host, "user-agent": USER_AGENT}
        if step.referer:
            headers["referer"] = step.referer
        if step.content_type and step.kind == "ask":
            headers["content-type"] = step.content_type
        if step.tab in self._with_cookie:
            headers["cookie"] = f"{SESSION_COOKIE}={cookie_of(step.tab)}"
        body = step.data if step.kind == "ask" else b""
        flow.request = http.Request.make(step.method, url, body, headers)
        flow.request.timestamp_start = flow.request.timestamp_end = BEGAN + step.at
        self._played.flows.append(flow)
        return flow


def cookie_of(tab: str) -> str:
    """The session cookie of a browser profile, in Phoenix's form."""
    return f"SFMyNTY.g3QAAAAB-{tab}.c2lnbmF0dXJl"
