"""The operators' page inside mitmweb, at /livegate and behind mitmweb's own login; wired up by AdminListener."""

import json
import mimetypes
from typing import Any, override

from mitmproxy.tools.web.app import Application, AuthRequestHandler, RequestHandler
from tornado import websocket

from livegate.operate.api import MAX_BODY_BYTES, Api, dumped
from livegate.operate.export import asset
from livegate.operate.live import Live, Viewer
from livegate.operate.server import ASSETS, HEADERS

PATH = "/livegate"


class PageInMitmweb(RequestHandler):
    """The page and its parts."""

    @override
    def set_default_headers(self) -> None:
        super().set_default_headers()  # type: ignore[no-untyped-call]
        for name, value in HEADERS.items():
            self.set_header(name, value)

    @override
    def auth_fail(self, invalid_password: bool) -> None:
        self.render("login.html", invalid_password=invalid_password)

    def get(self, name: str | None) -> None:
        """Of the page; without the slash at its end its parts would not be found."""
        if name is None:
            self.redirect(f"{PATH}/")
            return
        name = name or "index.html"
        if name not in ASSETS:
            self.set_status(404)
            return
        self.set_header("Content-Type", mimetypes.guess_type(name)[0] or "application/octet-stream")
        self.finish(asset(name))

    def post(self, name: str | None) -> None:
        """Mitmweb's login form comes back here."""
        self.redirect(f"{PATH}/{name or ''}")


class ApiInMitmweb(RequestHandler):
    """What the page asks for; nothing can be changed here."""

    def initialize(self, api: Api) -> None:
        """Called by Tornado."""
        self.api = api

    @override
    def set_default_headers(self) -> None:
        super().set_default_headers()  # type: ignore[no-untyped-call]
        for name, value in HEADERS.items():
            self.set_header(name, value)

    async def get(self, path: str) -> None:
        """As the admin listener answers it."""
        found = await self.api.answer("GET", path, self.request.query)
        self.set_status(found.status)
        self.set_header("Content-Type", found.content_type)
        for name, value in found.headers.items():
            self.set_header(name, value)
        await self.finish(found.body)


class LiveInMitmweb(websocket.WebSocketHandler, AuthRequestHandler):
    """What open pages are told."""

    def initialize(self, live: Live) -> None:
        """Called by Tornado."""
        self.live = live
        self.viewer = Viewer(self._send)

    @override
    def open(self, *args: str, **kwargs: str) -> None:
        self.live.join(self.viewer)

    @override
    def on_message(self, message: str | bytes) -> None:
        if len(message) <= MAX_BODY_BYTES:
            try:
                said = json.loads(message)
            except (ValueError, RecursionError):
                return
            self.live.said(self.viewer, said)

    @override
    def on_close(self) -> None:
        self.live.leave(self.viewer)

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self.write_message(dumped(message).decode())
        except websocket.WebSocketClosedError:
            self.live.leave(self.viewer)


def install(app: Application, api: Api, live: Live) -> None:
    """Add the page to mitmweb's paths."""
    app.add_handlers(
        r".*",
        [
            (rf"{PATH}/api/v1/live", LiveInMitmweb, {"live": live}),
            (rf"{PATH}(/api/.*)", ApiInMitmweb, {"api": api}),
            (rf"{PATH}(?:/(.*))?", PageInMitmweb),
        ],
    )
