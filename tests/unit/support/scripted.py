"""Scripted sessions: lines of words played as HTTP exchanges, frames and closes through the recorder, watch and metrics.

A script is a text of steps, one a line or between semicolons; each step is a word and its arguments, see `Script`. Times
are those of the script's own clock, which only `wait` moves.
"""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flows
from mitmproxy import http
from mitmproxy.websocket import WebSocketData, WebSocketMessage
from wsproto.frame_protocol import Opcode

from livegate.http1.refusal import Refusal
from livegate.inspect.recorder import Recorder
from livegate.observe.history.addon import History
from livegate.observe.metrics.addon import Metrics
from livegate.phoenix.model import Incident
from livegate.pipeline.exchange.record import SocketStats
from livegate.redaction.redactor import Redactor
from livegate.settings import CurrentSettings
from livegate.websocket.registry import SocketRegistry

START = 1_700_000_000.0
RENDERED = {"s": ["<p>", "</p>"], "0": "0"}
PAGE = """<html><head><meta name="csrf-token" content="csrf{number}-0123456789abcdef"></head>
<body><div id="phx-F{number}" data-phx-main data-phx-session="SFMyNTY.page{number}.x" data-phx-static="y"></div></body></html>"""


@dataclass
class Socket:
    """A socket of a tab; on long-poll a token."""

    flow: http.HTTPFlow | None
    token: str = ""
    open: bool = True
    down: list[str] = field(default_factory=list)
    """What waits for the next poll."""


class Script:
    """One browser tab, its app and the gateway between them."""

    def __init__(self, folder: Path) -> None:
        self.current = CurrentSettings(flows.settings(folder))
        self.recorder = Recorder()
        self.watch = History(self.recorder, Redactor())
        self.metrics = Metrics(self.current, SocketRegistry(), self.recorder.tracker)
        self.recorder.on_incident.append(self.metrics.on_incident)
        self.watch.active = True
        self.reported: list[Incident] = []
        self.recorder.tracker.incidents.on_incident.append(lambda incident, _: self.reported.append(incident))
        self.now = START
        self.page = 0
        self.path = "/"
        self.topic = ""
        self.join_refs: dict[str, str] = {}
        self.mounts: dict[str, int] = {}
        self.pending: list[tuple[str, str | None, str]] = []
        self.socket = Socket(None, open=False)
        self.client = ""
        self._ref = 3
        self._waiting: http.HTTPFlow | None = None
        self._token = ""

    def play(self, text: str) -> "Script":
        for step in filter(str.strip, text.replace(";", "\n").splitlines()):
            word, *given = step.split()
            getattr(self, f"do_{word.replace('-', '_')}")(*given)
        return self

    @property
    def slugs(self) -> list[str]:
        return [each.slug for each in self.reported]

    # HTTP

    def _flow(self, method: str, path: str, *fields: tuple[str, str], body: bytes = b"") -> http.HTTPFlow:
        own = [("Host", "app.test"), ("User-Agent", "tests"), *fields]
        if self.page:
            own.append(("Cookie", "_app_key=abc"))
        flow = flows.flow(*own, method=method, path=path, host=None)
        flow.request.raw_content = body
        flow.request.timestamp_start = flow.request.timestamp_end = self.now
        flows.begun(flow, self.current.value)
        return flow

    def _answer(self, flow: http.HTTPFlow, status: int, body: str = "", kind: str = "application/json") -> None:
        flow.response = http.Response.make(status, body, {"Content-Type": kind, "Set-Cookie": "_app_key=abc; path=/"})
        flow.response.timestamp_start = flow.response.timestamp_end = self.now
        self.recorder.exchange(flow)
        self.watch.response(flow)

    def do_wait(self, seconds: str) -> None:
        self.now += float(seconds)
        self.recorder.expire(self.now)

    def do_page(self, path: str = "/cart") -> None:
        """The browser loads a page with a LiveView."""
        flow = self._flow("GET", path)
        self.page += 1
        self.path, self.topic, self.mounts = path, f"lv:phx-F{self.page}", {}
        self._answer(flow, 200, PAGE.format(number=self.page), "text/html")

    def do_http(self, method: str, path: str, status: str) -> None:
        self._answer(self._flow(method, path), int(status), "x", "text/plain")

    def do_give_up(self, path: str = "/logo.png", seconds: str = "0", *upgrade: str) -> None:
        """The browser no longer wants the answer to a request, or to an upgrade."""
        flow = self._flow("GET", path)
        exchange = flows.begun(flow, self.current.value)
        exchange.upgrade = bool(upgrade)
        exchange.started = time.monotonic() - float(seconds)
        exchange.failure = Refusal(499, "", "client-gone")
        self.recorder.exchange(flow)
        self.watch.error(flow)

    def do_upgrade(self, status: str, *origin: str) -> None:
        """The app answers an upgrade with something else than 101."""
        fields = [("Origin", f"https://{origin[0]}")] if origin else []
        flow = self._flow("GET", self._url(), ("Sec-WebSocket-Key", "k"), ("Upgrade", "websocket"), *fields)
        flows.begun(flow, self.current.value).upgrade = True
        self._answer(flow, int(status))

    def do_stripped(self, *key: str) -> None:
        """A socket's URL is asked for without an upgrade."""
        flow = self._flow("GET", self._url(), *([("Sec-WebSocket-Key", "k")] if key else []))
        self._answer(flow, 400)

    def do_refused(self, slug: str, status: str) -> None:
        """The gateway itself refuses a request."""
        flow = self._flow("GET", "/")
        flows.begun(flow, self.current.value).refusal_reason = slug
        self._answer(flow, int(status))

    def do_failed(self, slug: str, status: str) -> None:
        flow = self._flow("GET", "/")
        flows.begun(flow, self.current.value).failure = Refusal(int(status), "", slug)
        self.watch.error(flow)

    # WebSockets

    def _url(self, csrf: bool = True, place: str = "live/websocket") -> str:
        token = f"_csrf_token=csrf{self.page}-0123456789abcdef&" if csrf and self.page else ""
        return f"/{place}?{token}vsn=2.0.0"

    def do_socket(self, *without: str) -> None:
        """A WebSocket is opened; `without` csrf or cookie."""
        page, self.page = self.page, 0 if "cookie" in without else self.page
        flow = self._flow(
            "GET",
            f"/live/websocket?vsn=2.0.0{'' if 'csrf' in without else f'&_csrf_token=csrf{page}-0123456789abcdef'}",
        )
        self.page = page
        flows.begun(flow, self.current.value).upgrade = True
        flow.response = http.Response.make(101)
        flow.response.timestamp_start = flow.response.timestamp_end = self.now
        flow.websocket = WebSocketData()
        self.recorder.exchange(flow)
        self.watch.response(flow)
        self.socket, self.pending = Socket(flow), []

    def do_close(self, code: str, by: str, *reason: str) -> None:
        flow = self.socket.flow
        assert flow is not None and flow.websocket is not None
        flow.websocket.close_code, flow.websocket.close_reason = int(code), " ".join(reason)
        flow.websocket.closed_by_client = by == "client"
        flow.websocket.timestamp_end = self.now
        exchange = flows.begun(flow, self.current.value)
        exchange.socket = SocketStats(0, 0, 0, 0, 0, 0, by, 0)
        self.recorder.closed(flow)
        self.watch.websocket_end(flow)
        self.socket.open = False

    # Long-poll

    def do_poll_open(self) -> None:
        """A long-poll session begins, or begins anew."""
        before, self._token = self._token, f"T{self._ref}{self.page}"
        path = self._url(place="live/longpoll") + (f"&token={before}" if before else "")
        flow = self._flow("GET", path)
        self.recorder.request(flow)
        self.socket, self.pending = Socket(None, self._token), []
        self._answer(flow, 200, json.dumps({"messages": [], "status": 410, "token": self._token}))

    def do_poll(self) -> None:
        flow = self._flow("GET", f"{self._url(place='live/longpoll')}&token={self._token}")
        self.recorder.request(flow)
        messages, self.socket.down = self.socket.down, []
        status = 200 if messages else 204
        self._answer(flow, 200, json.dumps({"messages": messages, "status": status, "token": self._token}))

    def do_poll_given_up(self) -> None:
        flow = self._flow("GET", f"{self._url(place='live/longpoll')}&token={self._token}")
        self.recorder.request(flow)
        exchange = flows.begun(flow, self.current.value)
        exchange.failure = Refusal(499, "", "client-gone")
        self.recorder.exchange(flow)
        self.watch.error(flow)

    def do_refuse_post(self, *_: str) -> None:
        """The app refuses what was sent last."""
        assert self._waiting is not None
        self._answer(self._waiting, 200, json.dumps({"status": 403}))
        self._waiting = None

    # Frames

    def _up(self, topic: str, event: str, payload: Any, *, join_ref: str | None = None, waits: bool = True) -> str:
        self._ref += 1
        ref = str(self._ref)
        join_ref = join_ref or (ref if event == "phx_join" else self.join_refs.get(topic))
        frame = [join_ref, ref, topic, event, payload]
        if waits:
            self.pending.append((topic, join_ref, ref))
        if self.socket.flow is not None:
            self._message(frame, from_client=True)
            return ref
        if self._waiting is not None:
            self._answer(self._waiting, 200, json.dumps({"status": 200}))
        path = f"{self._url(place='live/longpoll')}&token={self._token}"
        fields = [("Content-Type", "application/x-ndjson"), ("Origin", "https://www.example")]
        self._waiting = self._flow("POST", path, *fields, body=json.dumps(frame).encode())
        self.recorder.request(self._waiting)
        return ref

    def _down(self, topic: str, event: str, payload: Any, join_ref: str | None, ref: str | None = None) -> None:
        frame = [join_ref, ref, topic, event, payload]
        if self.socket.flow is not None:
            self._message(frame, from_client=False)
            return
        if self._waiting is not None:
            self._answer(self._waiting, 200, json.dumps({"status": 200}))
            self._waiting = None
        self.socket.down.append(json.dumps(frame))
        self.do_poll()

    def _message(self, frame: list[Any], *, from_client: bool) -> None:
        flow = self.socket.flow
        assert flow is not None and flow.websocket is not None
        message = WebSocketMessage(Opcode.TEXT, from_client, json.dumps(frame).encode(), self.now)
        flow.websocket.messages.append(message)
        self.recorder.message(flow, message)

    def _of(self, name: str) -> str:
        return {"": self.topic, "page": self.topic}.get(name, name)

    def do_ask(self, name: str = "", *more: str) -> None:
        """A LiveView or channel is joined; `modern`, `native`, `redirect=/path`."""
        topic = self._of(name)
        payload: dict[str, Any] = {}
        if topic.startswith("lv:"):
            params: dict[str, Any] = {"_mounts": self.mounts.get(topic, 0)}
            if "native" not in more:
                params["_mount_attempts"] = 0
            if "plain" in more:
                params = {}
            payload = {"params": params, "session": f"SFMyNTY.page{self.page}.x", "static": "y"}
            redirect = next((each.partition("=")[2] for each in more if each.startswith("redirect=")), None)
            if redirect:
                self.path = redirect
                payload["redirect"] = f"http://app.test{redirect}"
            elif topic == self.topic:
                payload["url"] = f"http://app.test{self.path}"
        ref = self._up(topic, "phx_join", payload)
        self.join_refs[topic] = ref

    def do_join(self, name: str = "", *more: str) -> None:
        """As `ask`, and it is answered with ok; `version=1.0.0` is LiveView's."""
        self.do_ask(name, *more)
        topic = self._of(name)
        version = next((each.partition("=")[2] for each in more if each.startswith("version=")), "1.1.33")
        response = {"rendered": RENDERED, "liveview_version": version} if topic.startswith("lv:") else {}
        self.do_reply("ok", json.dumps(response))
        self.mounts[topic] = self.mounts.get(topic, 0) + 1

    def do_deny(self, name: str, *reason: str) -> None:
        """A join is refused."""
        self.do_ask(name if name != "page" else "")
        self.do_reply("error", json.dumps({"reason": " ".join(reason)}))

    def do_reply(self, status: str = "ok", *response: str) -> None:
        """What was sent last is answered."""
        topic, join_ref, ref = self.pending.pop()
        given = json.loads(" ".join(response)) if response else {"diff": {"0": "1"}}
        self._down(topic, "phx_reply", {"status": status, "response": given}, join_ref, ref)

    def do_click(self, name: str, topic: str = "") -> None:
        self._up(self._of(topic), "event", {"type": "click", "event": name, "value": {}})

    def do_event(self, name: str, topic: str = "") -> None:
        """A click that is answered at once."""
        self.do_click(name, topic)
        self.do_reply()

    def do_push(self, topic: str, name: str) -> None:
        """A push on a plain channel, which nobody answers."""
        self._up(topic, name, {"body": "hi"}, waits=False)

    def do_patch(self, path: str) -> None:
        self._up(self.topic, "live_patch", {"url": f"http://app.test{path}"})
        self.do_reply()

    def do_diff(self, topic: str = "") -> None:
        self._down(self._of(topic), "diff", {"0": "2"}, self.join_refs[self._of(topic)])

    def do_said(self, topic: str, event: str, payload: str = "{}") -> None:
        """The server broadcasts."""
        self._down(topic, event, json.loads(payload), None)

    def do_ask_beat(self) -> None:
        self._up("phoenix", "heartbeat", {}, join_ref=None)

    def do_beat(self) -> None:
        self.do_ask_beat()
        self.do_reply("ok", "{}")

    def do_live(self, seconds: str) -> None:
        """A tab lives on, with its heartbeats."""
        for _ in range(int(seconds) // 30):
            self.do_wait("30")
            self.do_beat()

    def do_crash(self, name: str = "", join_ref: str = "") -> None:
        topic = self._of(name)
        join_ref = join_ref or self.join_refs[topic]
        self.pending = [each for each in self.pending if each[0] != topic]
        self._down(topic, "phx_error", {"reason": "channel_crash"}, join_ref, join_ref)

    def do_ended(self, name: str) -> None:
        """The server closes a channel."""
        topic = self._of(name)
        self._down(topic, "phx_close", {}, self.join_refs[topic], self.join_refs[topic])

    def do_leave(self, name: str = "") -> None:
        topic = self._of(name)
        self._up(topic, "phx_leave", {})
        topic, join_ref, ref = self.pending.pop()
        self._down(topic, "phx_close", {}, join_ref, join_ref)
        self._down(topic, "phx_reply", {"status": "ok", "response": {}}, join_ref, ref)

    def do_navigate(self, path: str) -> None:
        """A live navigation: the view is left and another one joined on the same topic."""
        left = self.join_refs[self.topic]
        self._up(self.topic, "phx_leave", {}, join_ref=left)
        _, _, leave = self.pending.pop()
        self.do_ask("", f"redirect={path}")
        self._down(self.topic, "phx_close", {}, left, left)
        self._down(self.topic, "phx_reply", {"status": "ok", "response": {}}, left, leave)
        self.do_reply("ok", json.dumps({"rendered": RENDERED, "liveview_version": "1.1.33"}))

    def do_upload(self, ref: str = "0") -> None:
        """A file goes up: asked for, its channel joined, two chunks, its channel closed."""
        entry = {"ref": ref, "name": "größe.pdf", "size": 200, "type": "application/pdf"}
        self._up(self.topic, "allow_upload", {"ref": "phx-up", "entries": [entry]})
        self.do_reply("ok", json.dumps({"config": {}, "entries": {ref: "token"}, "ref": "phx-up", "errors": {}}))
        self.do_join(f"lvu:{ref}")
        for part in (50, 100):
            self._up(f"lvu:{ref}", "chunk", {"data": "x" * 20})
            self.do_reply("ok", "{}")
            self._up(self.topic, "progress", {"event": None, "ref": "phx-up", "entry_ref": ref, "progress": part})
            self.do_reply()
        self._down(f"lvu:{ref}", "phx_close", {}, self.join_refs[f"lvu:{ref}"], self.join_refs[f"lvu:{ref}"])
