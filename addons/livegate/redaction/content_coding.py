"""Decoder of content codings (RFC 9110 section 8.4.1) with a size limit, because a few bytes can become gigabytes."""

import io
import zlib

import brotli
import zstandard
from mitmproxy import http

_ZLIB_OR_GZIP = zlib.MAX_WBITS | 32
"""`wbits` that accepts zlib's header or gzip's."""
GZIP_START = b"\x1f\x8b"
PIECE_BYTES = 64 * 1024
"""Input per call of zlib, which copies unused input at the end of each member."""
MAX_CODINGS = 3
"""Codings of one body. A body with more is not decoded."""
MAX_MEMBERS = 1000
"""Members of one gzip body. A body with more is not decoded."""


def decoded_body(message: http.Message, max_bytes: int) -> bytes | None:
    """Return the decoded body of a message; None without a body, or when `decode_or_none` returns None."""
    raw = message.raw_content
    return None if raw is None else decode_or_none(raw, message.headers.get("content-encoding", ""), max_bytes)


def decode_or_none(data: bytes, coding: str, max_bytes: int) -> bytes | None:
    """Decode data; return None when that is impossible or exceeds `max_bytes`. Uses up to about twice `max_bytes`."""
    if len(data) > max_bytes:
        return None
    try:
        return decode(data, coding, max_bytes)
    except ValueError:
        return None


class TooLargeError(ValueError):
    """Raised when a decoded body would exceed the limit."""


def decode(data: bytes, coding: str, max_bytes: int) -> bytes:
    """Decode data. Raises TooLargeError beyond `max_bytes`, and ValueError when it cannot be decoded."""
    codings = [each.strip().lower() for each in coding.split(",") if each.strip()]
    if len(codings) > MAX_CODINGS:
        raise ValueError("too many content codings")
    for each in reversed(codings):
        data = _decode_one(data, each, max_bytes) if data else data
    return data


def _decode_one(data: bytes, coding: str, max_bytes: int) -> bytes:
    if coding in ("identity", "none"):
        return data
    decoder = _DECODERS.get(coding)
    if decoder is None:
        raise ValueError("an unknown content coding")
    try:
        decoded = decoder(data, max_bytes + 1)
    except (zlib.error, brotli.error, zstandard.ZstdError, TypeError, EOFError) as error:
        raise ValueError(f"a body that is not {coding}") from error
    if len(decoded) > max_bytes:
        raise TooLargeError(f"a body of more than {max_bytes} bytes")
    return decoded


def _inflate(data: bytes, max_bytes: int) -> bytes:
    """Decode all members of a gzip body (RFC 1952 section 2.2); trailing bytes are ignored."""
    engine, decoded = zlib.decompressobj(_ZLIB_OR_GZIP), bytearray()
    source, position, members = memoryview(data), 0, 1
    while position < len(source) and len(decoded) < max_bytes:
        piece = source[position : position + PIECE_BYTES]
        decoded += engine.decompress(piece, max_bytes - len(decoded))
        position += len(piece) - len(engine.unused_data) - len(engine.unconsumed_tail)
        if engine.eof:
            if source[position : position + 2] != GZIP_START:
                break
            members += 1
            if members > MAX_MEMBERS:
                raise zlib.error("too many members")
            engine = zlib.decompressobj(_ZLIB_OR_GZIP)
    return bytes(decoded)


def _deflate(data: bytes, max_bytes: int) -> bytes:
    """Decode deflate with zlib's header (RFC 9110 section 8.4.1.2), or without it, as some servers send it."""
    try:
        return zlib.decompressobj().decompress(data, max_bytes)
    except zlib.error:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, max_bytes)


def _brotli(data: bytes, max_bytes: int) -> bytes:
    decoder = brotli.Decompressor()
    decoded: bytes = decoder.process(data, output_buffer_limit=max_bytes)
    while not decoder.is_finished() and len(decoded) < max_bytes and not decoder.can_accept_more_data():
        decoded += decoder.process(b"", output_buffer_limit=max_bytes - len(decoded))
    return decoded


def _zstd(data: bytes, max_bytes: int) -> bytes:
    with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
        io.BytesIO(data), read_across_frames=True
    ) as reader:
        return reader.read(max_bytes)


_DECODERS = {"gzip": _inflate, "x-gzip": _inflate, "deflate": _deflate, "br": _brotli, "zstd": _zstd}
