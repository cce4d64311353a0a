"""The operators' page in mitmweb, at /livegate and behind mitmweb's own login; installed by AdminListener."""

import mimetypes
from typing import Any, override

from mitmproxy.tools.web.app import Application, AuthRequestHandler, RequestHandler

from livegate.admin.api import mounted
from livegate.admin.handlers import Read
from livegate.admin.live_feed import LiveFeed
from livegate.admin.server import ASSETS, HEADERS, LiveSocket
from livegate.admin.session_export import asset
from livegate.admin.state import GatewayState

PATH = "/livegate"


class MitmwebHandler(RequestHandler):
    """Handler behind mitmweb's login."""

    @override
    def set_default_headers(self) -> None:
        super().set_default_headers()  # type: ignore[no-untyped-call]
        for name, value in HEADERS.items():
            self.set_header(name, value)


class MitmwebPage(MitmwebHandler):
    """Files of the page."""

    @override
    def auth_fail(self, invalid_password: bool) -> None:
        self.render("login.html", invalid_password=invalid_password)

    def get(self, name: str | None) -> None:
        """Respond with a file. A slash is added to the path of the page, because its links are relative to it."""
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
        """Return to the page after mitmweb's login form, which is sent to the page's own address."""
        self.redirect(f"{PATH}/{name or ''}")


class MitmwebLiveSocket(LiveSocket, AuthRequestHandler):
    """Live feed. Tornado refuses other origins."""

    def initialize(self, live: LiveFeed) -> None:
        """Called by Tornado."""
        self.subscribe_to(live)

    @override
    def prepare(self) -> None:
        if self.live.is_full:
            self.set_status(503)
            self.finish()


def install(app: Application, state: GatewayState, live: LiveFeed) -> None:
    """Add the page to mitmweb. Commands are left out, because mitmweb has a token of its own."""
    arguments: dict[str, Any] = {"state": state}
    app.add_handlers(
        r".*",
        [
            (rf"{PATH}/api/v1/live", MitmwebLiveSocket, {"live": live}),
            *(rule for rule in mounted(MitmwebHandler, arguments, prefix=PATH, only=Read) if "/api/" in rule[0]),
            (rf"{PATH}(?:/(.*))?", MitmwebPage),
        ],
    )
