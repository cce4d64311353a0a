"""One direction of a WebSocket, sans-io: bytes in, whole messages and control frames out (RFC 6455 section 5).

Strict: what the RFC forbids raises ViolationError with the code of section 7.4. Bounded: nothing longer than
`max_message` is gathered, and a longer one is refused from its header on.
"""

import codecs

from msgspec import Struct

from livegate.websocket import frames
from livegate.websocket.close_codes import INVALID_DATA, PROTOCOL_ERROR, TOO_BIG, ViolationError, read_close
from livegate.websocket.deflate import Inflater
from livegate.websocket.frames import BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, RSV1, TEXT

MAX_WIRE_FACTOR = 2
SPARE_WIRE_BYTES = 64 * 1024
"""A message's frames may take twice its bound and this much: headers of tiny fragments count as well."""
MIN_FRAME_BYTES = 2
LENGTH_IN_16_BITS, LENGTH_IN_64_BITS = 126, 127
"""What the 7 bits for the length say when the length follows (section 5.2)."""
_WHOLE = (FIN | TEXT, FIN | BINARY)


class Message(Struct, gc=False):
    """A whole message. `wire` are its frames as they came, masks included; `payload` is what it says."""

    opcode: int
    payload: bytes
    wire: bytes
    compressed: bool = False


class Control(Struct, gc=False):
    """A ping or a pong."""

    opcode: int
    payload: bytes
    wire: bytes


class Close(Struct, gc=False):
    """A close frame; a code of 1005 stands for none."""

    code: int
    reason: str
    wire: bytes


type Event = Message | Control | Close


class Lane:
    """Reads what one peer sends. `receive` takes bytes as they come; `next` gives the next event, or None for now."""

    def __init__(self, *, masked: bool, max_message: int, inflater: Inflater | None = None) -> None:
        self.masked = masked
        """Whether frames must be masked, which those of a client must and those of a server must not (5.1)."""
        self.max_message = max_message
        self.inflater = inflater
        self.rewritten = False
        """Whether the peer's inflater has missed a message that was changed or dropped (see `forward`)."""
        self._buffer = b""
        self._position = 0
        self._chunks: list[bytes] = []
        self._gathered = 0
        self._needed = MIN_FRAME_BYTES
        """Bytes from `_position` on without which `next` cannot go on."""
        self._opcode = CONTINUATION
        """That of the fragmented message which has begun; CONTINUATION when there is none."""
        self._compressed = False
        self._payload = bytearray()
        self._wire = bytearray()
        self._decoder: codecs.IncrementalDecoder | None = None

    def receive(self, data: bytes) -> None:
        """Take the next bytes of the peer."""
        if self._chunks:
            self._chunks.append(data)
            self._gathered += len(data)
        elif self._position == len(self._buffer):
            self._buffer = data
            self._position = 0
        else:
            rest = self._buffer[self._position :]
            self._buffer = b""
            self._position = 0
            self._chunks = [rest, data]
            self._gathered = len(rest) + len(data)
        if self._chunks and self._gathered >= self._needed:
            self._buffer = b"".join(self._chunks)
            self._chunks = []

    def whole(self, data: bytes) -> bytes | None:  # noqa: PLR0911 - one for each way not to be such a message
        """The payload when `data` is one whole message of one frame, and nothing else is under way; else None.

        The way of nearly all messages, without the detour by `receive` and `next`, which say the same more slowly.
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
        if first not in _WHOLE or length == LENGTH_IN_64_BITS:
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
        if too_big or (first == FIN | TEXT and not payload.isascii() and not _is_text(payload)):
            return None
        return payload

    @property
    def buffered(self) -> int:
        """Bytes that were received but do not make up a whole frame yet, and those of an unfinished message."""
        waiting = self._gathered if self._chunks else len(self._buffer) - self._position
        return waiting + len(self._wire)

    def next(self) -> Event | None:
        """The next event, or None until more bytes come. Raises ViolationError; nothing may be read after that."""
        while (head := self._head()) is not None:
            first, body, end = head
            buffer, start = self._buffer, self._position
            self._needed = MIN_FRAME_BYTES
            self._position = end
            wire = buffer if start == 0 and end == len(buffer) else buffer[start:end]
            payload = buffer[body:end]
            if self.masked and payload:
                payload = frames.apply_mask(buffer[body - frames.KEY_BYTES : body], payload)
            if first in _WHOLE:
                if first == FIN | TEXT and not payload.isascii():
                    _check_text(payload)
                return Message(first & 0x0F, payload, wire)
            event = self._other(first, payload, wire)
            if event is not None:
                return event
        return None

    def _head(self) -> tuple[int, int, int] | None:
        """First byte, start of the payload and end of the next frame once all of it is there; it is judged before."""
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
            size = _extended(buffer[start + MIN_FRAME_BYTES : body])
        if (second >= frames.MASK) is not self.masked:
            raise ViolationError(PROTOCOL_ERROR, "frame that is not masked" if self.masked else "masked frame")
        if first not in _WHOLE or self._opcode:
            self._check(first, size)
        if size > self.max_message:
            raise ViolationError(TOO_BIG, "message too big")
        if self.masked:
            body += frames.KEY_BYTES
        end = body + size
        if end > len(buffer):
            self._needed = end - start
            return None
        return first, body, end

    def forward(self, message: Message, content: bytes | None) -> bytes:
        """The bytes that the other peer gets for a message whose content is now `content` (None: dropped).

        An unchanged message leaves as it came. Once a compressed one was not passed on as it came, later ones that may
        refer to it (RFC 7692 section 7.2.3.2) are sent uncompressed, so that the other peer can read them.
        """
        if content is None or (content is not message.payload and content != message.payload):
            takeover = self.inflater is not None and self.inflater.takeover
            self.rewritten = self.rewritten or (message.compressed and takeover)
            if content is None:
                return b""
            content = frames.as_text(content) if message.opcode == TEXT else content
            return frames.encode(message.opcode, content, masked=self.masked)
        if message.compressed and self.rewritten:
            return frames.encode(message.opcode, content, masked=self.masked)
        return message.wire

    def _check(self, first: int, size: int) -> None:
        """What section 5.2 to 5.5 say of a frame's first byte, but for that of a whole uncompressed message."""
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

    def _other(self, first: int, payload: bytes, wire: bytes) -> Event | None:
        opcode = first & 0x0F
        if opcode == CLOSE:
            code, reason = read_close(payload)
            return Close(code, reason, wire)
        if opcode in (PING, PONG):
            return Control(opcode, payload, wire)
        if opcode != CONTINUATION:
            self._begin(opcode, compressed=bool(first & RSV1))
        return self._gather(payload, wire, final=bool(first & FIN))

    def _begin(self, opcode: int, *, compressed: bool) -> None:
        self._opcode = opcode
        self._compressed = compressed
        if opcode == TEXT and not compressed:
            self._decoder = codecs.getincrementaldecoder("utf-8")()

    def _gather(self, payload: bytes, wire: bytes, *, final: bool) -> Message | None:
        if self._decoder is not None:  # each fragment is judged as it comes
            try:
                self._decoder.decode(payload, final)
            except UnicodeDecodeError:
                raise ViolationError(INVALID_DATA, "text that is not UTF-8") from None
        self._payload += payload
        self._wire += wire
        if len(self._wire) > MAX_WIRE_FACTOR * self.max_message + SPARE_WIRE_BYTES:
            raise ViolationError(TOO_BIG, "message of too many fragments")
        return self._finish() if final else None

    def _finish(self) -> Message:
        opcode, content, wire = self._opcode, bytes(self._payload), bytes(self._wire)
        compressed = self._compressed
        self._opcode = CONTINUATION
        self._decoder = None
        self._payload, self._wire = bytearray(), bytearray()
        if compressed:
            content = self.inflater.inflate(content, self.max_message) if self.inflater is not None else content
            if opcode == TEXT:
                _check_text(content)
        return Message(opcode, content, wire, compressed)


def _extended(field: bytes) -> int:
    """A length of 16 or 64 bits, which must be needed for it (section 5.2: "the minimal number of bytes")."""
    size = int.from_bytes(field)
    if size <= (frames.MAX_SHORT if len(field) == 2 else frames.MAX_MEDIUM) or size >> 63:  # noqa: PLR2004
        raise ViolationError(PROTOCOL_ERROR, "frame length that is not minimal")
    return size


def _check_text(payload: bytes) -> None:
    if not _is_text(payload):
        raise ViolationError(INVALID_DATA, "text that is not UTF-8")


def _is_text(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True
