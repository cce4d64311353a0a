"""The fake app's LiveViews: what they show, and what becomes of their events."""

import base64
import secrets
import struct
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import parse_qs

_MARK = '<button class="mark" phx-click="mark" phx-value-marker="{marker}">mark</button>'
_CRASH = '<button class="crash" phx-click="crash">crash</button>'
STATICS = {
    "CountLive": ['<h1 id="n">', "</h1>{children}"],
    "FeedLive": ['<ul id="messages"><li>', "</li></ul>"],
    "S1Live": ['<h1 id="s">one ', "</h1>{children}"],
    "S2Live": ['<h1 id="s">two ', "</h1>{children}"],
    "TabLive": ['<h1 id="n">', f'</h1><p id="own">{_MARK}{_CRASH}</p>{{link}}{{children}}'],
    "OtherLive": ['<h2 id="n">', f'</h2><p id="own">{_MARK}{_CRASH}</p>{{link}}{{children}}'],
    "AdminLive": ['<p id="adm">', "</p>"],
    "ClockLive": ['<p class="clock">clock ', f" {_MARK}{_CRASH}</p>"],
}
"""Of each module; one value stands between them."""
PAGES = {
    "/count": ("CountLive",),
    "/feed": ("FeedLive",),
    "/s1": ("S1Live",),
    "/s2": ("S2Live",),
    "/dead": ("ClockLive", "FeedLive"),
    "/tab": ("TabLive",),
    "/other": ("OtherLive",),
    "/admin": ("AdminLive",),
}
NESTED = {"CountLive": "clock-child", "TabLive": "clock-child", "OtherLive": "clock-child"}
STICKY = {"S1Live": "player", "S2Live": "player", "TabLive": "player", "OtherLive": "player"}
LINKS = {"TabLive": "/other", "OtherLive": "/tab"}
"""Where a page's link navigates to."""
SILENT = frozenset({"tick", "start", "kill"})
"""Events that change nothing at once; a diff follows by itself."""


@dataclass
class View:
    """One LiveView that is joined, or about to be."""

    module: str
    topic: str
    marker: str = ""
    """Sent with each `mark`; that of the page's address."""
    count: int = 0
    name: str = ""
    children: str = ""

    @property
    def id(self) -> str:
        return self.topic.removeprefix("lv:")

    def statics(self) -> list[str]:
        link = LINKS.get(self.module, "")
        address = f"{link}?m={self.marker}"
        anchor = (
            f'<a id="go" href="{address}" data-phx-link="redirect" data-phx-link-state="push">go</a>' if link else ""
        )
        known = {"marker": escape(self.marker), "link": anchor, "children": self.children}
        return [_filled(text, known) for text in STATICS[self.module]]

    def rendered(self) -> dict[str, Any]:
        """As LiveView 1.2 sends it: the statics in `p`, at the root."""
        return {"0": str(self.count), "p": {"0": self.statics()}, "s": 0}

    def html(self) -> str:
        return str(self.count).join(self.statics())

    def event(self, payload: dict[str, Any]) -> dict[str, Any]:
        """The response to an event."""
        if payload["event"] in SILENT:
            return {}
        if payload["event"] == "toast":
            return {"diff": {"e": [["toast", {"text": "hello"}]], "r": {"ok": True}}}
        if payload["type"] == "form":
            name = parse_qs(payload["value"]).get("name", [""])[0]
            same, self.name = name == self.name, name
            return {} if same else {"diff": {"0": name}}
        self.count += 1
        return {"diff": {"0": str(self.count)}}


def _filled(text: str, known: dict[str, str]) -> str:
    for name, value in known.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def token(**values: Any) -> str:
    """Signed by nobody, and else as `Phoenix.Token` makes them: {{version, map}, time, age} as an external term."""
    body = b"\x83h\x03h\x02a\x06" + _map(values) + b"n\x06\x00" + secrets.token_bytes(6) + b"b\x00\x01\x51\x80"
    return f"SFMyNTY.{_text(body)}.{_text(secrets.token_bytes(32))}"


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _map(values: dict[str, Any]) -> bytes:
    return b"t" + struct.pack(">I", len(values)) + b"".join(_atom(name) + _term(each) for name, each in values.items())


def _term(value: Any) -> bytes:
    match value:
        case None:
            return _atom("nil")
        case str() if value.startswith("Elixir."):
            return _atom(value)
        case str():
            return b"m" + struct.pack(">I", len(value.encode())) + value.encode()
        case dict():
            return _map(value)
        case _:
            raise TypeError(value)


def _atom(name: str) -> bytes:
    return b"d" + struct.pack(">H", len(name)) + name.encode()
