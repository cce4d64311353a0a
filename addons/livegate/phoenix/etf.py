"""Decoder of Erlang's external term format (version 131) for untrusted input; used by `tokens`.

Follows "External Term Format" of the Erlang run-time system's documentation, OTP 27.
"""

import struct
import zlib
from collections.abc import Callable

MAX_BYTES = 64 * 1024
"""Bytes of a term, after inflating; larger ones raise TermError. So do the next two bounds."""
MAX_DEPTH = 64
"""Levels of nested terms."""
MAX_ELEMENTS = 10_000
"""Terms in a term."""
_VERSION = 131
_COMPRESSED = 80


class TermError(ValueError):
    """Raised for bytes that are not a term, or exceed a bound."""


class Atom(str):
    """Atom as text, so that untrusted input cannot fill a table of atoms."""

    __slots__ = ()


class Opaque(str):
    """Placeholder of a pid, a reference, a port or a function."""

    __slots__ = ()


def read_term(data: bytes) -> object:
    """Decode one term. Raises TermError.

    Maps become dicts, lists lists, tuples tuples, binaries bytes, charlists lists of numbers. A key that is neither an
    atom nor a binary becomes its `repr`.
    """
    if len(data) > MAX_BYTES:
        raise TermError(f"more than {MAX_BYTES} bytes")
    if not data or data[0] != _VERSION:
        raise TermError("not a term of version 131")
    if data[1:2] == bytes([_COMPRESSED]):
        data = _inflated(data[2:])
        return _Reader(data, 0).read(0)
    return _Reader(data, 1).read(0)


def _inflated(data: bytes) -> bytes:
    if len(data) < 4 or int.from_bytes(data[:4]) > MAX_BYTES:
        raise TermError("a compressed term is truncated or too large")
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(data[4:], MAX_BYTES)
    except zlib.error:
        raise TermError("a compressed term cannot be inflated") from None
    if inflater.unconsumed_tail:
        raise TermError("a compressed term is too large")
    return inflated


class _Reader:
    """Cursor in the bytes of a term; each method reads one value and advances."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at
        self._elements = 0

    def take(self, count: int) -> bytes:
        if count < 0 or self._at + count > len(self._data):
            raise TermError("a term is truncated")
        data = self._data[self._at : self._at + count]
        self._at += count
        return data

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def read(self, depth: int) -> object:  # noqa: PLR0911 - one for each kind
        self._elements += 1
        if depth > MAX_DEPTH or self._elements > MAX_ELEMENTS:
            raise TermError("a term is nested too deeply or has too many elements")
        tag = self.number(1)
        if tag in _SCALARS:
            return _SCALARS[tag](self)
        if tag in _PLACEHOLDERS:
            return self._placeholder(tag, depth)
        match tag:
            case 112:
                self.take(self.number(4) - 4)  # the length includes itself
                return Opaque("#function")
            case 104:
                return self._tuple(self.number(1), depth)
            case 105:
                return self._tuple(self.number(4), depth)
            case 106:
                return []
            case 108:
                return self._list(self.number(4), depth)
            case 116:
                return self._map(self.number(4), depth)
        raise TermError(f"a term has the unknown tag {tag}")

    def _check_count(self, count: int) -> None:
        """Raise TermError for more elements than bytes, before anything is allocated for them."""
        if count > len(self._data) - self._at:
            raise TermError("a term claims more elements than it has bytes")

    def _tuple(self, count: int, depth: int) -> tuple[object, ...]:
        self._check_count(count)
        return tuple(self.read(depth + 1) for _ in range(count))

    def _list(self, count: int, depth: int) -> list[object]:
        self._check_count(count)
        elements = [self.read(depth + 1) for _ in range(count)]
        tail = self.read(depth + 1)
        return elements if tail == [] else [*elements, tail]

    def _map(self, count: int, depth: int) -> dict[object, object]:
        self._check_count(2 * count)
        pairs: dict[object, object] = {}
        for _ in range(count):
            key, value = self.read(depth + 1), self.read(depth + 1)
            # Python randomizes the hashes of str and bytes only; numbers could be chosen to collide.
            pairs[key if isinstance(key, str | bytes) else repr(key)] = value
        return pairs

    def _placeholder(self, tag: int, depth: int) -> Opaque:
        name, terms, fixed = _PLACEHOLDERS[tag]
        if tag in _COUNTED:
            fixed += 4 * self.number(2)
        for _ in range(terms):
            self.read(depth + 1)
        self.take(fixed)
        return Opaque(f"#{name}")

    def float_old(self) -> float:
        text = self.take(31).split(b"\0", 1)[0]
        try:
            return float(text)
        except ValueError:
            raise TermError("a float is malformed") from None

    def big(self, size: int) -> int:
        if size > MAX_BYTES // 8:
            raise TermError("a number has too many digits")
        sign = self.number(1)
        value = int.from_bytes(self.take(size), "little")
        return -value if sign else value

    def atom(self, size: int, encoding: str) -> Atom | bool | None:
        name = self.take(size).decode(encoding, "replace")
        return {"nil": None, "true": True, "false": False}.get(name, Atom(name))

    def bits(self) -> bytes:
        size = self.number(4)
        self.number(1)
        return self.take(size)


_SCALARS: dict[int, Callable[[_Reader], object]] = {
    70: lambda reader: struct.unpack("!d", reader.take(8))[0],
    77: _Reader.bits,
    97: lambda reader: reader.number(1),
    98: lambda reader: int.from_bytes(reader.take(4), signed=True),
    99: _Reader.float_old,
    100: lambda reader: reader.atom(reader.number(2), "latin-1"),
    107: lambda reader: list(reader.take(reader.number(2))),
    109: lambda reader: reader.take(reader.number(4)),
    110: lambda reader: reader.big(reader.number(1)),
    111: lambda reader: reader.big(reader.number(4)),
    115: lambda reader: reader.atom(reader.number(1), "latin-1"),
    118: lambda reader: reader.atom(reader.number(2), "utf-8"),
    119: lambda reader: reader.atom(reader.number(1), "utf-8"),
}
_PLACEHOLDERS = {
    88: ("pid", 1, 12),
    103: ("pid", 1, 9),
    89: ("port", 1, 8),
    102: ("port", 1, 5),
    120: ("port", 1, 12),
    90: ("reference", 1, 4),
    114: ("reference", 1, 1),
    101: ("reference", 1, 5),
    113: ("function", 3, 0),
}
"""By tag: name, number of terms at the beginning, number of bytes after them."""
_COUNTED = frozenset({90, 114})
"""Tags of references that begin with the number of their ids, of four bytes each."""
