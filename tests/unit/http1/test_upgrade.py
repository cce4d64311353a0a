"""Both halves of the WebSocket opening handshake (RFC 6455 sections 4.1 and 4.2.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegate.http1.upgrade import is_upgrade, response_problem, upgrade_refusal

KEY = (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ==")
VERSION = (b"Sec-WebSocket-Version", b"13")
ASK = [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")]
REFUSED_UPGRADES: dict[str, tuple[bytes, bytes, list[tuple[bytes, bytes]]]] = {
    "post": (b"POST", b"HTTP/1.1", [*ASK, VERSION, KEY]),
    "get in lower case": (b"get", b"HTTP/1.1", [*ASK, VERSION, KEY]),
    "http 1.0": (b"GET", b"HTTP/1.0", [*ASK, VERSION, KEY]),
    "no connection": (b"GET", b"HTTP/1.1", [ASK[0], VERSION, KEY]),
    "connection without upgrade": (b"GET", b"HTTP/1.1", [ASK[0], (b"Connection", b"keep-alive"), VERSION, KEY]),
    "another protocol besides": (b"GET", b"HTTP/1.1", [(b"Upgrade", b"h2c, websocket"), ASK[1], VERSION, KEY]),
    "no version": (b"GET", b"HTTP/1.1", [*ASK, KEY]),
    "version 7": (b"GET", b"HTTP/1.1", [*ASK, (b"Sec-WebSocket-Version", b"7"), KEY]),
    "two versions": (b"GET", b"HTTP/1.1", [*ASK, VERSION, VERSION, KEY]),
    "list of versions": (b"GET", b"HTTP/1.1", [*ASK, (b"Sec-WebSocket-Version", b"13, 8"), KEY]),
    "no key": (b"GET", b"HTTP/1.1", [*ASK, VERSION]),
    "empty key": (b"GET", b"HTTP/1.1", [*ASK, VERSION, (b"Sec-WebSocket-Key", b"")]),
    "two keys": (b"GET", b"HTTP/1.1", [*ASK, VERSION, KEY, KEY]),
    "key of 15 bytes": (b"GET", b"HTTP/1.1", [*ASK, VERSION, (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25j")]),
    "key that is no base64": (
        b"GET",
        b"HTTP/1.1",
        [*ASK, VERSION, (b"Sec-WebSocket-Key", b"dGhlIHNhbXBs!ZSBub25jZQ==")],
    ),
    "key without padding": (b"GET", b"HTTP/1.1", [*ASK, VERSION, (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ")]),
    "key with 8 bit": (b"GET", b"HTTP/1.1", [*ASK, VERSION, (b"Sec-WebSocket-Key", b"\xff" * 24)]),
    "body with a length": (b"GET", b"HTTP/1.1", [*ASK, VERSION, KEY, (b"Content-Length", b"1")]),
    "body whose length cannot be read": (b"GET", b"HTTP/1.1", [*ASK, VERSION, KEY, (b"Content-Length", b"one")]),
    "chunked body": (b"GET", b"HTTP/1.1", [*ASK, VERSION, KEY, (b"Transfer-Encoding", b"chunked")]),
}


@pytest.mark.parametrize("name", REFUSED_UPGRADES)
def test_a_malformed_upgrade_is_426_and_names_the_required_fields(name: str) -> None:
    method, version, fields = REFUSED_UPGRADES[name]
    assert is_upgrade(fields)
    refusal = upgrade_refusal(method=method, version=version, fields=fields)
    assert refusal is not None
    assert (refusal.status, refusal.close) == (426, True)
    assert dict(refusal.headers) == {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([*ASK, VERSION, KEY], id="as browsers ask"),
        pytest.param(
            [(b"Upgrade", b"WebSocket"), (b"Connection", b"keep-alive, UPGRADE"), VERSION, KEY], id="any case"
        ),
        pytest.param(
            [ASK[0], (b"Connection", b"keep-alive"), (b"Connection", b"upgrade"), VERSION, KEY],
            id="two connection lines",
        ),
        pytest.param([*ASK, VERSION, KEY, (b"Content-Length", b"0")], id="length 0"),
    ],
)
def test_a_well_formed_upgrade_passes(fields: list[tuple[bytes, bytes]]) -> None:
    assert upgrade_refusal(method=b"GET", version=b"HTTP/1.1", fields=fields) is None


def test_other_protocols_than_websocket_are_no_upgrade() -> None:
    assert not is_upgrade([(b"Upgrade", b"h2c")])
    assert is_upgrade([(b"UPGRADE", b"h2c, WebSocket")])


UPGRADE_FIELDS = st.sampled_from(
    [b"Content-Length", b"Transfer-Encoding", b"Upgrade", b"Connection", b"Sec-WebSocket-Key", b"sec-websocket-accept"]
)


@given(st.lists(st.tuples(UPGRADE_FIELDS, st.binary(max_size=40)), max_size=6))
def test_no_field_value_makes_the_rules_raise(fields: list[tuple[bytes, bytes]]) -> None:
    is_upgrade(fields)
    upgrade_refusal(method=b"GET", version=b"HTTP/1.1", fields=fields)
    response_problem(fields, fields)


REQUEST = [*ASK, VERSION, KEY, (b"Sec-WebSocket-Protocol", b"phoenix, x")]
SWITCHING = {
    b"upgrade": b"websocket",
    b"connection": b"Upgrade",
    b"sec-websocket-accept": b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
}


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({}, None),
        ({b"upgrade": b"WebSocket", b"connection": b"keep-alive, upgrade"}, None),
        ({b"sec-websocket-protocol": b"x"}, None),
        ({b"sec-websocket-accept": b"wrong"}, "Sec-WebSocket-Accept"),
        ({b"upgrade": b"h2c"}, "another protocol"),
        ({b"upgrade": b"websocket, h2c"}, "another protocol"),
        ({b"upgrade": b"websocket;v=1"}, "another protocol"),
        ({b"connection": b"close"}, "Connection"),
        ({b"sec-websocket-protocol": b"other"}, "subprotocol"),
    ],
)
def test_a_101_is_accepted_only_if_it_matches_the_request(changed: dict[bytes, bytes], problem: str | None) -> None:
    found = response_problem(REQUEST, [*(SWITCHING | changed).items()])
    assert found is None if problem is None else problem in (found or "")


def test_a_101_that_selects_two_subprotocols_is_refused() -> None:
    chosen = [(b"Sec-WebSocket-Protocol", b"phoenix"), (b"Sec-WebSocket-Protocol", b"x")]
    assert response_problem(REQUEST, [*SWITCHING.items(), *chosen]) == "chose a subprotocol that was not offered"
