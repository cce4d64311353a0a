"""mitmweb as a browser's script meets it: a real process, its real listener, its login and its XSRF token."""

import asyncio
import contextlib
import http.client
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

from gateway_process import CHECKOUT, MITMDUMP, Gateway, free_port
from websockets.asyncio.client import ClientConnection, connect

PASSWORD = "secret"


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class Mitmweb:
    """One process, and one who is logged in."""

    def __init__(self, folder: Path, settings: dict[str, Any], *arguments: str) -> None:
        self.port = free_port()
        command = [str(MITMDUMP.with_name("mitmweb")), "-s", str(CHECKOUT / "addons" / "gateway.py")]
        options = ["--web-port", str(self.port), "--no-web-open-browser", "--set", f"web_password={PASSWORD}"]
        self.gateway = Gateway(folder, settings, *options, *arguments, command=command)
        self.cookies: dict[str, str] = {}

    def log_in(self) -> None:
        assert self.ask("GET", f"/?token={PASSWORD}").status == 200
        self.ask("GET", "/updates")  # as a page does, though it asks for a WebSocket
        assert len(self.cookies) == 2, "a login and an XSRF token"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}

    def ask(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None, strange: bool = False
    ) -> Answer:
        """Ask; a body that is not bytes goes as JSON. A stranger has no cookies."""
        given = {} if strange else self.headers
        token = next((value for name, value in self.cookies.items() if "xsrf" in name), None)
        if token and not strange:
            given["X-XSRFToken"] = token
        if body is not None and not isinstance(body, bytes):
            body, given["Content-Type"] = json.dumps(body).encode(), "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body, {**given, **(headers or {})})
            found = connection.getresponse()
            answer = Answer(found.status, found.headers, found.read())
        for value in answer.headers.get_all("Set-Cookie", []):
            for name, morsel in SimpleCookie(value).items():
                self.cookies[name] = morsel.value
        return answer

    def flows(self) -> list[dict[str, Any]]:
        return self.ask("GET", "/flows").json

    def flow(self, path: str, *, until: Callable[[dict[str, Any]], object] = lambda flow: flow.get("response")) -> Any:
        """The newest flow whose path starts so, once it is as wished."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = [flow for flow in self.flows() if flow.get("request", {}).get("path", "").startswith(path)]
            if found and until(found[-1]):
                return found[-1]
            time.sleep(0.02)
        raise AssertionError(f"no such flow: {path}, of {self.flows()}")

    @contextlib.asynccontextmanager
    async def updates(self) -> Any:
        """What open pages are told."""
        async with connect(
            f"ws://127.0.0.1:{self.port}/updates", additional_headers=self.headers, proxy=None, max_size=None
        ) as socket:
            yield socket


async def told(socket: ClientConnection, kind: str) -> list[str]:
    """Everything that a page is told until a message of this kind."""
    found: list[str] = []
    async with asyncio.timeout(60):
        while not found or json.loads(found[-1])["type"] != kind:
            found.append(str(await socket.recv()))
    return found


def routes() -> list[tuple[str, list[str]]]:
    """Every pattern of mitmweb's own paths with the verbs that it answers."""
    from mitmproxy.tools.web import app
    from tornado.web import RequestHandler

    verbs = ("get", "post", "put", "delete", "patch")
    unanswered = RequestHandler._unimplemented_method
    return [
        (pattern, [verb.upper() for verb in verbs if getattr(handler, verb) is not unanswered])
        for pattern, handler in app.handlers
    ]


def matching(pattern: str, path: str) -> bool:
    return re.fullmatch(pattern, path.partition("?")[0]) is not None


@contextlib.contextmanager
def running(folder: Path, settings: dict[str, Any], *arguments: str) -> Iterator[Mitmweb]:
    web = Mitmweb(folder, settings, *arguments)
    with web.gateway:
        web.gateway.output.wait_for("Web server listening")
        web.log_in()
        yield web
