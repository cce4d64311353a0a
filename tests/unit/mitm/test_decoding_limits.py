"""What mitmproxy makes of a body is bounded, whatever looks at it, and a usual body looks as it did."""

import bz2
import gzip
import struct
import tracemalloc
import zlib
from collections.abc import Iterator

import brotli
import pytest
import zstandard
from mitmproxy import contentviews, http
from mitmproxy.contentviews import json_view
from mitmproxy.net import encoding
from mitmproxy.test import taddons, tflow

from livegate.mitm import decoding_limits
from livegate.redaction.content_coding import decode

ZEROS = b"\0" * (100 << 20)
PACKERS = {
    "gzip": lambda data: gzip.compress(data[: 50 << 20]) + gzip.compress(data),
    "deflate": zlib.compress,
    "br": lambda data: brotli.compress(data, quality=5),
    "zstd": zstandard.ZstdCompressor().compress,
    "bz2": bz2.compress,
    "zip": zlib.compress,
}
TEXT = b'{"a": [1, 2, {"b": "c"}]}'


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    decoding_limits.install(decode)
    decoding_limits.install(decode)
    with taddons.context() as context:
        context.options.add_option("protobuf_definitions", str | None, None, "")
        yield
    decoding_limits.uninstall()


def _response(content: bytes, **fields: str) -> http.HTTPFlow:
    flow = tflow.tflow(resp=True)
    assert flow.response
    flow.response.headers.clear()
    for name, value in fields.items():
        flow.response.headers[name.replace("_", "-")] = value
    flow.response.raw_content = content
    return flow


def _shown(flow: http.HTTPFlow, view: str = "auto") -> contentviews.ContentviewResult:
    assert flow.response
    return contentviews.prettify_message(flow.response, flow, view)


@pytest.mark.parametrize("coding", PACKERS)
def test_a_decompression_bomb_is_not_decoded_by_any_view(coding: str) -> None:
    flow = _response(PACKERS[coding](ZEROS), content_encoding=coding, content_type="application/json")
    assert flow.response
    tracemalloc.start()
    try:
        for look in ("content", "text"):
            with pytest.raises(ValueError, match=r"\w"):
                getattr(flow.response, look)
        assert flow.response.get_content(strict=False) == flow.response.raw_content
        for view in ("auto", "raw"):
            assert "too large to decode" in _shown(flow, view).text
        assert tracemalloc.get_traced_memory()[1] < 3 * decoding_limits.MAX_DECODED_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("charset", ["bz2", "zip", "hex", "punycode", "idna"])
def test_a_charset_is_a_charset(charset: str) -> None:
    flow = _response(bz2.compress(b"a" * 1000), content_type=f"text/plain; charset={charset}")
    assert flow.response
    with pytest.raises(ValueError, match=r"\w"):
        _ = flow.response.text
    assert flow.response.get_text(strict=False)


def test_usual_bodies_are_decoded_shown_and_encoded_again() -> None:
    for coding in ("gzip", "deflate", "br", "zstd", "identity"):
        flow = _response(b"", content_encoding=coding, content_type="application/json; charset=utf-8")
        assert flow.response
        assert flow.response.content == b""
        flow.response.content = TEXT
        assert (flow.response.content, flow.response.text) == (TEXT, TEXT.decode())
        shown = _shown(flow)
        assert (shown.view_name, shown.text) == ("JSON", json_view.prettify(TEXT, contentviews.Metadata()))
    flow = _response("grüße".encode("latin-1"), content_type="text/plain; charset=latin-1")
    assert flow.response
    assert flow.response.text == "grüße"
    assert encoding.decode(None, "gzip") is None
    with pytest.raises(ValueError, match="no-such"):
        encoding.decode(b"x", "no-such")


def _protobuf(levels: int) -> bytes:
    found = b"\x08\x01"
    for _ in range(levels):
        size, length = len(found), b""
        while size > 127:
            length += bytes([size & 127 | 128])
            size >>= 7
        found = b"\x0a" + length + bytes([size]) + found
    return found


def _png(text: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"zTXt", b"key\0\0" + zlib.compress(text)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def _grpc(content: bytes, *, packed: bool) -> bytes:
    return struct.pack(">?I", packed, len(content)) + content


TOO_MUCH = {
    "json": (b"[" * 900 + b"1," * 400_000 + b"1" + b"]" * 900, "application/json"),
    "javascript": (b"{" * 500_000, "application/javascript"),
    "protobuf": (_protobuf(1000), "application/x-protobuf"),
    "protobuf, wide": (b"\x08\x01" * 500_000, "application/x-protobuf"),
    "grpc": (_grpc(_protobuf(1000), packed=False), "application/grpc"),
    "grpc, packed": (_grpc(gzip.compress(ZEROS), packed=True), "application/grpc"),
    "grpc, packed twice": (_grpc(gzip.compress(ZEROS[: 1 << 20]), packed=True) * 2, "application/grpc"),
    "msgpack": (b"\x91" * 900 + b"\xdd\x00\x01\x00\x00" + b"\x01" * 65536, "application/msgpack"),
    "url-encoded": (b"a=b&" * 100_000, "application/x-www-form-urlencoded"),
    "xml/html": (b"<a>" * 500_000, "text/html"),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_bodies_that_would_expand_are_shown_raw(name: str) -> None:
    content, kind = TOO_MUCH[name]
    flow = _response(content, content_type=kind, grpc_encoding="gzip")
    view = name.partition(",")[0]
    tracemalloc.start()
    try:
        assert _shown(flow).view_name in ("Raw", "Hex Dump")
        explicit = _shown(flow, view)
        assert explicit.text.startswith("Couldn't parse as")
        assert "LimitExceededError" in explicit.text
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()


def test_a_body_of_many_megabytes_is_shown_by_its_size() -> None:
    assert "too many to show" in _shown(_response(b"x" * (9 << 20), content_type="text/plain")).text


def test_usual_bodies_are_parsed() -> None:
    assert "1: 1" in _shown(_response(_protobuf(20), content_type="application/x-protobuf")).text
    both = _grpc(_protobuf(3), packed=False) + _grpc(gzip.compress(_protobuf(3)), packed=True)
    assert _shown(_response(both, content_type="application/grpc", grpc_encoding="gzip")).view_name == "gRPC"
    assert "a: b" in _shown(_response(b"a=b&c=d", content_type="application/x-www-form-urlencoded")).text
    shown = _shown(_response(_png(ZEROS), content_type="image/png"))
    assert shown.view_name == "Image"
    assert len(shown.text) < 1 << 20


@pytest.mark.parametrize(
    "data", [b"", b"\xff" * 12, b"\x0b", b"\x0a\x05a", b"\x00", b"\x09" + b"1" * 8, b"\x0d1234", b"\x09"]
)
def test_bytes_that_are_no_protobuf_are_left_to_the_view(data: bytes) -> None:
    decoding_limits.check_protobuf(data)
    with pytest.raises(decoding_limits.LimitExceededError):
        decoding_limits.check_protobuf(_protobuf(51))


def test_uninstalling_restores_mitmproxy() -> None:
    decoding_limits.uninstall()
    assert encoding.decode.__module__ == encoding.__name__
    assert encoding.custom_decode["gzip"] is encoding.decode_gzip
    assert contentviews.ContentviewRegistry.get_view.__module__ == "mitmproxy.contentviews._registry"
