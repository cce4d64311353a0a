"""Evidence for the tab of a LiveView or socket: values that only one page load has. See docs/topics/sessions.md.

Used by `sessions.store`. Evidence is kept as keyed hashes, so that no token can be read back.
"""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Literal

type Evidence = Literal["topic", "token", "csrf"]
"""A topic that is random per page load, the signed `session` that a view joins with, the CSRF token of a page."""
type Key = bytes

_AMBIGUOUS = 0
"""Instead of a session's number: more than one tab has this evidence, for example because of a cached page."""


class EvidenceIndex:
    """Least-recently-used index from evidence to the number of its tab."""

    def __init__(self, limit: int, is_known: Callable[[int], bool]) -> None:
        """Keep at most `limit` pieces of evidence; `is_known` says whether the store still has a tab."""
        self.limit = limit
        self._is_known = is_known
        self._secret = os.urandom(16)
        self._numbers: OrderedDict[Key, int] = OrderedDict()

    def key(self, host: str, evidence: Evidence, value: str) -> Key:
        """Return the keyed hash of a piece of evidence; it depends on the host as well."""
        text = f"{host.lower()}\0{evidence}\0{value}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, digest_size=12, key=self._secret).digest()

    def claim(self, number: int, keys: Iterable[Key]) -> None:
        """Add evidence for a tab (its number, from 1). Evidence of two tabs becomes ambiguous."""
        for key in keys:
            owner = self._numbers.get(key, number)
            unique = owner == number or (owner != _AMBIGUOUS and not self._is_known(owner))
            self._numbers[key] = number if unique else _AMBIGUOUS
            self._numbers.move_to_end(key)
        while len(self._numbers) > self.limit:
            self._numbers.popitem(last=False)

    def owner(self, key: Key) -> int | None:
        """Return the number of the tab with this evidence; None if there is none, or more than one."""
        number = self._numbers.get(key)
        if not number or not self._is_known(number):
            return None
        self._numbers.move_to_end(key)
        return number
