"""HTTP server of the admin listener: Tornado in a thread with its own event loop, so that no request delays a frame."""

import asyncio
import contextlib
import json
import logging
import mimetypes
import threading
from typing import Any, override

from tornado import iostream, web, websocket
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from livegate.admin.api import mounted
from livegate.admin.auth import COOKIE, AdminAuth
from livegate.admin.handlers import JsonHandler, json_bytes
from livegate.admin.live_feed import LiveFeed, Subscriber
from livegate.admin.session_export import MODULES, asset
from livegate.admin.state import GatewayState
from livegate.settings import Admin
from livegate.tasks import shorten_switch_interval

logger = logging.getLogger(__name__)

ASSETS = frozenset({"index.html", "app.css", "icon.svg", "openapi.json", *MODULES})
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Allows inline styles, because the apps' pages in the sandboxed frame have them."""
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with `no-referrer` a browser sends `Origin: null` with the login form
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
WRONG_HIDDEN, WRONG_SHOWN = b'<p id="wrong" role="alert" hidden>', b'<p id="wrong" role="alert">'
WRONG_TOKEN_DELAY_S = 0.5
"""Delay of the response to a wrong token, which slows down guessing."""
MAX_CONNECTIONS = 100
"""HTTP connections; further ones are closed at once. WebSockets of open pages have their own limit."""
MAX_BODY_BYTES = 64 * 1024
MAX_HEADER_BYTES = 32 * 1024
HEAD_TIMEOUT_S = 15.0
"""For the head of a request, and for an idle connection. Beyond, the connection is closed."""
BODY_TIMEOUT_S = 10.0
MAX_UNSENT_BYTES = 4 * 1024 * 1024
"""Unsent data of one open page. Beyond, it gets no updates until it has caught up."""
MAX_MESSAGE_BYTES = 4096
"""One message of an open page."""
START_TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 2.0


class AuthenticatedHandler(JsonHandler):
    """Handler that refuses cross-site requests and requests without the token."""

    navigates = False
    """Whether a link on another site may lead here."""

    def initialize(self, auth: AdminAuth, **more: Any) -> None:
        """Called by Tornado."""
        self.auth = auth
        super().initialize(**more)

    @override
    def set_default_headers(self) -> None:
        self.clear_header("Server")
        for name, value in HEADERS.items():
            self.set_header(name, value)

    @override
    async def prepare(self) -> None:
        request = self.request
        reason = self.auth.cross_site_reason(
            request.method or "", dict(request.headers.items()), navigates=self.navigates
        )
        if reason:
            self.refuse(403, reason)
        elif not self.auth.is_authenticated(request.headers.get("Authorization", ""), self.get_cookie(COOKIE) or ""):
            await self.unauthenticated()

    async def unauthenticated(self) -> None:
        """Respond to a request without the right token."""
        if "Authorization" in self.request.headers:
            await asyncio.sleep(WRONG_TOKEN_DELAY_S)
        self.set_header("WWW-Authenticate", 'Bearer realm="livegate"')
        self.refuse(401, "token required: Authorization: Bearer …")


class PageHandler(AuthenticatedHandler):
    """Files of the page, and its login."""

    navigates = True

    @override
    async def prepare(self) -> None:
        await super().prepare()
        if not self._finished and self.request.path == "/" and self.get_query_argument("token", ""):
            self.redirect("/", status=303)  # the browser is logged in already; remove the token from the address

    def get(self, name: str) -> None:
        name = name or "index.html"
        if name == "login":
            self.redirect("/", status=303)
            return
        if name not in ASSETS:
            self.refuse(404, "no such path")
            return
        self.set_header("Content-Type", mimetypes.guess_type(name)[0] or "application/octet-stream")
        self.finish(asset(name))

    head = get

    def post(self, name: str) -> None:
        if name == "login":
            self.redirect("/", status=303)
            return
        self.set_header("Allow", "GET, HEAD")
        self.refuse(405, "allowed here: GET, HEAD")

    @override
    async def unauthenticated(self) -> None:
        """Log a browser in, or respond with the login form. Its stylesheet needs no token."""
        request = self.request
        token = ""
        if request.path == "/login" and request.method == "POST":
            token = self.get_body_argument("token", "")
        elif request.path == "/":
            token = self.get_query_argument("token", "")
        elif request.path == "/app.css":
            return
        if token and self.auth.is_token(token):
            self.set_cookie(COOKIE, self.auth.cookie(), httponly=True, samesite="Strict", path="/")
            self.redirect("/", status=303)
            return
        if token:
            await asyncio.sleep(WRONG_TOKEN_DELAY_S)
        if request.path not in ("/", "/login"):
            await super().unauthenticated()
            return
        self.set_status(401)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        page = asset("login.html")
        await self.finish(page.replace(WRONG_HIDDEN, WRONG_SHOWN) if token else page)


class LiveSocket(websocket.WebSocketHandler):
    """WebSocket of an open page, on the admin listener or in mitmweb."""

    live: LiveFeed

    def subscribe_to(self, live: LiveFeed) -> None:
        """Set the feed. The page joins it when the WebSocket is open."""
        self.live = live
        self.subscriber = Subscriber(self._send, self._is_congested, self._close)
        self._unsent = 0

    @override
    def open(self, *args: str, **kwargs: str) -> None:
        self.live.join(self.subscriber)

    @override
    def on_message(self, message: str | bytes) -> None:
        if len(message) <= MAX_MESSAGE_BYTES:
            with contextlib.suppress(ValueError, RecursionError):
                self.live.on_message(self.subscriber, json.loads(message))

    @override
    def on_close(self) -> None:
        self.live.leave(self.subscriber)

    def _send(self, message: dict[str, Any]) -> None:
        text = json_bytes(message).decode()
        try:
            sent = self.write_message(text)
        except websocket.WebSocketClosedError:
            return
        self._unsent += len(text)

        def on_sent(future: asyncio.Future[None]) -> None:
            self._unsent -= len(text)
            if not future.cancelled():
                future.exception()  # retrieved, so that asyncio does not log it; `on_close` is called as well

        sent.add_done_callback(on_sent)

    def _is_congested(self) -> bool:
        return self._unsent > MAX_UNSENT_BYTES

    def _close(self) -> None:
        self.close(1012, "the admin listener is stopping")


class LiveHandler(LiveSocket, AuthenticatedHandler):
    """Live feed on the admin listener."""

    def initialize(self, auth: AdminAuth, **more: Any) -> None:
        """Called by Tornado."""
        self.subscribe_to(more.pop("live"))
        super().initialize(auth)

    @override
    def check_origin(self, origin: str) -> bool:
        return True  # `prepare` checks it

    @override
    async def prepare(self) -> None:
        await super().prepare()
        if not self._finished and self.live.is_full:
            self.refuse(503, "too many open pages")


def application(auth: AdminAuth, state: GatewayState, live: LiveFeed) -> web.Application:
    """Return the Tornado application of the listener."""
    return web.Application(
        [
            (r"/api/v1/live", LiveHandler, {"auth": auth, "live": live}),
            *mounted(AuthenticatedHandler, {"auth": auth, "state": state}),
            (r"/(.*)", PageHandler, {"auth": auth}),
        ],
        websocket_ping_interval=30,
        websocket_max_message_size=MAX_MESSAGE_BYTES,
        log_function=lambda _: None,
    )


class BoundedServer(HTTPServer):
    """HTTP server with a limit of connections, because each takes a file descriptor of the gateway."""

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
    """Thread that serves the admin listener."""

    def __init__(self, settings: Admin, state: GatewayState) -> None:
        self.settings = settings
        self._state = state
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._serving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="livegate admin", daemon=True)

    def start(self) -> None:
        """Start to listen; blocks, because it may resolve a name. Raises OSError."""
        listen = self.settings.listen
        self._sockets = bind_sockets(listen.port, listen.host or None)
        shorten_switch_interval()
        self._thread.start()
        self._serving.wait(START_TIMEOUT_S)

    def stop(self) -> None:
        """Stop the thread, and wait for that for two seconds."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                loop.call_soon_threadsafe(self._stop.set)
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception:
            logger.exception("the admin listener failed")
        finally:
            for each in self._sockets:
                each.close()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        live = LiveFeed(self._state)
        server = BoundedServer(
            application(AdminAuth(self.settings), self._state, live),
            max_body_size=MAX_BODY_BYTES,
            max_header_size=MAX_HEADER_BYTES,
            idle_connection_timeout=HEAD_TIMEOUT_S,
            body_timeout=BODY_TIMEOUT_S,
        )
        server.add_sockets(self._sockets)
        self._serving.set()
        await self._stop.wait()
        server.stop()
        await server.close_all_connections()
        await live.close()
