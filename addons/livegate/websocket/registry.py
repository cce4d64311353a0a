"""The WebSockets of this process: how many there may be, and closing many of them without a stampede."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from livegate.settings import MaxConnections
from livegate.websocket.relay import Session

type Place = tuple[str, str]
"""Service name and client key."""


@dataclass(frozen=True, slots=True)
class Full:
    """Which bound stands in the way of one more socket."""

    bound: str
    """`total`, `per_service` or `per_client`."""
    limit: int


class Sockets:
    """Counts sockets from the moment their upgrade is let through, and knows those that are open."""

    def __init__(self) -> None:
        self._open: dict[Session, str] = {}
        self._total = 0
        self._by_service: Counter[str] = Counter()
        self._by_client: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    @property
    def reserved(self) -> int:
        """How many places are taken: open sockets, and upgrades that are under way."""
        return self._total

    def reserve(self, place: Place, limits: MaxConnections) -> Full | None:
        """Take a place for one more socket; what is returned says why there is none."""
        service, client = place
        counts = (
            ("total", limits.total, self._total),
            ("per_service", limits.per_service, self._by_service[service]),
            ("per_client", limits.per_client, self._by_client[client]),
        )
        for bound, limit, count in counts:
            if limit is not None and count >= limit:
                return Full(bound, limit)
        self._total += 1
        self._by_service[service] += 1
        self._by_client[client] += 1
        return None

    def release(self, place: Place) -> None:
        """Give a place back."""
        self._total -= 1
        for counter, key in ((self._by_service, place[0]), (self._by_client, place[1])):
            counter[key] -= 1
            if counter[key] <= 0:
                del counter[key]  # as many keys as there are sockets, not as there ever were clients

    def opened(self, session: Session, service: str) -> None:
        """A socket of a service has begun."""
        self._open[session] = service

    def open_now(self) -> list[tuple[Session, str]]:
        """Those that are open, with their services."""
        return list(self._open.items())

    def ended(self, session: Session) -> None:
        """It has ended."""
        self._open.pop(session, None)

    def close_all(self, code: int, reason: str, *, within_s: float, of: Callable[[str], bool] = bool) -> int:
        """Close the sockets of the services that `of` chooses, spread over a time; returns how many.

        Spread, because each browser that loses its socket comes back at once.
        """
        chosen = [session for session, service in self._open.items() if of(service)]
        random.shuffle(chosen)
        loop = asyncio.get_running_loop()
        for place, session in enumerate(chosen):
            loop.call_later(within_s * place / len(chosen), session.close, code, reason)
        return len(chosen)
