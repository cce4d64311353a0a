"""Identifiers from the system's random numbers, fetched many at a time: one system call for each takes longer."""

import os

_POOL_BYTES = 4096


class RandomHex:
    """Random hexadecimal digits."""

    def __init__(self) -> None:
        self._pool = ""
        self._used = 0

    def __call__(self, size: int) -> str:
        """Twice `size` digits, none of which is ever handed out again; `size` is 1 to 4096 bytes."""
        end = self._used + 2 * size
        if end > len(self._pool):
            self._pool = os.urandom(_POOL_BYTES).hex()
            self._used, end = 0, 2 * size
        found = self._pool[self._used : end]
        self._used = end
        return found


random_hex = RandomHex()
