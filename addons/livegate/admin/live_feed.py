"""What open pages are told as it happens: one round every half second for all of them."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from livegate.admin.api import Api, ProblemError
from livegate.admin.loop_bridge import GatewayUnresponsiveError
from livegate.admin.state import GatewayState

logger = logging.getLogger(__name__)

EVERY_S = 0.5
REST = 32.0
"""So many times as long as a round has kept this process busy it waits until the next: pages get 3 % of a core."""
MAX_REST_S = 3.0
MAX_NEWS = 1000
"""Sessions told of in one round; the others are told later."""
MAX_LINES = 500
MAX_VIEWERS = 50
END_WITHIN_S = 1.0


def rest_after(spent: float) -> float:
    """Seconds from a round that has taken so many seconds of processor time to the next."""
    return min(MAX_REST_S, max(EVERY_S, REST * spent))


@dataclass(slots=True, eq=False)
class Viewer:
    """One open page."""

    send: Callable[[dict[str, Any]], None]
    is_behind: Callable[[], bool] = lambda: False
    """Whether it has not yet taken what it was sent; what is news meanwhile it is told later, at once."""
    end: Callable[[], None] = lambda: None
    """Closes its connection: the listener ends."""
    watching: int | None = None
    """The session that it shows."""
    next_frame: int = 0
    seen: int = 0
    """The serial of the news that it has."""
    step: float = 0.0
    incident: int = 0
    greeted: bool = False


class Live:
    """The pages that are open on one event loop."""

    def __init__(self, state: GatewayState, api: Api) -> None:
        self._state = state
        self._api = api
        self._viewers: set[Viewer] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._task: asyncio.Task[None] | None = None
        self._backends: list[dict[str, Any]] = []
        self._looking: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._viewers)

    def join(self, viewer: Viewer) -> None:
        """A page was opened."""
        self._viewers.add(viewer)
        self._empty.clear()
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run())

    @property
    def is_full(self) -> bool:
        """Whether there are as many as there may be."""
        return len(self._viewers) >= MAX_VIEWERS

    async def end(self) -> None:
        """Send all of them away; they have a second to go."""
        for viewer in list(self._viewers):
            viewer.end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_WITHIN_S):
                await self._empty.wait()

    def leave(self, viewer: Viewer) -> None:
        """It was closed."""
        self._viewers.discard(viewer)
        if not self._viewers:
            self._empty.set()

    def said(self, viewer: Viewer, message: Any) -> None:
        """The page shows another session."""
        wanted = message.get("watch") if isinstance(message, dict) else None
        start = message.get("from", 0) if isinstance(message, dict) else 0
        viewer.watching = wanted if isinstance(wanted, int) and not isinstance(wanted, bool) else None
        viewer.next_frame = start if isinstance(start, int) and start >= 0 else 0

    async def _run(self) -> None:
        while self._viewers:
            if self._looking is None or self._looking.done():  # aside, as a backend that hangs takes two seconds
                self._looking = asyncio.ensure_future(self._look_at_backends())
            began = self._state.bridge.loop_time_s + time.thread_time()
            for viewer in list(self._viewers):
                if not viewer.is_behind():
                    await self._tell_safely(viewer)
            spent = self._state.bridge.loop_time_s + time.thread_time() - began
            await asyncio.sleep(rest_after(spent))

    async def _look_at_backends(self) -> None:
        with contextlib.suppress(GatewayUnresponsiveError):
            self._backends = await self._state.probes.states()

    async def _tell_safely(self, viewer: Viewer) -> None:
        try:
            await self._tell(viewer)
        except (ProblemError, GatewayUnresponsiveError):  # the session that it shows has gone, or the gateway is busy
            return
        except Exception:
            logger.exception("an open page could not be told the news")
            self.leave(viewer)
            viewer.end()

    async def _tell(self, viewer: Viewer) -> None:
        if not viewer.greeted:
            await self._greet(viewer)
        history = self._state.history
        (numbers, serial), steps, incidents = await self._state.bridge.call(
            lambda: (
                history.changed_since(viewer.seen, MAX_NEWS),
                [step for step in history.time_series.intervals if step["at"] > viewer.step],
                [each for each in history.feed.entries if each["changed"] > viewer.incident],
            )
        )
        viewer.seen = serial
        if numbers:
            rows = await self._api.rows(numbers)
            gone = sorted(set(numbers) - {row["number"] for row in rows})
            viewer.send({"type": "sessions", "rows": rows, "gone": gone})
        if steps:
            viewer.step = steps[-1]["at"]
            overview = {"backends": self._backends, "sockets": steps[-1]["sockets"]}
            viewer.send({"type": "steps", "steps": steps, **overview})
        if incidents:
            viewer.incident = max(each["changed"] for each in incidents)
            viewer.send({"type": "incidents", "list": incidents})
        if viewer.watching is not None:
            await self._tell_session(viewer, viewer.watching, changed=viewer.watching in numbers)

    async def _greet(self, viewer: Viewer) -> None:
        overview = await self._state.bridge.call(self._state.overview)
        incidents = await self._state.bridge.call(lambda: self._state.history.feed.entries)
        viewer.step = overview["steps"][-1]["at"] if overview["steps"] else 0.0
        viewer.incident = max((each["changed"] for each in incidents), default=0)
        serial = await self._state.bridge.call(lambda: self._state.history.version)
        backends = await self._state.probes.states()
        viewer.send({"type": "hello", "overview": overview, "backends": backends, "incidents": incidents})
        numbers = sorted(await self._state.bridge.call(self._state.history.session_numbers))
        for start in range(0, len(numbers), MAX_NEWS):
            viewer.send({"type": "sessions", "rows": await self._api.rows(numbers[start : start + MAX_NEWS])})
        viewer.seen, viewer.greeted = serial, True

    async def _tell_session(self, viewer: Viewer, number: int, *, changed: bool) -> None:
        lines = await self._api.lines(number, viewer.next_frame, MAX_LINES)
        if not lines and not changed:
            return
        detail = await self._api.detail(number)
        if viewer.watching != number:  # it has gone on while this was gathered
            return
        if lines:
            viewer.next_frame = lines[-1]["n"] + 1
        viewer.send({"type": "session", "detail": detail, "frames": lines})
