"""Tokens and terms are read without a key, within bounds, and never by guessing."""

import base64
import contextlib
import random
import zlib

import pytest

from livegate.phoenix import tokens
from livegate.phoenix.etf import MAX_BYTES, Atom, TermError, read_term


def term(*parts: bytes) -> bytes:
    return b"\x83" + b"".join(parts)


def atom(name: str) -> bytes:
    return b"w" + bytes([len(name)]) + name.encode()


def binary(value: bytes) -> bytes:
    return b"m" + len(value).to_bytes(4) + value


def mapping(**fields: bytes) -> bytes:
    return b"t" + len(fields).to_bytes(4) + b"".join(atom(name) + value for name, value in fields.items())


def tuple_of(*parts: bytes) -> bytes:
    return b"h" + bytes([len(parts)]) + b"".join(parts)


def signed(data: bytes, prefix: str = "SFMyNTY.") -> str:
    return prefix + base64.urlsafe_b64encode(data).rstrip(b"=").decode() + ".c2lnbmF0dXJl"


NIL = atom("nil")
MILLISECONDS = b"n\x06\0" + (1_700_000_000_000).to_bytes(6, "little")


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (term(b"a\x07"), 7),
        (term(b"b\xff\xff\xff\xfe"), -2),
        (term(b"n\x02\x01\x00\x01"), -256),
        (term(b"o\0\0\0\x01\0\xff"), 255),
        (term(b"F?\xf8\0\0\0\0\0\0"), 1.5),
        (term(b"c" + b"1.5e+00".ljust(31, b"\0")), 1.5),
        (term(atom("ok")), "ok"),
        (term(b"d\0\x02ok"), "ok"),
        (term(b"s\x02ok"), "ok"),
        (term(b"v\0\x02ok"), "ok"),
        (term(NIL), None),
        (term(atom("true")), True),
        (term(binary(b"x")), b"x"),
        (term(b"M\0\0\0\x01\x04\xf0"), b"\xf0"),
        (term(b"k\0\x02hi"), [104, 105]),
        (term(b"j"), []),
        (term(b"l\0\0\0\x02a\x01a\x02j"), [1, 2]),
        (term(b"l\0\0\0\x01a\x01a\x02"), [1, 2]),
        (term(tuple_of(b"a\x01", b"j")), (1, [])),
        (term(b"i\0\0\0\x01a\x01"), (1,)),
        (term(mapping(a=b"a\x01")), {"a": 1}),
        (term(b"t\0\0\0\x01ja\x01"), {"[]": 1}),
        (term(b"X", atom("n"), bytes(12)), "#pid"),
        (term(b"g", atom("n"), bytes(9)), "#pid"),
        (term(b"Y", atom("n"), bytes(8)), "#port"),
        (term(b"Z\0\x02", atom("n"), bytes(12)), "#reference"),
        (term(b"r\0\x01", atom("n"), bytes(5)), "#reference"),
        (term(b"e", atom("n"), bytes(5)), "#reference"),
        (term(b"q", atom("m"), atom("f"), b"a\x01"), "#function"),
        (term(b"p\0\0\0\x06ab"), "#function"),
        (b"\x83P\0\0\0\x02" + zlib.compress(b"a\x07"), 7),
    ],
)
def test_every_kind_of_term_is_read(data: bytes, value: object) -> None:
    assert read_term(data) == value


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "version 131"),
        (b"\x82a\x01", "version 131"),
        (b"\x83", "is truncated"),
        (b"\x83m\xff\xff\xff\xffx", "is truncated"),
        (b"\x83\x01", "unknown tag"),
        (b"\x83" + b"h\x01" * 100 + b"j", "too deeply"),
        (b"\x83l\xff\xff\xff\xffj", "more elements than"),
        (b"\x83l" + (20_000).to_bytes(4) + b"j" * 20_001, "too many elements"),
        (b"\x83t\x7f\xff\xff\xff", "more elements than"),
        (b"\x83o\0\x01\0\0\0" + bytes(100), "too many digits"),
        (b"\x83c" + b"x" * 31, "float"),
        (b"\x83p\0\0\0\0", "is truncated"),
        (b"\x83P\0\0", "is truncated"),
        (b"\x83P\x7f\0\0\0x", "too large"),
        (b"\x83P\0\0\0\x02nonsense", "cannot be inflated"),
        (b"\x83P\0\0\0\x02" + zlib.compress(bytes(10 * MAX_BYTES)), "too large"),
        (bytes(MAX_BYTES + 1), "more than"),
    ],
)
def test_what_is_no_term_or_too_large_is_an_error(data: bytes, reason: str) -> None:
    with pytest.raises(TermError, match=reason):
        read_term(data)


def test_no_bytes_whatever_raise_anything_else() -> None:
    chance = random.Random(7)
    good = term(mapping(id=binary(b"phx-1"), view=atom("Elixir.A"), nested=tuple_of(b"a\x01", MILLISECONDS)))
    for _ in range(20_000):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 5)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with contextlib.suppress(TermError):
            read_term(bytes(data[: chance.randrange(1, len(data) + 1)]))


def test_numbers_that_collide_as_keys_cost_no_time() -> None:
    entries = [b"n\x10\0" + (number * (2**61 - 1)).to_bytes(16, "little") + b"j" for number in range(1, 3200)]
    found = read_term(term(b"t" + len(entries).to_bytes(4) + b"".join(entries)))
    assert isinstance(found, dict)
    assert len(found) == len(entries)
    assert all(isinstance(key, str) for key in found)


def test_an_atom_is_only_text() -> None:
    assert type(read_term(term(atom("some_atom")))) is Atom


SESSION = mapping(
    id=binary(b"phx-GOqa"),
    view=atom("Elixir.DemoWeb.CountLive"),
    root_view=atom("Elixir.DemoWeb.CountLive"),
    router=atom("Elixir.DemoWeb.Router"),
    live_session_name=atom("default"),
    parent_pid=NIL,
    root_pid=NIL,
    session=b"t\0\0\0\x01" + binary(b"user_token") + binary(b"CANARY"),
)


@pytest.mark.parametrize("with_version", [True, False])
def test_a_session_token_names_the_view_and_keeps_no_value(with_version: bool) -> None:
    inner = tuple_of(b"a\x06", SESSION) if with_version else SESSION
    found = tokens.read_session(signed(term(tuple_of(inner, MILLISECONDS, b"b\0\x01\x51\x80"))))
    assert found == tokens.SessionToken(
        "phx-GOqa", "DemoWeb.CountLive", "DemoWeb.Router", "default", "DemoWeb.CountLive", False, ("user_token",), 1.7e9
    )
    assert "CANARY" not in repr(found)


@pytest.mark.parametrize(
    "token",
    ["", "SFMyNTY.", "SFMyNTY.!!!.x", "SFMyNTY.AAAA.x", "x.y.z", "SFMyNTY." + "A" * 100_000, signed(term(b"a\x01")),
     signed(term(tuple_of(b"a\x01", MILLISECONDS)))],
)  # fmt: skip
def test_what_is_no_token_is_none(token: str) -> None:
    assert tokens.read_session(token) is None
