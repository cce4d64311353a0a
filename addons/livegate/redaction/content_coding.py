"""Bodies without their content coding, up to a bound: a few bytes must not become gigabytes because somebody looks."""

import io
import zlib

import brotli
import zstandard
from mitmproxy import http

_ZLIB_OR_GZIP = zlib.MAX_WBITS | 32
"""zlib's own header or gzip's."""
GZIP_START = b"\x1f\x8b"
PIECE_BYTES = 64 * 1024
"""What is inflated at a time: zlib copies what it leaves of a piece at the end of each member."""
MAX_CODINGS = 3
MAX_MEMBERS = 1000


def decoded_body(message: http.Message, max_bytes: int) -> bytes | None:
    """A message's body; None when there is none, it cannot be decoded, or it is longer than `most` bytes."""
    raw = message.raw_content
    return None if raw is None else decode_or_none(raw, message.headers.get("content-encoding", ""), max_bytes)


def decode_or_none(data: bytes, coding: str, max_bytes: int) -> bytes | None:
    """Data without its content coding (RFC 9110 section 8.4.1); None as above. Takes at most about twice `most`."""
    if len(data) > max_bytes:
        return None
    try:
        return decode(data, coding, max_bytes)
    except ValueError:
        return None


class TooLargeError(ValueError):
    """Decoded, a body would be longer than it may be."""


def decode(data: bytes, coding: str, max_bytes: int) -> bytes:
    """Data without its content coding. Raises TooLargeError past `most` bytes, ValueError if it cannot be decoded."""
    codings = [each.strip().lower() for each in coding.split(",") if each.strip()]
    if len(codings) > MAX_CODINGS:
        raise ValueError("too many content codings")
    for each in reversed(codings):
        data = _decode_one(data, each, max_bytes) if data else data
    return data


def _decode_one(data: bytes, coding: str, max_bytes: int) -> bytes:
    if coding in ("identity", "none"):
        return data
    undo = _DECODERS.get(coding)
    if undo is None:
        raise ValueError("an unknown content coding")
    try:
        found = undo(data, max_bytes + 1)
    except (zlib.error, brotli.error, zstandard.ZstdError, TypeError, EOFError) as error:
        raise ValueError(f"a body that is not {coding}") from error
    if len(found) > max_bytes:
        raise TooLargeError(f"a body of more than {max_bytes} bytes")
    return found


def _inflate(data: bytes, max_bytes: int) -> bytes:
    """All members of a gzip file (RFC 1952 section 2.2); bytes after them that are none are left out."""
    engine, found = zlib.decompressobj(_ZLIB_OR_GZIP), bytearray()
    source, position, members = memoryview(data), 0, 1
    while position < len(source) and len(found) < max_bytes:
        piece = source[position : position + PIECE_BYTES]
        found += engine.decompress(piece, max_bytes - len(found))
        position += len(piece) - len(engine.unused_data) - len(engine.unconsumed_tail)
        if engine.eof:
            if source[position : position + 2] != GZIP_START:
                break
            members += 1
            if members > MAX_MEMBERS:
                raise zlib.error("too many members")
            engine = zlib.decompressobj(_ZLIB_OR_GZIP)
    return bytes(found)


def _deflate(data: bytes, max_bytes: int) -> bytes:
    """With zlib's header, as the RFC says, or without, as some servers do."""
    try:
        return zlib.decompressobj().decompress(data, max_bytes)
    except zlib.error:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, max_bytes)


def _brotli(data: bytes, max_bytes: int) -> bytes:
    decoder = brotli.Decompressor()
    found: bytes = decoder.process(data, output_buffer_limit=max_bytes)
    while not decoder.is_finished() and len(found) < max_bytes and not decoder.can_accept_more_data():
        found += decoder.process(b"", output_buffer_limit=max_bytes - len(found))
    return found


def _zstd(data: bytes, max_bytes: int) -> bytes:
    with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
        io.BytesIO(data), read_across_frames=True
    ) as reader:
        return reader.read(max_bytes)


_DECODERS = {"gzip": _inflate, "x-gzip": _inflate, "deflate": _deflate, "br": _brotli, "zstd": _zstd}
