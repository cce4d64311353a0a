"""HTTP client of the admin API, served on the test's own event loop."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from gateway_parts import Parts
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders
from tornado.netutil import bind_sockets

from livegate.admin.auth import AdminAuth
from livegate.admin.live_feed import LiveFeed
from livegate.admin.server import application
from livegate.settings import Admin


@dataclass
class Response:
    status: int
    headers: HTTPHeaders
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class AdminClient:
    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._client = AsyncHTTPClient(force_instance=True)

    async def __call__(self, method: str, path: str, query: str = "", body: bytes = b"", kind: str = "") -> Response:
        response = await self._client.fetch(
            f"{self._url}{path}{'?' if query else ''}{query}",
            raise_error=False,
            follow_redirects=False,
            allow_nonstandard_methods=True,
            method=method,
            body=body or None,
            headers={"Content-Type": kind} if kind else {},
        )
        return Response(response.code, response.headers, response.body)


@pytest.fixture
async def api(parts: Parts) -> AsyncIterator[AdminClient]:
    (sock,) = bind_sockets(0, "127.0.0.1")
    server = HTTPServer(application(AdminAuth(Admin()), parts.state, LiveFeed(parts.state)))
    server.add_sockets([sock])
    yield AdminClient(sock.getsockname()[1])
    server.stop()
    await server.close_all_connections()
