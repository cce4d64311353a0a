"""Address and scheme of a client behind any chain of proxies."""

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from flows import begun, flow, settings
from hypothesis import given
from hypothesis import strategies as st

from livegate.pipeline.client_identity import (
    ClientIdentity,
    client_address,
    forwarded_scheme,
    parse_hop,
    rate_limit_address,
)
from livegate.pipeline.exchange.record import awaiting_backend, peer_address, start_exchange

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))
PEER = ip_address("10.0.0.1")


@pytest.mark.parametrize(
    ("forwarded_for", "expected"),
    [
        ([], "10.0.0.1"),
        (["203.0.113.7"], "203.0.113.7"),
        (["6.6.6.6, 203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        (["6.6.6.6", "203.0.113.7", "10.0.0.2"], "203.0.113.7"),
        (["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (["6.6.6.6, unknown, 10.0.0.2"], "10.0.0.2"),
        (["6.6.6.6, <script>"], "10.0.0.1"),
        (["203.0.113.7:1234"], "203.0.113.7"),
        (['"[2001:db9::1]:1234"'], "2001:db9::1"),
        (["::ffff:203.0.113.7"], "203.0.113.7"),
        (["fe80::1%eth0"], "fe80::1"),
        (["2001:db9::1%<script>"], "2001:db9::1"),
        (["1.1.1.1," * 1000 + "203.0.113.7"], "203.0.113.7"),
        (["203.0.113.7," + "10.0.0.9," * 99 + "10.0.0.2"], "10.0.0.9"),
    ],
)
def test_the_client_is_the_right_most_untrusted_address(forwarded_for: list[str], expected: str) -> None:
    assert client_address(PEER, forwarded_for, TRUSTED) == ip_address(expected)


@given(st.lists(st.text(max_size=50), max_size=5))
def test_no_header_makes_the_search_raise(forwarded_for: list[str]) -> None:
    client_address(PEER, forwarded_for, TRUSTED)
    forwarded_scheme(forwarded_for)


def test_a_hop_that_is_no_address_is_none() -> None:
    assert parse_hop("unknown") is None
    assert parse_hop("_hidden") is None
    assert parse_hop("") is None


@pytest.mark.parametrize(
    ("given_", "expected"),
    [([], None), (["https"], "https"), (["http, wss"], "https"), (["ws"], "http"), (["ftp"], None)],
)
def test_the_scheme_is_that_of_the_nearest_proxy(given_: list[str], expected: str | None) -> None:
    assert forwarded_scheme(given_) == expected


def test_an_ipv6_address_is_counted_by_its_64() -> None:
    one, two = ip_address("2001:db8:1:2:3::4"), ip_address("2001:db8:1:2:ffff::1")
    assert rate_limit_address(one) == rate_limit_address(two) == "2001:db8:1:2::/64"
    assert rate_limit_address(ip_address("192.0.2.1")) == "192.0.2.1"


def test_only_a_trusted_proxys_fields_count(tmp_path: Path) -> None:
    with_proxy = settings(tmp_path, trusted_proxies=["10.0.0.0/8"])
    fields = (("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https"))
    for peer, client, scheme in (("10.0.0.1", "203.0.113.7", "https"), ("192.0.2.1", "192.0.2.1", "http")):
        made = flow(*fields, peer=peer)
        exchange = begun(made, with_proxy)
        ClientIdentity().requestheaders(made)
        assert (str(exchange.client), exchange.scheme) == (client, scheme)


def test_a_request_id_is_kept_only_from_a_trusted_peer_and_only_when_safe(tmp_path: Path) -> None:
    with_proxy = settings(tmp_path, trusted_proxies=["10.0.0.0/8"])
    good = "a-good.request_id~of+20/chars="
    assert start_exchange(flow(("X-Request-Id", good), peer="10.0.0.1"), with_proxy).request_id == good
    for peer, *ids in (
        ("192.0.2.1", good),
        ("10.0.0.1", "short"),
        ("10.0.0.1", "x" * 201),
        ("10.0.0.1", "a b" * 10),
        ("10.0.0.1", good, good),
    ):
        made = flow(*(("X-Request-Id", one) for one in ids), peer=peer)
        assert start_exchange(made, with_proxy).request_id not in ids


def test_addresses_of_a_peer_are_plain(tmp_path: Path) -> None:
    assert str(peer_address(flow(peer="::ffff:192.0.2.1"))) == "192.0.2.1"
    assert str(peer_address(flow(peer="fe80::1%eth0"))) == "fe80::1"


def test_a_saved_flow_is_left_alone(tmp_path: Path) -> None:
    made = flow()
    begun(made, settings(tmp_path))
    assert awaiting_backend(made) is not None
    made.live = False
    assert awaiting_backend(made) is None
    ClientIdentity().requestheaders(made)
