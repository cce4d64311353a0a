"""The fake app without a transport: frames in, frames out, in the order in which Phoenix 1.8 and LiveView 1.2 send them.

Keys are sorted, as those of Elixir's small maps are. Reference: the recordings, and Phoenix's and LiveView's sources.
"""

import itertools
import json
import secrets
from collections.abc import Callable
from html import escape
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fake_phoenix.views import LINKS, NESTED, PAGES, STICKY, View, token

VERSION = "1.2.10"
type Frame = tuple[str | None, str | None, str, str, Any]


def encoded(frame: Frame) -> str:
    """A frame as serializer V2 writes it."""
    return json.dumps(frame, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


class App:
    """What all sockets of the app share."""

    def __init__(self) -> None:
        self.sockets: list[Socket] = []
        self.marks: list[str] = []
        """The markers of all `mark` events and pushes, in the order of their coming."""
        self.late_close = False
        """Whether a new join comes before the old view has ended, as happens: then the view's `phx_close` follows the reply
        to that join, and the leave has none."""
        self._users = itertools.count(1)
        self._pages: dict[str, tuple[str, str]] = {}
        """Module and marker of the view that a session token is for."""

    def session_token(self, module: str, id_: str, marker: str) -> str:
        made = token(id=id_, parent_pid=None, root_pid=None, session={}, view=f"Elixir.DemoWeb.{module}")
        self._pages[made] = module, marker
        return made

    def of_token(self, given: str) -> tuple[str, str]:
        return self._pages.get(given, ("", ""))

    def user(self) -> str:
        return f"user-{next(self._users)}"

    def page(self, path: str, query: str = "") -> str | None:
        """A document; None when there is no such page."""
        modules = PAGES.get(path)
        if modules is None:
            return None
        marker = parse_qs(query).get("m", [""])[0]
        main = " data-phx-main" if len(modules) == 1 else ""
        views = [View(module, f"lv:phx-{secrets.token_urlsafe(12)}", marker) for module in modules]
        for view in views:
            view.children = self.children(view, dead=True)
        body = "".join(
            f'<div id="{view.id}"{main} data-phx-session="{self.session_token(view.module, view.id, marker)}" '
            f'data-phx-static="{token(id=view.id, flash={}, assign_new=None)}">{view.html()}</div>'
            for view in views
        )
        csrf = secrets.token_urlsafe(42)
        return (
            f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"><meta name="csrf-token" content="{csrf}">'
            f'<title>fake</title><script phx-track-static defer src="/client.js"></script></head>'
            f'<body data-marker="{escape(marker)}">{body}'
            '<iframe hidden height="0" width="0" src="/phoenix/live_reload/frame"></iframe></body></html>'
        )

    def children(self, view: View, *, dead: bool) -> str:
        """The elements of the views inside of a view; in the document a nested one cannot be joined yet."""
        found = ""
        nested, sticky = NESTED.get(view.module), STICKY.get(view.module)
        if nested:
            session = "" if dead else self.session_token("ClockLive", nested, view.marker)
            inside = View("ClockLive", f"lv:{nested}", view.marker).html() if dead else ""
            static = token(id=nested, flash={}, assign_new=None) if dead else ""
            found += (
                f'<div id="{nested}" data-phx-session="{session}" data-phx-static="{static}" '
                f'data-phx-parent-id="{view.id}">{inside}</div>'
            )
        if sticky:
            session = self.session_token("ClockLive", sticky, view.marker)
            found += f'<div id="{sticky}" data-phx-session="{session}" data-phx-static="" data-phx-sticky></div>'
        return found


class Socket:
    """One client's socket: its channels, until it is closed."""

    def __init__(self, app: App, send: Callable[[Frame], None]) -> None:
        self.app, self._send = app, send
        self._joins: dict[str, str] = {}
        self._views: dict[str, View] = {}
        self._closing: dict[str, str] = {}
        """Join_refs whose `phx_close` is late, by topic."""
        self._presence: dict[str, tuple[str, dict[str, Any]]] = {}
        app.sockets.append(self)

    def close(self) -> None:
        """The transport has ended: whoever was in a room has left it."""
        self.app.sockets.remove(self)
        for topic in list(self._joins):
            self._part(topic)

    def receive(self, frame: Frame) -> None:
        """A frame of the client."""
        join_ref, ref, topic, event, payload = frame
        if topic == "phoenix":
            self._reply(None, ref, topic, {})
        elif event == "phx_join":
            self._join(join_ref, ref, topic, payload)
        elif event == "phx_leave":
            self._leave(join_ref, ref, topic)
        elif topic not in self._joins:
            self._reply(None, ref, topic, {"reason": "unmatched topic"}, "error")
        elif self._joins[topic] == join_ref:  # what names an earlier join is dropped
            handle = self._live if topic in self._views else self._channel
            handle(join_ref, ref, topic, event, payload)

    def _reply(self, join_ref: str | None, ref: str | None, topic: str, response: Any, status: str = "ok") -> None:
        self._send((join_ref, ref, topic, "phx_reply", {"response": response, "status": status}))

    # Joins and leaves

    def _join(self, join_ref: str | None, ref: str | None, topic: str, payload: dict[str, Any]) -> None:
        refused = self._refusal(topic, payload)
        late = self._closing.pop(topic, self._joins.get(topic))
        if refused is not None:
            self._reply(None if refused == "unmatched topic" else join_ref, ref, topic, _reason(refused), "error")
        elif topic.startswith("lv:"):
            self._reply(join_ref, ref, topic, self._mount(topic, payload))
        else:
            self._reply(join_ref, ref, topic, {"hello": "world"} if topic.startswith("room:") else {})
        if late is not None:
            self._send((late, late, topic, "phx_close", {}))
        if refused is None:
            self._joins[topic] = str(join_ref)
        if refused is None and topic.startswith("room:"):
            self._arrive(str(join_ref), topic)

    def _refusal(self, topic: str, payload: dict[str, Any]) -> Any:
        path = urlsplit(payload.get("redirect") or payload.get("url") or "").path
        match topic.partition(":")[0], path:
            case "room", _ if topic == "room:private":
                return "unauthorized"
            case "lv", "/admin" if "redirect" in payload:
                return "unauthorized"
            case "lv", "/private":
                return {"redirect": {"to": "/s1"}}
            case "lv", "/broken":
                return "join crashed"
            case "lv", _ if payload.get("session") == "stale":
                return "stale"
            case (("lv" | "room" | "phoenix"), _):
                return None
            case _:
                return "unmatched topic"

    def _mount(self, topic: str, payload: dict[str, Any]) -> dict[str, Any]:
        module, marker = self.app.of_token(payload.get("session") or "")
        url = urlsplit(payload.get("redirect") or payload.get("url") or "")
        if url.path:
            marker = parse_qs(url.query).get("m", [marker])[0]
        if "redirect" in payload or not module:
            modules = PAGES.get(url.path, ("ClockLive",))
            module = modules[0]
        view = self._views[topic] = View(module, topic, marker)
        view.children = self.app.children(view, dead=False)
        response: dict[str, Any] = {"liveview_version": VERSION, "rendered": view.rendered()}
        return {"container": ["div", {}], **response} if "redirect" in payload else response

    def _leave(self, join_ref: str | None, ref: str | None, topic: str) -> None:
        known = self._joins.get(topic)
        if known is None or known != join_ref:
            self._reply(join_ref, ref, topic, {})
            return
        live = topic in self._views
        self._part(topic)
        if live and self.app.late_close:
            self._closing[topic] = known
            return
        if live:
            self._send((known, known, topic, "phx_close", {}))
        self._reply(join_ref, ref, topic, {})
        if not live:
            self._send((known, known, topic, "phx_close", {}))

    def _part(self, topic: str) -> None:
        """A channel has ended, whatever the reason; others in its room hear of it."""
        del self._joins[topic]
        self._views.pop(topic, None)
        gone = self._presence.pop(topic, None)
        if gone is not None:
            self._broadcast(topic, "presence_diff", {"joins": {}, "leaves": {gone[0]: gone[1]}})

    def _crash(self, join_ref: str | None, topic: str) -> None:
        self._send((join_ref, join_ref, topic, "phx_error", {"reason": "channel_crash"}))
        self._part(topic)

    # Views

    def _live(self, join_ref: str | None, ref: str | None, topic: str, event: str, payload: dict[str, Any]) -> None:
        view = self._views[topic]
        if event == "cids_destroyed":
            self._reply(join_ref, ref, topic, {"cids": payload["cids"]})
        elif event == "live_patch":
            self._reply(join_ref, ref, topic, {"diff": {}})
        elif event != "event":
            self._reply(join_ref, ref, topic, {})
        elif payload["event"] in ("crash", "ccrash"):
            self._crash(join_ref, topic)
        elif payload["event"] in ("nav", "navback"):
            to = LINKS.get(view.module) or {"nav": "/feed", "navback": "/count"}[payload["event"]]
            self._send((join_ref, None, topic, "diff", {"e": []}))
            self._reply(join_ref, ref, topic, {"live_redirect": {"kind": "push", "to": to}})
        else:
            if payload["event"] == "mark":
                self.app.marks.append(payload["value"]["marker"])
            if payload["event"] == "patch":
                self._send((join_ref, None, topic, "live_patch", {"kind": "push", "to": "/count?c=40"}))
            self._reply(join_ref, ref, topic, view.event(payload))
            if payload["event"] == "tick":
                view.count += 10
                self._send((join_ref, None, topic, "diff", {"0": str(view.count)}))

    # Channels

    def _channel(self, join_ref: str | None, ref: str | None, topic: str, event: str, payload: Any) -> None:
        match event:
            case "crash":
                self._crash(join_ref, topic)
            case "shout":
                self._broadcast(topic, "shout", payload)  # {:noreply, socket}
            case "mark":
                self.app.marks.append(payload["marker"])
            case _:
                self._reply(join_ref, ref, topic, payload)

    def _arrive(self, join_ref: str, topic: str) -> None:
        user, meta = self.app.user(), {"metas": [{"at": 1, "phx_ref": secrets.token_urlsafe(12)}]}
        self._presence[topic] = user, meta
        self._broadcast(topic, "presence_diff", {"joins": {user: meta}, "leaves": {}})
        here = [each._presence[topic] for each in self.app.sockets if topic in each._presence]
        self._send((join_ref, None, topic, "presence_state", dict(sorted(here))))

    def _broadcast(self, topic: str, event: str, payload: Any) -> None:
        for each in list(self.app.sockets):
            if topic in each._joins:
                each._send((None, None, topic, event, payload))


def _reason(refused: Any) -> Any:
    return {"reason": refused} if isinstance(refused, str) else refused
