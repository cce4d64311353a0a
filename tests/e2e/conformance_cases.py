"""The cases of Autobahn's fuzzing client for RFC 6455, sections 1 to 7, 9 and 10, as what is sent and what may come back.

Numbers are Autobahn's. Where it says that a peer must fail the connection, RFC 6455 lets it close with 1002, with 1007
for what is not UTF-8, or drop the connection.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from socket_lab import frame

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN = 0x80
PROTOCOL_ERROR = frozenset({1002, None})
NOT_UTF8 = frozenset({1007, None})
NORMAL = frozenset({1000})
ANYTHING = frozenset({*range(5000), None, "no status"})
MIB = 1024 * 1024

type Message = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Case:
    """One conversation with an echo server."""

    number: str
    sent: bytes
    echoed: tuple[Message, ...] = ()
    """What the server sends back of it, pongs among them; a connection that is to fail may end before the last."""
    codes: frozenset[int | str | None] = NORMAL
    """Codes that may come back; None is a connection that ends without a close frame."""
    fails: bool = False
    """Whether the connection is to be failed for what was sent; otherwise the client closes it when all came back."""
    chop: int | None = None
    """Octets in one write."""
    closes: bool = field(default=False)
    """Whether `sent` has a close frame already."""


def put(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """A client's frame; `rsv` is Autobahn's number, 1 to 7."""
    return frame(opcode, payload, masked=True, fin=fin, rsv=rsv << 4)


def fragments(opcode: int, payload: bytes, size: int) -> bytes:
    """A message in fragments of a size."""
    pieces = [payload[at : at + size] for at in range(0, len(payload), size)] or [b""]
    last = len(pieces) - 1
    return b"".join(put(CONTINUATION if at else opcode, piece, fin=at == last) for at, piece in enumerate(pieces))


def failing(number: str, sent: bytes, echoed: tuple[Message, ...] = (), **more: object) -> Case:
    return Case(number, sent, echoed, codes=PROTOCOL_ERROR, fails=True, **more)  # type: ignore[arg-type]


def framing() -> Iterator[Case]:
    """Section 1."""
    for part, opcode, octet in ((1, TEXT, b"*"), (2, BINARY, b"\xfe")):
        for number, size in enumerate((0, 125, 126, 127, 128, 65535, 65536), 1):
            yield Case(f"1.{part}.{number}", put(opcode, octet * size), ((opcode, octet * size),))
        yield Case(f"1.{part}.8", put(opcode, octet * 65536), ((opcode, octet * 65536),), chop=997)


def pings_and_pongs() -> Iterator[Case]:
    """Section 2."""
    for number, payload in ((1, b""), (2, b"Hello, world!"), (3, bytes(range(0, 256, 32))), (4, b"\xfe" * 125)):
        yield Case(f"2.{number}", put(PING, payload), ((PONG, payload),))
    yield failing("2.5", put(PING, b"\xfe" * 126))
    yield Case("2.6", put(PING, b"\xfe" * 125), ((PONG, b"\xfe" * 125),), chop=1)
    yield Case("2.7", put(PONG))
    yield Case("2.8", put(PONG, b"unsolicited pong payload"))
    yield Case("2.9", put(PONG, b"unsolicited") + put(PING, b"ping payload"), ((PONG, b"ping payload"),))
    many = [b"payload-%d" % number for number in range(10)]
    pings = b"".join(put(PING, payload) for payload in many)
    yield Case("2.10", pings, tuple((PONG, payload) for payload in many))
    yield Case("2.11", pings, tuple((PONG, payload) for payload in many), chop=1)


def reserved_bits() -> Iterator[Case]:
    """Section 3."""
    text = b"Hello, world!"
    echo = ((TEXT, text),)
    yield failing("3.1", put(TEXT, text, rsv=1))
    for number, rsv, chop in ((2, 2, None), (3, 3, None), (4, 4, 1)):
        yield failing(f"3.{number}", put(TEXT, text) + put(TEXT, text, rsv=rsv) + put(PING), echo, chop=chop)
    yield failing("3.5", put(BINARY, b"\x00\xff" * 4, rsv=5))
    yield failing("3.6", put(PING, text, rsv=6))
    yield failing("3.7", put(CLOSE, rsv=7))


def reserved_opcodes() -> Iterator[Case]:
    """Section 4."""
    text = b"Hello, world!"
    for part, first in ((1, 3), (2, 11)):
        yield failing(f"4.{part}.1", put(first))
        yield failing(f"4.{part}.2", put(first + 1, b"reserved opcode payload"))
        for number, chop in ((3, None), (4, None), (5, 1)):
            payload = b"" if number == 3 else b"reserved opcode payload"
            sent = put(TEXT, text) + put(first + number - 1, payload) + put(PING)
            yield failing(f"4.{part}.{number}", sent, ((TEXT, text),), chop=chop)


def fragmentation() -> Iterator[Case]:
    """Section 5."""
    one, two = b"fragment1", b"fragment2"
    start, end = put(TEXT, one, fin=False), put(CONTINUATION, two)
    whole = ((TEXT, one + two),)
    yield failing("5.1", put(PING, one, fin=False) + put(CONTINUATION, two))
    yield failing("5.2", put(PONG, one, fin=False) + put(CONTINUATION, two))
    for number, chop in ((3, None), (4, 8), (5, 1)):
        yield Case(f"5.{number}", start + end, whole, chop=chop)
    for number, chop in ((6, None), (7, 8), (8, 1)):
        yield Case(f"5.{number}", start + put(PING, b"ping") + end, ((PONG, b"ping"), *whole), chop=chop)
    for number, fin, chop in ((9, True, None), (10, True, 8), (11, True, 1), (12, False, None), (13, False, 8)):
        yield failing(f"5.{number}", put(CONTINUATION, b"non-continuation", fin=fin) + put(TEXT, b"Hello"), chop=chop)
    yield failing("5.14", put(CONTINUATION, b"non-continuation", fin=False) + put(TEXT, b"Hello"), chop=1)
    yield failing("5.15", start + end + put(CONTINUATION, b"fragment3", fin=False) + put(TEXT, b"fragment4"), whole)
    for number, fin in ((16, False), (17, True)):
        pair = put(CONTINUATION, one, fin=fin) + put(TEXT, two)
        yield failing(f"5.{number}", pair * 2)
    yield failing("5.18", start + put(TEXT, two))
    parts = [b"fragment%d" % number for number in range(1, 6)]
    sent = (
        put(TEXT, parts[0], fin=False) + put(CONTINUATION, parts[1], fin=False) + put(PING, b"pongme 1!")
        + put(CONTINUATION, parts[2], fin=False) + put(CONTINUATION, parts[3], fin=False) + put(PING, b"pongme 2!")
        + put(CONTINUATION, parts[4])
    )  # fmt: skip
    echoed = ((PONG, b"pongme 1!"), (PONG, b"pongme 2!"), (TEXT, b"".join(parts)))
    yield Case("5.19", sent, echoed)
    yield Case("5.20", sent, echoed, chop=1)


GREEK = "κόσμε".encode()
LONG_TEXT = "Hello-µ@ßöäüàá-UTF-8!!".encode()
SEQUENCES: dict[int, tuple[bytes, ...]] = {
    5: (GREEK[:2], GREEK[:5], GREEK[:7], GREEK[:9], GREEK),
    6: tuple(GREEK[:end] for end in range(1, len(GREEK) + 1)),
    7: tuple("\x00\x80\u0800\U00010000"[at].encode() for at in range(4)),
    8: (b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"),
    9: tuple("\x7f\u07ff\uffff\U0010ffff"[at].encode() for at in range(4)),
    10: (b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf"),
    11: (b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd", b"\xf4\x8f\xbf\xbf", b"\xf4\x90\x80\x80"),
    12: (b"\x80", b"\xbf", *(b"\x80\xbf\x80\xbf\x80\xbf"[:size] for size in range(2, 7)), bytes(range(0x80, 0xC0))),
    13: tuple(
        b" ".join(bytes([octet]) for octet in range(*span)) + b" "
        for span in ((0xC0, 0xE0), (0xE0, 0xF0), (0xF0, 0xF8), (0xF8, 0xFC), (0xFC, 0xFE))
    ),
    14: (
        b"\xc0",
        b"\xe0\x80",
        b"\xf0\x80\x80",
        b"\xf8\x80\x80\x80",
        b"\xfc\x80\x80\x80\x80",
        b"\xdf",
        b"\xef\xbf",
        b"\xf7\xbf\xbf",
        b"\xfb\xbf\xbf\xbf",
        b"\xfd\xbf\xbf\xbf\xbf",
    ),
    15: (
        b"\xc0\xe0\x80\xf0\x80\x80\xf8\x80\x80\x80\xfc\x80\x80\x80\x80\xdf\xef\xbf\xf7\xbf\xbf\xfb\xbf\xbf\xbf\xfd\xbf\xbf\xbf\xbf",
    ),
    16: (b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"),
    17: (b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xf8\x80\x80\x80\xaf", b"\xfc\x80\x80\x80\x80\xaf"),
    18: (b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf", b"\xf8\x87\xbf\xbf\xbf", b"\xfc\x83\xbf\xbf\xbf\xbf"),
    19: (b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80", b"\xf8\x80\x80\x80\x80", b"\xfc\x80\x80\x80\x80\x80"),
    20: (
        b"\xed\xa0\x80",
        b"\xed\xad\xbf",
        b"\xed\xae\x80",
        b"\xed\xaf\xbf",
        b"\xed\xb0\x80",
        b"\xed\xbe\x80",
        b"\xed\xbf\xbf",
    ),
    21: tuple(
        high + low
        for high in (b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xaf\xbf")
        for low in (b"\xed\xb0\x80", b"\xed\xbf\xbf")
    ),
    22: tuple(chr(plane * 0x10000 + end).encode() for plane in range(17) for end in (0xFFFE, 0xFFFF)),
    23: tuple(chr(point).encode() for point in range(0xFFF9, 0x10000)),
}
"""Part of section 6, octets of its cases: from Markus Kuhn's UTF-8 decoder stress test."""


def utf8() -> Iterator[Case]:
    """Section 6."""
    yield Case("6.1.1", put(TEXT), ((TEXT, b""),))
    empty = put(TEXT, b"", fin=False)
    yield Case("6.1.2", empty + put(CONTINUATION, b"", fin=False) + put(CONTINUATION), ((TEXT, b""),))
    middle = put(CONTINUATION, b"middle frame payload", fin=False)
    yield Case("6.1.3", empty + middle + put(CONTINUATION), ((TEXT, b"middle frame payload"),))
    yield Case("6.2.1", put(TEXT, LONG_TEXT), ((TEXT, LONG_TEXT),))
    half = LONG_TEXT[:11], LONG_TEXT[11:]
    yield Case("6.2.2", put(TEXT, half[0], fin=False) + put(CONTINUATION, half[1]), ((TEXT, LONG_TEXT),))
    yield Case("6.2.3", fragments(TEXT, LONG_TEXT, 1), ((TEXT, LONG_TEXT),))
    yield Case("6.2.4", fragments(TEXT, GREEK, 1), ((TEXT, GREEK),))
    bad = GREEK + b"\xed\xa0\x80" + b"edited"
    cut = GREEK + b"\xf4\x90\x80\x80" + b"edited"
    yield not_utf8("6.3.1", put(TEXT, bad))
    yield not_utf8("6.3.2", fragments(TEXT, bad, 1))
    for number, size in ((1, 12), (2, 13)):
        yield not_utf8(f"6.4.{number}", fragments(TEXT, cut, size))
        yield not_utf8(f"6.4.{number + 2}", put(TEXT, cut), chop=size)
    for part, sequences in SEQUENCES.items():
        for number, octets in enumerate(sequences, 1):
            yield of_octets(f"6.{part}.{number}", octets)


def not_utf8(number: str, sent: bytes, chop: int | None = None) -> Case:
    return Case(number, sent, codes=NOT_UTF8, fails=True, chop=chop)


def of_octets(number: str, octets: bytes) -> Case:
    """A text of these octets; Python's own decoder says whether it is UTF-8."""
    try:
        octets.decode()
    except UnicodeDecodeError:
        return not_utf8(number, put(TEXT, octets))
    return Case(number, put(TEXT, octets), ((TEXT, octets),))


def closing() -> Iterator[Case]:
    """Section 7."""
    hello, goodbye = put(TEXT, b"Hello World!"), put(CLOSE, b"\x03\xe8")
    echo = ((TEXT, b"Hello World!"),)
    yield Case("7.1.1", hello, echo)
    yield Case("7.1.2", goodbye * 2, closes=True)
    yield Case("7.1.3", goodbye + put(PING), closes=True)
    yield Case("7.1.4", goodbye + hello, closes=True)
    late = put(TEXT, b"fragment1", fin=False) + goodbye + put(CONTINUATION, b"fragment2")
    yield Case("7.1.5", late, closes=True)
    big = b"*" * 256 * 1024
    yield Case("7.1.6", put(TEXT, big) + hello + goodbye + put(PING), ((TEXT, big), *echo), closes=True)
    yield Case("7.3.1", put(CLOSE), codes=frozenset({"no status", 1000}), closes=True)
    yield failing("7.3.2", put(CLOSE, b"a"))
    for number, reason in ((3, b""), (4, b"Hello World!"), (5, b"*" * 123)):
        yield Case(f"7.3.{number}", put(CLOSE, b"\x03\xe8" + reason), closes=True)
    yield failing("7.3.6", put(CLOSE, b"\x03\xe8" + b"*" * 124))
    bad = put(CLOSE, b"\x03\xe8" + GREEK + b"\xed\xa0\x80" + b"edited")
    yield Case("7.5.1", bad, codes=PROTOCOL_ERROR | NOT_UTF8, fails=True)
    valid = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    for number, code in enumerate(valid, 1):
        yield Case(f"7.7.{number}", put(CLOSE, code.to_bytes(2)), codes=frozenset({code, 1000}), closes=True)
    for number, code in enumerate((0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999), 1):
        yield failing(f"7.9.{number}", put(CLOSE, code.to_bytes(2)))
    for number, code in enumerate((5000, 65535), 1):
        yield Case(f"7.13.{number}", put(CLOSE, code.to_bytes(2)), codes=ANYTHING | {code}, closes=True)


def large() -> Iterator[Case]:
    """Section 9, up to 4 MiB."""
    for part, opcode in ((1, TEXT), (2, BINARY)):
        for number, size in ((1, MIB // 16), (2, MIB // 4), (3, MIB), (4, 4 * MIB)):
            payload = _payload(opcode, size)
            yield Case(f"9.{part}.{number}", put(opcode, payload), ((opcode, payload),))
        payload = _payload(opcode, MIB)
        for number, size in ((3, 1024), (4, 4096), (6, 65536), (9, MIB)):
            yield Case(f"9.{part + 2}.{number}", fragments(opcode, payload, size), ((opcode, payload),))
        for number, size in ((3, 256), (4, 512), (6, 2048)):
            yield Case(f"9.{part + 4}.{number}", put(opcode, payload), ((opcode, payload),), chop=size)
        for number, size in ((1, 0), (2, 16), (4, 256), (6, 4096)):
            payload = _payload(opcode, size)
            yield Case(f"9.{part + 6}.{number}", put(opcode, payload) * 100, ((opcode, payload),) * 100)


def _payload(opcode: int, size: int) -> bytes:
    return b"*" * size if opcode == TEXT else os.urandom(size)


def auto_fragmentation() -> Iterator[Case]:
    """Section 10."""
    yield Case("10.1.1", fragments(TEXT, b"*" * 65536, 1300), ((TEXT, b"*" * 65536),))


@cache
def all_cases() -> list[Case]:
    sections = (
        framing, pings_and_pongs, reserved_bits, reserved_opcodes, fragmentation, utf8, closing, large,
        auto_fragmentation,
    )  # fmt: skip
    return [case for section in sections for case in section()]
