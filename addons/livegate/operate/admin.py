"""Brings up what operators need, as the settings say, and keeps its clocks: the trend, the event loop's lag."""

import asyncio
import logging

from mitmproxy import ctx

from livegate.mitm.dispatch import keep
from livegate.operate.api import Api
from livegate.operate.desk import Desk
from livegate.operate.live import Live
from livegate.operate.server import AdminServer
from livegate.operate.trend import STEP_S
from livegate.pipeline.exchange import CurrentSettings
from livegate.settings import Admin, Settings

logger = logging.getLogger(__name__)

LAG_EVERY_S = 0.25


class AdminListener:
    """The admin listener's life, and the two clocks."""

    def __init__(self, current: CurrentSettings, desk: Desk) -> None:
        self._current = current
        self._desk = desk
        self._server: AdminServer | None = None
        self._tasks: list[asyncio.Task[None]] = []
        current.on_change(self._apply)

    def running(self) -> None:
        if not self._current.loaded:
            return
        loop = asyncio.get_running_loop()
        self._desk.open(loop)
        if "web_port" in ctx.options:
            self._join_mitmweb()
        self._tasks = [loop.create_task(self._step()), loop.create_task(self._measure_lag())]
        self._apply(self._current.value)

    def done(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._replace(None)

    def _join_mitmweb(self) -> None:
        """Show the page in mitmweb as well, where its login protects it."""
        from livegate.operate import in_mitmweb

        api = Api(self._desk)
        in_mitmweb.install(ctx.master.app, api, Live(self._desk, api))
        logger.info("operators' page in mitmweb: http://%s:%d/livegate", ctx.options.web_host, ctx.options.web_port)

    def _apply(self, settings: Settings) -> None:
        self._desk.watch.active = settings.admin is not None or "web_port" in ctx.options
        if self._tasks:
            self._replace(settings.admin)

    def _replace(self, wanted: Admin | None) -> None:
        server = self._server
        if server is not None and server.settings == wanted:
            return
        self._server = None
        if server is not None:
            if ctx.master.should_exit.is_set():
                server.stop()
            else:
                keep(asyncio.ensure_future(self._stop_then(server, wanted)))
                return
        if wanted is not None:
            self._start(wanted)

    async def _stop_then(self, server: AdminServer, wanted: Admin | None) -> None:
        await asyncio.to_thread(server.stop)
        if wanted is not None and self._server is None:
            self._start(wanted)

    def _start(self, wanted: Admin) -> None:
        server = AdminServer(wanted, self._desk)
        try:
            server.start()
        except OSError as error:
            logger.error("admin.listen: cannot listen on %s: %s", wanted.listen, error.strerror or error)
            return
        self._server = server
        logger.info("admin listener on http://%s", wanted.listen)

    async def _step(self) -> None:
        while True:
            await asyncio.sleep(STEP_S)
            self._desk.end_step()

    async def _measure_lag(self) -> None:
        loop = asyncio.get_running_loop()
        metrics, trend = self._desk.metrics, self._desk.watch.trend
        while True:
            due = loop.time() + LAG_EVERY_S
            await asyncio.sleep(LAG_EVERY_S)
            lag = max(0.0, loop.time() - due)
            metrics.lag.observe(lag)
            trend.now.lag = max(trend.now.lag, lag)
