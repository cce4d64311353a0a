"""Large frames are read in a thread, in their order, so that neither the wire nor anybody else waits for one.

What follows a frame that is being read waits behind it, up to a bound; whoever has more than that is read no further.
"""

import asyncio
import concurrent.futures
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from livegate.phoenix.sessions.preparation import PreparedFrame

LARGE_BYTES = 32 * 1024
"""Reading a longer frame may take more than some milliseconds; of a shorter one the way through a thread would."""
MAX_PENDING_BYTES = 32 * 1024 * 1024
"""Of one session: frames that wait behind one that is being read."""
MAX_TOTAL_PENDING_BYTES = 128 * 1024 * 1024
SWITCH_INTERVAL_S = 0.001
"""After so long the event loop gets the interpreter back from the reading thread; Python waits for 5 ms."""

type Prepare = Callable[[], Callable[[], PreparedFrame]]
"""Called on the loop when it is a frame's turn; returns what the thread is to run."""
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
    """The frames that are read in a thread, and those that wait behind them, by session. For one event loop."""

    def __init__(self) -> None:
        self.skipped = 0
        """Frames that were not read because too much waited."""
        self._queues: dict[int, _Queue] = {}
        self._size = 0
        self._thread: concurrent.futures.ThreadPoolExecutor | None = None

    def has_pending(self, owner: object) -> bool:
        """Whether a frame of this owner has to wait for others."""
        return bool(self._queues) and id(owner) in self._queues

    @staticmethod
    def accepts(size: int) -> bool:
        """Whether a frame of the server is one for the thread; none is without an event loop."""
        return size > LARGE_BYTES and _running_loop() is not None

    def enqueue(self, owner: object, size: int, prepare: Prepare | None, on_read: Apply, on_skip: Apply) -> None:
        """Read a frame at its turn: what `prepare` returns in the thread, then `apply` on the loop with its find.

        `owner` is whose frames are to stay in order. Past the bounds it is `skip` that is called, at the same turn.
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
        """Return what is done when nothing of this owner waits any more; None when nothing does."""
        queue, loop = self._queues.get(id(owner)), _running_loop()
        if queue is None or loop is None:
            return None
        done = loop.create_future()
        queue.futures.append(done)
        return done

    def close(self) -> None:
        """Read nothing more."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _process(self, queue: _Queue) -> None:
        """Go through a queue up to the next frame for the thread."""
        while queue.jobs:
            job = queue.jobs[0]
            if job.prepare is not None:
                self._submit(queue, job.prepare)
                return
            self._apply_next(queue, job, None)
        del self._queues[id(queue.owner)]
        for done in queue.futures:
            if not done.done():
                done.set_result(None)

    def _submit(self, queue: _Queue, prepare: Prepare) -> None:
        loop = asyncio.get_running_loop()
        if self._thread is None:
            sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL_S))
            self._thread = concurrent.futures.ThreadPoolExecutor(1, "livegate frames")
        self._thread.submit(prepare()).add_done_callback(
            lambda found: None if loop.is_closed() else loop.call_soon_threadsafe(self._on_prepared, queue, found)
        )

    def _on_prepared(self, queue: _Queue, found: concurrent.futures.Future[PreparedFrame]) -> None:
        ahead = None if found.cancelled() or found.exception() is not None else found.result()
        self._apply_next(
            queue, queue.jobs[0], ahead
        )  # without it the frame is read on the loop, and tells what is wrong
        self._process(queue)

    def _apply_next(self, queue: _Queue, job: _Job, ahead: PreparedFrame | None) -> None:
        queue.jobs.popleft()
        queue.size -= job.size
        self._size -= job.size
        job.apply(ahead)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
