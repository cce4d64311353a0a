"""Operators' page in mitmweb: behind mitmweb's login, and without commands."""

from collections.abc import AsyncIterator

import pytest
from admin_client import AdminClient
from gateway_parts import Parts
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from livegate.admin import mitmweb
from livegate.admin.api import RESOURCES
from livegate.admin.handlers import Read
from livegate.admin.live_feed import LiveFeed

TOKEN = "mitmwebs-token"
PATHS = [path for group in RESOURCES.values() for path in group if path.startswith("/api/")]


@pytest.fixture
async def mitmweb_api(parts: Parts) -> AsyncIterator[AdminClient]:
    app = web.Application(
        cookie_secret="secret",
        is_valid_password=lambda given: given == TOKEN,
        auth_cookie_name=lambda: "mitmproxy-auth",
    )
    mitmweb.install(app, parts.state, LiveFeed(parts.state))
    (sock,) = bind_sockets(0, "127.0.0.1")
    server = HTTPServer(app)
    server.add_sockets([sock])
    yield AdminClient(sock.getsockname()[1])
    server.stop()
    await server.close_all_connections()


@pytest.mark.parametrize("path", [*PATHS, "/api/nothing", "/api/v1/sessions/1/dress"])
async def test_nothing_is_readable_without_mitmwebs_token(mitmweb_api: AdminClient, path: str) -> None:
    place = f"/livegate{path.format(number=1, frame=0, id='x')}"
    for method in ("GET", "HEAD"):
        response = await mitmweb_api(method, place)
        assert (response.status, response.body) == (403, b""), method
    assert (await mitmweb_api("POST", place)).status in (403, 405)
    assert (await mitmweb_api("GET", place, "token=wrong")).status == 403


async def test_with_the_token_there_is_everything_but_commands(mitmweb_api: AdminClient) -> None:
    readable = {path for group in RESOURCES.values() for path, each in group.items() if issubclass(each, Read)}
    for path in PATHS:
        response = await mitmweb_api("GET", f"/livegate{path.format(number=1, frame=0, id='x')}", f"token={TOKEN}")
        assert response.status in ((200, 404) if "{" in path else (200,)) if path in readable else (404,), path
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert (await mitmweb_api("POST", "/livegate/api/v1/drain", f"token={TOKEN}")).status == 404
    assert (await mitmweb_api("GET", "/livegate/metrics", f"token={TOKEN}")).status == 404
