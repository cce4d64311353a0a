"""The admin listener: Tornado in a thread with an event loop of its own, so that no question holds up a frame."""

import asyncio
import contextlib
import json
import logging
import mimetypes
import sys
import threading
from typing import Any, override

from tornado import web, websocket
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from livegate.inspect.frame_log import SWITCH_INTERVAL_S
from livegate.operate.api import MAX_BODY_BYTES, Answer, Api, dumped
from livegate.operate.desk import Desk
from livegate.operate.export import MODULES, asset
from livegate.operate.gatekeeper import COOKIE, Gatekeeper
from livegate.operate.live import Live, Viewer
from livegate.settings import Admin

logger = logging.getLogger(__name__)

ASSETS = frozenset({"index.html", "app.css", "icon.svg", "openapi.json", *MODULES})
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Styles may stand in elements: the pages of apps, shown in a sandboxed frame, have them there."""
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
WRONG_TOKEN_S = 0.5
"""How long a wrong token waits for its answer."""
START_WITHIN_S = 5.0


class Guarded(web.RequestHandler):
    """What all handlers have in common: who may ask, and which fields an answer has."""

    navigates = False

    def initialize(self, keeper: Gatekeeper, api: Api, live: Live) -> None:
        self.keeper, self.api, self.live = keeper, api, live

    @override
    def set_default_headers(self) -> None:
        self.clear_header("Server")
        for name, value in HEADERS.items():
            self.set_header(name, value)

    @override
    async def prepare(self) -> None:
        request = self.request
        why = self.keeper.stranger(request.method or "", dict(request.headers.items()), navigates=self.navigates)
        if why:
            self.refuse(403, why)
            return
        cookie = self.get_cookie(COOKIE) or ""
        if not self.keeper.knows(request.headers.get("Authorization", ""), cookie):
            await self.stranger()

    async def stranger(self) -> None:
        """No token, or a wrong one."""
        if "Authorization" in self.request.headers:
            await asyncio.sleep(WRONG_TOKEN_S)
        self.set_header("WWW-Authenticate", 'Bearer realm="livegate"')
        self.refuse(401, "a token is needed: Authorization: Bearer …")

    def refuse(self, status: int, why: str) -> None:
        """Answer with an error."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(dumped({"error": why}))

    @override
    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.refuse(status_code, "the admin listener failed at this" if status_code >= 500 else self._reason)  # noqa: PLR2004

    @override
    def log_exception(self, *args: Any) -> None:
        error = args[1]
        if not isinstance(error, web.HTTPError):
            logger.error("the admin listener failed at %s: %s", self.request.path[:200], error, exc_info=error)


class ApiHandler(Guarded):
    """Everything that the API knows."""

    async def get(self) -> None:
        await self._answer()

    async def head(self) -> None:
        await self._answer()

    async def post(self) -> None:
        await self._answer()

    async def _answer(self) -> None:
        request = self.request
        found: Answer = await self.api.answer(request.method or "", request.path, request.query, request.body)
        self.set_status(found.status)
        self.set_header("Content-Type", found.content_type)
        for name, value in found.headers.items():
            self.set_header(name, value)
        await self.finish(found.body if request.method != "HEAD" else b"")


class PageHandler(Guarded):
    """The page and its parts."""

    navigates = True

    @override
    async def prepare(self) -> None:
        token = self.get_query_argument("token", "")
        if token and self.keeper.is_token(token) and self.request.path == "/":
            self._admit()
            return
        await super().prepare()

    def get(self, name: str) -> None:
        name = name or "index.html"
        if name not in ASSETS:
            self.refuse(404, "there is nothing here")
            return
        self.set_header("Content-Type", mimetypes.guess_type(name)[0] or "application/octet-stream")
        self.finish(asset(name))

    async def post(self, name: str) -> None:
        if name != "login":
            self.refuse(405, "the page is only read")

    @override
    async def stranger(self) -> None:
        """People get a page that asks for the token."""
        if self.request.path == "/login" and self.request.method == "POST":
            if self.keeper.is_token(self.get_body_argument("token", "")):
                self._admit()
                return
            await asyncio.sleep(WRONG_TOKEN_S)
        elif self.request.path == "/app.css":
            return
        if self.request.path not in ("/", "/login"):
            await super().stranger()
            return
        self.set_status(401)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        await self.finish(asset("login.html"))

    def _admit(self) -> None:
        self.set_cookie(COOKIE, self.keeper.cookie(), httponly=True, samesite="Strict", path="/")
        self.redirect("/", status=303)


class LiveHandler(websocket.WebSocketHandler):
    """What open pages are told."""

    def initialize(self, keeper: Gatekeeper, api: Api, live: Live) -> None:
        del api
        self.keeper, self.live = keeper, live
        self.viewer = Viewer(self._send)

    @override
    def check_origin(self, origin: str) -> bool:
        return True  # judged in `prepare`, with all else

    @override
    def prepare(self) -> None:
        headers = dict(self.request.headers.items())
        why = self.keeper.stranger(self.request.method or "", headers, navigates=False)
        known = self.keeper.knows(headers.get("Authorization", ""), self.get_cookie(COOKIE) or "")
        if why or not known:
            self.set_status(403 if why else 401)
            self.finish(dumped({"error": why or "a token is needed"}))

    @override
    def open(self, *args: str, **kwargs: str) -> None:
        self.live.join(self.viewer)

    @override
    def on_message(self, message: str | bytes) -> None:
        with contextlib.suppress(ValueError):
            self.live.said(self.viewer, json.loads(message))

    @override
    def on_close(self) -> None:
        self.live.leave(self.viewer)

    def _send(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(websocket.WebSocketClosedError):
            self.write_message(dumped(message).decode())


def application(keeper: Gatekeeper, api: Api, live: Live) -> web.Application:
    """The listener's paths."""
    shared = {"keeper": keeper, "api": api, "live": live}
    return web.Application(
        [
            (r"/api/v1/live", LiveHandler, shared),
            (r"/(?:api/.*|metrics|healthz|readyz|version)", ApiHandler, shared),
            (r"/(.*)", PageHandler, shared),
        ],
        websocket_ping_interval=30,
        websocket_max_message_size=4096,
        log_function=lambda _: None,
    )


class AdminServer:
    """A thread that listens for operators."""

    def __init__(self, settings: Admin, desk: Desk) -> None:
        self.settings = settings
        self._desk = desk
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="livegate admin", daemon=True)

    def start(self) -> None:
        """Begin to listen. Raises OSError when that cannot be."""
        listen = self.settings.listen
        self._sockets = bind_sockets(listen.port, listen.host or None)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for it for two seconds."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(2)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        api = Api(self._desk)
        paths = application(Gatekeeper(self.settings), api, Live(self._desk, api))
        server = HTTPServer(paths, max_body_size=MAX_BODY_BYTES, max_header_size=32 * 1024, idle_connection_timeout=60)
        server.add_sockets(self._sockets)
        await self._stop.wait()
        server.stop()
        await server.close_all_connections()
