"""The admin listener of the real process: its responses, its commands and its protection."""

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import jsonschema
import pytest
from backends import Backend
from gateway_process import MITMDUMP, TIMEOUT_S, Gateway, eventually, free_port, status_of
from tabs import Tab
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_sync

from livegate.demo.processes import DemoProcesses

TOKEN = "an-operators-token-0123"
KNOWN = {"Authorization": f"Bearer {TOKEN}"}
MANY = {"user": None, "ip": None}
CANARY = "CANARYcanary0123456789"
LIVEGATE = MITMDUMP.with_name("livegate")
OPENAPI = Path(__file__).parents[2] / "addons" / "livegate" / "admin" / "page" / "openapi.json"
UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


class Response(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Admin:
    """Client of a gateway's admin listener."""

    def __init__(self, port: int, *, known: bool = False) -> None:
        self.port = port
        self.headers = KNOWN if known else {}

    def __call__(self, path: str, method: str = "GET", body: Any = None, /, **headers: str) -> Response:
        sent: dict[str, str] = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if body is not None and not isinstance(body, bytes):
            sent, body = {"Content-Type": "application/json", **sent}, json.dumps(body).encode()
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        try:
            conn.request(method, path, body, sent)
            response = conn.getresponse()
            return Response(response.status, response.headers, response.read())
        finally:
            conn.close()


def opened_socket(port: int, path: str = "/ws") -> ClientConnection:
    return connect_sync(f"ws://a.test{path}", sock=socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S))


def drain(live: ClientConnection) -> None:
    """Read until it ends."""
    while True:
        live.recv(TIMEOUT_S)


def with_admin(folder: Path, services: dict[str, Any], admin: dict[str, Any] | None = None, **more: Any) -> Gateway:
    section = {"listen": f"127.0.0.1:{free_port()}", **(admin or {})}
    gateway = Gateway(folder, {"services": services, "rate_limit": MANY, "admin": section, **more})
    gateway.admin_port = int(section["listen"].rpartition(":")[2])  # type: ignore[attr-defined]
    return gateway


def admin_of(gateway: Gateway, *, known: bool = False) -> Admin:
    gateway.output.wait_for("admin listener on")
    return Admin(gateway.admin_port, known=known)  # type: ignore[attr-defined]


# One gateway with LiveView sessions, their faults, and secrets in everything that a client can send


class Staging(NamedTuple):
    gateway: Gateway
    admin: Admin


async def _traffic(port: int) -> None:
    token = f"SFMyNTY.{CANARY}.{CANARY}"
    tab, other, broken = (Tab(port, "live.localhost", path) for path in ("/count", "/form", "/slow"))
    async with tab, other, broken:
        await tab.open()
        await tab.event("inc")
        await tab.event(f"Bearer {CANARY}", {"password": CANARY, "url": f"/x?token={CANARY}"})
        await tab.heartbeat()
        await other.open()
        await other.event("save", f"user%5Bpassword%5D={CANARY}&name=zed&_csrf_token={CANARY}", "form")
        await broken.open()
        await broken.crash()
        await tab.close(4000, token)
        await other.close()
        await broken.close()
    cookies = {"Cookie": f"_app_key={token}; session={CANARY}", "Authorization": f"Bearer {CANARY}"}
    async with connect(
        f"ws://echo.localhost/ws?token={CANARY}&code={CANARY}",
        additional_headers=cookies,
        host="127.0.0.1",
        port=port,
    ) as client:
        await client.send(json.dumps({"password": CANARY}))
        await client.recv()
        await client.close(4001, f"token={CANARY}")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for head in (
        f"GET /reset/{CANARY * 2}?token={CANARY} HTTP/1.1\r\nHost: unknown.test\r\nX-Api-Key: {CANARY}\r\n\r\n",
        f"GET /live/websocket?_csrf_token={CANARY} HTTP/1.1\r\nHost: down.test\r\n{UPGRADE}\r\n",
    ):
        writer.write(head.encode())
        await reader.readuntil(b"\r\n\r\n")
    writer.close()


@pytest.fixture(scope="module")
def staging(demo: DemoProcesses, folder: Path) -> Iterator[Staging]:
    services = {
        "live.localhost": demo.live_url,
        "echo.localhost": demo.echo_url,
        "down.test": f"http://127.0.0.1:{free_port()}",
    }
    with with_admin(folder, services, {"token": TOKEN, "hosts": ["ops.test"]}) as gateway:
        admin = admin_of(gateway, known=True)
        asyncio.run(_traffic(gateway.port))
        yield Staging(gateway, admin)


@pytest.fixture(scope="module")
def openapi() -> dict[str, Any]:
    return json.loads(OPENAPI.read_text())


def validator(openapi: dict[str, Any], schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({**schema, "components": openapi["components"]})


def every_get(admin: Admin, openapi: dict[str, Any]) -> dict[str, list[str]]:
    """Every path that can be read, with the numbers of everything that there is put in."""
    sessions = [each["number"] for each in admin("/api/v1/sessions").json["sessions"]]
    found: dict[str, list[str]] = {}
    for path, methods in openapi["paths"].items():
        if "get" not in methods or path == "/api/v1/live":
            continue
        places = [path]
        if "{number}" in path:
            places = [path.replace("{number}", str(number)) for number in sessions]
        if "{frame}" in path:
            ends = [admin(f"/api/v1/sessions/{number}").json["frames"]["end"] for number in sessions]
            places = [
                place.replace("{frame}", str(n)) for place, end in zip(places, ends, strict=True) for n in range(end)
            ]
        found[path] = places
    return found


def test_each_response_matches_the_openapi_document(staging: Staging, openapi: dict[str, Any]) -> None:
    admin = staging.admin
    counts = {}
    for path, places in every_get(admin, openapi).items():
        responses = openapi["paths"][path]["get"]["responses"]
        for place in places:
            response = admin(place)
            assert response.status == 200, (place, response.body)
            ((kind, content),) = responses["200"]["content"].items()
            assert response.headers.get_content_type() == kind
            if kind == "application/json":
                validator(openapi, content["schema"]).validate(response.json)
            counts[path] = counts.get(path, 0) + 1
    print(counts)
    assert counts["/api/v1/sessions/{number}"] >= 2
    assert counts["/api/v1/sessions/{number}/frames/{frame}"] > 10
    assert {each["kind"] for each in admin("/api/v1/incidents").json["incidents"]} >= {"refused", "closed"}
    detail = admin("/api/v1/sessions/1").json
    assert detail["list"] and detail["connections"] and detail["views"] and detail["http"]
    for path, method, body, status in (
        ("/api/v1/nothing", "GET", None, 404),
        ("/api/v1/sessions/9999", "GET", None, 404),
        ("/api/v1/sessions/9999/frames", "GET", None, 404),
        ("/api/v1/sessions/1/frames/9999", "GET", None, 404),
        ("/api/v1/sessions/x", "GET", None, 404),
        ("/api/v1/sessions?after=x", "GET", None, 400),
        ("/readyz?backends=some", "GET", None, 400),
        ("/metrics", "DELETE", None, 405),
        ("/api/v1/sockets/x/close", "POST", {}, 404),
        ("/api/v1/sockets/x/close", "POST", {"code": 1}, 400),
        ("/api/v1/drain", "POST", b"{}", 415),
    ):
        response = admin(path, method, body)
        assert response.status == status, (path, response)
        validator(openapi, {"$ref": "#/components/schemas/Error"}).validate(response.json)


def test_no_response_has_a_secret_of_the_traffic(staging: Staging, openapi: dict[str, Any]) -> None:
    redacted = 0
    for places in every_get(staging.admin, openapi).values():
        for place in places:
            body = staging.admin(place).body
            at = body.find(CANARY.encode())
            assert at < 0, (place, body[max(0, at - 200) : at + 100])
            redacted += b"redacted-" in body
    assert redacted > 5, "the secrets went by, and were redacted"
    with connect_sync(
        f"ws://127.0.0.1:{staging.admin.port}/api/v1/live", additional_headers=KNOWN, max_size=None
    ) as live:
        live.send(json.dumps({"watch": 1}))
        kinds = set()
        while not {"hello", "sessions", "session"} <= kinds:
            text = live.recv(TIMEOUT_S)
            assert CANARY not in text
            kinds.add(json.loads(text)["type"])


def test_frames_are_paged_and_head_is_get_without_a_body(staging: Staging) -> None:
    admin = staging.admin
    all_of_them = admin("/api/v1/sessions/1/frames").json["frames"]
    assert [line["n"] for line in all_of_them] == list(range(len(all_of_them)))
    assert admin("/api/v1/sessions/1/frames?from=2&count=3").json["frames"] == all_of_them[2:5]
    (first,) = admin("/api/v1/sessions?limit=1").json["sessions"]
    rest = admin(f"/api/v1/sessions?after={first['number']}").json
    assert rest["sessions"][0]["number"] == first["number"] + 1 and not rest["more"]
    head = admin("/version", "HEAD")
    assert (head.status, head.body, int(head.headers["Content-Length"])) == (200, b"", len(admin("/version").body))
    assert admin("/", "HEAD").status == 200


def top(*arguments: str, token: str = "") -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "LIVEGATE_ADMIN_TOKEN": token, "COLUMNS": "120"}
    return subprocess.run(
        [LIVEGATE, "top", *arguments], capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=environ
    )


def test_top_shows_it_in_a_terminal(staging: Staging) -> None:
    url = f"http://127.0.0.1:{staging.admin.port}"
    shown = top("--once", "--url", url, token=TOKEN)
    assert shown.returncode == 0, shown.stderr
    for fragment in (
        "● up",
        "live.localhost",
        "down.test",
        "● down: connection refused",
        "/count",
        "No service for this Host",
    ):
        assert fragment in shown.stdout, fragment
    assert CANARY not in shown.stdout
    for token, says in (("", "requires a token"), ("wrong" * 5, "rejects this token")):
        refused = top("--url", url, token=token)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert says in refused.stderr and "Traceback" not in refused.stderr
    other = top("--once", "--url", f"http://127.0.0.1:{staging.gateway.port}", "--token", TOKEN)
    assert other.returncode == 1 and "is not livegate's admin listener" in " ".join(other.stderr.split())
    nobody = top("--once", "--url", "http://127.0.0.1:1")
    assert nobody.returncode == 1 and "is the gateway running" in " ".join(nobody.stderr.split())
    for wrong in (("--every", "soon"), ("--url", "ftp://x")):
        assert top("--once", *wrong).returncode == 1


# Protection

EVERYTHING = [
    *("/", "/app.js", "/icon.svg", "/openapi.json", "/metrics", "/healthz", "/readyz", "/version", "/api/v1/overview"),
    *("/api/v1/routes", "/api/v1/sockets", "/api/v1/sessions", "/api/v1/sessions/1", "/api/v1/sessions/1/frames"),
    *("/api/v1/sessions/1/frames/0", "/api/v1/sessions/1/export", "/api/v1/incidents", "/api/v1/settings"),
    *("/api/v1/live", "/nothing", "/api/v1/nothing"),
]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Cookie": f"livegate_admin={TOKEN}"},
        {"Cookie": "livegate_admin=" + "0" * 64},
    ],
    ids=["none", "wrong", "empty", "basic", "cookie", "made up"],
)
def test_nothing_is_readable_without_the_token(staging: Staging, headers: dict[str, str]) -> None:
    anonymous = Admin(staging.admin.port)
    paths = EVERYTHING if not headers else EVERYTHING[:1] + EVERYTHING[4:9] + EVERYTHING[-3:]
    with ThreadPoolExecutor(8) as pool:  # a wrong token is refused only after a while
        refused = list(pool.map(lambda path: anonymous(path, **headers), paths))
    for path, response in zip(paths, refused, strict=True):
        assert response.status == 401, path
        assert (b"Token</label>" in response.body) if path == "/" else (b"token required" in response.body), path
    for path in ("/api/v1/drain", "/api/v1/sockets/x/close"):
        assert anonymous(path, "POST", **headers).status == 401
    assert staging.gateway.process.poll() is None


def test_the_token_logs_a_browser_in_and_the_cookie_is_no_use_to_other_sites(staging: Staging) -> None:
    anonymous = Admin(staging.admin.port)
    assert anonymous("/app.css").status == 200, "the page that asks for the token has its looks"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert anonymous("/login", "POST", b"token=wrong", **form).status == 401
    for response in (anonymous("/login", "POST", f"token={TOKEN}".encode(), **form), anonymous(f"/?token={TOKEN}")):
        assert (response.status, response.headers["Location"]) == (303, "/")
        cookie = response.headers["Set-Cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and TOKEN not in cookie
        pair = cookie.partition(";")[0]
        assert anonymous("/", Cookie=pair).status == 200
        assert anonymous("/api/v1/overview", Cookie=pair).status == 200
        assert anonymous("/api/v1/overview", Cookie=pair, Origin="http://evil.test").status == 403
        assert anonymous(f"/?token={TOKEN}", Cookie=pair).status == 303, "the token does not stay in the address"
    assert anonymous(f"/?token={TOKEN}", Host="evil.test").status == 403, "nor there"


@pytest.mark.parametrize(
    "host",
    [
        *("evil.test", "evil.test:9091", "127.0.0.1.evil.test", "127.0.0.1.nip.io", "localhost.evil.test", "livegate"),
        *(
            "ops.test.evil.test",
            "evil.test#ops.test",
            "live.localhost",
            "2130706433",
            "127.0.0.1@evil.test",
            "[evil.test]",
        ),
    ],
)
def test_an_unknown_host_is_refused_even_with_the_token(staging: Staging, host: str) -> None:
    for path in ("/", "/metrics", "/healthz", "/api/v1/overview", "/api/v1/live", "/app.css"):
        assert staging.admin(path, Host=host).status in (400, 403), path
    assert staging.admin("/api/v1/drain", "POST", Host=host).status in (400, 403)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "ops.test", "Ops.Test.:9091", "192.0.2.1:80", "[::1]:9091"]
)
def test_addresses_localhost_and_names_in_the_settings_are_its_hosts(staging: Staging, host: str) -> None:
    assert staging.admin("/version", Host=host).status == 200


@pytest.fixture(scope="module")
def unlocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Admin, Backend]]:
    """On loopback, without a token: where other sites' scripts would be let in."""
    folder = tmp_path_factory.mktemp("unlocked")
    with Backend() as backend:
        services = {"a.test": backend.url, "down.test": f"http://127.0.0.1:{free_port()}"}
        with with_admin(folder, services, timeouts={"drain": "5s"}) as gateway:
            yield gateway, admin_of(gateway), backend


FOREIGN = [
    {"Origin": "http://evil.test"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "file://"},
    {"Origin": "http://127.0.0.1"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_other_sites_can_neither_read_nor_do_anything(
    unlocked: tuple[Gateway, Admin, Backend], headers: dict[str, str]
) -> None:
    gateway, admin, _ = unlocked
    with opened_socket(gateway.port) as client:
        (opened,) = admin("/api/v1/sockets").json["sockets"]
        for path in ("/metrics", "/readyz", "/api/v1/overview", "/api/v1/sessions", "/api/v1/live"):
            response = admin(path, **headers)
            assert response.status == 403
            assert b"other" in response.body
            assert "Access-Control-Allow-Origin" not in response.headers
        for path in ("/api/v1/drain", f"/api/v1/sockets/{opened['id']}/close"):
            for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/json"):
                response = admin(path, "POST", b'{"code": 4000}', **headers, **{"Content-Type": kind})
                assert response.status == 403 or (kind == "multipart/form-data" and response.status == 400)
            assert admin(path, "OPTIONS", Access_Control_Request_Method="POST", **headers).status == 403
        client.send("still here")
        assert client.recv(TIMEOUT_S) == "still here"
    assert gateway.process.poll() is None


def test_a_link_on_another_site_leads_to_the_page_and_to_nothing_else(unlocked: tuple[Gateway, Admin, Backend]) -> None:
    _, admin, _ = unlocked
    led = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    page = admin("/", **led)
    assert page.status == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert admin("/login", "POST", b"", **led).status == 403
    assert admin("/login", "POST", b"").headers["Location"] == "/", "there is nothing to log in to"
    assert (admin("/x", "POST", b"").status, admin("/nothing").status) == (405, 404)
    assert admin("/api/v1/drain", "GET", **led).status == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "text/plain;application/json"])
def test_a_body_that_a_form_can_send_is_refused_without_an_origin(
    unlocked: tuple[Gateway, Admin, Backend], kind: str
) -> None:
    gateway, admin, _ = unlocked
    for path in ("/api/v1/drain", "/api/v1/sockets/x/close"):
        assert admin(path, "POST", b"{}", **{"Content-Type": kind}).status == 415
        assert admin(path, "POST", b"", **{"Content-Type": kind}).status == 415
    assert gateway.process.poll() is None


async def test_the_live_socket_is_for_the_page_itself_only(unlocked: tuple[Gateway, Admin, Backend]) -> None:
    _, admin, _ = unlocked
    url = f"ws://127.0.0.1:{admin.port}/api/v1/live"
    for headers in (
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.test"},
    ):
        host = headers.pop("Host", f"127.0.0.1:{admin.port}")
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://{host}/api/v1/live", additional_headers=headers, host="127.0.0.1", port=admin.port)
        assert refused.value.response.status_code == 403
    async with connect(url, additional_headers={"Origin": f"http://127.0.0.1:{admin.port}"}) as live:
        assert json.loads(await live.recv())["type"] == "hello"
        for nonsense in (
            "",
            "{",
            "[1]",
            "[" * 4000,
            '{"watch": true}',
            '{"watch": 1e400}',
            '{"watch": 7, "from": "x"}',
        ):
            await live.send(nonsense)
        await live.send(b"\xff\x00")
        while json.loads(await live.recv())["type"] != "steps":
            pass


def test_the_gateways_port_does_not_serve_the_admin_api(unlocked: tuple[Gateway, Admin, Backend]) -> None:
    gateway, admin, backend = unlocked
    for host in (f"127.0.0.1:{admin.port}", f"localhost:{admin.port}", f"127.0.0.1:{gateway.port}"):
        for path in ("/metrics", "/", "/api/v1/overview", "/healthz"):
            response = gateway.raw(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            assert status_of(response) == 404
            assert b"livegate admin" not in response and b"gateway_" not in response
    asked = len(backend.requests)
    response = gateway.raw(b"GET /metrics HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
    assert status_of(response) == 200
    assert len(backend.requests) == asked + 1, "it is the app's"


def test_the_cookie_of_the_listener_does_not_reach_an_app(unlocked: tuple[Gateway, Admin, Backend]) -> None:
    gateway, _, backend = unlocked
    cookies = "a=1; livegate_admin=secret;b=2"
    gateway.raw(f"GET /x HTTP/1.1\r\nHost: a.test\r\nCookie: {cookies}\r\nConnection: close\r\n\r\n".encode())
    sent = dict(map(tuple, backend.requests[-1]["headers"]))
    assert sent["Cookie"] == "a=1;b=2"


def test_a_service_mapped_to_the_listener_is_refused_at_start(tmp_path: Path) -> None:
    port = free_port()
    hosts = ("127.0.0.1", "localhost", "[::1]", "127.9.9.9", "[::ffff:127.0.0.1]", "x.localhost", "0.0.0.0")
    services = {f"{number}.test": f"http://{host}:{port}" for number, host in enumerate(hosts)}
    gateway = with_admin(tmp_path, services, {"listen": f"127.0.0.1:{port}"}).start()
    assert gateway.ended() == 1
    refused = [line for line in gateway.output.lines if "a backend other than the gateway's own listeners" in line]
    assert len(refused) == len(hosts), gateway.output.text


def test_a_service_mapped_to_the_listener_by_a_reload_or_another_name_is_refused(tmp_path: Path) -> None:
    with Backend() as backend, with_admin(tmp_path, {"a.test": backend.url}) as gateway:
        admin = admin_of(gateway)
        listen = {"admin": {"listen": f"127.0.0.1:{admin.port}"}}
        gateway.write({"services": {"a.test": f"http://localhost:{admin.port}"}, **listen})
        gateway.output.wait_for("the old ones stay in force")
        assert "a backend other than the gateway's own listeners" in gateway.output.text
        assert admin("/api/v1/routes").json["routes"][0]["backend"] == backend.url
        # A name that only the resolver knows to be this machine; nobody but it can tell when the settings are read.
        gateway.write({"services": {"a.test": f"http://0x7f000001:{admin.port}"}, **listen})
        gateway.output.wait_for("settings reloaded, services: 1")
        response = gateway.raw(b"GET /metrics HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
        assert status_of(response) == 502
        gateway.output.wait_for("this backend is the gateway's own admin listener")


# Readiness and commands


def test_readiness_has_its_reasons(unlocked: tuple[Gateway, Admin, Backend]) -> None:
    _, admin, _ = unlocked
    assert admin("/healthz").json == {"status": "ok"}
    assert set(admin("/version").json) == {"livegate", "mitmproxy"}
    ready = admin("/readyz")
    assert (ready.status, ready.json["ready"]) == (200, True)
    checks = {check["name"]: check for check in ready.json["checks"]}
    assert set(checks) == {"settings", "listening", "not draining", "backends"}
    assert checks["backends"]["why"] == "1 of 2 down: down.test (connection refused)", (
        "reported, and no reason to be unready"
    )
    every = admin("/readyz?backends=all")
    assert (every.status, every.json["ready"]) == (503, False)
    states = {each["service"]: each["up"] for each in admin("/api/v1/routes").json["routes"]}
    assert states == {"a.test": True, "down.test": False}


def test_a_socket_is_closed_with_the_requested_code_and_reason(
    unlocked: tuple[Gateway, Admin, Backend],
) -> None:
    gateway, admin, backend = unlocked
    with opened_socket(gateway.port, "/ws?token=x") as client:
        (opened,) = admin("/api/v1/sockets").json["sockets"]
        assert (opened["service"], opened["path"], opened["client"]) == ("a.test", "/ws", "127.0.0.1")
        path = f"/api/v1/sockets/{opened['id']}/close"
        for wrong in (
            {"code": 1005}, {"code": 999}, {"code": 5000}, {"code": True}, {"code": "1000"}, {"code": 1e3}, {"code": None},
            {"reason": "ä" * 62}, {"reason": 7}, {"reason": None}, {"kode": 1000}, [], "x", 7,
        ):  # fmt: skip
            assert admin(path, "POST", wrong).status == 400, wrong
        for raw in (b'{"reason": "\\ud800"}', b"{", b"\xff", b"[" * 50_000):
            assert admin(path, "POST", raw, **{"Content-Type": "application/json"}).status == 400, raw[:20]
        client.send("unharmed")
        assert client.recv(TIMEOUT_S) == "unharmed"
        response = admin(path, "POST", {"code": 4321, "reason": "ä" * 61})
        assert (response.status, response.json) == (202, {"closing": opened["id"], "code": 4321})
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(TIMEOUT_S)
    assert closed.value.rcvd
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4321, "ä" * 61)
    while backend.closes.get(timeout=TIMEOUT_S) != 4321:  # those of the tests before
        pass
    eventually(lambda: admin("/api/v1/sockets").json["sockets"] == [])
    assert admin(f"/api/v1/sockets/{quote(opened['id'])}/close", "POST").status == 404, "it is gone"
    ended = admin("/api/v1/incidents").json["incidents"][-1]
    assert (ended["kind"], ended["code"], ended["by"]) == ("closed", 4321, "gateway")


def test_an_oversized_body_is_refused(unlocked: tuple[Gateway, Admin, Backend]) -> None:
    _, admin, _ = unlocked
    with socket.create_connection(("127.0.0.1", admin.port), timeout=TIMEOUT_S) as conn:
        head = f"POST /api/v1/drain HTTP/1.1\r\nHost: 127.0.0.1:{admin.port}\r\nContent-Length: 10000000\r\n\r\n"
        conn.sendall(head.encode())
        response = conn.recv(65536)
        assert response == b"" or status_of(response) in (400, 413)
        while response:
            response = conn.recv(65536)


def test_drain_shuts_down_gracefully_and_the_listener_responds_to_the_end(tmp_path: Path) -> None:
    with Backend() as backend, with_admin(tmp_path, {"a.test": backend.url}, timeouts={"drain": "10s"}) as gateway:
        admin = admin_of(gateway)
        with (
            opened_socket(gateway.port) as client,
            socket.create_connection(("127.0.0.1", gateway.port), timeout=TIMEOUT_S) as slow,
        ):
            slow.sendall(b"GET /slow?s=3 HTTP/1.1\r\nHost: a.test\r\n\r\n")
            while not any("/slow" in str(line) for line in gateway.output.lines) and not admin("/metrics").body:
                pass
            assert admin("/api/v1/drain", "POST").status == 202
            gateway.output.wait_for("stopping:")
            ready = admin("/readyz")
            assert ready.status == 503
            reasons = {check["name"]: check["why"] for check in ready.json["checks"] if not check["good"]}
            assert reasons["not draining"] == "the gateway is shutting down"
            assert admin("/api/v1/overview").json["draining"] is True
            assert admin("/healthz").status == 200, "it lives until it has ended"
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(TIMEOUT_S)
            assert closed.value.rcvd and closed.value.rcvd.code == 1012
            assert b"waited" in slow.recv(65536), "what had begun is answered"
        assert gateway.process
        assert gateway.process.wait(TIMEOUT_S) == 0
        with pytest.raises(ConnectionRefusedError):
            admin("/healthz")


def test_a_reload_switches_the_listener_off_on_and_to_another_port(tmp_path: Path) -> None:
    with Backend() as backend, with_admin(tmp_path, {"a.test": backend.url}) as gateway:
        admin = admin_of(gateway)
        services = {"services": {"a.test": backend.url}}

        def reload(section: dict[str, Any] | None, said: str) -> None:
            since = len(gateway.output.lines)
            gateway.write({**services, "admin": section})
            gateway.output.wait_for(said, since=since)

        with connect_sync(f"ws://127.0.0.1:{admin.port}/api/v1/live") as live:
            live.recv(TIMEOUT_S)
            other = Admin(free_port())
            reload({"listen": f"127.0.0.1:{other.port}"}, f"admin listener on http://127.0.0.1:{other.port}")
            with pytest.raises(ConnectionClosed) as closed:
                drain(live)
            assert closed.value.rcvd and closed.value.rcvd.code == 1012, "the page knows that it has to come again"
        assert other("/version").status == 200
        with pytest.raises(ConnectionRefusedError):
            admin("/version")

        reload(
            {"listen": f"127.0.0.1:{other.port}", "token": TOKEN}, f"admin listener on http://127.0.0.1:{other.port}"
        )
        assert other("/version").status == 401
        assert other("/version", **KNOWN).status == 200

        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            reload(
                {"listen": f"127.0.0.1:{port}"},
                f"admin.listen: cannot listen on 127.0.0.1:{port}: Address already in use",
            )
            response = gateway.raw(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
            assert status_of(response) == 200, "the gateway goes on"
        gateway.process.send_signal(signal.SIGHUP)
        gateway.output.wait_for(f"admin listener on http://127.0.0.1:{port}")
        assert Admin(port)("/version").status == 200, "a reload tries again"

        reload(None, "settings reloaded")
        refused = False
        while not refused:  # it is ended in a thread, in a moment
            try:
                Admin(port)("/version")
            except (ConnectionRefusedError, ConnectionResetError, http.client.BadStatusLine):
                refused = True
    assert "Traceback" not in gateway.output.text
