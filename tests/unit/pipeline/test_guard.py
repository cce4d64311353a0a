"""The guard: which flows it refuses without the transport's help, and the record that it starts."""

from pathlib import Path

import pytest
from flows import flow, settings
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import flow as mitmproxy_flow
from mitmproxy import http
from mitmproxy.proxy.mode_specs import ProxyMode

from livegate.pipeline.exchange.record import exchange_of
from livegate.pipeline.guard import Guard
from livegate.pipeline.router import DomainRouter
from livegate.settings import CurrentSettings

UPGRADE = (
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)


@pytest.fixture
def guard(tmp_path: Path) -> Guard:
    return Guard(CurrentSettings(settings(tmp_path, limits={"headers": 10})))


def changed(made: http.HTTPFlow, **data: bytes) -> http.HTTPFlow:
    for name, value in data.items():
        setattr(made.request.data, name, value)
    return made


REFUSED = {
    "no host": (400, "host-missing", lambda: flow(host=None)),
    "two hosts": (400, "host-repeated", lambda: flow(("Host", "app.test"))),
    "malformed host": (400, "host-malformed", lambda: flow(host="app.test, evil.test")),
    "zone in the host": (400, "host-malformed", lambda: flow(host='[::1%", for="6.6.6.6]')),
    "absolute form differs": (400, "host-differs", lambda: changed(flow(), authority=b"evil.test")),
    "absolute form of another scheme": (
        400,
        "target-malformed",
        lambda: changed(flow(), authority=b"app.test", scheme=b"ftp"),
    ),
    "folded field": (400, "field-malformed", lambda: flow(("X", "a\r\n b"))),
    "nul in a value": (400, "field-malformed", lambda: flow(("X", "a\x00b"))),
    "bare cr in a value": (400, "field-malformed", lambda: flow(("X", "a\rb"))),
    "name that is no token": (400, "field-malformed", lambda: flow(("X Y", "a"))),
    "control in the path": (400, "target-malformed", lambda: changed(flow(), path=b"/\x01")),
    "8 bit in the path": (400, "target-malformed", lambda: changed(flow(), path=b"/\xff")),
    "space in the path": (400, "target-malformed", lambda: changed(flow(), path=b"/a b")),
    "fragment": (400, "target-malformed", lambda: flow(path="/#a")),
    "relative path": (400, "target-malformed", lambda: flow(path="a")),
    "get star": (400, "target-malformed", lambda: flow(path="*")),
    "unknown version": (400, "version-unknown", lambda: flow(version="HTTP/1.2")),
    "http 2": (400, "version-unknown", lambda: flow(version="HTTP/2.0")),
    "method that is no token": (400, "method-malformed", lambda: flow(method="GE/T")),
    "trace": (405, "method-not-allowed", lambda: flow(method="TRACE")),
    "connect": (405, "method-not-allowed", lambda: flow(method="CONNECT")),
    "coding and length": (
        400,
        "framing-malformed",
        lambda: flow(("Transfer-Encoding", "chunked"), ("Content-Length", "1"), method="POST"),
    ),
    "unknown expectation": (417, "expectation-unknown", lambda: flow(("Expect", "tea"), method="POST")),
    "upgrade by post": (426, "upgrade-malformed", lambda: flow(*UPGRADE, method="POST")),
    "upgrade in http 1.0": (426, "upgrade-malformed", lambda: flow(*UPGRADE, version="HTTP/1.0")),
    "upgrade with a body": (426, "upgrade-malformed", lambda: flow(*UPGRADE, ("Content-Length", "1"))),
    "too many fields": (431, "head-large", lambda: flow(*[("X", "1")] * 10)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_parsed_request_is_checked_without_its_raw_bytes(guard: Guard, name: str) -> None:
    status, reason, make = REFUSED[name]
    made = make()
    guard.requestheaders(made)
    assert made.response is not None
    assert made.response.status_code == status
    assert made.response.headers["Connection"] == ("Upgrade, close" if status == 426 else "close")
    exchange = exchange_of(made)
    assert exchange is not None
    assert (exchange.refusal_reason, exchange.authority, exchange.upgrade) == (reason, "", False)


@pytest.mark.parametrize("mode", ["regular", "upstream:http://127.0.0.1:1", "socks5", "transparent"])
def test_a_connection_of_another_mode_gets_no_further(guard: Guard, mode: str) -> None:
    made = flow()
    made.client_conn.proxy_mode = ProxyMode.parse(mode)
    guard.requestheaders(made)
    exchange = exchange_of(made)
    assert made.response is not None
    assert made.response.status_code == 400
    assert exchange is not None
    assert exchange.refusal_reason == "not-a-gateway-connection"


def test_a_valid_request_passes_unchanged(guard: Guard) -> None:
    made = flow(("Cookie", "a=b"), host="APP.test:8080", path="/a?b=c", method="POST")
    before = made.request.headers.fields
    guard.requestheaders(made)
    exchange = exchange_of(made)
    assert made.response is None
    assert exchange is not None
    assert (exchange.authority, exchange.upgrade, exchange.refusal_reason) == ("APP.test:8080", False, "")
    assert (made.request.headers.fields, made.request.path) == (before, "/a?b=c")


def test_an_absolute_form_that_agrees_is_sent_in_origin_form(guard: Guard) -> None:
    made = changed(flow(host="App.test:80", path="/a?b=c"), authority=b"app.test", scheme=b"http")
    guard.requestheaders(made)
    exchange = exchange_of(made)
    assert made.response is None
    assert (made.request.data.authority, made.request.path) == (b"", "/a?b=c")
    assert made.request.headers["Host"] == "App.test:80"
    assert exchange is not None
    assert exchange.authority == "App.test:80"


def test_a_good_upgrade_is_recorded_as_one(guard: Guard) -> None:
    made = flow(*UPGRADE)
    guard.requestheaders(made)
    exchange = exchange_of(made)
    assert made.response is None
    assert exchange is not None
    assert exchange.upgrade


def test_an_upgrade_to_something_else_is_an_ordinary_request(guard: Guard) -> None:
    made = flow(("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AAMAAABk"))
    guard.requestheaders(made)
    exchange = exchange_of(made)
    assert made.response is None
    assert exchange is not None
    assert not exchange.upgrade


@pytest.mark.parametrize(
    ("version", "connection", "close_connection"),
    [("HTTP/1.1", "close", True), ("HTTP/1.1", "keep-alive", False), ("HTTP/1.0", "", True)],
)
def test_a_client_that_asked_to_close_is_recorded(
    guard: Guard, version: str, connection: str, close_connection: bool
) -> None:
    made = flow(*([("Connection", connection)] if connection else []), version=version)
    guard.requestheaders(made)
    exchange = exchange_of(made)
    assert exchange is not None
    assert exchange.close_connection is close_connection


@pytest.mark.parametrize("why", ["replayed or loaded", "has a response"])
def test_a_saved_flow_is_left_alone(guard: Guard, why: str) -> None:
    made = flow(host=None)
    if why == "has a response":
        made.response = http.Response.make(200)
    else:
        made.live = False
    before = made.response
    guard.requestheaders(made)
    assert made.response is before
    assert exchange_of(made) is None


def test_a_flow_that_mitmproxy_refused_has_a_record_and_no_second_response(guard: Guard) -> None:
    made = flow(host=None)
    made.error = mitmproxy_flow.Error("bad framing")
    guard.requestheaders(made)
    assert exchange_of(made) is not None
    assert made.response is None


def test_connect_is_always_405(guard: Guard) -> None:
    made = flow(method="CONNECT")
    guard.http_connect(made)
    assert made.response is not None
    assert made.response.status_code == 405
    assert "GET" in made.response.headers["Allow"]


def test_without_settings_nothing_passes() -> None:
    made = flow()
    Guard(CurrentSettings()).requestheaders(made)
    assert made.response is not None
    assert made.response.status_code == 500


@given(
    method=st.binary(max_size=10),
    path=st.binary(max_size=20),
    authority=st.binary(max_size=20),
    version=st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/3", b""]),
    fields=st.lists(
        st.tuples(st.sampled_from([b"Host", b"Upgrade", b"Content-Length", b"Expect", b"X"]), st.binary(max_size=20)),
        max_size=5,
    ),
)
def test_no_request_makes_the_guard_fail(
    *,
    tmp_path_factory: pytest.TempPathFactory,
    method: bytes,
    path: bytes,
    authority: bytes,
    version: bytes,
    fields: list[tuple[bytes, bytes]],
) -> None:
    made = changed(flow(), method=method, path=path, authority=authority, http_version=version)
    made.request.headers = http.Headers(fields)
    Guard(CurrentSettings(settings(tmp_path_factory.getbasetemp()))).requestheaders(made)
    assert made.response is None or made.response.status_code != 500


def test_a_saved_flow_is_never_routed_or_recorded(tmp_path: Path) -> None:
    guard, router = Guard(CurrentSettings(settings(tmp_path))), DomainRouter()
    for change in ({"live": False}, {"response": http.Response.make(200)}):
        made = flow()
        for name, value in change.items():
            setattr(made, name, value)
        guard.requestheaders(made)
        router.requestheaders(made)
        assert exchange_of(made) is None
        assert made.request.host == "livegate.invalid"
