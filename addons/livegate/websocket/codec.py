"""Decoder of one direction of a WebSocket: bytes in, messages and control frames out (RFC 6455 section 5). No I/O.

It is strict: a violation raises ViolationError with a code of section 7.4.1. It is bounded: a message longer than
`max_message` fails at the header of the frame that exceeds it.
"""

import codecs

from msgspec import Struct

from livegate.websocket import frames
from livegate.websocket.close_codes import INVALID_DATA, PROTOCOL_ERROR, TOO_BIG, ViolationError, read_close
from livegate.websocket.deflate import Inflater
from livegate.websocket.frames import BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, RSV1, TEXT

MAX_WIRE_FACTOR = 2
EXTRA_WIRE_BYTES = 64 * 1024
"""Bound of one message's frames: twice `max_message` plus this, because headers of tiny fragments need room too."""
MIN_FRAME_BYTES = 2
LENGTH_IN_16_BITS, LENGTH_IN_64_BITS = 126, 127
"""Values of the 7-bit length that announce a longer length field (section 5.2)."""
_UNFRAGMENTED = (FIN | TEXT, FIN | BINARY)


class Message(Struct, gc=False):
    """A whole message. `wire` holds its frames as received, masks included; `payload` is unmasked and inflated."""

    opcode: int
    payload: bytes
    wire: bytes
    compressed: bool = False


class Control(Struct, gc=False):
    """A ping or pong."""

    opcode: int
    payload: bytes
    wire: bytes


class Close(Struct, gc=False):
    """A close frame. Code 1005 means that it has none."""

    code: int
    reason: str
    wire: bytes


type Event = Message | Control | Close


class MessageCodec:
    """Decoder of what one peer sends. `feed` takes bytes; `next_event` returns the next event, or None for now.

    A frame without a fragment or an extension takes a fast path, `decode_single_frame`, with equal results.
    """

    def __init__(self, *, masked: bool, max_message: int, inflater: Inflater | None = None) -> None:
        self.masked = masked
        """Whether frames must be masked. A client's must, a server's must not (section 5.1)."""
        self.max_message = max_message
        self.inflater = inflater
        self.deflate_context_broken = False
        """Whether the other peer's inflater has missed a changed or dropped message (see `encode_forwarded`)."""
        self._buffer = b""
        self._position = 0
        self._chunks: list[bytes] = []
        self._chunk_bytes = 0
        self._needed = MIN_FRAME_BYTES
        """Bytes from `_position` on that `next_event` needs to continue."""
        self._opcode = CONTINUATION
        """Opcode of the unfinished fragmented message; CONTINUATION when there is none."""
        self._compressed = False
        self._payload = bytearray()
        self._wire = bytearray()
        self._decoder: codecs.IncrementalDecoder | None = None

    def feed(self, data: bytes) -> None:
        """Buffer the peer's next bytes."""
        if self._chunks:
            self._chunks.append(data)
            self._chunk_bytes += len(data)
        elif self._position == len(self._buffer):
            self._buffer = data
            self._position = 0
        else:
            rest = self._buffer[self._position :]
            self._buffer = b""
            self._position = 0
            self._chunks = [rest, data]
            self._chunk_bytes = len(rest) + len(data)
        if self._chunks and self._chunk_bytes >= self._needed:
            self._buffer = b"".join(self._chunks)
            self._chunks = []

    def decode_single_frame(self, data: bytes) -> bytes | None:  # noqa: PLR0911 - one return for each reason to use the slow path
        """Return the payload if `data` is one unfragmented, uncompressed message and nothing is buffered, else None.

        On None, `feed` the same bytes: `next_event` decodes them or raises. Nearly all messages take this path.
        """
        size = len(data)
        if (
            self._needed != MIN_FRAME_BYTES
            or self._position != len(self._buffer)
            or self._opcode
            or size < MIN_FRAME_BYTES
        ):
            return None
        first, second = data[0], data[1]
        body = 2
        length = second & 0x7F
        if first not in _UNFRAGMENTED or length == LENGTH_IN_64_BITS:
            return None
        if length == LENGTH_IN_16_BITS:
            body = 4
            length = int.from_bytes(data[2:4])
            if length <= frames.MAX_SHORT:
                return None
        if self.masked:
            body += 4
            if second < frames.MASK or size != body + length:
                return None
            payload = frames.apply_mask(data[body - 4 : body], data[body:])
        elif size != body + length or second >= frames.MASK:
            return None
        else:
            payload = data[body:]
        too_big = length > self.max_message
        if too_big or (first == FIN | TEXT and not payload.isascii() and not _is_utf8(payload)):
            return None
        return payload

    @property
    def buffered(self) -> int:
        """Number of bytes of an incomplete frame and of an unfinished message."""
        waiting = self._chunk_bytes if self._chunks else len(self._buffer) - self._position
        return waiting + len(self._wire)

    def next_event(self) -> Event | None:
        """Return the next event, or None until more bytes arrive. Raises ViolationError; do not call it after that."""
        while (head := self._parse_header()) is not None:
            first, body, end = head
            buffer, start = self._buffer, self._position
            self._needed = MIN_FRAME_BYTES
            self._position = end
            wire = buffer if start == 0 and end == len(buffer) else buffer[start:end]
            payload = buffer[body:end]
            if self.masked and payload:
                payload = frames.apply_mask(buffer[body - frames.KEY_BYTES : body], payload)
            if first in _UNFRAGMENTED:
                if first == FIN | TEXT and not payload.isascii():
                    _check_utf8(payload)
                return Message(first & 0x0F, payload, wire)
            event = self._decode_other(first, payload, wire)
            if event is not None:
                return event
        return None

    def _parse_header(self) -> tuple[int, int, int] | None:
        """Return first byte, payload start and end of the next frame, or None while it is incomplete.

        The header is validated as soon as it is complete.
        """
        buffer, start = self._buffer, self._position
        available = len(buffer) - start
        if self._chunks or available < self._needed:
            return None
        first, second = buffer[start], buffer[start + 1]
        size = second & 0x7F
        body = start + MIN_FRAME_BYTES
        if size > frames.MAX_SHORT:
            extra = 2 if size == LENGTH_IN_16_BITS else 8
            if available < MIN_FRAME_BYTES + extra:
                self._needed = MIN_FRAME_BYTES + extra
                return None
            body += extra
            size = _extended_length(buffer[start + MIN_FRAME_BYTES : body])
        if (second >= frames.MASK) is not self.masked:
            raise ViolationError(PROTOCOL_ERROR, "frame that is not masked" if self.masked else "masked frame")
        if first not in _UNFRAGMENTED or self._opcode:
            self._check_header(first, size)
        if size > self.max_message:
            raise ViolationError(TOO_BIG, "message too big")
        if self.masked:
            body += frames.KEY_BYTES
        end = body + size
        if end > len(buffer):
            self._needed = end - start
            return None
        return first, body, end

    def encode_forwarded(self, message: Message, content: bytes | None) -> bytes:
        """Return the bytes to forward for a message whose content is now `content` (None: dropped).

        An unchanged message is forwarded as received. After a compressed one was changed or dropped, later ones that
        may refer to it (RFC 7692 section 7.2.3.2) are sent uncompressed, because the other peer cannot inflate them.
        """
        if content is None or (content is not message.payload and content != message.payload):
            takeover = self.inflater is not None and self.inflater.takeover
            self.deflate_context_broken = self.deflate_context_broken or (message.compressed and takeover)
            if content is None:
                return b""
            content = frames.as_text(content) if message.opcode == TEXT else content
            return frames.encode(message.opcode, content, masked=self.masked)
        if message.compressed and self.deflate_context_broken:
            return frames.encode(message.opcode, content, masked=self.masked)
        return message.wire

    def _check_header(self, first: int, size: int) -> None:
        """Validate a frame's first byte and size (sections 5.2 to 5.5)."""
        opcode = first & 0x0F
        reserved = first & 0x70
        data = opcode in (TEXT, BINARY)
        if reserved and (reserved != RSV1 or self.inflater is None or not data):
            raise ViolationError(PROTOCOL_ERROR, "reserved bits are set")
        if opcode in (CLOSE, PING, PONG):
            if not first & FIN:
                raise ViolationError(PROTOCOL_ERROR, "fragmented control frame")
            if size > frames.MAX_CONTROL_BYTES:
                raise ViolationError(PROTOCOL_ERROR, "control frame longer than 125 bytes")
        elif data:
            if self._opcode:
                raise ViolationError(PROTOCOL_ERROR, "new message within a fragmented one")
        elif opcode != CONTINUATION:
            raise ViolationError(PROTOCOL_ERROR, "unknown opcode")
        elif not self._opcode:
            raise ViolationError(PROTOCOL_ERROR, "continuation of no message")
        elif len(self._payload) + size > self.max_message:
            raise ViolationError(TOO_BIG, "message too big")

    def _decode_other(self, first: int, payload: bytes, wire: bytes) -> Event | None:
        opcode = first & 0x0F
        if opcode == CLOSE:
            code, reason = read_close(payload)
            return Close(code, reason, wire)
        if opcode in (PING, PONG):
            return Control(opcode, payload, wire)
        if opcode != CONTINUATION:
            self._start_message(opcode, compressed=bool(first & RSV1))
        return self._append_fragment(payload, wire, final=bool(first & FIN))

    def _start_message(self, opcode: int, *, compressed: bool) -> None:
        self._opcode = opcode
        self._compressed = compressed
        if opcode == TEXT and not compressed:
            self._decoder = codecs.getincrementaldecoder("utf-8")()

    def _append_fragment(self, payload: bytes, wire: bytes, *, final: bool) -> Message | None:
        if self._decoder is not None:  # UTF-8 is validated by fragment, so that a violation fails early
            try:
                self._decoder.decode(payload, final)
            except UnicodeDecodeError:
                raise ViolationError(INVALID_DATA, "text that is not UTF-8") from None
        self._payload += payload
        self._wire += wire
        if len(self._wire) > MAX_WIRE_FACTOR * self.max_message + EXTRA_WIRE_BYTES:
            raise ViolationError(TOO_BIG, "message of too many fragments")
        return self._finish_message() if final else None

    def _finish_message(self) -> Message:
        opcode, content, wire = self._opcode, bytes(self._payload), bytes(self._wire)
        compressed = self._compressed
        self._opcode = CONTINUATION
        self._decoder = None
        self._payload, self._wire = bytearray(), bytearray()
        if compressed:
            content = self.inflater.inflate(content, self.max_message) if self.inflater is not None else content
            if opcode == TEXT:
                _check_utf8(content)
        return Message(opcode, content, wire, compressed)


def _extended_length(field: bytes) -> int:
    """Parse a length of 16 or 64 bits. It must use "the minimal number of bytes" (section 5.2)."""
    size = int.from_bytes(field)
    if size <= (frames.MAX_SHORT if len(field) == 2 else frames.MAX_MEDIUM) or size >> 63:  # noqa: PLR2004
        raise ViolationError(PROTOCOL_ERROR, "frame length that is not minimal")
    return size


def _check_utf8(payload: bytes) -> None:
    if not _is_utf8(payload):
        raise ViolationError(INVALID_DATA, "text that is not UTF-8")


def _is_utf8(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True
