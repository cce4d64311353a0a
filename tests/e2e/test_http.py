"""HTTP through the real gateway: routing, headers, limits, failures; each test is a promise of the README."""

import asyncio
import json
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from backends import Backend, Canary
from gateway_process import Gateway, free_port, header_of, receive_all, status_of

MANY = {"user": "100000/minute", "ip": "100000/minute"}


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with Backend() as backend:
        yield backend


@pytest.fixture(scope="module")
def other() -> Iterator[Backend]:
    with Backend(keepalive_s=0.3) as backend:
        yield backend


@pytest.fixture(scope="module")
def gateway(folder: Path, backend: Backend, other: Backend) -> Iterator[Gateway]:
    settings = {
        "services": {
            "app.test": backend.url,
            "keep.test": {"backend": backend.url, "host": "keep"},
            "drop.test": {"backend": backend.url, "origin": "drop"},
            "rewrite.test": {"backend": backend.url, "origin": "rewrite"},
            "pass.test": {"backend": backend.url, "origin": "passthrough"},
            "BÜCHER.test": backend.url,
            "[::1]": backend.url,
            "*.preview.test": {"backend": other.url},
            "*.deep.preview.test": backend.url,
            "other.test": other.url,
            "dead.test": f"http://127.0.0.1:{free_port()}",
            "quick.test": {"backend": backend.url, "timeouts": {"response": "500ms", "upgrade": "400ms"}},
            "limited.test": {"backend": backend.url, "rate_limit": {"user": "3/hour", "ip": "5/hour"}},
            "once.test": {"backend": backend.url, "rate_limit": {"user": "1/hour"}},
            "dry.test": {"backend": backend.url, "rate_limit": {"user": "1/hour", "dry_run": True}},
        },
        "rate_limit": MANY,
        "limits": {"body": "3MiB", "stream_above": "64KiB"},
    }
    with Gateway(folder, settings) as gateway:
        yield gateway


def get(gateway: Gateway, host: str, path: str = "/", *fields: str, method: str = "GET", body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return gateway.raw("\r\n".join([*lines, "", ""]).encode("latin-1") + body)


def seen(answer: bytes) -> dict[str, Any]:
    assert status_of(answer) == 200, answer
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def sent(answer: bytes, name: str) -> list[str]:
    """Values of a field as the backend got them."""
    return [value for field, value in seen(answer)["headers"] if field.lower() == name.lower()]


# Routing


@pytest.mark.parametrize("host", ["app.test", "APP.Test", "app.test.", "app.test:8080", "APP.TEST.:80"])
def test_case_port_and_one_trailing_dot_do_not_matter_for_the_route(gateway: Gateway, host: str) -> None:
    assert status_of(get(gateway, host)) == 200


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("a.preview.test", "other"),
        ("a.b.preview.test", "other"),
        ("a.deep.preview.test", "backend"),
        ("xn--bcher-kva.test", "backend"),
        ("[::1]:80", "backend"),
    ],
)
def test_the_longest_wildcard_wins_at_any_depth(
    gateway: Gateway, backend: Backend, other: Backend, host: str, expected: str
) -> None:
    port = {"backend": backend, "other": other}[expected].port
    assert sent(get(gateway, host), "Host") == [f"127.0.0.1:{port}"]


@pytest.mark.parametrize("host", ["preview.test", "evilpreview.test", "unknown.test"])
def test_an_unmapped_host_is_404_and_says_so(gateway: Gateway, host: str) -> None:
    answer = get(gateway, host)
    assert status_of(answer) == 404
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"] == f"Service not found for host: {host}"


def test_a_browser_gets_a_page_and_its_text_is_escaped(gateway: Gateway) -> None:
    answer = get(gateway, "unknown.test", "/", "Accept: text/html,application/xhtml+xml,*/*;q=0.8")
    assert header_of(answer, "Content-Type") == ["text/html; charset=utf-8"]
    assert b"Service not found for host: unknown.test" in answer


def test_an_absolute_form_that_agrees_is_sent_in_origin_form(gateway: Gateway) -> None:
    answer = gateway.raw(b"GET http://app.test/x?y=1 HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
    assert seen(answer)["path"] == "/x?y=1"


def test_the_target_reaches_the_backend_byte_for_byte(gateway: Gateway) -> None:
    target = "/a%2Fb/../c//d;e=1?x=%20y&&z=%C3%A4?"
    assert seen(get(gateway, "app.test", target))["path"] == target


# Headers


def test_host_is_rewritten_to_the_backend_unless_it_is_kept(gateway: Gateway, backend: Backend) -> None:
    assert sent(get(gateway, "app.test"), "Host") == [f"127.0.0.1:{backend.port}"]
    assert sent(get(gateway, "keep.test:81"), "Host") == ["keep.test:81"]


@pytest.mark.parametrize(
    ("host", "given", "expected"),
    [
        ("app.test", ["Origin: https://app.test"], ["https://app.test"]),
        ("app.test", [], []),
        ("pass.test", ["Origin: null"], ["null"]),
        ("drop.test", ["Origin: https://app.test"], []),
        ("rewrite.test", [], []),
    ],
)
def test_origin_follows_the_policy_of_the_service(
    gateway: Gateway, host: str, given: list[str], expected: list[str]
) -> None:
    assert sent(get(gateway, host, "/", *given), "Origin") == expected


def test_a_rewritten_origin_is_the_backends(gateway: Gateway, backend: Backend) -> None:
    assert sent(get(gateway, "rewrite.test", "/", "Origin: https://rewrite.test"), "Origin") == [backend.url]


def test_application_headers_pass_unchanged_in_order_and_repeated(gateway: Gateway) -> None:
    given = [
        "Cookie: a=1; _app_key=x",
        "Cookie: b=2",
        "Authorization: Bearer  two spaces",
        "X-CSRF-Token: t",
        "X-Repeated: 1",
        "X-Repeated: 2",
        "Referer: https://app.test/p?q",
        "x-lower: ä",
        "My_App_Header: kept",
    ]
    headers = seen(get(gateway, "app.test", "/", *given))["headers"]
    ours = [f"{name}: {value}" for name, value in headers if name in {line.partition(":")[0] for line in given}]
    assert ours == given


def test_forwarding_headers_of_a_stranger_are_replaced(gateway: Gateway) -> None:
    answer = get(
        gateway,
        "app.test:81",
        "/",
        "X-Forwarded-For: 6.6.6.6",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil.test",
        "X-Forwarded-Port: 1",
        "X-Forwarded-Prefix: /evil",
        "X_Forwarded_For: 6.6.6.6",
        "X-Real-IP: 6.6.6.6",
        "Forwarded: for=6.6.6.6",
        "X-Original-URL: /admin",
        "X-Request-Id: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    )
    assert "6.6.6.6" not in answer.decode()
    assert "evil" not in answer.decode()
    assert sent(answer, "X-Forwarded-For") == ["127.0.0.1"]
    assert sent(answer, "X-Forwarded-Proto") == ["http"]
    assert sent(answer, "X-Forwarded-Host") == ["app.test:81"]
    assert sent(answer, "X-Forwarded-Port") == ["81"]
    assert sent(answer, "X-Real-IP") == ["127.0.0.1"]
    assert sent(answer, "Forwarded") == ['for=127.0.0.1;host="app.test:81";proto=http']
    assert sent(answer, "X-Original-URL") == []
    assert sent(answer, "X-Request-Id") != ["a" * 32]


def test_hop_by_hop_headers_and_those_that_connection_names_end_here(gateway: Gateway) -> None:
    answer = gateway.raw(
        b"GET / HTTP/1.1\r\nHost: app.test\r\n"
        b"Connection: close, X-Hop, Cookie, Authorization, Host, Origin, X-Forwarded-For\r\n"
        b"X-Hop: 1\r\nTE: trailers\r\nKeep-Alive: 5\r\nProxy-Authorization: Basic x\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: x\r\n"
        b"Cookie: c=1\r\nAuthorization: a\r\nOrigin: null\r\n\r\n"
    )
    names = {name.lower() for name, _ in seen(answer)["headers"]}
    assert names.isdisjoint(
        {"x-hop", "te", "keep-alive", "proxy-authorization", "upgrade", "http2-settings", "connection"}
    )
    assert {"cookie", "authorization", "host", "origin", "x-forwarded-for"} <= names


def test_the_request_id_reaches_backend_and_client_alike(gateway: Gateway) -> None:
    answer = get(gateway, "app.test")
    assert sent(answer, "X-Request-Id") == header_of(answer, "X-Request-Id")
    assert len(sent(answer, "X-Request-Id")[0]) == 32


def test_a_trace_is_passed_on_or_begun(gateway: Gateway) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = get(gateway, "app.test", "/", f"traceparent: {parent}", "tracestate: a=1")
    assert sent(answer, "traceparent") == [parent]
    assert sent(answer, "tracestate") == ["a=1"]
    begun = get(gateway, "app.test", "/", "traceparent: 00-" + "0" * 32 + "-" + "0" * 16 + "-01", "tracestate: a=1")
    assert sent(begun, "traceparent")[0].startswith("00-")
    assert "0" * 32 not in sent(begun, "traceparent")[0]
    assert sent(begun, "tracestate") == []


def test_two_cookies_of_a_backend_stay_two_and_alt_svc_goes(gateway: Gateway) -> None:
    answer = get(gateway, "app.test", "/cookies")
    assert header_of(answer, "Set-Cookie") == ["a=1; Path=/", "b=2; HttpOnly"]
    assert header_of(answer, "Alt-Svc") == []


def test_hop_by_hop_headers_of_an_answer_end_here(gateway: Gateway) -> None:
    answer = get(gateway, "app.test", "/hop")
    assert header_of(answer, "X-Internal") == []
    assert header_of(answer, "Keep-Alive") == []
    assert header_of(answer, "Proxy-Authenticate") == []
    assert header_of(answer, "Server") == ["backend"]


def test_no_answer_names_mitmproxy(gateway: Gateway) -> None:
    for answer in (
        get(gateway, "app.test"),
        get(gateway, "dead.test"),
        get(gateway, "unknown.test"),
        gateway.raw(b"x\r\n\r\n"),
    ):
        assert b"mitmproxy" not in answer.lower()


# Bodies


def test_a_json_body_arrives_byte_for_byte(gateway: Gateway, backend: Backend) -> None:
    body = b'{"b": 1.0,  "a": [], "\\u00e4": {}}'
    answer = get(gateway, "app.test", "/", "Content-Type: application/json", method="POST", body=body)
    assert seen(answer)["bytes"] == len(body)
    assert sent(answer, "Content-Type") == ["application/json"]


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "PROPFIND"])
def test_every_method_stays_what_it_is(gateway: Gateway, backend: Backend, method: str) -> None:
    get(gateway, "app.test", f"/method/{method}", method=method)
    assert backend.requests[-1]["method"] == method
    assert backend.requests[-1]["path"] == f"/method/{method}"


@pytest.mark.parametrize(("host", "status"), [("nobody.test", 404), ("dead.test", 502)])
def test_the_gateways_own_answer_to_head_has_no_body(tmp_path: Path, host: str, status: int) -> None:
    """On a kept-alive connection its body would be taken for the next answer."""
    with Gateway(tmp_path, {"services": {"dead.test": "http://127.0.0.1:1"}}) as gateway:
        head = f"HEAD / HTTP/1.1\r\nHost: {host}\r\n\r\n"
        answers = gateway.raw((head * 2 + head.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).encode())
    assert answers.count(f"HTTP/1.1 {status} ".encode()) == 3
    assert [part.partition(b"\r\n\r\n")[2] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"", b"", b""]
    assert header_of(answers, "Content-Length") != ["0"]


def test_a_body_past_the_limit_is_413_before_it_is_sent(gateway: Gateway, backend: Backend) -> None:
    before = len(backend.requests)
    request = b"POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 3145729\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as conn:
        conn.sendall(request)
        answer = conn.recv(65536)
    assert status_of(answer) == 413
    assert b"100 Continue" not in answer
    assert len(backend.requests) == before


def test_a_chunked_body_past_the_limit_is_413_when_it_gets_there(gateway: Gateway) -> None:
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as conn:
        conn.sendall(b"POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(60):
            try:
                conn.sendall(chunk)
            except OSError:
                break
        answer = conn.recv(65536)
    assert status_of(answer) == 413


def test_a_chunked_body_with_trailers_arrives(gateway: Gateway) -> None:
    answer = gateway.raw(
        b"POST / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n"
    )
    assert seen(answer)["bytes"] == 5


def test_a_client_that_expects_100_continue_gets_it(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as conn:
        conn.sendall(
            b"POST / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n"
            b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        )
        assert conn.recv(65536).startswith(b"HTTP/1.1 100 ")
        conn.sendall(b"abc")
        assert seen(receive_all(conn))["bytes"] == 3


def test_an_early_hint_is_passed_on(gateway: Gateway) -> None:
    answer = get(gateway, "app.test", "/early-hints")
    assert answer.startswith(b"HTTP/1.1 103 ")
    assert b"Link: </a.css>; rel=preload" in answer
    assert answer.endswith(b"final")


def test_an_http_1_0_client_gets_no_chunks(gateway: Gateway) -> None:
    answer = gateway.raw(b"GET /chunked HTTP/1.0\r\nHost: app.test\r\n\r\n")
    assert header_of(answer, "Transfer-Encoding") == []
    assert answer.endswith(b"\r\n\r\nquick")


def test_what_a_backend_sends_slowly_is_passed_on_at_once(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as conn:
        conn.sendall(b"GET /trickle?s=30 HTTP/1.1\r\nHost: app.test\r\n\r\n")
        received = b""
        while b"first" not in received:
            received += conn.recv(65536)
        assert b"second" not in received


# Connections


def test_a_connection_carries_many_requests_and_pipelined_ones_in_order(gateway: Gateway) -> None:
    request = b"GET /%d HTTP/1.1\r\nHost: app.test\r\n\r\n"
    last = b"GET /3 HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n"
    answer = gateway.raw(request % 1 + request % 2 + last)
    assert [answer.index(b'"path": "/%d"' % n) for n in (1, 2, 3)] == sorted(
        answer.index(b'"path": "/%d"' % n) for n in (1, 2, 3)
    )
    assert answer.count(b"HTTP/1.1 200 OK") == 3


def test_a_client_that_wants_its_connection_closed_gets_it_closed(gateway: Gateway) -> None:
    assert header_of(get(gateway, "app.test"), "Connection") == ["close"]


async def test_a_dead_keep_alive_connection_costs_a_safe_request_nothing(gateway: Gateway, other: Backend) -> None:
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector) as session:
        for _ in range(4):
            async with session.get(gateway.url, headers={"Host": "other.test"}) as answer:
                assert answer.status == 200
            await asyncio.sleep(0.45)  # the backend closes kept connections after 0.3 s; that is what is tried here


# Failures


def test_a_dead_backend_is_502_and_its_address_stays_inside(gateway: Gateway) -> None:
    mark = len(gateway.output.lines)
    answer = get(gateway, "dead.test")
    assert status_of(answer) == 502
    assert b"127.0.0.1" not in answer
    assert b"The service for dead.test could not be reached." in answer
    gateway.output.wait_for("502 backend-unreachable", since=mark)


def test_a_backend_that_breaks_the_connection_is_502(gateway: Gateway) -> None:
    assert status_of(get(gateway, "app.test", "/cut")) == 502


def test_a_slow_backend_is_504_after_the_time_of_its_service(gateway: Gateway) -> None:
    started = time.monotonic()
    answer = get(gateway, "quick.test", "/hang")
    assert status_of(answer) == 504
    assert time.monotonic() - started >= 0.45
    assert b"did not respond within 0.5 s" in answer


def test_a_failed_request_leaves_the_clients_connection_usable(gateway: Gateway) -> None:
    answer = gateway.raw(
        b"GET / HTTP/1.1\r\nHost: dead.test\r\n\r\nGET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"HTTP/1.1 200 OK" in answer


def test_a_101_that_nobody_asked_for_is_502(gateway: Gateway) -> None:
    assert status_of(get(gateway, "app.test", "/bad-101")) == 502


# Rate limits


def test_the_fourth_request_of_three_is_429_and_says_when_to_come_back(gateway: Gateway) -> None:
    for left in (2, 1, 0):
        allowed = get(gateway, "limited.test", "/", "Authorization: one")
        assert header_of(allowed, "X-RateLimit-Remaining") == [str(left)]
        assert header_of(allowed, "RateLimit-Policy") == ['"user";q=3;w=3600, "ip";q=5;w=3600']
        assert header_of(allowed, "RateLimit")[0].startswith(f'"user";r={left};t=')
    refused = get(gateway, "limited.test", "/", "Authorization: one")
    assert status_of(refused) == 429
    assert int(header_of(refused, "Retry-After")[0]) >= 1
    assert header_of(refused, "X-RateLimit-Remaining") == ["0"]
    assert header_of(refused, "X-RateLimit-Limit") == ["3"]
    # Another user has a budget of his own, and the refusal above took nothing from the address's: two of five are left.
    assert status_of(get(gateway, "limited.test", "/", "Authorization: two")) == 200
    assert status_of(get(gateway, "limited.test", "/", "X-User-ID: me", "Authorization: three")) == 200
    last = get(gateway, "limited.test", "/", "Authorization: four")
    assert status_of(last) == 429
    assert header_of(last, "RateLimit")[0].count("r=0") == 1


def test_a_dry_run_lets_pass_and_logs(gateway: Gateway) -> None:
    mark = len(gateway.output.lines)
    assert [status_of(get(gateway, "dry.test")) for _ in range(3)] == [200, 200, 200]
    assert "user rate limit" in gateway.output.wait_for("would refuse", since=mark)


def test_a_backends_own_limit_headers_stay(gateway: Gateway) -> None:
    answer = get(gateway, "app.test", "/own-limits")
    assert header_of(answer, "X-RateLimit-Limit") == ["7"]
    assert '"app";r=1;t=1' in header_of(answer, "RateLimit")


# Log


def test_the_log_has_one_line_a_request_without_secrets(gateway: Gateway) -> None:
    mark = len(gateway.output.lines)
    get(
        gateway,
        "app.test",
        "/logged/%41?token=CANARY-QUERY",
        "Cookie: _app_key=CANARY-COOKIE",
        "Authorization: Bearer CANARY-AUTHORIZATION",
    )
    line = gateway.output.wait_for("path=/logged", since=mark)
    for part in (
        "method=GET",
        "host=app.test",
        "status=200",
        "route=app.test",
        "client=127.0.0.1",
        "duration_ms=",
        "backend_ms=",
    ):
        assert part in line
    assert "CANARY" not in gateway.output.text
    assert sum("path=/logged" in text for text in gateway.output.lines) == 1


# WebSockets


async def test_a_websocket_is_routed_counted_and_carries_session_and_subprotocol(
    gateway: Gateway, backend: Backend
) -> None:
    headers = {"Host": "app.test", "Cookie": "_app_key=s", "Origin": "https://app.test", "X-Custom": "1"}
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(f"{gateway.url}/ws?vsn=2.0.0", headers=headers, protocols=("phoenix",)) as ws:
            assert ws.protocol == "phoenix"
            assert ws._response.headers["Set-Cookie"] == "seen=1"
            assert "RateLimit" in ws._response.headers
            await ws.send_str("at once")
            assert await ws.receive_str(timeout=60) == "at once"
            await ws.send_bytes(b"\x00\xff")
            assert await ws.receive_bytes(timeout=60) == b"\x00\xff"
    got = {name.lower(): value for name, value in backend.requests[-1]["headers"]}
    assert backend.requests[-1]["path"] == "/ws?vsn=2.0.0"
    assert got["host"] == f"127.0.0.1:{backend.port}"
    assert (got["cookie"], got["origin"], got["x-custom"]) == ("_app_key=s", "https://app.test", "1")
    assert "sec-websocket-extensions" not in got


async def test_a_websocket_without_origin_gets_the_one_its_host_means(gateway: Gateway, backend: Backend) -> None:
    async with aiohttp.ClientSession() as session:
        for host, expected in (("app.test", "http://app.test"), ("pass.test", None)):
            async with session.ws_connect(f"{gateway.url}/ws", headers={"Host": host}):
                pass
            got = {name.lower(): value for name, value in backend.requests[-1]["headers"]}
            assert got.get("origin") == expected


async def test_a_websocket_to_a_wildcard_host_is_routed_like_http(gateway: Gateway, other: Backend) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(f"{gateway.url}/ws", headers={"Host": "x.preview.test"}):
            pass
    assert other.requests[-1]["path"] == "/ws", "nothing is added, no question mark either"


@pytest.mark.parametrize(
    ("host", "path", "status"),
    [
        ("app.test", "/refuse-ws", 403),
        ("app.test", "/", 200),
        ("app.test", "/bad-101", 502),
        ("dead.test", "/ws", 502),
        ("quick.test", "/hang", 504),
        ("unknown.test", "/ws", 404),
    ],
)
async def test_a_refused_upgrade_is_an_http_answer(gateway: Gateway, host: str, path: str, status: int) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(f"{gateway.url}{path}", headers={"Host": host})
    assert refused.value.status == status
    if status == 403:
        assert refused.value.headers and refused.value.headers["X-Why"] == "check_origin"


async def test_a_backend_lost_without_a_close_frame_is_lost_for_the_client_too(gateway: Gateway) -> None:
    mark = len(gateway.output.lines)
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(f"{gateway.url}/ws", headers={"Host": "app.test"}) as ws:
            await ws.send_str("drop")
            message = await ws.receive(timeout=60)
            assert message.type is aiohttp.WSMsgType.CLOSED
            assert ws.close_code == 1006
    line = gateway.output.wait_for("close_code=1006", since=mark)
    for part in ("method=WEBSOCKET", "closed_by=backend", "frames_in=1", "path=/ws"):
        assert part in line


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1012, 4001])
async def test_a_close_code_of_the_backend_reaches_the_client(gateway: Gateway, code: int) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(f"{gateway.url}/ws", headers={"Host": "app.test"}) as ws:
            await ws.send_str(f"close {code}")
            message = await ws.receive(timeout=60)
            assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, code, "as asked")


async def test_a_close_code_of_the_client_reaches_the_backend(gateway: Gateway, backend: Backend) -> None:
    mark = len(gateway.output.lines)
    async with aiohttp.ClientSession() as session:
        ws = await session.ws_connect(f"{gateway.url}/ws", headers={"Host": "app.test"})
        await ws.close(code=4321, message=b"bye")
    gateway.output.wait_for("close_code=4321", since=mark)
    while backend.closes.get(timeout=60) != 4321:
        pass


# TLS in passing


def test_tls_and_plain_share_the_port_and_only_http_1_1_is_offered(gateway: Gateway) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname="app.test") as conn,
    ):
        assert conn.selected_alpn_protocol() == "http/1.1"
        conn.sendall(b"GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
        answer = receive_all(conn)
    assert sent(answer, "X-Forwarded-Proto") == ["https"]
    assert sent(answer, "X-Forwarded-Port") == ["443"]


def test_a_backend_sees_no_connection_for_a_refused_request(tmp_path: Path) -> None:
    with Canary() as canary:
        settings = {"services": {"app.test": f"http://127.0.0.1:{canary.port}"}, "rate_limit": {"user": "1/hour"}}
        with Gateway(tmp_path, settings) as gateway:
            assert status_of(get(gateway, "app.test")) == 502  # the canary hangs up on the one that is let through
            seen_before = canary.connections
            assert status_of(get(gateway, "app.test")) == 429
            assert canary.connections == seen_before


# What the original got wrong


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/metrics", "/.well-known/acme-challenge/x", "/admin"])
def test_no_path_of_a_backend_is_shadowed_by_the_gateway(gateway: Gateway, path: str) -> None:
    assert seen(get(gateway, "app.test", path))["path"] == path


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", b"a=1&a=2&_method=DELETE&empty="),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n'),
        ("text/csv", b"a,b\n1,2\n"),
        ("application/octet-stream", bytes(range(256))),
        ("application/json", b"{}"),
    ],
)
def test_a_body_of_any_type_keeps_its_method_its_type_and_its_bytes(
    gateway: Gateway, content_type: str, body: bytes
) -> None:
    answer = get(gateway, "app.test", "/", f"Content-Type: {content_type}", method="POST", body=body)
    assert (seen(answer)["method"], seen(answer)["bytes"]) == ("POST", len(body))
    assert sent(answer, "Content-Type") == [content_type]


def test_frames_that_are_sent_with_the_upgrade_arrive_first(gateway: Gateway) -> None:
    """phoenix.js sends its join as soon as the socket is open; a client may even send it with the request."""
    payload = b'["1","1","lv:phx","phx_join",{}]'
    mask = b"\x01\x02\x03\x04"
    frame = bytes([0x81, 0x80 | len(payload)]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
    upgrade = (
        b"GET /ws HTTP/1.1\r\nHost: app.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as conn:
        conn.sendall(upgrade + frame)
        received = b""
        while payload not in received and (data := conn.recv(65536)):
            received += data
    assert received.startswith(b"HTTP/1.1 101 ")
    assert received.endswith(bytes([0x81, len(payload)]) + payload)


async def test_an_upgrade_that_is_refused_without_a_body_is_answered_at_once(gateway: Gateway) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await asyncio.wait_for(session.ws_connect(f"{gateway.url}/refuse-empty", headers={"Host": "app.test"}), 60)
    assert refused.value.status == 403


async def test_sockets_to_the_backend_are_gone_when_the_clients_are(gateway: Gateway, backend: Backend) -> None:
    before = backend.open_sockets
    async with aiohttp.ClientSession() as session:
        sockets = [await session.ws_connect(f"{gateway.url}/ws", headers={"Host": "app.test"}) for _ in range(20)]
        assert backend.open_sockets == before + 20
        for number, ws in enumerate(sockets):
            if number % 2:
                await ws.close()
            else:
                assert ws._response.connection
                ws._response.connection.transport.abort()  # type: ignore[union-attr]
        async with asyncio.timeout(60):
            while backend.open_sockets != before:
                await asyncio.sleep(0.02)


def test_a_rate_limited_upgrade_is_429(gateway: Gateway) -> None:
    upgrade = (
        "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )  # fmt: skip
    request = ["GET /ws HTTP/1.1", "Host: once.test", "Connection: Upgrade", *upgrade, "", ""]
    statuses = []
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as conn:
            conn.sendall("\r\n".join(request).encode())
            statuses.append(status_of(conn.recv(65536)))
    assert statuses == [101, 429]
