"""Generated WebSocket streams, and what two readers make of them: ours and wsproto, which is not ours."""

import os
import random
import struct
from dataclasses import dataclass, field

from wsproto.frame_protocol import FrameProtocol, Opcode, ParseFailed

from livegate.websocket.close_codes import ViolationError
from livegate.websocket.codec import Close, Control, Message, MessageCodec

MAX_MESSAGE = 1 << 63
"""wsproto has no bound either."""
PADDING = bytes(2048)
TEXTS = ["", "a", "héllo", "\U0001f600 grin", "x" * 125, "y" * 126, "z" * 200, '[null,"1","lv:phx-F","event",{}]']


def frame(rng: random.Random, opcode: int, payload: bytes, *, fin: bool, masked: bool) -> bytes:
    """A legal frame."""
    size = len(payload)
    mask = 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | opcode])
    if size < 126:
        head += bytes([mask | size])
    elif size < 65536:
        head += bytes([mask | 126]) + struct.pack("!H", size)
    else:
        head += bytes([mask | 127]) + struct.pack("!Q", size)
    if not masked:
        return head + payload
    key = rng.randbytes(4)
    return head + key + bytes(byte ^ key[index & 3] for index, byte in enumerate(payload))


def stream(rng: random.Random, *, masked: bool) -> bytes:
    """Some messages and control frames, mostly legal, then perhaps spoiled here and there."""
    parts = [_part(rng, masked=masked) for _ in range(rng.randrange(1, 6))]
    data = bytearray(b"".join(parts))
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 5))):
        if data:
            place = rng.randrange(len(data))
            match rng.randrange(5):
                case 0:
                    data[place] ^= 1 << rng.randrange(8)
                case 1:
                    data[place] = rng.randrange(256)
                case 2:
                    del data[place : place + rng.randrange(1, 4)]
                case 3:
                    data[place:place] = rng.randbytes(rng.randrange(1, 4))
                case _:
                    del data[place:]
    return bytes(data)


def _part(rng: random.Random, *, masked: bool) -> bytes:
    choice = rng.randrange(10)
    if choice == 0:
        return frame(rng, rng.choice((9, 10)), rng.randbytes(rng.randrange(0, 126)), fin=True, masked=masked)
    if choice == 1:
        code = rng.choice((1000, 1001, 1002, 1003, 1007, 1011, 1013, 3000, 4999, 1005, 1006, 999, 1015, 2000, 5000))
        payload = rng.choice((b"", struct.pack("!H", code), struct.pack("!H", code) + "bye ü".encode(), b"\x03"))
        return frame(rng, 8, payload, fin=True, masked=masked)
    text = rng.random() < 0.6
    payload = rng.choice(TEXTS).encode() if text else rng.randbytes(rng.choice((0, 1, 5, 125, 126, 300)))
    if rng.random() < 0.1:
        payload = rng.randbytes(rng.randrange(0, 40))
    pieces = [payload]
    while rng.random() < 0.4 and len(pieces) < 6:
        last = pieces.pop()
        cut = rng.randrange(len(last) + 1)
        pieces += [last[:cut], last[cut:]]
    data = b""
    for index, piece in enumerate(pieces):
        opcode = (1 if text else 2) if index == 0 else 0
        data += frame(rng, opcode, piece, fin=index == len(pieces) - 1, masked=masked)
        if rng.random() < 0.1:
            data += frame(rng, 9, b"between", fin=True, masked=masked)
    return data


def chunks(rng: random.Random, data: bytes) -> list[bytes]:
    """The stream as it may arrive."""
    match rng.randrange(3):
        case 0:
            return [data]
        case 1:
            return [data[place : place + 1] for place in range(len(data))]
        case _:
            pieces = []
            while data:
                size = rng.randrange(1, 40)
                pieces.append(data[:size])
                data = data[size:]
            return pieces


@dataclass
class Reading:
    """What a reader found, and whether it refused to go on."""

    events: list[tuple[object, ...]] = field(default_factory=list)
    refused: int | None = None
    """The close code of the refusal."""
    waiting: bool = field(default=False, compare=False)
    """Whether part of a frame or of a message has come."""
    wires: list[bytes] = field(default_factory=list, compare=False)
    """What it passes on for each event."""


def ours(data: list[bytes], *, masked: bool, fast: bool = False) -> Reading:
    """What our lane makes of it."""
    lane = MessageCodec(masked=masked, max_message=MAX_MESSAGE)
    reading = Reading()
    try:
        for chunk in data:
            payload = lane.decode_single_frame(chunk) if fast else None
            if payload is not None:
                reading.events.append(("message", chunk[0] & 0x0F, payload))
                reading.wires.append(chunk)
                continue
            lane.feed(chunk)
            while (event := lane.next_event()) is not None:
                reading.wires.append(event.wire)
                match event:
                    case Message():
                        reading.events.append(("message", event.opcode, event.payload))
                    case Control():
                        reading.events.append(("ping" if event.opcode == 9 else "pong", event.payload))
                    case Close():
                        reading.events.append(("close", event.code, event.reason))
                        return reading
    except ViolationError as error:
        reading.refused = error.code
    reading.waiting = lane.buffered > 0
    return reading


def theirs(data: list[bytes], *, masked: bool) -> Reading:
    """What wsproto makes of it."""
    reading = Reading()
    protocol = FrameProtocol(client=not masked, extensions=[])
    gathered = b""
    try:
        for chunk in data:
            protocol.receive_bytes(chunk)
            for found in protocol.received_frames():
                payload = found.payload.encode() if isinstance(found.payload, str) else found.payload
                match found.opcode:
                    case Opcode.PING | Opcode.PONG:
                        reading.events.append((found.opcode.name.lower(), bytes(payload)))
                    case Opcode.CLOSE:
                        code, reason = found.payload
                        reading.events.append(("close", int(code), reason or ""))
                        return reading
                    case _:
                        gathered += payload
                        if found.message_finished:
                            reading.events.append(("message", int(found.opcode), gathered))
                            gathered = b""
    except ParseFailed as error:
        reading.refused = int(error.code)
    return reading


def check(seed: int) -> str | None:
    """One stream: None when both agree as they must, else what is wrong."""
    rng = random.Random(seed)
    masked = rng.random() < 0.5
    data = stream(rng, masked=masked)
    pieces = chunks(rng, data)
    found, expected = ours(pieces, masked=masked), theirs(pieces, masked=masked)
    between = any(event[0] != "message" for event in found.events)
    if not between and not data.startswith(b"".join(found.wires)):
        return "what is passed on is not what came"
    if found.refused is None and ours([data], masked=masked).events != found.events:
        return "it depends on how the bytes arrive"
    if ours(pieces, masked=masked, fast=True) != found:
        return "the quick way sees something else"
    # Either may refuse a frame sooner, before all of it has come.
    if expected.refused is None and found.refused is not None and not theirs([*pieces, PADDING], masked=masked).refused:
        return f"refused with {found.refused} what wsproto accepts"
    bad_gateway = found.events[-1:] and found.events[-1][:2] == ("close", 1014)  # registered with IANA after wsproto
    if expected.refused is not None and found.refused is None and not found.waiting and not bad_gateway:
        return f"accepted what wsproto refuses with {expected.refused}"
    shorter = min(len(found.events), len(expected.events))
    if found.events[:shorter] != expected.events[:shorter]:
        return f"{found.events} is not {expected.events}"
    if expected.refused is None and len(found.events) != len(expected.events):
        return f"{len(found.events)} events instead of {len(expected.events)}"
    return None


def seed_of_the_day() -> int:
    """A different one each run; printed, so that a failure can be repeated."""
    return int.from_bytes(os.urandom(6))
