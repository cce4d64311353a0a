"""Ports to listen on, which no other test process is given and the kernel does not use for outgoing connections."""

import fcntl
import socket
import tempfile
from pathlib import Path
from typing import IO

FIRST, LAST = 20_000, 32_000
"""Below the ports that Linux and macOS choose for outgoing connections, so that no connection takes one meanwhile."""
BLOCK = 200
LOCKS = Path(tempfile.gettempdir(), "livegate-test-ports")


class PortBlock:
    """Block of ports reserved for this process by a lock on a file, which the kernel releases when the process ends."""

    def __init__(self) -> None:
        self._lock: IO[str] | None = None
        self._first = self._next = 0

    def take(self) -> int:
        """Return the next port of the block that can be bound."""
        if self._lock is None:
            self._reserve()
        for _ in range(BLOCK):
            port = self._first + self._next
            self._next = (self._next + 1) % BLOCK
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                return port
        raise OSError(f"all of the ports {self._first} to {self._first + BLOCK - 1} are in use")

    def _reserve(self) -> None:
        LOCKS.mkdir(exist_ok=True)
        for first in range(FIRST, LAST, BLOCK):
            lock = (LOCKS / str(first)).open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
            else:
                self._lock, self._first = lock, first
                return
        raise OSError(f"all blocks of ports are reserved, see {LOCKS}")


free_port = PortBlock().take


def is_free(port: int) -> bool:
    """Return whether a port can be bound; connections of an earlier listener that still linger do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True
