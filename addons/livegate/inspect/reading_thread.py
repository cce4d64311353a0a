"""Thread that decodes large frames in order, so that one does not block the event loop.

Later frames of the session wait until it is done, up to a limit. Frames beyond the limit are not decoded.
"""

import asyncio
import concurrent.futures
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from livegate.phoenix.sessions.preparation import PreparedFrame
from livegate.tasks import shorten_switch_interval

LARGE_BYTES = 32 * 1024
"""Size of a frame beyond which decoding takes several milliseconds, and so more than the hand-over to a thread."""
MAX_PENDING_BYTES = 32 * 1024 * 1024
"""Pending frames of one session. Beyond, new frames are skipped."""
MAX_TOTAL_PENDING_BYTES = 128 * 1024 * 1024
"""Pending frames of all sessions. Beyond, new frames are skipped."""

type Prepare = Callable[[], Callable[[], PreparedFrame]]
"""Called on the event loop when a frame is next; returns the function that the thread runs."""
type Apply = Callable[[PreparedFrame | None], object]


@dataclass(slots=True)
class _Job:
    size: int
    prepare: Prepare | None
    apply: Apply


@dataclass(slots=True)
class _Queue:
    owner: object
    jobs: deque[_Job] = field(default_factory=deque)
    size: int = 0
    futures: list[asyncio.Future[None]] = field(default_factory=list)


class ReadingThread:
    """Queue of frames per session, whose large frames are decoded in one thread. For one event loop."""

    def __init__(self) -> None:
        self.skipped = 0
        """Frames skipped because too many were pending."""
        self._queues: dict[int, _Queue] = {}
        self._size = 0
        self._thread: concurrent.futures.ThreadPoolExecutor | None = None

    def has_pending(self, owner: object) -> bool:
        """Return whether frames of this owner are pending."""
        return bool(self._queues) and id(owner) in self._queues

    @staticmethod
    def accepts(size: int) -> bool:
        """Return whether a frame of the server is for the thread; without an event loop no frame is."""
        return size > LARGE_BYTES and _running_loop() is not None

    def enqueue(self, owner: object, size: int, prepare: Prepare | None, on_read: Apply, on_skip: Apply) -> None:
        """Queue a frame of `owner`, whose frames stay in order.

        When it is next, the thread runs the function that `prepare` returns, then the loop calls `on_read` with the
        result. Without `prepare` the loop calls `on_read` with None; beyond the limits it calls `on_skip`.
        """
        queue = self._queues.setdefault(id(owner), _Queue(owner))
        if queue.jobs and (queue.size + size > MAX_PENDING_BYTES or self._size + size > MAX_TOTAL_PENDING_BYTES):
            self.skipped += 1
            prepare, on_read = None, on_skip
        queue.jobs.append(_Job(size, prepare, on_read))
        queue.size += size
        self._size += size
        if len(queue.jobs) == 1:
            self._process(queue)

    def drained(self, owner: object) -> asyncio.Future[None] | None:
        """Return a future of the time when no frame of this owner is pending; None when none is."""
        queue, loop = self._queues.get(id(owner)), _running_loop()
        if queue is None or loop is None:
            return None
        future = loop.create_future()
        queue.futures.append(future)
        return future

    def close(self) -> None:
        """Drop pending frames."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _process(self, queue: _Queue) -> None:
        """Process a queue up to the next frame for the thread."""
        while queue.jobs:
            job = queue.jobs[0]
            if job.prepare is not None:
                self._submit(queue, job.prepare)
                return
            self._apply_next(queue, job, None)
        del self._queues[id(queue.owner)]
        for future in queue.futures:
            if not future.done():
                future.set_result(None)

    def _submit(self, queue: _Queue, prepare: Prepare) -> None:
        loop = asyncio.get_running_loop()
        if self._thread is None:
            shorten_switch_interval()
            self._thread = concurrent.futures.ThreadPoolExecutor(1, "livegate frames")
        self._thread.submit(prepare()).add_done_callback(
            lambda result: None if loop.is_closed() else loop.call_soon_threadsafe(self._on_prepared, queue, result)
        )

    def _on_prepared(self, queue: _Queue, result: concurrent.futures.Future[PreparedFrame]) -> None:
        # After an error the frame is decoded on the loop, which reports the error.
        prepared = None if result.cancelled() or result.exception() is not None else result.result()
        self._apply_next(queue, queue.jobs[0], prepared)
        self._process(queue)

    def _apply_next(self, queue: _Queue, job: _Job, prepared: PreparedFrame | None) -> None:
        queue.jobs.popleft()
        queue.size -= job.size
        self._size -= job.size
        job.apply(prepared)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
