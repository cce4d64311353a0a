"""Addon that starts and stops the admin listener as the settings change, and ends the intervals of the time series."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, cast

from mitmproxy import connection, ctx
from mitmproxy.proxy import server_hooks

from livegate.admin.live_feed import LiveFeed
from livegate.admin.server import AdminServer
from livegate.admin.state import GatewayState
from livegate.observe.history.time_series import INTERVAL_S
from livegate.settings import Admin, CurrentSettings, Settings
from livegate.tasks import retain

if TYPE_CHECKING:
    from mitmproxy.tools.web.master import WebMaster

logger = logging.getLogger(__name__)


class AdminListener:
    """Addon of the admin listener and of the clock of the time series."""

    def __init__(self, current: CurrentSettings, state: GatewayState) -> None:
        self._current = current
        self._state = state
        self._server: AdminServer | None = None
        self._target: Admin | None = None
        self._interval_task: asyncio.Task[None] | None = None
        self._change_task: asyncio.Task[None] | None = None
        self._change_lock = asyncio.Lock()
        current.on_change(self._apply)

    def running(self) -> None:
        if not self._current.loaded:
            return
        loop = asyncio.get_running_loop()
        self._state.bridge.loop = loop
        if "web_port" in ctx.options:
            self._join_mitmweb()
        self._interval_task = loop.create_task(self._end_intervals())
        self._apply(self._current.value)

    def done(self) -> Coroutine[Any, Any, None] | None:
        # mitmproxy awaits `done` when the process ends, but not when a script is unloaded, where it must be sync.
        if self._interval_task is not None:
            self._interval_task.cancel()
        self._interval_task = None
        self._target = None
        changing = self._change()
        if ctx.master.should_exit.is_set():
            return changing
        retain(asyncio.ensure_future(changing))
        return None

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> Coroutine[Any, Any, None] | None:
        """Refuse a backend whose name resolves to the admin listener; the settings check only the name itself."""
        server, address = self._server, data.server.address
        if server is None or address is None or address[1] != server.settings.listen.port or data.server.error:
            return None
        return self._refuse_this_machine(data, address)

    @staticmethod
    async def _refuse_this_machine(data: server_hooks.ServerConnectionHookData, address: connection.Address) -> None:
        if await asyncio.to_thread(_is_this_machine, address[0]):
            data.server.error = "this backend is the gateway's own admin listener"
            logger.warning("refused to connect to %s port %d: %s", *address[:2], data.server.error)

    def _join_mitmweb(self) -> None:
        """Serve the page in mitmweb as well, behind mitmweb's login."""
        from livegate.admin import mitmweb

        mitmweb.install(cast("WebMaster", ctx.master).app, self._state, LiveFeed(self._state))
        logger.info("operators' page in mitmweb: http://%s:%d/livegate", ctx.options.web_host, ctx.options.web_port)

    def _apply(self, settings: Settings) -> None:
        """Apply the settings. A listener whose address was taken tries again on each reload."""
        self._state.history.active = settings.admin is not None or "web_port" in ctx.options
        if self._interval_task is not None:
            self._target = settings.admin
            if self._change_task is None or self._change_task.done():
                self._change_task = asyncio.ensure_future(self._change())

    async def _change(self) -> None:
        """Stop and start listeners until the target is reached; in threads, because both may block."""
        failed: Admin | None = None
        async with self._change_lock:
            while (server := self._server) is None or server.settings != self._target:
                target = self._target
                if server is not None:
                    self._server = None
                    await asyncio.to_thread(server.stop)
                elif target is None or target == failed:
                    return
                elif not await self._start(target):
                    failed = target

    async def _start(self, settings: Admin) -> bool:
        server = AdminServer(settings, self._state)
        try:
            await asyncio.to_thread(server.start)
        except OSError as error:
            reason = error.strerror or error
            logger.error(
                "admin.listen: cannot listen on %s: %s; a reload of the settings tries again",
                settings.listen,
                reason,
            )
            return False
        self._server = server
        logger.info("admin listener on http://%s", settings.listen)
        return True

    async def _end_intervals(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            self._state.end_interval()


def _is_this_machine(host: str) -> bool:
    """Return whether a name or address is of this machine, that is, whether a socket can be bound to it. Blocks."""
    with contextlib.suppress(OSError, UnicodeError):
        for family, kind, protocol, _, address in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM):
            with contextlib.suppress(OSError), socket.socket(family, kind, protocol) as probe:
                probe.bind(address)
                return True
    return False
