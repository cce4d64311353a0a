"""Bridge from the event loop of the admin listener to the gateway's."""

import asyncio
import concurrent.futures
import time
from collections.abc import Callable, Sequence

CALL_TIMEOUT_S = 5.0
SLICE_S = 0.002
"""Time that one slice of `call_for_each` may hold the gateway's event loop, because frames wait meanwhile."""


class GatewayUnresponsiveError(Exception):
    """The gateway's event loop does not run, or did not run a call in time."""


class LoopBridge:
    """Bridge to the gateway's event loop, usable from any event loop, including the gateway's own (mitmweb)."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.loop_time_s = 0.0
        """Total time that calls from other event loops have held the gateway's."""

    async def call[**P, T](self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a short function on the gateway's event loop. Raises GatewayUnresponsiveError, and what it raises."""
        loop = self.loop
        if loop is None:
            raise GatewayUnresponsiveError("the gateway is not running yet")
        if asyncio.get_running_loop() is loop:
            return function(*args, **kwargs)
        result: concurrent.futures.Future[T] = concurrent.futures.Future()

        def run() -> None:
            if not result.set_running_or_notify_cancel():
                return  # the caller is no longer waiting
            started = time.perf_counter()
            try:
                result.set_result(function(*args, **kwargs))
            except Exception as error:  # noqa: BLE001 - raised in the caller
                result.set_exception(error)
            self.loop_time_s += time.perf_counter() - started

        try:
            loop.call_soon_threadsafe(run)
        except RuntimeError:
            raise GatewayUnresponsiveError("the gateway has stopped") from None
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                return await asyncio.wrap_future(result)
        except TimeoutError:
            raise GatewayUnresponsiveError(
                f"the gateway's event loop did not respond within {CALL_TIMEOUT_S:g} s"
            ) from None

    async def call_for_each[I, T](self, items: Sequence[I], function: Callable[[I], T | None]) -> list[T]:
        """Call a function for each item on the gateway's event loop, in slices. Returns the results other than None."""
        results: list[T] = []
        start = 0
        while start < len(items):
            start = await self.call(_run_slice, items, start, function, results)
            await asyncio.sleep(SLICE_S)  # frames get the loop for as long as this slice had it
        return results


def _run_slice[I, T](items: Sequence[I], start: int, function: Callable[[I], T | None], results: list[T]) -> int:
    """Process items until the slice ends. Returns the index of the next item."""
    end = time.perf_counter() + SLICE_S
    for index in range(start, len(items)):
        result = function(items[index])
        if result is not None:
            results.append(result)
        if time.perf_counter() > end:
            return index + 1
    return len(items)
