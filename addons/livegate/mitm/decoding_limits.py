"""Limits for mitmproxy's decoders and content views, which run when a flow is shown, edited, exported or filtered.

Without them a small body exhausts the memory of the process that carries all traffic. Measured on mitmproxy 12.2:
4.8 KB of brotli take 6.2 GiB, 3 KB of nested protobuf 7.5 GiB, 1 MiB of nested JSON 3.6 GiB, 1 MiB of form fields 29 s.
"""

import codecs
import zlib
from collections.abc import Callable
from itertools import accumulate
from typing import Any, cast

from mitmproxy.contentviews import Contentview, Metadata, SyntaxHighlight
from mitmproxy.contentviews import _registry as registry
from mitmproxy.contrib.kaitaistruct import png
from mitmproxy.net import encoding

MAX_DECODED_BYTES = 32 * 1024 * 1024
"""Per body. Decoding a longer one raises ValueError."""
MAX_VIEWED_BYTES = 8 * 1024 * 1024
"""Per body and content view. Beyond it, the view shows the size only."""
MAX_PARSED_BYTES = 1024 * 1024
"""Per body, for content views that parse it and are not in `PARSED_BYTES`. Beyond it, they raise an error."""
PARSED_BYTES = {"json": MAX_VIEWED_BYTES, "graphql": MAX_VIEWED_BYTES, "msgpack": 64 * 1024}
UNPARSED = frozenset({"raw", "hex dump", "hex stream", "query"})
"""Content views with costs linear in the size of the body."""
MAX_INDENTATION_BYTES = 16 * 1024 * 1024
MAX_FORM_FIELDS = 5_000
MAX_PROTOBUF_DEPTH, MAX_PROTOBUF_FIELDS = 50, 100_000
MAX_TEXT_IN_PNG_BYTES = 64 * 1024
SLOW_CHARSETS = frozenset({"punycode", "idna"})
"""Charsets with decoders that take quadratic time."""

type Decode = Callable[[bytes, str, int], bytes]
"""Removes a content coding: data, coding, limit in bytes. Raises ValueError for invalid data or beyond the limit."""

_STOCK: list[tuple[Any, str, Any]] = []
_CODINGS = ("gzip", "deflate", "deflateraw", "br", "zstd")
_STEPS = {ord(opens): 1 for opens in "[{("} | {ord(closes): -1 for closes in "]})"}
_NOT_STRUCTURE = bytes(set(range(256)) - _STEPS.keys() - set(b",;\n"))


class LimitExceededError(ValueError):
    """A body that exceeds a content view's limit."""


def install(decode: Decode) -> None:
    """Install the limits. Does nothing when they are installed."""
    if _STOCK:
        return
    _STOCK.extend(
        [
            (encoding, "decode", encoding.decode),
            (encoding, "custom_decode", encoding.custom_decode),
            (registry.ContentviewRegistry, "get_view", registry.ContentviewRegistry.get_view),
            (png, "zlib", vars(png)["zlib"]),
        ]
    )
    decoders = {coding: _decoder(decode, coding) for coding in _CODINGS}
    stock_decode, stock_view = cast("Any", encoding.decode), registry.ContentviewRegistry.get_view

    def known(encoded: Any, name: str, errors: str = "strict") -> Any:
        if name.lower() not in encoding.custom_decode and isinstance(encoded, bytes):
            _refuse_codec(name)
        return stock_decode(encoded, name, errors)

    def get_view(self: Any, data: bytes, metadata: Metadata, view_name: str = "auto") -> Contentview:
        return BoundedView(stock_view(self, data, metadata, view_name))

    encoding.decode = known  # type: ignore[assignment]
    encoding.custom_decode = {**encoding.custom_decode, **decoders}
    registry.ContentviewRegistry.get_view = get_view  # type: ignore[method-assign]
    vars(png)["zlib"] = _BoundedZlib


def uninstall() -> None:
    """Restore mitmproxy's own functions."""
    while _STOCK:
        setattr(*_STOCK.pop())


def _decoder(decode: Decode, coding: str) -> Callable[[bytes], bytes]:
    name = "deflate" if coding == "deflateraw" else coding
    return lambda content: decode(content, name, MAX_DECODED_BYTES) if content else b""


def _refuse_codec(name: str) -> None:
    """Raise ValueError for Python codecs that inflate (`bz2`, `zip`) or are slow; a message may name any codec."""
    try:
        codec = codecs.lookup(name)
    except (LookupError, ValueError):
        return  # mitmproxy raises its own error
    if not getattr(codec, "_is_text_encoding", True) or codec.name in SLOW_CHARSETS:
        raise ValueError(f"{name!r} is neither a content coding nor a charset")


class _BoundedZlib:
    """Replacement for zlib where mitmproxy reads the texts of a PNG."""

    @staticmethod
    def decompress(data: bytes) -> bytes:
        """Return the text, truncated to MAX_TEXT_IN_PNG_BYTES."""
        return zlib.decompressobj().decompress(data, MAX_TEXT_IN_PNG_BYTES)


class BoundedView(Contentview):
    """Content view that calls the wrapped one only within the limits."""

    def __init__(self, view: Contentview) -> None:
        self._view = view

    @property
    def name(self) -> str:
        """Name of the view."""
        return self._view.name

    @property
    def syntax_highlight(self) -> SyntaxHighlight:
        """Syntax of the view."""
        return self._view.syntax_highlight

    def prettify(self, data: bytes, metadata: Metadata) -> str:
        """Return the view's text. Raises LimitExceededError beyond a limit."""
        if len(data) > MAX_VIEWED_BYTES:
            return f"⟪{len(data)} bytes are too many to show; download them⟫"
        kind = self.name.lower()
        if kind not in ("hex dump", "hex stream") and _is_undecoded(data, metadata):
            return f"⟪{len(data)} bytes are invalid or too large to decode; use Hex Dump⟫"
        if kind not in UNPARSED and type(self._view).__module__.startswith("mitmproxy"):
            _check(kind, data, metadata)
        return self._view.prettify(data, metadata)

    def render_priority(self, data: bytes, metadata: Metadata) -> float:
        """Return the view's priority."""
        return self._view.render_priority(data, metadata)


def _is_undecoded(data: bytes, metadata: Metadata) -> bool:
    message = metadata.http_message
    if message is None or not data or data != message.raw_content or not message.headers.get("content-encoding"):
        return False
    try:
        return message.content is None
    except ValueError:
        return True


def _check(kind: str, data: bytes, metadata: Metadata) -> None:
    if len(data) > PARSED_BYTES.get(kind, MAX_PARSED_BYTES):
        raise LimitExceededError(f"{len(data)} bytes are too many to parse; use Raw or Hex Dump")
    if kind in ("json", "graphql", "javascript") and _indentation(data) > MAX_INDENTATION_BYTES:
        raise LimitExceededError("nested too deeply to indent; use Raw")
    if kind == "url-encoded" and data.count(b"&") > MAX_FORM_FIELDS:
        raise LimitExceededError("too many fields to list; use Raw")
    if kind == "protobuf":
        check_protobuf(data)
    if kind == "grpc":
        _check_grpc(data, metadata)


def _indentation(data: bytes) -> int:
    """Estimate the bytes of indentation that a view adds: four for each level of each line."""
    depths = accumulate(_STEPS.get(byte, 0) for byte in data.translate(None, _NOT_STRUCTURE))
    return 4 * sum(depth for depth in depths if depth > 0)


def check_protobuf(data: bytes) -> None:
    """Raise LimitExceededError if the data parses as a message with too many levels or fields.

    mitmproxy parses any field that can be a message as one. Its memory grows with the cube of the depth.
    """
    fields = 0

    def message(start: int, end: int, depth: int) -> bool:
        """Return whether the range parses as a message, and count its fields."""
        nonlocal fields
        if depth > MAX_PROTOBUF_DEPTH:
            raise LimitExceededError("nested too deeply to show as Protobuf; use Hex Dump")
        while start < end:
            fields += 1
            if fields > MAX_PROTOBUF_FIELDS:
                raise LimitExceededError("too many fields to show as Protobuf; use Hex Dump")
            tag, start = _varint(data, start, end)
            wire = tag & 7
            size = 0
            if wire in (0, 2):
                size, start = _varint(data, start, end)
            if start < 0 or wire not in (0, 1, 2, 5) or not tag >> 3:
                return False
            if wire == 2:  # noqa: PLR2004
                if start + size > end:
                    return False
                message(start, start + size, depth + 1)
            start += {0: 0, 1: 8, 2: size, 5: 4}[wire]
        return start == end

    message(0, len(data), 0)


def _varint(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Parse a varint into its value and end position; the position is -1 if it does not end."""
    value = shift = 0
    while 0 <= start < end and shift < 70:  # noqa: PLR2004
        byte = data[start]
        start += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004
            return value, start
        shift += 7
    return 0, -1


def _check_grpc(data: bytes, metadata: Metadata) -> None:
    """Check the messages of a gRPC body: a flag, a length, and bytes compressed by `grpc-encoding`."""
    message = metadata.http_message
    coding = message.headers.get("grpc-encoding", "identity") if message is not None else "identity"
    start, left = 0, MAX_PARSED_BYTES
    while start + 5 <= len(data):
        size = int.from_bytes(data[start + 1 : start + 5])
        content = data[start + 5 : start + 5 + size]
        if data[start] & 1 and coding != "identity":
            try:
                content = cast("bytes", encoding.decode(content, coding))
            except ValueError:
                raise LimitExceededError("a compressed message is invalid or too large to inflate") from None
        left -= len(content)
        if left < 0:
            raise LimitExceededError("too many inflated bytes to show as gRPC; use Hex Dump")
        check_protobuf(content)
        start += 5 + size
