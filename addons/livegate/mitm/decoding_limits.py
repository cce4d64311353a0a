"""Bounds what mitmproxy makes of a body: its decoders before they inflate, its content views before they unfold.

A few kilobytes become gigabytes otherwise, for everybody who looks at, edits, exports or filters a flow, and the
process that does so carries all traffic. Measured on mitmproxy 12.2: 4.8 KB of brotli, 6.2 GiB; 3 KB of nested
protobuf, 7.5 GiB; 1 MiB of nested JSON, 3.6 GiB; 1 MiB of form fields, 29 s.
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
"""Of one body; one that would be longer cannot be decoded."""
MAX_VIEWED_BYTES = 8 * 1024 * 1024
"""What any content view gets."""
MAX_PARSED_BYTES = 1024 * 1024
"""What a content view gets that parses it, unless it is named below."""
PARSED_BYTES = {"json": MAX_VIEWED_BYTES, "graphql": MAX_VIEWED_BYTES, "msgpack": 64 * 1024}
UNPARSED = frozenset({"raw", "hex dump", "hex stream", "query"})
"""Content views whose cost is by the bytes."""
MAX_INDENTATION_BYTES = 16 * 1024 * 1024
MAX_FORM_FIELDS = 5_000
MAX_PROTOBUF_DEPTH, MAX_PROTOBUF_FIELDS = 50, 100_000
MAX_TEXT_IN_PNG_BYTES = 64 * 1024
SLOW_CHARSETS = frozenset({"punycode", "idna"})
"""Their decoders take quadratic time."""

type Decode = Callable[[bytes, str, int], bytes]
"""Data and its content coding, without it; ValueError if that is not possible or is more than so many bytes."""

_STOCK: list[tuple[Any, str, Any]] = []
_CODINGS = ("gzip", "deflate", "deflateraw", "br", "zstd")
_STEPS = {ord(opens): 1 for opens in "[{("} | {ord(closes): -1 for closes in "]})"}
_NOT_STRUCTURE = bytes(set(range(256)) - _STEPS.keys() - set(b",;\n"))


class LimitExceededError(ValueError):
    """A content view would make too much of what it is given."""


def install(decode: Decode) -> None:
    """Bound from now on; nothing happens when that is so already."""
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
    """Leave mitmproxy as it was."""
    while _STOCK:
        setattr(*_STOCK.pop())


def _decoder(decode: Decode, coding: str) -> Callable[[bytes], bytes]:
    name = "deflate" if coding == "deflateraw" else coding
    return lambda content: decode(content, name, MAX_DECODED_BYTES) if content else b""


def _refuse_codec(name: str) -> None:
    """Python has codecs that inflate (`bz2`, `zip`) and others that are slow, and a message may name any of them."""
    try:
        codec = codecs.lookup(name)
    except (LookupError, ValueError):
        return  # mitmproxy says so itself
    if not getattr(codec, "_is_text_encoding", True) or codec.name in SLOW_CHARSETS:
        raise ValueError(f"{name!r} is neither a content coding nor a charset")


class _BoundedZlib:
    """Stands in for zlib where mitmproxy reads the texts in a PNG."""

    @staticmethod
    def decompress(data: bytes) -> bytes:
        """Return the text, or as much of it as is allowed."""
        return zlib.decompressobj().decompress(data, MAX_TEXT_IN_PNG_BYTES)


class BoundedView(Contentview):
    """A content view that is asked only for what it can do in reasonable time and memory."""

    def __init__(self, view: Contentview) -> None:
        self._view = view

    @property
    def name(self) -> str:
        """As the view is called."""
        return self._view.name

    @property
    def syntax_highlight(self) -> SyntaxHighlight:
        """As the view has it."""
        return self._view.syntax_highlight

    def prettify(self, data: bytes, metadata: Metadata) -> str:
        """Return what the view makes of it. Raises LimitExceededError where that would be too much."""
        if len(data) > MAX_VIEWED_BYTES:
            return f"⟪{len(data)} bytes, too many to be shown: download them⟫"
        kind = self.name.lower()
        if kind not in ("hex dump", "hex stream") and _is_undecoded(data, metadata):
            return f"⟪{len(data)} bytes that cannot be decoded, or are too large to be decoded; Hex Dump shows them⟫"
        if kind not in UNPARSED and type(self._view).__module__.startswith("mitmproxy"):
            _check(kind, data, metadata)
        return self._view.prettify(data, metadata)

    def render_priority(self, data: bytes, metadata: Metadata) -> float:
        """Return the view's own."""
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
        raise LimitExceededError(f"{len(data)} bytes are too many to be parsed: choose Raw or Hex Dump")
    if kind in ("json", "graphql", "javascript") and _indentation(data) > MAX_INDENTATION_BYTES:
        raise LimitExceededError("nested too deeply to be indented: choose Raw")
    if kind == "url-encoded" and data.count(b"&") > MAX_FORM_FIELDS:
        raise LimitExceededError("too many fields to be listed: choose Raw")
    if kind == "protobuf":
        check_protobuf(data)
    if kind == "grpc":
        _check_grpc(data, metadata)


def _indentation(data: bytes) -> int:
    """About how many bytes of indentation a view adds: four for each level of each line."""
    depths = accumulate(_STEPS.get(byte, 0) for byte in data.translate(None, _NOT_STRUCTURE))
    return 4 * sum(depth for depth in depths if depth > 0)


def check_protobuf(data: bytes) -> None:
    """Raise LimitExceededError for what may be a message with too many levels or fields.

    mitmproxy takes for a message whatever can be one, and its memory grows with the cube of the levels.
    """
    fields = 0

    def message(start: int, end: int, depth: int) -> bool:
        """Whether this can be a message as a whole; its fields are counted meanwhile."""
        nonlocal fields
        if depth > MAX_PROTOBUF_DEPTH:
            raise LimitExceededError("nested too deeply to be shown as Protobuf: choose Hex Dump")
        while start < end:
            fields += 1
            if fields > MAX_PROTOBUF_FIELDS:
                raise LimitExceededError("too many fields to be shown as Protobuf: choose Hex Dump")
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
    """A number and where it ends; -1 when it does not end."""
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
    """Each message is a flag, a length and bytes that may be compressed as `grpc-encoding` says."""
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
                raise LimitExceededError("a compressed message that cannot be inflated, or is too large") from None
        left -= len(content)
        if left < 0:
            raise LimitExceededError("too many bytes, inflated, to be shown as gRPC: choose Hex Dump")
        check_protobuf(content)
        start += 5 + size
