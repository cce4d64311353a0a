"""Starts, moves and stops the admin listener as the settings say, and closes the time series' intervals."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, cast

from mitmproxy import connection, ctx
from mitmproxy.proxy import server_hooks

from livegate.admin.api import Api
from livegate.admin.live_feed import Live
from livegate.admin.server import AdminServer
from livegate.admin.state import GatewayState
from livegate.observe.history.time_series import INTERVAL_S
from livegate.settings import Admin, CurrentSettings, Settings
from livegate.tasks import retain

if TYPE_CHECKING:
    from mitmproxy.tools.web.master import WebMaster

logger = logging.getLogger(__name__)


class AdminListener:
    """Addon that owns the admin listener and the clock of the time series."""

    def __init__(self, current: CurrentSettings, state: GatewayState) -> None:
        self._current = current
        self._state = state
        self._server: AdminServer | None = None
        self._wanted: Admin | None = None
        self._clock: asyncio.Task[None] | None = None
        self._changing: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()
        current.on_change(self._apply)

    def running(self) -> None:
        if not self._current.loaded:
            return
        loop = asyncio.get_running_loop()
        self._state.bridge.loop = loop
        if "web_port" in ctx.options:
            self._join_mitmweb()
        self._clock = loop.create_task(self._step())
        self._apply(self._current.value)

    def done(self) -> Coroutine[Any, Any, None] | None:
        # mitmproxy awaits `done` when the process ends, but not when a script is unloaded, where it must be sync.
        if self._clock is not None:
            self._clock.cancel()
        self._clock = None
        self._wanted = None
        changing = self._change()
        if ctx.master.should_exit.is_set():
            return changing
        retain(asyncio.ensure_future(changing))
        return None

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> Coroutine[Any, Any, None] | None:
        """Refuse a backend that is the admin listener by another name: settings see only what a name says."""
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
        """Show the page in mitmweb as well, where its login protects it."""
        from livegate.admin import mitmweb

        api = Api(self._state)
        mitmweb.install(cast("WebMaster", ctx.master).app, api, Live(self._state, api))
        logger.info("operators' page in mitmweb: http://%s:%d/livegate", ctx.options.web_host, ctx.options.web_port)

    def _apply(self, settings: Settings) -> None:
        """Bring the listener to what the settings say; one that could not listen is tried again on a reload."""
        self._state.history.active = settings.admin is not None or "web_port" in ctx.options
        if self._clock is not None:
            self._wanted = settings.admin
            if self._changing is None or self._changing.done():
                self._changing = asyncio.ensure_future(self._change())

    async def _change(self) -> None:
        """Go from one listener to another until there is what is wanted; in threads, as both may take a while."""
        failed: Admin | None = None
        async with self._one_at_a_time:
            while (server := self._server) is None or server.settings != self._wanted:
                wanted = self._wanted
                if server is not None:
                    self._server = None
                    await asyncio.to_thread(server.stop)
                elif wanted is None or wanted == failed:
                    return
                elif not await self._start(wanted):
                    failed = wanted

    async def _start(self, wanted: Admin) -> bool:
        server = AdminServer(wanted, self._state)
        try:
            await asyncio.to_thread(server.start)
        except OSError as error:
            why = error.strerror or error
            logger.error(
                "admin.listen: cannot listen on %s: %s; the gateway goes on without, and tries again when its settings "
                "are reloaded",
                wanted.listen,
                why,
            )
            return False
        self._server = server
        logger.info("admin listener on http://%s", wanted.listen)
        return True

    async def _step(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            self._state.end_step()


def _is_this_machine(host: str) -> bool:
    """Whether a name or address leads to this machine: to none other can a socket be bound. Blocks."""
    with contextlib.suppress(OSError, UnicodeError):
        for family, kind, protocol, _, address in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM):
            with contextlib.suppress(OSError), socket.socket(family, kind, protocol) as probe:
                probe.bind(address)
                return True
    return False
