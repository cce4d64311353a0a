"""The configuration files that the proxies are started with."""

import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from .processes import Ports

WEBSOCKET_PATH = "/websocket"
WEBSOCKET_HOST = "websocket.test"
"""Host of the WebSocket requests; HTTP requests have the address itself. Path and Host both say which backend it is."""
LIVEVIEW_HOST = "liveview.test"
MAX_CONNECTIONS = 5000

NGINX = """\
daemon off;
worker_processes 1;
error_log stderr error;
pid {folder}/nginx.pid;
{user}
events {{ worker_connections {both_sides}; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 100000000;
    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_read_timeout 1h;
    upstream http_backend {{ server 127.0.0.1:{http}; keepalive 64; keepalive_requests 100000000; }}
    upstream websocket_backend {{ server 127.0.0.1:{websocket}; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://http_backend;
            proxy_set_header Connection "";
        }}
        location = {path} {{
            proxy_pass http://websocket_backend;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
        }}
    }}
}}
"""

HAPROXY = """\
global
    nbthread 1
    maxconn {connections}
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    timeout tunnel 1h
    http-reuse always
frontend bench
    bind 127.0.0.1:{port} backlog 4096
    use_backend websocket_backend if {{ path {path} }}
    default_backend http_backend
backend http_backend
    server one 127.0.0.1:{http}
backend websocket_backend
    server one 127.0.0.1:{websocket}
"""


def write_nginx(folder: Path, port: int, backend: Ports) -> Path:
    """One worker, backend connections kept alive, no access log."""
    user = "user root;" if os.geteuid() == 0 else ""
    return _write(folder / "nginx.conf", NGINX, folder=folder, user=user, port=port, backend=backend)


def write_haproxy(folder: Path, port: int, backend: Ports) -> Path:
    """One thread, backend connections kept alive, no log."""
    return _write(folder / "haproxy.cfg", HAPROXY, port=port, backend=backend)


def _write(file: Path, template: str, *, port: int, backend: Ports, **values: Any) -> Path:
    file.write_text(
        template.format(
            port=port,
            http=backend.http,
            websocket=backend.websocket,
            path=WEBSOCKET_PATH,
            connections=MAX_CONNECTIONS,
            both_sides=2 * MAX_CONNECTIONS,
            **values,
        )
    )
    return file


def write_livegate(folder: Path, port: int, backend: Ports, livegate: Path, **more: Any) -> Path:
    """Settings without rate limits, and with as many sockets per client as are opened here."""
    settings = {
        "listen": f"127.0.0.1:{port}",
        "services": {
            WEBSOCKET_HOST: f"http://127.0.0.1:{backend.websocket}",
            LIVEVIEW_HOST: f"http://127.0.0.1:{backend.liveview}",
            "default": f"http://127.0.0.1:{backend.http}",
        },
        **_unlimited(livegate),
        **more,
    }
    file = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(settings))
    return file


@cache
def _unlimited(livegate: Path) -> dict[str, Any]:
    """The settings that lift livegate's limits, as far as this version of it (the command `livegate`) knows them."""
    settings: dict[str, Any] = {"services": {"default": "http://127.0.0.1:9"}}
    limits: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "gateway.yaml"
        for limit in (
            {"rate_limit": {"user": None, "ip": None}},
            {"websocket": {"max_connections": {"per_client": MAX_CONNECTIONS}}},
        ):
            file.write_text(yaml.safe_dump({**settings, **limit}))
            checked = subprocess.run([str(livegate), "check", str(file)], capture_output=True, timeout=30, check=False)
            if checked.returncode == 0:
                limits |= limit
    return limits
