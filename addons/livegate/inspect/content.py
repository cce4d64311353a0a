"""Bodies without their content coding, up to a bound: a few bytes must not become gigabytes because somebody looks."""

import io
import zlib

import brotli
import zstandard
from mitmproxy import http

_EITHER = zlib.MAX_WBITS | 32
"""zlib's own header or gzip's."""
MAX_CODINGS = 3


def content_of(message: http.Message, most: int) -> bytes | None:
    """A message's body; None when there is none, it cannot be decoded, or it is longer than `most` bytes."""
    raw = message.raw_content
    return None if raw is None else decoded(raw, message.headers.get("content-encoding", ""), most)


def decoded(data: bytes, coding: str, most: int) -> bytes | None:
    """Data without its content coding (RFC 9110 section 8.4.1); None as above. Takes at most about twice `most`."""
    codings = [each.strip().lower() for each in coding.split(",") if each.strip()]
    if len(data) > most or len(codings) > MAX_CODINGS:
        return None
    found: bytes | None = data
    for each in reversed(codings):
        found = _decoded(found, each, most) if found else found
    return found


def _decoded(data: bytes, coding: str, most: int) -> bytes | None:
    if coding == "identity":
        return data
    decode = _DECODERS.get(coding)
    if decode is None:
        return None
    try:
        found = decode(data, most + 1)
    except (zlib.error, brotli.error, zstandard.ZstdError, TypeError, EOFError):
        return None
    return found if len(found) <= most else None


def _inflate(data: bytes, most: int) -> bytes:
    return zlib.decompressobj(_EITHER).decompress(data, most)


def _deflate(data: bytes, most: int) -> bytes:
    """With zlib's header, as the RFC says, or without, as some servers do."""
    try:
        return zlib.decompressobj().decompress(data, most)
    except zlib.error:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, most)


def _brotli(data: bytes, most: int) -> bytes:
    decoder = brotli.Decompressor()
    found: bytes = decoder.process(data, output_buffer_limit=most)
    while not decoder.is_finished() and len(found) < most and not decoder.can_accept_more_data():
        found += decoder.process(b"", output_buffer_limit=most - len(found))
    return found


def _zstd(data: bytes, most: int) -> bytes:
    with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
        io.BytesIO(data), read_across_frames=True
    ) as reader:
        return reader.read(most)


_DECODERS = {"gzip": _inflate, "x-gzip": _inflate, "deflate": _deflate, "br": _brotli, "zstd": _zstd}
