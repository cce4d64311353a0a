"""Header fields in detail; what reaches a real backend is in the end-to-end tests."""

import logging
from ipaddress import ip_address
from pathlib import Path

import pytest
from flows import begun, flow, settings
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import http

from livegate.logs.context import FLOW
from livegate.pipeline.headers import Headers
from livegate.pipeline.policy import RequestPolicy
from livegate.settings import CurrentSettings
from livegate.websocket.registry import SocketRegistry


def after(made: http.HTTPFlow, with_settings, **exchange_values) -> dict[str, list[str]]:
    exchange = begun(made, with_settings)
    for name, value in exchange_values.items():
        setattr(exchange, name, value)
    Headers().requestheaders(made)
    return {name.lower(): made.request.headers.get_all(name) for name in made.request.headers}


def test_a_trusted_proxys_fields_are_passed_on_and_extended(tmp_path: Path) -> None:
    made = flow(
        ("X-Forwarded-For", "203.0.113.7"),
        ("X-Forwarded-Host", "public.test"),
        ("X-Forwarded-Port", "443"),
        ("Forwarded", "for=203.0.113.7"),
        peer="10.0.0.1",
    )
    got = after(
        made, settings(tmp_path, trusted_proxies=["10.0.0.0/8"]), scheme="https", client=ip_address("203.0.113.7")
    )
    assert got["x-forwarded-for"] == ["203.0.113.7, 10.0.0.1"]
    assert got["x-forwarded-host"] == ["public.test"]
    assert got["x-forwarded-port"] == ["443"]
    assert got["x-forwarded-proto"] == ["https"]
    assert got["forwarded"] == ["for=203.0.113.7, for=10.0.0.1;host=app.test;proto=https"]
    assert got["x-real-ip"] == ["203.0.113.7"]


@pytest.mark.parametrize("bad", ["evil.test/x", "a, b", ""])
def test_a_malformed_host_of_a_trusted_proxy_is_replaced(tmp_path: Path, bad: str) -> None:
    made = flow(("X-Forwarded-Host", bad), ("X-Forwarded-Port", bad), peer="10.0.0.1")
    got = after(made, settings(tmp_path, trusted_proxies=["10.0.0.0/8"]))
    assert got["x-forwarded-host"] == ["app.test"]
    assert got["x-forwarded-port"] == ["80"]


def test_an_upgrade_is_rebuilt_without_extensions(tmp_path: Path) -> None:
    made = flow(
        ("Connection", "keep-alive, Upgrade"),
        ("Upgrade", "WebSocket"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
        ("Sec-WebSocket-Protocol", "phoenix, base64url.bearer.phx.x"),
    )
    got = after(made, settings(tmp_path), upgrade=True)
    assert got["connection"] == ["Upgrade"]
    assert got["upgrade"] == ["websocket"]
    assert got["sec-websocket-protocol"] == ["phoenix, base64url.bearer.phx.x"]
    assert "sec-websocket-extensions" not in got
    assert got["origin"] == ["http://app.test"]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("a=1; livegate_admin=x; b=2", "a=1; b=2"),
        ("livegate_admin=x;b=2", "b=2"),
        ("livegate_admin=x", None),
        ("a=livegate_admin; my_livegate_admin=1", "a=livegate_admin; my_livegate_admin=1"),
        ("a=1;  b=2", "a=1;  b=2"),
    ],
)
def test_the_admin_listeners_cookie_is_not_for_apps_and_others_stay_as_they_are(
    tmp_path: Path, given: str, sent: str | None
) -> None:
    got = after(flow(("Cookie", given)), settings(tmp_path))
    assert got.get("cookie") == ([sent] if sent else None)


def test_underscore_twins_of_sensitive_fields_are_dropped_and_others_stay(tmp_path: Path) -> None:
    made = flow(
        ("X_Forwarded_For", "1"),
        ("Content_Length", "1"),
        ("X_Real_IP", "1"),
        ("Sec_WebSocket_Key", "1"),
        ("my_own", "1"),
    )
    assert [name for name in after(made, settings(tmp_path)) if "_" in name] == ["my_own"]


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=15), st.binary(max_size=30)), max_size=10))
def test_no_fields_make_the_rewrite_fail_and_host_stays_one(tmp_path_factory, fields) -> None:
    made = flow()
    made.request.headers = http.Headers([(b"Host", b"app.test"), *fields])
    begun(made, settings(tmp_path_factory.mktemp("s")))
    Headers().requestheaders(made)
    assert made.response is None
    assert made.request.headers.get_all("host") == ["127.0.0.1:4000"]


def test_a_response_of_the_gateway_itself_is_unchanged(tmp_path: Path) -> None:
    made = flow()
    begun(made, settings(tmp_path)).refusal_reason = "unmapped-host"
    made.response = http.Response.make(404, b"", {"Connection": "close"})
    Headers().responseheaders(made)
    assert made.response.headers["Connection"] == "close"


def test_a_flow_that_is_not_the_gateways_is_left_alone() -> None:
    made = flow()
    before = made.request.headers.fields
    Headers().requestheaders(made)
    made.response = http.Response.make(200, b"", {"Connection": "close"})
    Headers().responseheaders(made)
    assert made.request.headers.fields == before
    assert made.response.headers["Connection"] == "close"


# What the backend gets


def service_with(tmp_path: Path, **values):
    return settings(tmp_path, services={"app.test": {"backend": "http://127.0.0.1:4000", **values}})


@pytest.mark.parametrize(
    ("policy", "given_origin", "upgrade", "expected"),
    [
        ("preserve", None, True, ["https://app.test"]),
        ("preserve", None, False, []),
        ("preserve", "null", True, ["null"]),
        ("preserve", "https://a.test", False, ["https://a.test"]),
        ("passthrough", None, True, []),
        ("passthrough", "https://a.test", True, ["https://a.test"]),
        ("rewrite", None, True, []),
        ("rewrite", "https://a.test", True, ["http://127.0.0.1:4000"]),
        ("drop", "https://a.test", True, []),
        ("drop", None, True, []),
    ],
)
def test_origin_is_made_by_the_policy_and_invented_only_for_preserved_upgrades(
    tmp_path: Path, policy: str, given_origin: str | None, upgrade: bool, expected: list[str]
) -> None:
    made = flow(*([("Origin", given_origin)] if given_origin else []))
    got = after(made, service_with(tmp_path, origin=policy), upgrade=upgrade, scheme="https")
    assert got.get("origin", []) == expected


@pytest.mark.parametrize(("policy", "expected"), [("rewrite", "127.0.0.1:4000"), ("keep", "app.test")])
def test_host_is_one_and_the_same_for_http_and_websocket(tmp_path: Path, policy: str, expected: str) -> None:
    for upgrade in (False, True):
        assert after(flow(), service_with(tmp_path, host=policy), upgrade=upgrade)["host"] == [expected]


def test_application_fields_keep_their_bytes_their_order_and_their_repetition(tmp_path: Path) -> None:
    given_fields = (
        ("Cookie", "a=1; _app_key=x"),
        ("X-CSRF-Token", "t"),
        ("cOOKIE", "b=2"),
        ("Authorization", "Bearer  two"),
        ("X-Repeated", "1"),
        ("Sec-WebSocket-Protocol", "phoenix, base64url.bearer.phx.x"),
        ("Sec-Fetch-Site", "same-origin"),
        ("X-Repeated", "2"),
        ("Referer", "https://app.test/p?q"),
        ("User-Agent", "caf\xe9"),
        ("Accept-Encoding", "br"),
        ("Expect", "100-continue"),
        ("X-User-ID", "7"),
    )
    made = flow(*given_fields)
    after(made, settings(tmp_path))
    raw = [(name.encode(), value.encode("latin-1")) for name, value in given_fields]
    assert [field for field in made.request.headers.fields if field[0] in {name for name, _ in raw}] == raw


def test_an_untrusted_clients_forwarding_fields_are_dropped_whatever_their_suffix(tmp_path: Path) -> None:
    names = ("For", "Host", "Proto", "Port", "Prefix", "Server", "Ssl", "Anything")
    made = flow(
        *((f"X-Forwarded-{name}", "6.6.6.6") for name in names),
        *((name, "6.6.6.6") for name in ("Forwarded", "X-Real-IP", "X-Client-IP", "X-Original-URL", "X-Rewrite-URL")),
    )
    got = after(made, settings(tmp_path))
    assert b"6.6.6.6" not in bytes(made.request.headers)
    assert got["x-forwarded-for"] == got["x-real-ip"] == ["192.0.2.1"]
    assert got["forwarded"] == ["for=192.0.2.1;host=app.test;proto=http"]
    assert "x-forwarded-prefix" not in got


def test_a_trusted_proxys_other_forwarding_fields_are_passed_on(tmp_path: Path) -> None:
    made = flow(("X-Forwarded-Prefix", "/app"), ("X-Original-URL", "/x"), peer="10.0.0.1")
    got = after(made, settings(tmp_path, trusted_proxies=["10.0.0.0/8"]))
    assert (got["x-forwarded-prefix"], got["x-original-url"]) == (["/app"], ["/x"])


@pytest.mark.parametrize(
    "name", ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded", "traceparent"]
)
@pytest.mark.parametrize("value", [b"\xff\xfe", "\u20ac".encode(), b'"', b"a\r\nX-Evil: 1", b"," * 8000])
def test_no_value_that_a_trusted_proxy_hands_on_makes_the_request_fail(tmp_path: Path, name: str, value: bytes) -> None:
    made = flow(peer="10.0.0.1")
    made.request.headers = http.Headers([(b"Host", b"app.test"), (name.encode(), value)])
    got = after(made, settings(tmp_path, trusted_proxies=["10.0.0.0/8"]))
    assert made.response is None
    assert got["x-forwarded-for"][-1].endswith("10.0.0.1")
    assert got["x-forwarded-host"] == ["app.test"]
    assert got["forwarded"][-1].endswith("for=10.0.0.1;host=app.test;proto=http")


def test_hop_by_hop_fields_of_a_request_and_nominated_ones_are_removed(tmp_path: Path) -> None:
    made = flow(
        ("Connection", "close, X-Hop"),
        ("connection", " x-second ,,"),
        ("X-Hop", "1"),
        ("X-Second", "1"),
        ("X-Stays", "1"),
        *((name, "1") for name in ("Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization")),
        *((name, "1") for name in ("TE", "Trailer", "Upgrade", "HTTP2-Settings")),
        ("Transfer-Encoding", "chunked"),
    )
    got = after(made, settings(tmp_path))
    assert got.keys() - {"traceparent"} == {
        "host",
        "x-stays",
        "transfer-encoding",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "forwarded",
        "x-real-ip",
        "x-request-id",
    }


PROTECTED = (
    "Cookie",
    "Authorization",
    "Origin",
    "Content-Length",
    "Content-Type",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Protocol",
)


def test_connection_cannot_take_away_what_sessions_and_framing_need(tmp_path: Path) -> None:
    ours = ("Host", "X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "X-Real-IP", "X-Request-Id", "traceparent")
    made = flow(("Connection", ", ".join([*PROTECTED, *ours]).lower()), *((name, "1") for name in PROTECTED))
    got = after(made, settings(tmp_path))
    assert {name.lower() for name in (*PROTECTED, *ours)} <= got.keys()
    assert "connection" not in got


def test_connection_cannot_undo_the_upgrade(tmp_path: Path) -> None:
    got = after(flow(("Connection", "upgrade, connection"), ("Upgrade", "websocket")), settings(tmp_path), upgrade=True)
    assert (got["connection"], got["upgrade"]) == (["Upgrade"], ["websocket"])


def test_a_connection_field_with_ten_thousand_names_is_only_long(tmp_path: Path) -> None:
    made = flow(("Connection", ",".join(f"x-{number}" for number in range(10_000))), ("X-9999", "1"), ("X-Stays", "1"))
    got = after(made, settings(tmp_path))
    assert "x-9999" not in got
    assert got["x-stays"] == ["1"]


def test_a_valid_trace_is_passed_on_with_its_state_and_replaced_otherwise(tmp_path: Path) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    states = (("tracestate", "a=1"), ("tracestate", "b=2"))
    good = after(flow(("traceparent", parent), *states), settings(tmp_path))
    assert (good["traceparent"], good["tracestate"]) == ([parent], ["a=1", "b=2"])
    twice = after(flow(("traceparent", parent), ("traceparent", parent), *states), settings(tmp_path))
    assert len(twice["traceparent"]) == 1
    assert twice["traceparent"] != [parent]
    assert twice["traceparent"][0].endswith("-00")
    assert "tracestate" not in twice
    newer = f"01{parent[2:]}-more"
    assert after(flow(("traceparent", newer)), settings(tmp_path))["traceparent"] == [newer]


def test_an_untrusted_clients_request_id_is_replaced(tmp_path: Path) -> None:
    made = flow(("X-Request-Id", "a" * 32), ("x-request-id", "b" * 32))
    got = after(made, settings(tmp_path), request_id="ours")
    assert got["x-request-id"] == ["ours"]


def test_a_request_without_a_service_is_left_alone(tmp_path: Path) -> None:
    made = flow(host="unknown.test")
    begun(made, settings(tmp_path), host="unknown.test")
    Headers().requestheaders(made)
    assert made.request.headers.fields == ((b"Host", b"unknown.test"),)


# What the client gets


def response_fields(
    tmp_path: Path, *fields: tuple[bytes, bytes], status: int = 200, version: str = "HTTP/1.1", **values
):
    made = flow(version=version)
    exchange = begun(made, settings(tmp_path))
    exchange.request_id = "ours"
    for name, value in values.items():
        setattr(exchange, name, value)
    made.response = http.Response.make(status)
    made.response.headers = http.Headers(fields)
    Headers().responseheaders(made)
    assert exchange.response_started_at is not None
    return [field for field in made.response.headers.fields if field != (b"X-Request-Id", b"ours")]


def test_every_set_cookie_of_a_backend_arrives_in_order(tmp_path: Path) -> None:
    cookies = ((b"Set-Cookie", b"a=1"), (b"Vary", b"x"), (b"set-cookie", b"b=2; Path=/"), (b"Set-Cookie", b"a=3"))
    assert response_fields(tmp_path, *cookies) == list(cookies)


def test_hop_by_hop_fields_of_a_response_and_nominated_ones_are_removed(tmp_path: Path) -> None:
    names = (b"Keep-Alive", b"TE", b"Trailer", b"Upgrade", b"Proxy-Authenticate", b"Alt-Svc", b"X-Hop", b"X-Request-Id")
    got = response_fields(
        tmp_path,
        (b"Connection", b"close, X-Hop, Content-Length"),
        *((name, b"1") for name in names),
        (b"Content-Length", b"0"),
        (b"Transfer-Encoding", b"chunked"),
    )
    assert got == [(b"Content-Length", b"0"), (b"Transfer-Encoding", b"chunked")]


def test_an_http_1_0_client_gets_no_transfer_encoding(tmp_path: Path) -> None:
    assert response_fields(tmp_path, (b"Transfer-Encoding", b"chunked"), version="HTTP/1.0") == []


def test_a_101_has_upgrade_and_no_other_hop_by_hop_field(tmp_path: Path) -> None:
    got = response_fields(
        tmp_path,
        (b"connection", b"keep-alive, upgrade"),
        (b"upgrade", b"WebSocket"),
        (b"Sec-WebSocket-Accept", b"x"),
        status=101,
        upgrade=True,
    )
    assert got == [(b"Sec-WebSocket-Accept", b"x"), (b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]


def test_a_client_that_asked_to_close_gets_connection_close(tmp_path: Path) -> None:
    assert response_fields(tmp_path, (b"Connection", b"keep-alive"), close_connection=True) == [
        (b"Connection", b"close")
    ]


LIMIT_FIELDS = (("RateLimit", '"user";r=1;t=1'), ("X-RateLimit-Limit", "5"))


def test_rate_limit_fields_are_added_and_a_backends_own_are_kept(tmp_path: Path) -> None:
    ours = [(name.encode(), value.encode()) for name, value in LIMIT_FIELDS]
    assert response_fields(tmp_path, limit_fields=LIMIT_FIELDS) == ours
    own = ((b"ratelimit", b'"app";r=7;t=1'), (b"x-ratelimit-remaining", b"7"))
    assert response_fields(tmp_path, *own, limit_fields=LIMIT_FIELDS) == [*own, ours[0]]


def test_a_response_has_only_our_request_id(tmp_path: Path) -> None:
    made = flow()
    begun(made, settings(tmp_path)).request_id = "ours"
    made.response = http.Response.make(200, b"", {"X-Request-Id": "theirs"})
    Headers().responseheaders(made)
    assert made.response.headers.get_all("X-Request-Id") == ["ours"]


def test_a_flow_without_a_response_is_unchanged(tmp_path: Path) -> None:
    made = flow()
    exchange = begun(made, settings(tmp_path))
    Headers().responseheaders(made)
    assert exchange.response_started_at is None


def test_field_changes_and_the_backend_are_logged_at_level_debug_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    current = CurrentSettings(settings(tmp_path))
    policy = RequestPolicy(current, SocketRegistry(), lambda client: None, lambda client, refusal, size: None)
    headers = Headers()

    def pass_through() -> http.HTTPFlow:
        made = flow(("Origin", "http://app.test"), ("Cookie", "CANARY"), path="/x?token=CANARY")
        begun(made, current.value)
        made.request.data.host, made.request.data.port = "127.0.0.1", 4000
        headers.requestheaders(made)
        assert policy.plan(made) is not None
        made.response = http.Response.make(200, b"", {"Connection": "close", "Set-Cookie": "CANARY"})
        headers.responseheaders(made)
        return made

    caplog.set_level(logging.INFO)
    pass_through()
    assert caplog.messages == []
    caplog.set_level(logging.DEBUG)
    made = pass_through()
    request, destination, response = caplog.messages
    assert request.startswith("header fields of the request: added x-forwarded-for: 192.0.2.1, ")
    assert request.endswith("; changed host: 127.0.0.1:4000")
    expected = "forwarded to http://127.0.0.1:4000 for service app.test, Host 127.0.0.1:4000, Origin http://app.test"
    assert destination == expected
    assert response == "header fields of the response: removed connection; added x-request-id"
    assert all(vars(record)[FLOW] is made for record in caplog.records)
