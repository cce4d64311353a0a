"""Live feed: sends open pages what has changed, in one round every half second for all of them."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from livegate.admin.bodies import Backend
from livegate.admin.loop_bridge import GatewayUnresponsiveError
from livegate.admin.state import GatewayState, NotFoundError

logger = logging.getLogger(__name__)

INTERVAL_S = 0.5
PAUSE_FACTOR = 32.0
"""Pause between rounds, as a multiple of the CPU time of the last round. Limits live pages to about 3 % of a core."""
MAX_PAUSE_S = 3.0
MAX_ROWS = 1000
"""Changed sessions in one message; further ones follow in the next round."""
MAX_FRAMES = 500
MAX_SUBSCRIBERS = 50
CLOSE_TIMEOUT_S = 1.0


def pause_after(cpu_s: float) -> float:
    """Return the pause in seconds after a round that took so many seconds of CPU time."""
    return min(MAX_PAUSE_S, max(INTERVAL_S, PAUSE_FACTOR * cpu_s))


@dataclass(slots=True, eq=False)
class Subscriber:
    """One open page."""

    send: Callable[[dict[str, Any]], None]
    is_congested: Callable[[], bool] = lambda: False
    """Returns whether too much is unsent; the page then skips rounds and catches up later."""
    close: Callable[[], None] = lambda: None
    watching: int | None = None
    """Number of the session that the page shows."""
    next_frame: int = 0
    version: int = 0
    """Version of the history that the page has."""
    last_interval: float = 0.0
    """End of the last interval that was sent."""
    last_change: int = 0
    """Version of the last incident that was sent."""
    snapshot_sent: bool = False


class LiveFeed:
    """Pages that are open on one event loop."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state
        self._subscribers: set[Subscriber] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._task: asyncio.Task[None] | None = None
        self._backends: list[Backend] = []
        self._probing: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._subscribers)

    @property
    def is_full(self) -> bool:
        """Whether the limit of open pages is reached."""
        return len(self._subscribers) >= MAX_SUBSCRIBERS

    def join(self, subscriber: Subscriber) -> None:
        """Add an open page."""
        self._subscribers.add(subscriber)
        self._empty.clear()
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run())

    def leave(self, subscriber: Subscriber) -> None:
        """Remove a page that was closed."""
        self._subscribers.discard(subscriber)
        if not self._subscribers:
            self._empty.set()

    async def close(self) -> None:
        """Close the connections of all pages, and wait for that for a second."""
        for subscriber in list(self._subscribers):
            subscriber.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._empty.wait()

    def on_message(self, subscriber: Subscriber, message: Any) -> None:
        """Select the session that a page shows: `{"watch": number, "from": frame}`."""
        number = message.get("watch") if isinstance(message, dict) else None
        start = message.get("from", 0) if isinstance(message, dict) else 0
        subscriber.watching = number if isinstance(number, int) and not isinstance(number, bool) else None
        subscriber.next_frame = start if isinstance(start, int) and start >= 0 else 0

    async def _run(self) -> None:
        while self._subscribers:
            if self._probing is None or self._probing.done():  # a task, because a probe may take two seconds
                self._probing = asyncio.ensure_future(self._probe_backends())
            before = self._state.bridge.loop_time_s + time.thread_time()
            for subscriber in list(self._subscribers):
                if not subscriber.is_congested():
                    await self._update(subscriber)
            cpu_s = self._state.bridge.loop_time_s + time.thread_time() - before
            await asyncio.sleep(pause_after(cpu_s))

    async def _probe_backends(self) -> None:
        with contextlib.suppress(GatewayUnresponsiveError):
            self._backends = await self._state.probes.states()

    async def _update(self, subscriber: Subscriber) -> None:
        """Send a page its changes; close it if that fails."""
        try:
            await self._send_changes(subscriber)
        except (NotFoundError, GatewayUnresponsiveError):  # the session was evicted, or the gateway is busy
            return
        except Exception:
            logger.exception("an open page could not be updated and was closed")
            self.leave(subscriber)
            subscriber.close()

    async def _send_changes(self, subscriber: Subscriber) -> None:
        if not subscriber.snapshot_sent:
            await self._send_snapshot(subscriber)
        history = self._state.history
        (numbers, version), intervals, incidents = await self._state.bridge.call(
            lambda: (
                history.changed_since(subscriber.version, MAX_ROWS),
                [each for each in history.time_series.intervals if each.at > subscriber.last_interval],
                [each for each in history.feed.entries if each.changed > subscriber.last_change],
            )
        )
        subscriber.version = version
        if numbers:
            rows = await self._state.rows(numbers)
            gone = sorted(set(numbers) - {row.number for row in rows})
            subscriber.send({"type": "sessions", "rows": rows, "gone": gone})
        if intervals:
            subscriber.last_interval = intervals[-1].at
            totals = {"backends": self._backends, "sockets": intervals[-1].sockets}
            subscriber.send({"type": "steps", "steps": intervals, **totals})
        if incidents:
            subscriber.last_change = max(each.changed for each in incidents)
            subscriber.send({"type": "incidents", "list": incidents})
        if subscriber.watching is not None:
            await self._send_session(subscriber, subscriber.watching, changed=subscriber.watching in numbers)

    async def _send_snapshot(self, subscriber: Subscriber) -> None:
        history = self._state.history
        totals, incidents, version, numbers = await self._state.bridge.call(
            lambda: (self._state.totals(), history.feed.entries, history.version, sorted(history.session_numbers()))
        )
        backends = await self._state.probes.states()
        subscriber.last_interval = totals.steps[-1].at if totals.steps else 0.0
        subscriber.last_change = max((each.changed for each in incidents), default=0)
        subscriber.send(
            {"type": "hello", "overview": structs.asdict(totals), "backends": backends, "incidents": incidents}
        )
        for start in range(0, len(numbers), MAX_ROWS):
            subscriber.send({"type": "sessions", "rows": await self._state.rows(numbers[start : start + MAX_ROWS])})
        subscriber.version, subscriber.snapshot_sent = version, True

    async def _send_session(self, subscriber: Subscriber, number: int, *, changed: bool) -> None:
        frames = await self._state.frames(number, subscriber.next_frame, MAX_FRAMES)
        if not frames and not changed:
            return
        detail = await self._state.detail(number)
        if subscriber.watching != number:  # the page has changed its selection meanwhile
            return
        if frames:
            subscriber.next_frame = frames[-1].n + 1
        subscriber.send({"type": "session", "detail": detail, "frames": frames})
