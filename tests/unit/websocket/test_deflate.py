"""permessage-deflate: what may be offered and agreed on, and messages that are shown inflated."""

import zlib

import pytest

from livegate.websocket import frames
from livegate.websocket.close_codes import ViolationError
from livegate.websocket.codec import Message, MessageCodec
from livegate.websocket.deflate import Inflater, Parameters, agreed_parameters, filter_offer, parse


class Deflater:
    """A sender's side."""

    def __init__(self, *, takeover: bool = True) -> None:
        self.takeover = takeover
        self.engine = zlib.compressobj(9, zlib.DEFLATED, -15)

    def __call__(self, data: bytes) -> bytes:
        if not self.takeover:
            self.engine = zlib.compressobj(9, zlib.DEFLATED, -15)
        return (self.engine.compress(data) + self.engine.flush(zlib.Z_SYNC_FLUSH))[:-4]


def frame(payload: bytes, *, first: int = 0xC1) -> bytes:
    return bytes([first, len(payload)]) + payload


def read(lane: MessageCodec, data: bytes) -> Message:
    lane.feed(data)
    event = lane.next_event()
    assert isinstance(event, Message)
    return event


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["permessage-deflate"], "permessage-deflate"),
        (["permessage-deflate; client_max_window_bits"], "permessage-deflate; client_max_window_bits"),
        (['PerMessage-Deflate; server_max_window_bits="10"'], "permessage-deflate; server_max_window_bits=10"),
        (
            ["x-webkit-deflate-frame, permessage-deflate ; client_no_context_takeover"],
            "permessage-deflate; client_no_context_takeover",
        ),
        (["foo", "permessage-deflate"], "permessage-deflate"),
        (
            ["permessage-deflate; server_max_window_bits=10, permessage-deflate"],
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
        ),
        (["permessage-deflate; server_max_window_bits"], None),
        (["permessage-deflate; server_max_window_bits=7"], None),
        (["permessage-deflate; client_max_window_bits=16"], None),
        (["permessage-deflate; unknown=1"], None),
        (["permessage-deflate; client_no_context_takeover=1"], None),
        (["permessage-deflate; client_no_context_takeover; client_no_context_takeover"], None),
        (["permessage-deflate; ="], None),
        (["bad element here"], None),
        ([", ,"], None),
        ([], None),
        (["foo"], None),
    ],
)
def test_only_offers_that_the_gateway_can_inflate_are_forwarded(values: list[str], expected: str | None) -> None:
    assert filter_offer(values) == expected


@pytest.mark.parametrize(
    ("answer", "offered", "good"),
    [
        ([], [], True),
        (["permessage-deflate"], ["permessage-deflate"], True),
        (["permessage-deflate; client_max_window_bits=9"], ["permessage-deflate; client_max_window_bits"], True),
        (["permessage-deflate; client_max_window_bits=9"], ["permessage-deflate; client_max_window_bits=10"], True),
        (["permessage-deflate; server_max_window_bits=8"], ["permessage-deflate; server_max_window_bits=10"], True),
        (["permessage-deflate; server_no_context_takeover"], ["permessage-deflate"], True),
        (["permessage-deflate"], [], False),
        (["permessage-deflate, permessage-deflate"], ["permessage-deflate"], False),
        (["permessage-deflate", "permessage-deflate"], ["permessage-deflate"], False),
        (["permessage-deflate, foo"], ["permessage-deflate"], False),
        (["foo"], ["permessage-deflate"], False),
        (["foo bar"], ["permessage-deflate"], False),
        (["permessage-deflate; client_max_window_bits"], ["permessage-deflate; client_max_window_bits"], False),
        (["permessage-deflate; client_max_window_bits=9"], ["permessage-deflate"], False),
        (["permessage-deflate; client_max_window_bits=11"], ["permessage-deflate; client_max_window_bits=10"], False),
        (["permessage-deflate; server_max_window_bits=12"], ["permessage-deflate; server_max_window_bits=10"], False),
        (["permessage-deflate"], ["permessage-deflate; server_max_window_bits=10"], False),
        (["permessage-deflate"], ["permessage-deflate; server_no_context_takeover"], False),
    ],
)
def test_a_backend_may_accept_only_what_was_offered(answer: list[str], offered: list[str], good: bool) -> None:
    _, problem = agreed_parameters(answer, offered)
    assert (problem is None) is good


def test_extension_parameters_are_parsed() -> None:
    assert parse(["permessage-deflate; client_max_window_bits; server_max_window_bits=9"]) == [
        Parameters(client_max_window_bits=0, server_max_window_bits=9)
    ]


@pytest.mark.parametrize("takeover", [True, False])
def test_messages_are_inflated_for_hooks_and_forwarded_unchanged(takeover: bool) -> None:
    deflate = Deflater(takeover=takeover)
    lane = MessageCodec(masked=False, max_message=10_000, inflater=Inflater(takeover=takeover))
    for text in (b"hello hello hello", b"hello again hello", b"", b"plain"):
        data = frame(deflate(text))
        event = read(lane, data)
        assert (event.payload, event.compressed) == (text, True)
        assert lane.encode_forwarded(event, event.payload) == data
    plain = frame(b"uncompressed", first=0x81)
    assert lane.encode_forwarded(read(lane, plain), b"uncompressed") == plain


@pytest.mark.parametrize("content", [None, b"changed"])
def test_after_a_changed_or_dropped_message_later_ones_go_uncompressed(content: bytes | None) -> None:
    """Their references would point into what the other end has never got."""
    deflate = Deflater()
    lane = MessageCodec(masked=False, max_message=10_000, inflater=Inflater(takeover=True))
    first = read(lane, frame(deflate(b"hello hello")))
    assert lane.encode_forwarded(first, content) == (b"" if content is None else frame(content, first=0x81))
    second = read(lane, frame(deflate(b"hello hello")))
    assert lane.encode_forwarded(second, second.payload) == frame(b"hello hello", first=0x81)


def test_without_context_takeover_later_messages_stand_for_themselves() -> None:
    deflate = Deflater(takeover=False)
    lane = MessageCodec(masked=False, max_message=10_000, inflater=Inflater(takeover=False))
    lane.encode_forwarded(read(lane, frame(deflate(b"hello"))), None)
    data = frame(deflate(b"hello"))
    assert lane.encode_forwarded(read(lane, data), b"hello") == data


def test_a_fragmented_compressed_message_is_one_message() -> None:
    compressed = Deflater()("grüße ".encode() * 5)
    lane = MessageCodec(masked=False, max_message=10_000, inflater=Inflater(takeover=True))
    data = frame(compressed[:3], first=0x41) + frame(compressed[3:], first=0x80)
    event = read(lane, data)
    assert (event.payload, event.wire) == ("grüße ".encode() * 5, data)


def test_after_a_final_block_inflating_starts_with_a_new_state() -> None:
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    final = engine.compress(b"final") + engine.flush(zlib.Z_FINISH)
    lane = MessageCodec(masked=False, max_message=10_000, inflater=Inflater(takeover=True))
    assert read(lane, frame(final)).payload == b"final"
    assert read(lane, frame(final + b"\x00")).payload == b"final"
    assert read(lane, frame(Deflater()(b"next"))).payload == b"next"


def test_a_message_may_have_many_final_blocks_and_what_follows_each_starts_anew() -> None:
    def final(text: bytes) -> bytes:
        engine = zlib.compressobj(9, zlib.DEFLATED, -15)
        return engine.compress(text) + engine.flush(zlib.Z_FINISH)

    pieces = [b"%d:" % number + bytes([number % 256]) * 200 for number in range(1000)]
    message = b"".join(map(final, pieces))
    for takeover in (True, False):
        inflater = Inflater(takeover=takeover)
        assert inflater.inflate(message, 1_000_000) == b"".join(pieces)
        assert inflater.inflate(message + b"\x00", 1_000_000) == b"".join(pieces)
        assert inflater.inflate(Deflater()(b"next"), 1_000_000) == b"next"


@pytest.mark.parametrize("block", [b"\x03\x00", b"\x01\x00\x00\xff\xff"])
def test_too_many_final_blocks_are_refused(block: bytes) -> None:
    with pytest.raises(ViolationError) as refused:
        Inflater(takeover=True).inflate(block * (4 << 20), 64 << 20)
    assert refused.value.code == 1009


def test_the_cost_of_final_blocks_is_by_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each one used to copy all that was left of the message."""
    given: list[int] = []

    class Counting:
        def __init__(self, bits: int) -> None:
            self._engine = decompressobj(bits)

        def decompress(self, data: bytes, most: int) -> bytes:
            given.append(len(data))
            return self._engine.decompress(data, most)

        def __getattr__(self, name: str) -> object:
            return getattr(self._engine, name)

    decompressobj = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", Counting)
    stored = b"\x00\xff\xff\x00\x00" + b"x" * 65535
    Inflater(takeover=True).inflate(b"\x03\x00" * 900 + stored * 100 + b"\x03\x00", 10 << 20)
    assert sum(given) < 100 << 20, "of 6.5 MB"


def test_empty_blocks_that_are_not_final_are_a_message_of_nothing() -> None:
    inflater = Inflater(takeover=True)
    assert inflater.inflate(b"\x00\x00\x00\xff\xff" * 200_000 + b"\x00", 10) == b""
    assert inflater.inflate(Deflater()(b"next"), 10) == b"next"


def test_a_compressed_message_may_come_in_fragments_of_one_byte() -> None:
    text = bytes(number * 7 % 251 for number in range(20_000)).hex().encode()
    compressed = Deflater()(text)
    lane = MessageCodec(masked=False, max_message=100_000, inflater=Inflater(takeover=True))
    data = frame(compressed[:1], first=0x41)
    data += b"".join(frame(bytes([each]), first=0) for each in compressed[1:-1]) + frame(compressed[-1:], first=0x80)
    assert read(lane, data).payload == text


@pytest.mark.parametrize(
    ("payload", "code"),
    [(Deflater()(b"x" * 20_000), 1009), (b"\xff\xff\xff", 1007), (Deflater()(b"\xff\xfe"), 1007)],
)
def test_decompression_bombs_and_invalid_data_are_refused(payload: bytes, code: int) -> None:
    lane = MessageCodec(masked=False, max_message=10_000, inflater=Inflater(takeover=True))
    with pytest.raises(ViolationError) as refused:
        read(lane, frame(payload))
    assert refused.value.code == code


def test_continuations_and_control_frames_may_not_be_marked_as_compressed() -> None:
    for first in (0xC9, 0xC0):
        lane = MessageCodec(masked=False, max_message=10_000, inflater=Inflater(takeover=True))
        with pytest.raises(ViolationError):
            read(lane, frame(b"x", first=first))


def test_invalid_utf8_from_a_hook_is_replaced() -> None:
    lane = MessageCodec(masked=False, max_message=10_000)
    event = read(lane, frame(b"good", first=0x81))
    sent = lane.encode_forwarded(event, b"bad \xff")
    assert frames.encode(frames.TEXT, "bad �".encode(), masked=False) == sent
