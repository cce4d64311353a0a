"""The smallest addon that makes plain mitmdump a proxy for the backend: what every addon of one's own starts from."""

import os

from mitmproxy import http

HTTP_PORT = int(os.environ["BENCH_HTTP_PORT"])
WEBSOCKET_PORT = int(os.environ["BENCH_WEBSOCKET_PORT"])


def requestheaders(flow: http.HTTPFlow) -> None:
    flow.request.host = "127.0.0.1"
    flow.request.port = WEBSOCKET_PORT if flow.request.path == "/websocket" else HTTP_PORT
