"""Makes live flows and settings for unit tests of the pipeline."""

from typing import Any

import yaml
from mitmproxy import http
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import tflow

from livegate.pipeline.exchange.record import Exchange, start_exchange
from livegate.settings import Settings
from livegate.settings.load import load_settings

REVERSE = ProxyMode.parse("reverse:http://livegate.invalid:1")


def settings(tmp_path: Any, **given: Any) -> Settings:
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump({"services": {"app.test": "http://127.0.0.1:4000"}, **given}))
    return load_settings(file, {})


def flow(
    *fields: tuple[str, str],
    method: str = "GET",
    path: str = "/",
    host: str | None = "app.test",
    peer: str = "192.0.2.1",
    version: str = "HTTP/1.1",
) -> http.HTTPFlow:
    """A live flow as the gateway gets it, before any hook."""
    made = tflow.tflow(resp=False)
    headers = [(b"Host", host.encode())] if host is not None else []
    headers += [(name.encode(), value.encode("latin-1")) for name, value in fields]
    made.request = http.Request(
        host="livegate.invalid",
        port=1,
        method=method.encode(),
        scheme=b"http",
        authority=b"",
        path=path.encode(),
        http_version=version.encode(),
        headers=http.Headers(headers),
        content=None,
        trailers=None,
        timestamp_start=0,
        timestamp_end=None,
    )
    made.client_conn.peername = (peer, 50000)
    made.client_conn.proxy_mode = REVERSE
    made.client_conn.tls = False
    made.live = True
    made.error = None
    return made


def begun(made: http.HTTPFlow, with_settings: Settings, *, host: str = "app.test") -> Exchange:
    """The flow's record, as the guard leaves it."""
    exchange = start_exchange(made, with_settings)
    exchange.authority = host
    exchange.service = with_settings.routes.match(host.partition(":")[0])
    return exchange


__all__ = ["begun", "flow", "settings"]
