"""mitmweb's comment column is as wide as a socket's comment needs."""

from pathlib import Path

import mitmproxy.tools.web
from mitmproxy import options
from mitmproxy.tools.web.master import WebMaster
from tornado.httpserver import HTTPServer
from tornado.simple_httpclient import SimpleAsyncHTTPClient
from tornado.testing import bind_unused_port

from livegate.mitm import comment_column

STATIC = Path(mitmproxy.tools.web.__path__[0]) / "static"


def test_this_mitmproxy_has_one_stylesheet_that_sets_the_columns_width() -> None:
    assert len(comment_column.stylesheets(STATIC)) == 1


async def test_the_stylesheet_has_a_wider_column_and_other_files_are_unchanged() -> None:
    master = WebMaster(options.Options(), with_termlog=False)
    comment_column.widen(master)
    socket, port = bind_unused_port()
    server = HTTPServer(master.app)
    server.add_socket(socket)
    client = SimpleAsyncHTTPClient(force_instance=True)
    (sheet,) = comment_column.stylesheets(STATIC)
    found = await client.fetch(f"http://127.0.0.1:{port}/static/{sheet.name}")
    assert found.body == sheet.read_bytes() + comment_column.WIDER_RULE
    assert found.headers["Content-Type"] == "text/css"
    icon = await client.fetch(f"http://127.0.0.1:{port}/static/favicon.ico")
    assert icon.body == (STATIC / "favicon.ico").read_bytes()
    client.close()
    server.stop()


def test_without_mitmweb_nothing_happens() -> None:
    comment_column.widen(object())
