"""Reads Erlang's external term format (version 131) from strangers: no atoms are made, everything is bounded.

Source: the Erlang runtime's documentation of the external term format, OTP 27.
"""

import struct
import zlib
from collections.abc import Callable

MAX_BYTES = 64 * 1024
"""Of a term, inflated."""
MAX_DEPTH = 64
MAX_ELEMENTS = 10_000
_VERSION = 131
_COMPRESSED = 80


class TermError(ValueError):
    """The bytes are no term, or one that is larger than anybody needs."""


class Atom(str):
    """An atom; as text, so that strangers cannot fill a table of atoms."""

    __slots__ = ()


class Opaque(str):
    """A pid, a reference, a port or a function: only what it is."""

    __slots__ = ()


def read_term(data: bytes) -> object:
    """Read one term. Raises TermError.

    Maps become dicts, lists lists, tuples tuples, binaries bytes; charlists become lists of numbers. Keys that are
    neither atoms nor binaries are kept by their text.
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
        raise TermError("a compressed term that is cut short or too large")
    inflater = zlib.decompressobj()
    try:
        found = inflater.decompress(data[4:], MAX_BYTES)
    except zlib.error:
        raise TermError("a compressed term that cannot be inflated") from None
    if inflater.unconsumed_tail:
        raise TermError("a compressed term that is too large")
    return found


class _Reader:
    """A place in the bytes; each method reads one thing and moves on."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at
        self._elements = 0

    def take(self, count: int) -> bytes:
        if count < 0 or self._at + count > len(self._data):
            raise TermError("a term that ends too early")
        found = self._data[self._at : self._at + count]
        self._at += count
        return found

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def read(self, depth: int) -> object:  # noqa: PLR0911 - one for each kind
        self._elements += 1
        if depth > MAX_DEPTH or self._elements > MAX_ELEMENTS:
            raise TermError("a term that is nested too deeply or has too many parts")
        tag = self.number(1)
        if tag in _SCALARS:
            return _SCALARS[tag](self)
        if tag in _PLACEHOLDERS:
            return self._placeholder(tag, depth)
        match tag:
            case 112:
                self.take(self.number(4) - 4)  # the length counts itself
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
        raise TermError(f"a term with the unknown tag {tag}")

    def _room_for(self, count: int) -> None:
        """Each part takes a byte at least: nothing is allocated for those that cannot be there."""
        if count > len(self._data) - self._at:
            raise TermError("a term that says to have more parts than bytes")

    def _tuple(self, count: int, depth: int) -> tuple[object, ...]:
        self._room_for(count)
        return tuple(self.read(depth + 1) for _ in range(count))

    def _list(self, count: int, depth: int) -> list[object]:
        self._room_for(count)
        found = [self.read(depth + 1) for _ in range(count)]
        tail = self.read(depth + 1)
        return found if tail == [] else [*found, tail]

    def _map(self, count: int, depth: int) -> dict[object, object]:
        self._room_for(2 * count)
        found: dict[object, object] = {}
        for _ in range(count):
            key, value = self.read(depth + 1), self.read(depth + 1)
            # Only the hashes of texts and bytes are secret: of numbers, many that collide could be sent.
            found[key if isinstance(key, str | bytes) else repr(key)] = value
        return found

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
            raise TermError("a float that is none") from None

    def big(self, size: int) -> int:
        if size > MAX_BYTES // 8:
            raise TermError("a number of too many digits")
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
"""By tag: what it is, how many terms it begins with, and how many bytes follow."""
_COUNTED = frozenset({90, 114})
"""References that begin with how many ids they have, of four bytes each."""
