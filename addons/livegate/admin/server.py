"""The admin listener: Tornado in a thread with an event loop of its own, so that no question holds up a frame."""

import asyncio
import contextlib
import json
import logging
import mimetypes
import sys
import threading
from typing import Any, override

from tornado import httputil, iostream, web, websocket
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from livegate.admin.api import MAX_BODY_BYTES, Answer, Api
from livegate.admin.auth import COOKIE, Gatekeeper
from livegate.admin.export import MODULES, asset
from livegate.admin.live_feed import Live, Viewer
from livegate.admin.state import GatewayState
from livegate.inspect.frame_log.writer import SWITCH_INTERVAL_S
from livegate.lenient_json import json_bytes
from livegate.redaction.printable import printable
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
    "Referrer-Policy": "same-origin",  # with `no-referrer` a browser sends `Origin: null` with the login form
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
WRONG_HIDDEN, WRONG_SHOWN = b'<p id="wrong" role="alert" hidden>', b'<p id="wrong" role="alert">'
WRONG_TOKEN_S = 0.5
"""How long a wrong token waits for its answer."""
MAX_CONNECTIONS = 100
"""Of HTTP; open pages are counted apart."""
HEAD_WITHIN_S = 15.0
"""The time for the head of a request, and for which an idle connection is kept."""
BODY_WITHIN_S = 10.0
MAX_UNSENT_BYTES = 4 * 1024 * 1024
"""To an open page; one that is further behind is told nothing more until it has caught up."""
MAX_SAID_BYTES = 4096
"""By an open page, at a time."""
START_WITHIN_S = 5.0
END_WITHIN_S = 2.0


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
    def compute_etag(self) -> None:
        """Nothing is to be cached."""

    @override
    async def prepare(self) -> None:
        why = stranger_of(self.keeper, self.request, navigates=self.navigates)
        if why:
            self.refuse(403, why)
        elif not self.keeper.knows(self.request.headers.get("Authorization", ""), self.get_cookie(COOKIE) or ""):
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
        self.finish(json_bytes({"error": why}))

    @override
    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.refuse(status_code, "the admin listener failed at this" if status_code >= 500 else self._reason)  # noqa: PLR2004

    @override
    def log_exception(self, *args: Any) -> None:
        error = args[1]
        if not isinstance(error, web.HTTPError):
            logger.error("the admin listener failed at %s", printable(self.request.path, 200), exc_info=error)


class ApiHandler(Guarded):
    """Everything that the API knows."""

    async def _answer(self) -> None:
        request = self.request
        kind = request.headers.get("Content-Type", "")
        found: Answer = await self.api.answer(request.method or "", request.path, request.query, request.body, kind)
        self.set_status(found.status)
        self.set_header("Content-Type", found.content_type)
        for name, value in found.headers.items():
            self.set_header(name, value)
        await self.finish(found.body)

    get = head = post = put = patch = delete = options = _answer


class PageHandler(Guarded):
    """The page and its parts."""

    navigates = True

    @override
    async def prepare(self) -> None:
        await super().prepare()
        if not self._finished and self.request.path == "/" and self.get_query_argument("token", ""):
            self.redirect("/", status=303)  # known already: the token need not stay in the address

    def get(self, name: str) -> None:
        name = name or "index.html"
        if name == "login":
            self.redirect("/", status=303)
            return
        if name not in ASSETS:
            self.refuse(404, "there is nothing here")
            return
        self.set_header("Content-Type", mimetypes.guess_type(name)[0] or "application/octet-stream")
        self.finish(asset(name))

    head = get

    def post(self, name: str) -> None:
        if name == "login":
            self.redirect("/", status=303)
            return
        self.set_header("Allow", "GET, HEAD")
        self.refuse(405, "the page is only read")

    @override
    async def stranger(self) -> None:
        """People get a page that asks for the token."""
        request = self.request
        given = ""
        if request.path == "/login" and request.method == "POST":
            given = self.get_body_argument("token", "")
        elif request.path == "/":
            given = self.get_query_argument("token", "")
        elif request.path == "/app.css":
            return
        if given and self.keeper.is_token(given):
            self._admit()
            return
        if given:
            await asyncio.sleep(WRONG_TOKEN_S)
        if request.path not in ("/", "/login"):
            await super().stranger()
            return
        self.set_status(401)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        page = asset("login.html")
        await self.finish(page.replace(WRONG_HIDDEN, WRONG_SHOWN) if given else page)

    def _admit(self) -> None:
        self.set_cookie(COOKIE, self.keeper.cookie(), httponly=True, samesite="Strict", path="/")
        self.redirect("/", status=303)


class OpenPage(websocket.WebSocketHandler):
    """The socket of an open page, wherever it is served."""

    live: Live

    def begin(self, live: Live) -> None:
        """Called at first; nothing is told before the socket is open."""
        self.live = live
        self.viewer = Viewer(self._send, self._is_behind, self._end)
        self._unsent = 0

    @override
    def open(self, *args: str, **kwargs: str) -> None:
        self.live.join(self.viewer)

    @override
    def on_message(self, message: str | bytes) -> None:
        if len(message) <= MAX_SAID_BYTES:
            with contextlib.suppress(ValueError, RecursionError):
                self.live.said(self.viewer, json.loads(message))

    @override
    def on_close(self) -> None:
        self.live.leave(self.viewer)

    def _send(self, message: dict[str, Any]) -> None:
        text = json_bytes(message).decode()
        try:
            sent = self.write_message(text)
        except websocket.WebSocketClosedError:
            return
        self._unsent += len(text)

        def taken(future: asyncio.Future[None]) -> None:
            self._unsent -= len(text)
            if not future.cancelled():
                future.exception()  # it has closed: `on_close` tells

        sent.add_done_callback(taken)

    def _is_behind(self) -> bool:
        return self._unsent > MAX_UNSENT_BYTES

    def _end(self) -> None:
        self.close(1012, "the admin listener ends")


class LiveHandler(OpenPage):
    """What open pages are told."""

    def initialize(self, keeper: Gatekeeper, api: Api, live: Live) -> None:
        del api
        self.keeper = keeper
        self.begin(live)

    @override
    def set_default_headers(self) -> None:
        self.clear_header("Server")

    @override
    def check_origin(self, origin: str) -> bool:
        return True  # judged in `prepare`, with all else

    @override
    async def prepare(self) -> None:
        authorization = self.request.headers.get("Authorization", "")
        why = stranger_of(self.keeper, self.request, navigates=False)
        if why:
            self._refuse(403, why)
        elif not self.keeper.knows(authorization, self.get_cookie(COOKIE) or ""):
            if authorization:
                await asyncio.sleep(WRONG_TOKEN_S)
            self._refuse(401, "a token is needed")
        elif self.live.is_full:
            self._refuse(503, "too many pages are open")

    def _refuse(self, status: int, why: str) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json_bytes({"error": why}))


def stranger_of(keeper: Gatekeeper, request: httputil.HTTPServerRequest, *, navigates: bool) -> str:
    """See `Gatekeeper.stranger`."""
    return keeper.stranger(request.method or "", dict(request.headers.items()), navigates=navigates)


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
        websocket_max_message_size=MAX_SAID_BYTES,
        log_function=lambda _: None,
    )


class BoundedServer(HTTPServer):
    """Takes so many connections and no more, so that strangers cannot use up the gateway's files."""

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        super().initialize(*args, **kwargs)
        self._count = 0

    @override
    def handle_stream(self, stream: iostream.IOStream, address: Any) -> None:
        if self._count >= MAX_CONNECTIONS:
            stream.close()
            return
        self._count += 1
        super().handle_stream(stream, address)

    @override
    def on_close(self, server_conn: object) -> None:
        self._count -= 1
        super().on_close(server_conn)


class AdminServer:
    """A thread that listens for operators."""

    def __init__(self, settings: Admin, state: GatewayState) -> None:
        self.settings = settings
        self._state = state
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._serving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="livegate admin", daemon=True)

    def start(self) -> None:
        """Begin to listen; may look up a name. Raises OSError when that cannot be."""
        listen = self.settings.listen
        self._sockets = bind_sockets(listen.port, listen.host or None)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._thread.start()
        self._serving.wait(START_WITHIN_S)

    def stop(self) -> None:
        """End, and wait for it for two seconds."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(self._stop.set)
        if self._thread.is_alive():
            self._thread.join(END_WITHIN_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception:
            logger.exception("the admin listener has ended")
        finally:
            for each in self._sockets:
                each.close()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        api = Api(self._state)
        live = Live(self._state, api)
        server = BoundedServer(
            application(Gatekeeper(self.settings), api, live),
            max_body_size=MAX_BODY_BYTES,
            max_header_size=32 * 1024,
            idle_connection_timeout=HEAD_WITHIN_S,
            body_timeout=BODY_WITHIN_S,
        )
        server.add_sockets(self._sockets)
        self._serving.set()
        await self._stop.wait()
        server.stop()
        await server.close_all_connections()
        await live.end()
