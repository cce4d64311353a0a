"""Phoenix's serializers: their own cases, byte for byte in both directions, and whatever else may come."""

import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegate.phoenix.frames import Frame, NotPhoenix, decode, encode, parse_vsn

SOAK = os.environ.get("LIVEGATE_SOAK") == "1"
BIN = bytes([0x01])
# name, from_client, vsn, bytes, frame
CASES: list[tuple[str, bool, str, bytes, Frame]] = [
    ("v2 push", True, "2", b'["0","1","t","e",{"foo":1}]', Frame("0", "1", "t", "e", {"foo": 1})),
    ("v2 push with nulls", True, "2", b'[null,null,"t","e",{"m":1}]', Frame(None, None, "t", "e", {"m": 1})),
    ("v2 heartbeat", True, "2", b'[null,"12","phoenix","heartbeat",{}]', Frame(None, "12", "phoenix", "heartbeat", {})),
    ("v2 server message", False, "2", b'[null,null,"t","e",{"m":1}]', Frame(None, None, "t", "e", {"m": 1})),
    (
        "v2 reply",
        False,
        "2",
        b'["4","14","t","phx_reply",{"response":{"m":1},"status":"ok"}]',
        Frame("4", "14", "t", "phx_reply", {"response": {"m": 1}, "status": "ok"}),
    ),
    ("v2 unicode as it is", False, "2", '[null,null,"t","e",{"ü":"→"}]'.encode(), Frame(None, None, "t", "e", {"ü": "→"})),
    (
        "v1 push",
        True,
        "1",
        b'{"topic":"t","event":"e","payload":{"m":1},"ref":"1","join_ref":"0"}',
        Frame("0", "1", "t", "e", {"m": 1}),
    ),
    ("v1 push of old clients", True, "1", b'{"topic":"t","event":"e","payload":"m","ref":"1"}', Frame(None, "1", "t", "e", "m")),
    ("v1 server message", False, "1", b'{"event":"e","payload":"m","ref":null,"topic":"t"}', Frame(None, None, "t", "e", "m")),
    (
        "v1 reply",
        False,
        "1",
        b'{"event":"phx_reply","payload":{"response":"m","status":"ok"},"ref":"1","topic":"t"}',
        Frame(None, "1", "t", "phx_reply", {"response": "m", "status": "ok"}),
    ),
    # phoenix.js: "push: encodes", with variable and with empty refs; the server decodes the same
    ("binary push", True, "2", b"\0\x01\x01\x01\x0101te\x01", Frame("0", "1", "t", "e", BIN)),
    ("binary push, long names", True, "2", b"\0\x02\x01\x03\x02101topev\x01", Frame("10", "1", "top", "ev", BIN)),
    ("binary push without join_ref", True, "2", b"\0\0\x01\x01\x011te\x01", Frame(None, "1", "t", "e", BIN)),
    # phoenix.js: "reply", "message", "broadcast" decode; the server encodes the same
    ("binary reply", False, "2", b"\x01\x03\x02\x03\x0210012topok\x01\x01", Frame("100", "12", "top", "phx_reply", {"status": "ok", "response": b"\x01\x01"})),
    ("binary message", False, "2", b"\0\x03\x03\x0a123topsome-event\x01\x01", Frame("123", None, "top", "some-event", b"\x01\x01")),
    ("binary broadcast", False, "2", b"\x02\x03\x0atopsome-event\x01\x01", Frame(None, None, "top", "some-event", b"\x01\x01")),
    # seen on the wire of Phoenix 1.8
    ("genuine push", True, "2", bytes.fromhex("0001020603") + b"112room:abin\0\xffhi", Frame("1", "12", "room:a", "bin", b"\0\xffhi")),
    ("genuine broadcast", False, "2", b"\x02\x06\x05room:abinbc\0\xff", Frame(None, None, "room:a", "binbc", b"\0\xff")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("from_client", "vsn", "data", "frame"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_frame_is_read_and_written_byte_for_byte(from_client: bool, vsn, data: bytes, frame: Frame) -> None:
    text = data[:1] in b"[{"
    assert decode(data, text=text, from_client=from_client, vsn=vsn) == frame
    assert encode(frame, from_client=from_client, vsn=vsn) == data


@pytest.mark.parametrize(
    ("data", "text", "from_client", "vsn", "reason"),
    [
        (b"{}", True, True, "2", "not a list"),
        (b"[1,2,3]", True, True, "2", "not a list"),
        (b'[null,null,1,"e",{}]', True, True, "2", "topic and event"),
        (b'[true,null,"t","e",{}]', True, True, "2", "join_ref"),
        (b'[null,1.5,"t","e",{}]', True, True, "2", "join_ref or ref"),
        (b'[null,null,"t","e",NaN]', True, True, "2", "not JSON"),
        (b'[null,null,"t","e",' + b"9" * 5000 + b"]", True, True, "2", "not JSON"),
        (b"[" * 100_000, True, True, "2", "nested too deeply"),
        (b"\xff\xfe", True, True, "2", "not JSON"),
        (b"", True, True, "2", "not JSON"),
        (b'{"topic":"t","event":"e","payload":{}}', True, True, "1", "not an object"),
        (b"[]", True, True, "1", "not an object"),
        (b"\0\x01\x01\x01\x01", False, True, "1", "V1"),
        (b"", False, True, "2", "empty"),
        (b"\0", False, True, "2", "ends within"),
        (b"\0\x01\x01\x01\xff01te", False, True, "2", "ends within"),
        (b"\0\0\0\x01\x01\xffe", False, True, "2", "not UTF-8"),
        (b"\x01\x01\0\0\0\xff", False, False, "2", "not UTF-8"),
        (b"\x02\x01\0\xff", False, False, "2", "not UTF-8"),
        (b"\x01\0\0\0\0", False, True, "2", "unknown kind"),
        (b"\x07abc", False, False, "2", "unknown kind"),
    ],
)
def test_input_that_is_not_a_frame_has_a_reason(data: bytes, text: bool, from_client: bool, vsn, reason: str) -> None:
    found = decode(data, text=text, from_client=from_client, vsn=vsn)
    assert isinstance(found, NotPhoenix)
    assert reason in found.reason


def test_numbers_as_refs_are_read_as_text_as_phoenix_gives_them_back() -> None:
    assert decode(b'[1,2,"t","e",{}]', text=True, from_client=True, vsn="2") == Frame("1", "2", "t", "e", {})


def test_further_items_are_let_pass_as_the_server_does() -> None:
    assert decode(b'[null,"1","t","e",{},1]', text=True, from_client=True, vsn="2") == Frame(None, "1", "t", "e", {})


@pytest.mark.parametrize(
    ("frame", "from_client", "vsn", "reason"),
    [
        (Frame("0", "1", "t" * 256, "e", b""), True, "2", "256 bytes long"),
        (Frame("0", "1", "ü" * 128, "e", b""), True, "2", "256 bytes long"),
        (Frame("0", "1", "t", "e", b""), True, "1", "V1 has no binary"),
        (Frame("0", "1", "t", "e", {"a": b""}), True, "2", "no JSON"),
        (Frame("0", "1", "t", "e", float("nan")), True, "2", "JSON"),
    ],
)
def test_a_frame_that_cannot_be_encoded_is_an_error(frame: Frame, from_client: bool, vsn, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        encode(frame, from_client=from_client, vsn=vsn)


def test_half_a_surrogate_pair_is_written_escaped() -> None:
    data = b'[null,null,"t","e","\\ud800"]'
    frame = decode(data, text=True, from_client=False, vsn="2")
    assert isinstance(frame, Frame)
    assert encode(frame, from_client=False, vsn="2") == data


@pytest.mark.parametrize(
    ("value", "vsn"),
    [
        (None, "1"), ("1.0.0", "1"), ("1.0.7", "1"), ("2.0.0", "2"), ("2.0.9", "2"), ("2.0.0+x", "2"), ("2.0.1-rc.0", "2"),
        ("2.0.0-rc.0", None), ("2.1.0", None), ("3.0.0", None), ("2", None), ("", None), ("2.0.0\n", None), ("٢.0.0", None),
    ],
)  # fmt: skip
def test_the_version_is_chosen_as_phoenix_chooses_it(value: str | None, vsn: str | None) -> None:
    assert parse_vsn(value) == vsn


names = st.text(st.characters(codec="utf-8"), max_size=60)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | names,
    lambda part: st.lists(part) | st.dictionaries(names, part),
)


@given(st.none() | names, st.none() | names, names, names, values, st.booleans())
def test_text_frames_come_back(join_ref, ref, topic, event, payload, from_client: bool) -> None:  # noqa: PLR0917
    frame = Frame(join_ref, ref, topic, event, payload)
    assert decode(encode(frame, from_client=from_client, vsn="2"), text=True, from_client=from_client, vsn="2") == frame


@given(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=60), names, names, st.binary())
def test_binary_pushes_come_back(join_ref: str, ref: str, topic: str, event: str, payload: bytes) -> None:
    try:
        frame = Frame(join_ref, ref, topic, event, payload)
        data = encode(frame, from_client=True, vsn="2")
    except (ValueError, UnicodeEncodeError):
        return
    assert decode(data, text=False, from_client=True, vsn="2") == frame


def test_mutated_frames_are_frames_or_not_and_nothing_else() -> None:
    chance = random.Random(4)
    for _ in range(100_000 if SOAK else 10_000):
        _, from_client, vsn, data, _ = chance.choice(CASES)
        changed = bytearray(data)
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(changed) + 1)
            changed[at : at + chance.randrange(3)] = chance.randbytes(chance.randrange(4))
        found = decode(bytes(changed), text=chance.random() < 0.5, from_client=from_client, vsn=vsn)  # type: ignore[arg-type]
        assert isinstance(found, Frame | NotPhoenix)
