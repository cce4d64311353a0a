"""Queries and commands over the gateway's parts, for the admin API, its live feed and the page in mitmweb."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from mitmproxy import ctx
from msgspec import structs

from livegate.admin.bodies import (
    Backend,
    Check,
    Frame,
    FrameDetail,
    FrameRange,
    Overview,
    PageHtml,
    Ready,
    SessionDetail,
    Socket,
    Style,
    Totals,
    Traffic,
)
from livegate.admin.loop_bridge import LoopBridge
from livegate.admin.probes import BackendProbes
from livegate.inspect import session_json
from livegate.inspect.json_units import milliseconds
from livegate.inspect.session_json import SessionRow
from livegate.inspect.text import changes_text, raw_text
from livegate.observe.history.addon import History
from livegate.observe.history.incident_json import cause_json, incident_json
from livegate.observe.history.stylesheets import page_style
from livegate.observe.metrics.addon import Metrics
from livegate.phoenix.model import percentile
from livegate.phoenix.rendered.tree import TreeError
from livegate.phoenix.sessions.page import Page
from livegate.pipeline.drain import Drain
from livegate.pipeline.exchange.record import exchange_of
from livegate.redaction.redactor import Redactor
from livegate.settings import CurrentSettings, public_values
from livegate.websocket.registry import SocketRegistry
from livegate.websocket.relay import WebSocketRelay

MAX_BACKENDS_NAMED = 5
"""In the reason of a failed check; further ones are only counted."""


class NotFoundError(Exception):
    """The session or frame is unknown, or no longer kept."""


class GatewayState:
    """Access to the gateway's state from any event loop. Results are redacted."""

    def __init__(
        self,
        current: CurrentSettings,
        sockets: SocketRegistry,
        *,
        drain: Drain,
        history: History,
        metrics: Metrics,
        redactor: Redactor,
    ) -> None:
        self.history = history
        self.metrics = metrics
        self.redactor = redactor
        self.bridge = LoopBridge()
        self.probes = BackendProbes(self.bridge, current, metrics)
        self._current = current
        self._sockets = sockets
        self._drain = drain
        self._started = time.time()

    # On the gateway's event loop

    def end_interval(self) -> None:
        """End an interval of the time series."""
        by_service = Counter(service for _, service in self._sockets.open_sockets())
        self.history.time_series.end_interval(dict(by_service), len(self.history.session_numbers()))

    def totals(self) -> Totals:
        """Return the totals and the time series."""
        return Totals(
            began=self._started,
            draining=self._drain.draining,
            sockets=len(self._sockets),
            sessions=len(self.history.session_numbers()),
            steps=list(self.history.time_series.intervals),
        )

    def settings_json(self) -> dict[str, Any]:
        """Return the settings in force as JSON values, without secrets."""
        return public_values(self._current.value)

    def close_socket(self, flow_id: str, code: int, reason: str) -> bool:
        """Send a close frame to both ends of a WebSocket. Returns false if it is not open."""
        relay = next((relay for relay, _ in self._sockets.open_sockets() if relay.flow.id == flow_id), None)
        if relay is not None:
            relay.close(code, reason)
        return relay is not None

    def drain(self) -> None:
        """Shut the process down gracefully, as SIGTERM does."""
        ctx.master.shutdown()

    def _own_checks(self) -> list[Check]:
        loaded, draining, problem = self._current.loaded, self._drain.draining, _listening_problem()
        return [
            Check("settings", loaded, "" if loaded else "no settings are loaded"),
            Check("listening", not problem, problem),
            Check("not draining", not draining, "the gateway is shutting down" if draining else ""),
        ]

    def _row(self, number: int) -> SessionRow | None:
        known = self.history.session(number)
        return session_json.session_row(*known) if known is not None else None

    def _detail(self, number: int) -> SessionDetail:
        known = self.history.session(number)
        if known is None:
            raise NotFoundError(f"no session {number}")
        session, _ = known
        return SessionDetail(
            **structs.asdict(session_json.session_row(*known)),
            heartbeat=milliseconds(percentile(session.heartbeats, 0.5)),
            server_pushes=session.pushed_diffs,
            events_dropped=session.pushes_dropped,
            refusals=dict(session.refusals),
            connections=[session_json.connection_json(each) for each in session.sockets],
            views=[session_json.view_json(each) for each in session.views.values()],
            list=[session_json.event_json(each) for each in session.pushes],
            uploads=[session_json.upload_json(each) for each in session.uploads.values()],
            http=[session_json.exchange_json(each) for each in session.exchanges],
            causes=[cause_json(each) for each in session.incidents],
            incidents=[incident_json(each) for each in session.incidents],
            incidents_dropped=session.incidents_dropped,
            frames=FrameRange(*self.history.recordings.frame_range(number)),
        )

    # On any event loop

    async def overview(self) -> Overview:
        """Return the state at a glance."""
        totals = await self.bridge.call(self.totals)
        return Overview(**structs.asdict(totals), backends=await self.probes.states())

    async def readiness(self, *, every_backend: bool = False) -> Ready:
        """Check all conditions. One backend is enough by default, because the other apps can be served."""
        checks = await self.bridge.call(self._own_checks)
        checks.append(_backends_check(await self.probes.states(), every=every_backend))
        return Ready(all(check.good for check in checks), checks)

    async def sockets(self, start: int, count: int) -> tuple[list[Socket], int]:
        """Return a part of the open WebSockets, oldest first, and the number of all."""
        relays = await self.bridge.call(self._sockets.open_sockets)
        sockets = await self.bridge.call_for_each(relays[start : start + count], _socket)
        return self.redactor.redact(sockets), len(relays)

    async def rows(self, numbers: Sequence[int]) -> list[SessionRow]:
        """Return the rows of sessions; unknown ones are left out."""
        return self.redactor.redact(await self.bridge.call_for_each(numbers, self._row))

    async def detail(self, number: int) -> SessionDetail:
        """Return a session. Raises NotFoundError."""
        return self.redactor.redact(await self.bridge.call(self._detail, number))

    async def frames(self, number: int, start: int, count: int) -> list[Frame]:
        """Return recorded frames of a session, oldest first."""
        recording = await self.bridge.call(self.history.recordings.get, number)
        if recording is None:
            return []
        first, end = await self.bridge.call(
            lambda: (max(start, recording.first), min(start + count, recording.next_number))
        )
        lines = await self.bridge.call_for_each(range(first, end), recording.line)
        return [self.redactor.redact(Frame(**line)) for line in lines]

    async def frame(self, number: int, index: int) -> FrameDetail:
        """Return a frame, and the page before and after it. Raises NotFoundError."""
        recording = await self.bridge.call(self.history.recordings.get, number)
        if recording is not None:
            frame, before, line = await self.bridge.call(
                lambda: (recording.frame(index), recording.frame(index - 1), recording.line(index))
            )
        if recording is None or frame is None or line is None:
            raise NotFoundError(f"no frame {index} of session {number}")
        return FrameDetail(
            line=self.redactor.redact(Frame(**line)),
            raw=raw_text(frame.data, text=frame.text, redactor=self.redactor),
            changes=changes_text(frame.changes, self.redactor) if frame.changes is not None else [],
            page=self._page(frame.page),
            before=self._page(before.page if before is not None else None),
        )

    def _page(self, page: Page | None) -> PageHtml:
        if page is None:
            return PageHtml("", "no join reply has been seen yet, or a diff could not be applied")
        try:
            return PageHtml(self.redactor.text(page.html()), "")
        except TreeError as error:
            return PageHtml("", str(error))

    async def style(self, number: int) -> Style:
        """Return the stylesheets of a session's page."""
        style = page_style(*await self.bridge.call(self.history.stylesheets.get, number))
        html, body = (self.redactor.redact(self.redactor.json(style[name])) for name in ("html", "body"))
        return Style(self.redactor.text(style["css"]), html, body)


def _socket(opened: tuple[WebSocketRelay, str]) -> Socket | None:
    relay, service = opened
    exchange = exchange_of(relay.flow)
    if relay.closed or exchange is None:
        return None
    now = time.monotonic()
    return Socket(
        id=relay.flow.id,
        service=service,
        path=relay.flow.request.path.partition("?")[0],
        client=str(exchange.client),
        request=exchange.request_id,
        age=round(now - exchange.started, 3),
        quiet=round(now - relay.last_activity, 3),
        up=Traffic(relay.client.messages, relay.client.bytes),
        down=Traffic(relay.backend.messages, relay.backend.bytes),
        closing=relay.close_info is not None,
    )


def _backends_check(states: list[Backend], *, every: bool) -> Check:
    down = [f"{each.service} ({each.why})" for each in states if not each.up]
    good = not down or (not every and len(down) < len(states))
    more = f" and {len(down) - MAX_BACKENDS_NAMED} more" if len(down) > MAX_BACKENDS_NAMED else ""
    why = f"{len(down)} of {len(states)} down: {', '.join(down[:MAX_BACKENDS_NAMED])}{more}" if down else ""
    return Check("backends", good, why)


def _listening_problem() -> str:
    """Return why no client can connect, or an empty string."""
    proxyserver = ctx.master.addons.get("proxyserver")
    servers = list(proxyserver.servers) if proxyserver is not None else []
    if not servers:
        return "no listener"
    return "; ".join(str(each.last_exception) for each in servers if each.last_exception is not None)
