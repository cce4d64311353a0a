"""Registry of this process's WebSockets: connection limits, and closing many without a reconnect storm."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from livegate.settings import MaxConnections
from livegate.websocket.relay import WebSocketRelay

type Slot = tuple[str, str]
"""Service name and client key, the counters that one socket occupies."""


@dataclass(frozen=True, slots=True)
class LimitReached:
    """The connection limit that refuses one more socket."""

    bound: str
    """`total`, `per_service` or `per_client`."""
    limit: int


class SocketRegistry:
    """Counts sockets from the admission of their upgrade on, and lists the open ones."""

    def __init__(self) -> None:
        self._open: dict[WebSocketRelay, str] = {}
        self._total = 0
        self._by_service: Counter[str] = Counter()
        self._by_client: Counter[str] = Counter()

    def __len__(self) -> int:
        """Number of open sockets."""
        return len(self._open)

    @property
    def reserved(self) -> int:
        """Number of slots in use: open sockets and pending upgrades."""
        return self._total

    def reserve(self, slot: Slot, limits: MaxConnections) -> LimitReached | None:
        """Take a slot for one more socket. Returns the limit that prevents it, or None."""
        service, client = slot
        counts = (
            ("total", limits.total, self._total),
            ("per_service", limits.per_service, self._by_service[service]),
            ("per_client", limits.per_client, self._by_client[client]),
        )
        for bound, limit, count in counts:
            if limit is not None and count >= limit:
                return LimitReached(bound, limit)
        self._total += 1
        self._by_service[service] += 1
        self._by_client[client] += 1
        return None

    def release(self, slot: Slot) -> None:
        """Free a slot."""
        self._total -= 1
        for counter, key in ((self._by_service, slot[0]), (self._by_client, slot[1])):
            counter[key] -= 1
            if counter[key] <= 0:
                del counter[key]  # bounds the keys by the number of sockets

    def add(self, relay: WebSocketRelay, service: str) -> None:
        """Add the open relay of a service."""
        self._open[relay] = service

    def open_sockets(self) -> list[tuple[WebSocketRelay, str]]:
        """Return the open relays with their services."""
        return list(self._open.items())

    def remove(self, relay: WebSocketRelay) -> None:
        """Remove a closed relay."""
        self._open.pop(relay, None)

    def close_all(self, code: int, reason: str, *, within_s: float, of: Callable[[str], bool] = bool) -> int:
        """Close the sockets of the services that `of` selects. Returns how many.

        They are spread at random over `within_s` seconds, because every browser reconnects at once.
        """
        chosen = [relay for relay, service in self._open.items() if of(service)]
        random.shuffle(chosen)
        loop = asyncio.get_running_loop()
        for position, relay in enumerate(chosen):
            loop.call_later(within_s * position / len(chosen), relay.close, code, reason)
        return len(chosen)
