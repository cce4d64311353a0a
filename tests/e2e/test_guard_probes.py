"""Every probe of the guard as raw bytes: the status that it gets, and that no backend saw a connection."""

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from backends import Canary
from gateway_process import Gateway, header_of, receive_all, status_of

KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
UPGRADE = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" + KEY
ANSWER = re.compile(rb"HTTP/1\.1 \d{3} ")
HOST = b"Host: app.test\r\n"

PROBES: dict[str, tuple[int, bytes]] = {
    "no host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "no host in http 1.0": (400, b"GET / HTTP/1.0\r\n\r\n"),
    "two hosts": (400, b"GET / HTTP/1.1\r\nHost: app.test\r\nHost: app.test\r\n\r\n"),
    "two different hosts": (400, b"GET / HTTP/1.1\r\nHost: app.test\r\nHost: evil.test\r\n\r\n"),
    "empty host": (400, b"GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    "host with userinfo": (400, b"GET / HTTP/1.1\r\nHost: me@app.test\r\n\r\n"),
    "host with comma": (400, b"GET / HTTP/1.1\r\nHost: app.test, evil.test\r\n\r\n"),
    "host with slash": (400, b"GET / HTTP/1.1\r\nHost: app.test/abc?x=\r\n\r\n"),
    "host with space": (400, b"GET / HTTP/1.1\r\nHost: app.test evil\r\n\r\n"),
    "host with port 0": (400, b"GET / HTTP/1.1\r\nHost: app.test:0\r\n\r\n"),
    "host with port 65536": (400, b"GET / HTTP/1.1\r\nHost: app.test:65536\r\n\r\n"),
    "host with port text": (400, b"GET / HTTP/1.1\r\nHost: app.test:http\r\n\r\n"),
    "host with empty port": (400, b"GET / HTTP/1.1\r\nHost: app.test:\r\n\r\n"),
    "host with ipv6 zone": (400, b'GET / HTTP/1.1\r\nHost: [::1%", for="6.6.6.6]\r\n\r\n'),
    "bare cr before the request line": (400, b"\r\r\rGET / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "host not ascii": (400, b"GET / HTTP/1.1\r\nHost: \xc3\xa4.test\r\n\r\n"),
    "host with broken ipv6": (400, b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    "absolute form differs": (400, b"GET http://evil.test/ HTTP/1.1\r\nHost: app.test\r\n\r\n"),
    "absolute form differs in port": (400, b"GET http://app.test:81/ HTTP/1.1\r\nHost: app.test\r\n\r\n"),
    "absolute form ftp": (400, b"GET ftp://app.test/ HTTP/1.1\r\nHost: app.test\r\n\r\n"),
    "absolute form that is no url": (400, b"GET http://[::1 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "absolute form without host": (400, b"GET http://app.test/ HTTP/1.1\r\n\r\n"),
    "control in target": (400, b"GET /\x01 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "del in target": (400, b"GET /\x7f HTTP/1.1\r\n" + HOST + b"\r\n"),
    "nul in target": (400, b"GET /\x00 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "8 bit in target": (400, b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n"),
    "fragment in target": (400, b"GET /#a HTTP/1.1\r\n" + HOST + b"\r\n"),
    "tab in request line": (400, b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    "two spaces in request line": (400, b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "no version": (400, b"GET /\r\n" + HOST + b"\r\n"),
    "relative target": (400, b"GET index.html HTTP/1.1\r\n" + HOST + b"\r\n"),
    "nul in value": (400, b"GET / HTTP/1.1\r\n" + HOST + b"X: a\x00b\r\n\r\n"),
    "control in value": (400, b"GET / HTTP/1.1\r\n" + HOST + b"X: a\x01b\r\n\r\n"),
    "bare cr in value": (400, b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rX-Evil: 1\r\n\r\n"),
    "bare cr after the request line": (400, b"GET / HTTP/1.1\rX: 1\r\n" + HOST + b"\r\n"),
    "folded field": (400, b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n"),
    "space before colon": (400, b"GET / HTTP/1.1\r\n" + HOST + b"X : 1\r\n\r\n"),
    "field without colon": (400, b"GET / HTTP/1.1\r\n" + HOST + b"nonsense\r\n\r\n"),
    "field name not a token": (400, b"GET / HTTP/1.1\r\n" + HOST + b"X@Y: 1\r\n\r\n"),
    "http 1.2": (400, b"GET / HTTP/1.2\r\n" + HOST + b"\r\n"),
    "http 2 preface": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "http 0.9": (400, b"GET / HTTP/0.9\r\n" + HOST + b"\r\n"),
    "transfer encoding gzip, chunked": (
        400,
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    "transfer encoding twice": (
        400,
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "transfer encoding and length": (
        400,
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    ),
    "te chunked": (400, b"GET / HTTP/1.1\r\n" + HOST + b"TE: gzip, chunked\r\n\r\n"),
    "two lengths": (400, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\na"),
    "length with sign": (400, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +1\r\n\r\na"),
    "length too long": (400, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999999999999999\r\n\r\na"),
    "get star": (400, b"GET * HTTP/1.1\r\n" + HOST + b"\r\n"),
    "method not a token": (400, b"G\x80T / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "method with a slash": (400, b"GE/T / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "unknown expectation": (417, b"POST / HTTP/1.1\r\n" + HOST + b"Expect: tea\r\nContent-Length: 1\r\n\r\na"),
    "trace": (405, b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "connect": (405, b"CONNECT app.test:443 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "connect to the metadata service": (405, b"CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n"),
    "upgrade by post": (426, b"POST /ws HTTP/1.1\r\n" + HOST + UPGRADE + b"\r\n"),
    "upgrade in http 1.0": (426, b"GET /ws HTTP/1.0\r\n" + HOST + UPGRADE + b"\r\n"),
    "upgrade version 8": (426, b"GET /ws HTTP/1.1\r\n" + HOST + UPGRADE.replace(b"13", b"8") + b"\r\n"),
    "upgrade without version": (
        426,
        b"GET /ws HTTP/1.1\r\n" + HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\n" + KEY + b"\r\n",
    ),
    "upgrade without key": (
        426,
        b"GET /ws HTTP/1.1\r\n"
        + HOST
        + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n",
    ),
    "upgrade with short key": (
        426,
        b"GET /ws HTTP/1.1\r\n" + HOST + UPGRADE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"c2hvcnQ=") + b"\r\n",
    ),
    "upgrade with two keys": (426, b"GET /ws HTTP/1.1\r\n" + HOST + UPGRADE + KEY + b"\r\n"),
    "upgrade with body": (426, b"GET /ws HTTP/1.1\r\n" + HOST + UPGRADE + b"Content-Length: 3\r\n\r\nabc"),
    "upgrade with chunked body": (
        426,
        b"GET /ws HTTP/1.1\r\n" + HOST + UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "upgrade without connection": (
        426,
        b"GET /ws HTTP/1.1\r\n" + HOST + UPGRADE.replace(b"Connection: Upgrade\r\n", b"") + b"\r\n",
    ),
    "too many fields": (431, b"GET / HTTP/1.1\r\n" + HOST + b"".join(b"X-%d: 1\r\n" % n for n in range(100)) + b"\r\n"),
    "large head": (431, b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 33_000 + b"\r\n\r\n"),
    "large head that never ends": (431, b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 40_000),
    "endless fields": (431, b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 200),
    "long request line": (414, b"GET /" + b"a" * 33_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
    "request line that never ends": (414, b"GET /" + b"a" * 40_000),
    "unmapped host": (404, b"GET / HTTP/1.1\r\nHost: unmapped.test\r\nConnection: close\r\n\r\n"),
    "look-alike of a wildcard": (404, b"GET / HTTP/1.1\r\nHost: evilpreview.test\r\nConnection: close\r\n\r\n"),
    "loopback by address": (404, b"GET / HTTP/1.1\r\nHost: 127.0.0.1:22\r\nConnection: close\r\n\r\n"),
    "mitmproxy's own app": (404, b"GET / HTTP/1.1\r\nHost: mitm.it\r\nConnection: close\r\n\r\n"),
    "head with length text": (400, b"HEAD / HTTP/1.1\r\n" + HOST + b"Content-Length: abc\r\n\r\n"),
    "length past the limit": (413, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 999999999\r\n\r\n"),
}


@pytest.fixture(scope="module")
def canary() -> Iterator[Canary]:
    with Canary() as canary:
        yield canary


@pytest.fixture(scope="module")
def gateway(folder: Path, canary: Canary) -> Iterator[Gateway]:
    backend = f"http://127.0.0.1:{canary.port}"
    settings = {
        "services": {"app.test": backend, "*.preview.test": backend},
        "timeouts": {"request_head": "1s", "keep_alive": "2s"},
    }
    with Gateway(folder, settings) as gateway:
        yield gateway


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_is_refused_and_no_backend_sees_it(gateway: Gateway, canary: Canary, name: str) -> None:
    expected, request = PROBES[name]
    before = canary.connections
    answer = gateway.raw(request)
    assert status_of(answer) == expected, answer
    assert len(ANSWER.findall(answer)) == 1, "one request, one answer"
    assert canary.connections == before
    body = answer.partition(b"\r\n\r\n")[2]
    assert (body == b"") == request.startswith(b"HEAD ")
    (request_id,) = header_of(answer, "X-Request-Id")
    assert not body or json.loads(body)["request_id"] == request_id
    line = gateway.output.wait_for(f" request_id={request_id}")
    assert f" status={expected} " in line
    assert f" bytes_out={len(body)} " in line
    assert " reason=" in line
    assert "validate_inbound_headers" not in gateway.output.text, "nobody is told how to switch a check off"


@pytest.mark.parametrize("name", ["no host", "trace", "upgrade by post", "unmapped host", "large head"])
def test_a_refusal_says_what_to_do_and_nothing_of_the_inside(gateway: Gateway, name: str) -> None:
    answer = gateway.raw(PROBES[name][1]).decode()
    assert '"error": "' in answer
    assert f'"status": {PROBES[name][0]}' in answer
    assert '"request_id": "' in answer
    assert header_of(answer.encode(), "cache-control") == ["no-store"]
    assert "127.0.0.1" not in answer
    assert "mitmproxy" not in answer.lower()


def test_405_and_426_name_what_is_allowed(gateway: Gateway) -> None:
    assert "GET" in header_of(gateway.raw(PROBES["trace"][1]), "Allow")[0]
    refused = gateway.raw(PROBES["upgrade version 8"][1])
    assert header_of(refused, "Sec-WebSocket-Version") == ["13"]
    assert header_of(refused, "Upgrade") == ["websocket"]
    assert header_of(refused, "Connection") == ["Upgrade, close"]


def test_a_head_slower_than_its_time_is_408_and_no_backend_sees_it(gateway: Gateway, canary: Canary) -> None:
    before = canary.connections
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as conn:
        started = time.monotonic()
        conn.sendall(b"GET / HTTP/1.1\r\nHost: app.test\r\nX-Slow: ")
        answer = receive_all(conn)
    assert status_of(answer) == 408
    assert time.monotonic() - started >= 0.9
    assert canary.connections == before


def test_a_connection_that_never_asks_is_closed_without_a_word(gateway: Gateway) -> None:
    assert gateway.raw(b"") == b""


def test_a_second_request_smuggled_behind_a_refused_one_is_never_read(gateway: Gateway, canary: Canary) -> None:
    before = canary.connections
    smuggled = (
        b"POST / HTTP/1.1\r\n"
        + HOST
        + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n"
        + HOST
        + b"\r\n"
    )
    answer = gateway.raw(smuggled)
    assert status_of(answer) == 400
    assert len(ANSWER.findall(answer)) == 1
    assert canary.connections == before


def test_every_refusal_has_a_line_in_the_access_log(gateway: Gateway) -> None:
    mark = len(gateway.output.lines)
    gateway.raw(b"GET / HTTP/1.1\r\nHost: logged.test\r\nConnection: close\r\n\r\n")
    line = gateway.output.wait_for("host=logged.test", since=mark)
    assert "status=404" in line
    assert "reason=unmapped-host" in line
    mark = len(gateway.output.lines)
    gateway.raw(b"GET / HTTP/1.2\r\n\r\n")
    assert "status=400" in gateway.output.wait_for("reason=version-unknown", since=mark)


def test_a_bare_lf_and_empty_lines_before_a_request_are_understood(gateway: Gateway) -> None:
    answer = gateway.raw(b"\r\n\nGET / HTTP/1.1\nHost: unmapped.test\nConnection: close\n\n")
    assert status_of(answer) == 404


def test_a_head_that_comes_byte_by_byte_is_understood(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as conn:
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET / HTTP/1.1\r\nHost: unmapped.test\r\nConnection: close\r\n\r\n":
            conn.sendall(bytes([byte]))
        assert status_of(receive_all(conn)) == 404
