"""Bodies are decoded up to a bound, whatever they claim to be."""

import gzip
import tracemalloc
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import http

from livegate.redaction.content_coding import decode_or_none, decoded_body

MOST = 100_000
TEXT = b"a page of an app " * 100


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("coding", PACKERS)
def test_every_coding_is_undone(coding: str) -> None:
    assert decode_or_none(PACKERS[coding](TEXT), coding, MOST) == TEXT
    assert decode_or_none(PACKERS[coding](TEXT), f" {coding.upper()} ", len(TEXT)) == TEXT, "a body as long as allowed"
    assert decode_or_none(PACKERS[coding](TEXT), coding, len(TEXT) - 1) is None


def test_codings_that_are_none_or_two() -> None:
    assert decode_or_none(TEXT, "", MOST) == TEXT
    assert decode_or_none(TEXT, "identity", MOST) == TEXT
    assert decode_or_none(raw_deflate(TEXT), "deflate", MOST) == TEXT
    assert decode_or_none(brotli.compress(gzip.compress(TEXT)), "gzip, br", MOST) == TEXT
    assert decode_or_none(b"", "gzip", MOST) == b""
    assert decode_or_none(TEXT, "gzip, gzip, gzip, gzip", MOST) is None
    assert decode_or_none(TEXT, "compress", MOST) is None
    assert decode_or_none(TEXT, "", 10) is None


@pytest.mark.parametrize("coding", PACKERS)
def test_a_bomb_takes_no_memory(coding: str) -> None:
    bomb = PACKERS[coding](b"\0" * 50_000_000)
    tracemalloc.start()
    try:
        assert decode_or_none(bomb, coding, MOST) is None
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=300), st.sampled_from([*PACKERS, "gzip, br", ",", "identity"]))
def test_bytes_that_are_no_such_thing_are_none(data: bytes, coding: str) -> None:
    found = decode_or_none(data, coding, MOST)
    assert found is None or isinstance(found, bytes)


def test_a_message_without_a_body_has_none() -> None:
    answer = http.Response.make(200, gzip.compress(TEXT), {"Content-Encoding": "gzip"})
    answer.raw_content = gzip.compress(TEXT)
    assert decoded_body(answer, MOST) == TEXT
    answer.raw_content = None
    assert decoded_body(answer, MOST) is None
