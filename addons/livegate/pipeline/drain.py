"""Graceful shutdown: after SIGTERM or SIGINT, requests in flight have up to `timeouts.drain` to finish."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Coroutine
from typing import Any

from mitmproxy import ctx, http

from livegate.http1.refusal import Refusal
from livegate.mitm.proxyserver import abandon, close_idle_clients, flows_awaiting_response, open_connections
from livegate.phoenix.longpoll import is_longpoll
from livegate.pipeline.exchange.record import awaiting_backend, exchange_of
from livegate.pipeline.exchange.responses import fail, refuse
from livegate.pipeline.fail_closed import fail_closed
from livegate.settings import CurrentSettings
from livegate.websocket.close_codes import SERVICE_RESTART
from livegate.websocket.registry import SocketRegistry

logger = logging.getLogger(__name__)

CLOSE_SHARE = 0.6
"""Share of the drain time over which closes are spread. The rest is left for the peers' close frames."""
POLL_EVERY_S = 0.05
STOPPING = Refusal(503, "The gateway is shutting down.", "draining", (("Retry-After", "1"),), close=True)


class Drain:
    """Refuse new requests (503), wait for those in flight, close WebSockets with 1012, and end pending long-polls.

    A long-poll stays open until its app has a message, so the shutdown would otherwise wait for it and then abort it.
    """

    def __init__(self, current: CurrentSettings, sockets: SocketRegistry) -> None:
        self._current = current
        self._sockets = sockets
        self._stop_now = asyncio.Event()
        self.draining = False

    @fail_closed
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        if self.draining and awaiting_backend(flow) is not None:
            refuse(flow, STOPPING)

    def done(self) -> Coroutine[Any, Any, None] | None:
        # mitmproxy awaits `done` when the process ends, but requires it to be synchronous when a script is unloaded.
        stopping = ctx.master.should_exit.is_set() and self._current.loaded
        return self._drain(self._current.value.timeouts.drain) if stopping else None

    async def _drain(self, seconds: float) -> None:
        self.draining = True
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, self._stop_now.set)
        servers = ctx.master.addons.get("proxyserver").servers
        await servers.update([])
        close_idle_clients()
        polls = _end_polls(within_s=CLOSE_SHARE * seconds)
        count = self._sockets.close_all(SERVICE_RESTART, "the gateway is being stopped", within_s=CLOSE_SHARE * seconds)
        if open_connections():
            text = "stopping: open WebSockets %d, waiting long-polls %d, at most %g s (signal again to stop now)"
            logger.info(text, count, polls, seconds)
        try:
            async with asyncio.timeout(seconds):
                while open_connections() and not self._stop_now.is_set():  # noqa: ASYNC110 - mitmproxy has no event for it
                    await asyncio.sleep(POLL_EVERY_S)
        except TimeoutError:
            logger.warning("stopped with %d connection(s) still open", open_connections())


def _end_polls(*, within_s: float) -> int:
    """End the long-polls that wait for their app, spread over `within_s` seconds, and return how many there are."""
    pending = [
        flow for flow in flows_awaiting_response() if flow.request.method == "GET" and is_longpoll(flow.request.path)
    ]
    loop = asyncio.get_running_loop()
    for index, flow in enumerate(pending):
        loop.call_later(within_s * index / len(pending), _end_poll, flow)
    return len(pending)


def _end_poll(flow: http.HTTPFlow) -> None:
    """End a poll with the 503 of every other request, unless it has a response or has failed meanwhile."""
    exchange = exchange_of(flow)
    if exchange is not None and exchange.failure is None and flow.response is None:
        fail(flow, exchange, STOPPING, "the gateway is being stopped")
        abandon(flow)
