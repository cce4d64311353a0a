"""Which browser tab a LiveView or a socket is of, by what only one page load can know; see docs/sessions.md.

Called by the tracker. Evidence is kept as keyed hashes: neither a token nor an id can be read back.
"""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Literal

type Evidence = Literal["topic", "token", "csrf"]
"""A topic whose id is random per page load, the signed `session` that a view joins with, the CSRF token of a page."""
type Key = bytes

_AMBIGUOUS = 0
"""In place of a session's number: more than one tab has shown this evidence, so it proves nothing."""


class EvidenceIndex:
    """Knows which tab has shown which evidence."""

    def __init__(self, most: int, is_known: Callable[[int], bool]) -> None:
        """Keep `most` pieces of evidence, those that were used last; `is_known` tells whether a tab is still kept."""
        self.limit = most
        self._is_known = is_known
        self._secret = os.urandom(16)
        self._numbers: OrderedDict[Key, int] = OrderedDict()

    def key(self, host: str, evidence: Evidence, value: str) -> Key:
        """Hash a piece of evidence; the same value at another host is another key."""
        text = f"{host.lower()}\0{evidence}\0{value}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, digest_size=12, key=self._secret).digest()

    def claim(self, number: int, keys: Iterable[Key]) -> None:
        """Remember that a tab (its number, from 1) has shown the evidence; what two tabs show proves nothing."""
        for key in keys:
            owner = self._numbers.get(key, number)
            alone = owner == number or (owner != _AMBIGUOUS and not self._is_known(owner))
            self._numbers[key] = number if alone else _AMBIGUOUS
            self._numbers.move_to_end(key)
        while len(self._numbers) > self.limit:
            self._numbers.popitem(last=False)

    def owner(self, key: Key) -> int | None:
        """Return the number of the only kept tab that has shown this evidence; None when there is none, or several."""
        number = self._numbers.get(key)
        if not number or not self._is_known(number):
            return None
        self._numbers.move_to_end(key)
        return number
