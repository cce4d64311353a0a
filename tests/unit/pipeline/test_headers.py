"""Header fields in detail; what reaches a real backend is in the end-to-end tests."""

from ipaddress import ip_address
from pathlib import Path

import pytest
from flows import begun, flow, settings
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import http

from livegate.pipeline import forwarded
from livegate.pipeline.headers import Headers


def after(made: http.HTTPFlow, with_settings, **exchange_values) -> dict[str, list[str]]:
    exchange = begun(made, with_settings)
    for name, value in exchange_values.items():
        setattr(exchange, name, value)
    Headers().requestheaders(made)
    return {name.lower(): made.request.headers.get_all(name) for name in made.request.headers}


def test_what_a_trusted_proxy_says_is_passed_on_and_added_to(tmp_path: Path) -> None:
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


def test_a_thousand_hops_of_a_trusted_proxy_are_cut_to_64() -> None:
    assert forwarded.appended(["1.1.1.1," * 1000], "2.2.2.2").count(",") == 64


def test_ipv6_is_quoted_in_forwarded() -> None:
    assert forwarded.forwarded_element(ip_address("2001:db8::1"), "[::1]:80", "http") == (
        'for="[2001:db8::1]";host="[::1]:80";proto=http'
    )


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


def test_an_answer_of_the_gateway_itself_is_left_alone(tmp_path: Path) -> None:
    made = flow()
    begun(made, settings(tmp_path)).refused = "unmapped-host"
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
