"""The guard's rules as pure functions; the probes over a real socket are in the end-to-end tests."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegate.pipeline import request_rules as rules

LIMITS = {"max_bytes": 4096, "max_headers": 20}


@given(st.binary(max_size=300))
def test_no_bytes_make_the_rules_of_a_head_fail(head: bytes) -> None:
    rules.head_refusal(head + b"\r\n\r\n", **LIMITS)
    rules.unfinished_head_refusal(head, **LIMITS)


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=40)), max_size=6), st.binary(max_size=20))
def test_no_fields_make_the_rules_of_a_message_fail(fields: list[tuple[bytes, bytes]], authority: bytes) -> None:
    named = [(name or b"host", value) for name, value in fields]
    rules.message_refusal(authority=authority, scheme=b"http", fields=named)
    rules.parsed_head_refusal(method=b"GET", target=authority, version=b"HTTP/1.1", fields=named, max_headers=3)


TOKEN_TEXT = st.text(st.sampled_from("abcXYZ019-_."), min_size=1, max_size=12)
VALUE_TEXT = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)


@given(TOKEN_TEXT, VALUE_TEXT, st.lists(st.tuples(TOKEN_TEXT, VALUE_TEXT), max_size=8))
def test_a_head_that_passes_is_read_alike_by_an_independent_parser(
    method: str, path: str, fields: list[tuple[str, str]]
) -> None:
    lines = [f"{method} /{path} HTTP/1.1", "host: a", *(f"x-{name}: {value}" for name, value in fields)]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode()
    if rules.head_refusal(head, **LIMITS) is not None:
        assert "#" in path or method.upper() in ("TRACE", "CONNECT")
        return
    parser = h11.Connection(h11.SERVER)
    parser.receive_data(head)
    event = parser.next_event()
    assert isinstance(event, h11.Request)
    assert (event.method, event.target) == (method.encode(), f"/{path}".encode())
    assert [value for _, value in event.headers][1:] == [value.encode() for _, value in fields]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("app.test", ("app.test", None)),
        ("APP.test.:8080", ("app.test", 8080)),
        ("[::1]:80", ("[::1]", 80)),
        ("[0:0::1]", ("[::1]", None)),
        ("127.0.0.1", ("127.0.0.1", None)),
        ("under_score.test", ("under_score.test", None)),
        ("", None),
        (".", None),
        ("a..b", None),
        ("a" * 64 + ".test", None),
        (".".join(["a" * 60] * 5), None),
        ("::1", None),
        ("[::1", None),
        ("[zz]", None),
        ("[::1]x", None),
        ("a:٣", None),
        ("a:", None),
        ("a b", None),
        ("a%41", None),
    ],
)
def test_an_authority_is_split_or_refused(text: str, expected: tuple[str, int | None] | None) -> None:
    assert rules.split_authority(text) == expected


@given(st.text(max_size=40))
def test_no_text_makes_the_splitter_fail(text: str) -> None:
    rules.split_authority(text)


def test_an_agreeing_absolute_form_may_leave_out_the_default_port() -> None:
    assert rules.message_refusal(authority=b"App.test", scheme=b"http", fields=[(b"Host", b"app.test:80")]) is None
    assert rules.message_refusal(authority=b"[", scheme=b"http", fields=[(b"Host", b"app.test")]) is not None


def test_other_upgrades_than_websocket_are_none_of_the_guards_business() -> None:
    assert not rules.is_upgrade([(b"Upgrade", b"h2c")])
    assert rules.is_upgrade([(b"UPGRADE", b"h2c, WebSocket")])


def test_a_parsed_head_is_judged_where_its_bytes_were_never_seen() -> None:
    def judge(**changed: object) -> int:
        values: dict[str, object] = {
            "method": b"GET", "target": b"/", "version": b"HTTP/1.1", "fields": [(b"a", b"b")], "max_headers": 2
        }  # fmt: skip
        refusal = rules.parsed_head_refusal(**{**values, **changed})  # type: ignore[arg-type]
        return refusal.status if refusal else 200

    assert judge() == 200
    assert judge(version=b"HTTP/1.2") == 400
    assert judge(method=b"TRACE") == 405
    assert judge(method=b"G T") == 400
    assert judge(target=b"*") == 400
    assert judge(method=b"OPTIONS", target=b"*") == 200
    assert judge(fields=[(b"a", b"folded\r\n line")]) == 400
    assert judge(fields=[(b"a", b"1")] * 3) == 431
