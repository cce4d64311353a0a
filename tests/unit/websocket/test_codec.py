"""The codec alone: generated streams against another implementation, and what a peer may not do."""

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livegate.websocket import frames
from livegate.websocket.close_codes import ViolationError, close_payload, is_sendable, read_close
from livegate.websocket.codec import Close, Control, Message, MessageCodec
from livegate.websocket.deflate import Inflater

sys.path.insert(0, str(Path(__file__).parents[2] / "fuzz"))
import streams


def make_codec(*, masked: bool = False, max_message: int = 1000, inflater: Inflater | None = None) -> MessageCodec:
    return MessageCodec(masked=masked, max_message=max_message, inflater=inflater)


def events(reader: MessageCodec, *pieces: bytes) -> list[object]:
    found: list[object] = []
    for piece in pieces:
        reader.feed(piece)
        while (event := reader.next_event()) is not None:
            found.append(event)
    return found


def raw(first: int, payload: bytes = b"") -> bytes:
    return bytes([first, len(payload)]) + payload


def test_generated_streams_read_as_another_implementation_reads_them() -> None:
    first = streams.seed_of_the_day()
    for seed in range(first, first + 3000):
        assert streams.check(seed) is None, f"seed {seed}"


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=300), st.booleans(), st.integers(1, 64))
def test_any_bytes_give_events_or_a_violation(data: bytes, masked: bool, size: int) -> None:
    pieces = [data[place : place + size] for place in range(0, len(data), size)]
    at_once, in_pieces = streams.ours([data], masked=masked), streams.ours(pieces, masked=masked)
    assert at_once == in_pieces


@given(st.binary(min_size=4, max_size=4), st.binary(max_size=1000))
def test_masking_twice_restores_the_data_in_both_implementations(key: bytes, data: bytes) -> None:
    assert frames.xor_mask(key, data) == frames.apply_mask(key, data)
    assert frames.xor_mask(key, frames.xor_mask(key, data)) == data


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
@pytest.mark.parametrize("masked", [True, False])
def test_encoded_frames_decode_to_the_same_payload(size: int, masked: bool) -> None:
    data = frames.encode(frames.BINARY, b"x" * size, masked=masked)
    (event,) = events(make_codec(masked=masked, max_message=100_000), data)
    assert isinstance(event, Message)
    assert (event.opcode, event.payload, event.wire) == (frames.BINARY, b"x" * size, data)
    if size <= 65535:
        assert make_codec(masked=masked, max_message=100_000).decode_single_frame(data) == b"x" * size


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (raw(0xC1, b"x"), 1002),
        (raw(0x91, b"x"), 1002),
        (raw(0x83), 1002),
        (raw(0x8B), 1002),
        (raw(0x80), 1002),
        (raw(0x09), 1002),
        (b"\x89\x7e\x00\x7e" + b"x" * 126, 1002),
        (b"\x81\x7e\x00\x01x", 1002),
        (b"\x81\x7f" + (125).to_bytes(8), 1002),
        (b"\x81\x7f" + (1 << 63).to_bytes(8), 1002),
        (raw(0x01, b"a") + raw(0x81, b"b"), 1002),
        (raw(0x88, b"\x03"), 1002),
        (raw(0x88, b"\x03\xed"), 1002),
        (raw(0x88, b"\x03\xe8\xff"), 1007),
        (raw(0x81, b"\xff"), 1007),
        (raw(0x01, b"\xc3") + raw(0x80, b"x"), 1007),
        (raw(0x01, b"\xff"), 1007),
        (b"\x82\x7e\x03\xe9", 1009),
        (b"\x02\x7e\x03\xe8" + b"x" * 1000 + b"\x00\x01", 1009),
        (b"\x81\x80\x00\x00\x00\x00", 1002),
    ],
)
def test_a_server_that_breaks_the_protocol_is_refused_with_its_code(data: bytes, code: int) -> None:
    for pieces in ([data], [data[place : place + 1] for place in range(len(data))]):
        with pytest.raises(ViolationError) as refused:
            events(make_codec(), *pieces)
        assert refused.value.code == code


def test_too_many_tiny_fragments_are_too_big_as_well() -> None:
    reader = make_codec(max_message=10)
    with pytest.raises(ViolationError) as refused:
        events(reader, raw(0x02), *[raw(0x00) * 1000] * 40)
    assert refused.value.code == 1009


def test_control_frames_between_fragments_come_at_once_and_the_message_keeps_its_frames() -> None:
    reader = make_codec()
    first, ping, last = raw(0x01, "hé".encode()[:2]), raw(0x89, b"p"), raw(0x80, "hé".encode()[2:])
    assert events(reader, first + ping) == [Control(frames.PING, b"p", ping)]
    assert reader.buffered == len(first)
    assert events(reader, last) == [Message(frames.TEXT, "hé".encode(), first + last)]
    assert reader.buffered == 0


def test_a_large_frame_is_buffered_in_linear_time() -> None:
    data = frames.encode(frames.BINARY, b"x" * 50_000, masked=True)
    reader = make_codec(masked=True, max_message=50_000)
    assert events(reader, *[data[place : place + 999] for place in range(0, len(data) - 1, 999)][:-1]) == []
    assert reader.buffered > 40_000
    rest = len(data) - reader.buffered
    (event,) = events(reader, data[-rest:] + frames.encode(frames.PING, b"", masked=True)[:3])
    assert isinstance(event, Message)
    assert event.wire == data


def test_the_fast_path_leaves_everything_unusual_to_the_general_one() -> None:
    text = frames.encode(frames.TEXT, b"hello", masked=True)
    reader = make_codec(masked=True)
    assert reader.decode_single_frame(text) == b"hello"
    for unusual in (text[:-1], text + b"\x81", text[:1], b"", b"\x01" + text[1:], b"\x81\x05hello", b"\x89" + text[1:]):
        assert reader.decode_single_frame(unusual) is None
    assert reader.decode_single_frame(frames.encode(frames.TEXT, b"\xff", masked=True)) is None
    assert reader.decode_single_frame(frames.encode(frames.BINARY, b"x" * 1001, masked=True)) is None
    assert reader.decode_single_frame(b"\x82\xff" + (70000).to_bytes(8)) is None
    assert reader.decode_single_frame(b"\x82\xfe\x00\x01abcdx") is None
    assert make_codec().decode_single_frame(text) is None
    reader.feed(text[:3])
    assert reader.decode_single_frame(text) is None


def test_close_payloads() -> None:
    assert read_close(b"") == (1005, "")
    assert read_close(close_payload(4001, "bye ü")) == (4001, "bye ü")
    long = close_payload(1011, "ü" * 100)
    assert len(long) <= 125
    assert read_close(long) == (1011, "ü" * 61)
    assert [
        code for code in (999, 1000, 1004, 1005, 1006, 1014, 1015, 2999, 3000, 4999, 5000) if is_sendable(code)
    ] == [
        1000,
        1014,
        3000,
        4999,
    ]
    assert events(make_codec(), raw(0x88)) == [Close(1005, "", raw(0x88))]
