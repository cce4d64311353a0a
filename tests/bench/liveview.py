"""What a small LiveView app says, as functions on bytes: the pages, and the answers to a client's frames.

The demo's own server would be the slowest part of a measurement; a backend that only calls this is not.
"""

import base64
import json
import secrets
import time
from typing import Any

MODULES = {"/count": "BenchWeb.CountLive", "/form": "BenchWeb.FormLive", "/stream": "BenchWeb.StreamLive"}
"""LiveViews by the paths of their pages."""
SOCKET_PATH = "/live/websocket"
RENDERED = {
    "s": ["<h1>", "</h1><p>", "</p><div>", "</div><p>", "</p>"],
    "0": "Measured",
    "1": "0",
    "2": {"s": ["<b>", "</b>"], "0": "0"},
    "3": "x" * 1500,
}
FILLING = "y" * 120
PAGE = """<!doctype html>
<html lang="en"><head><meta name="csrf-token" content="c2Vzc2lvbg"><title>Bench</title></head>
<body><div id="%s" data-phx-main data-phx-session="%s" data-phx-static=""><h1>Measured</h1><p>%s</p></div></body></html>
"""


def page(path: str) -> bytes:
    """The first answer of a LiveView app: HTML that names a channel which nobody had before."""
    id_ = f"phx-{secrets.token_urlsafe(12)}"
    return (PAGE % (id_, session_token(id_, MODULES[path]), RENDERED["3"])).encode()


def session_token(id_: str, module: str) -> str:
    """What `data-phx-session` holds: Phoenix.Token's form around Erlang's external term format."""
    fields = {"id": _binary(id_), "view": _atom(f"Elixir.{module}"), "router": _atom("Elixir.BenchWeb.Router")}
    session = b"t" + len(fields).to_bytes(4) + b"".join(_atom(name) + value for name, value in fields.items())
    versioned = _tuple(b"a\x06", session)
    signed_at = b"n\x06\0" + int(time.time() * 1000).to_bytes(6, "little")
    term = b"\x83" + _tuple(versioned, signed_at, b"b" + (86_400).to_bytes(4))
    return f"SFMyNTY.{base64.urlsafe_b64encode(term).rstrip(b'=').decode()}.c2lnbmF0dXJl"


def answer(data: bytes | str) -> bytes:
    """The reply to any frame of a client (serializer 2.0.0): to a join the page, to an event a diff."""
    join_ref, ref, topic, event, payload = json.loads(data)
    match event:
        case "phx_join":
            response: dict[str, Any] = {"rendered": RENDERED, "liveview_version": "1.1.0"}
        case "event":
            response = {"diff": {"1": ref, "2": {"0": ref}, "3": FILLING}}
        case _:
            response = {}
    return encoded(join_ref, ref, topic, "phx_reply", {"status": "ok", "response": response})


def join(topic: str, path: str, session: str) -> bytes:
    """A client's first frame on a channel; its ref is 4, as the browser's is."""
    params = {"_csrf_token": "c2Vzc2lvbg", "_mounts": 0}
    asked = {"url": f"http://app.test{path}", "params": params, "session": session, "static": ""}
    return encoded("4", "4", topic, "phx_join", asked)


def click(topic: str, ref: int) -> bytes:
    """A client's event; about 300 bytes."""
    value = {"value": "", "amount": str(ref % 10), "note": FILLING}
    return encoded("4", str(ref), topic, "event", {"type": "click", "event": "inc", "value": value})


def heartbeat(ref: int) -> bytes:
    """A client's sign of life, every 30 s."""
    return encoded(None, str(ref), "phoenix", "heartbeat", {})


def encoded(*frame: object) -> bytes:
    """A frame of serializer 2.0.0."""
    return json.dumps(frame, separators=(",", ":")).encode()


def _atom(name: str) -> bytes:
    return b"w" + bytes([len(name)]) + name.encode()


def _binary(text: str) -> bytes:
    return b"m" + len(text).to_bytes(4) + text.encode()


def _tuple(*parts: bytes) -> bytes:
    return b"h" + bytes([len(parts)]) + b"".join(parts)
