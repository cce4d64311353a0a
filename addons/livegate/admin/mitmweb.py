"""The operators' page inside mitmweb, at /livegate and behind mitmweb's own login; wired up by AdminListener."""

import mimetypes
from typing import override

from mitmproxy.tools.web.app import Application, AuthRequestHandler, RequestHandler

from livegate.admin.api import Api
from livegate.admin.export import asset
from livegate.admin.live_feed import Live
from livegate.admin.server import ASSETS, HEADERS, OpenPage

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


class LiveInMitmweb(OpenPage, AuthRequestHandler):
    """What open pages are told; a page of another origin is refused by Tornado."""

    def initialize(self, live: Live) -> None:
        """Called by Tornado."""
        self.begin(live)

    @override
    def prepare(self) -> None:
        if self.live.is_full:
            self.set_status(503)
            self.finish()


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
