"""Where operators' questions meet the gateway: what is asked runs on the event loop, what takes long in a thread."""

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from mitmproxy import ctx

from livegate.admin.loop_bridge import LoopBridge
from livegate.admin.probes import BackendProbes
from livegate.observe.history.addon import History
from livegate.observe.metrics.addon import Metrics
from livegate.pipeline.drain import Drain
from livegate.pipeline.exchange.record import exchange_of
from livegate.redaction.redactor import Redactor
from livegate.settings import CurrentSettings, public_values
from livegate.websocket.registry import Sockets
from livegate.websocket.relay import Session

MAX_BACKENDS_NAMED = 5
"""In the reason of a failed check; further ones are only counted."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that has to hold for the gateway to be ready."""

    name: str
    good: bool
    why: str = ""


class GatewayState:
    """All that the admin listener, mitmweb's page and `livegate top` can ask for."""

    def __init__(
        self,
        current: CurrentSettings,
        sockets: Sockets,
        *,
        drain: Drain,
        history: History,
        metrics: Metrics,
        redactor: Redactor,
    ) -> None:
        self.history = history
        self.metrics = metrics
        self.redactor = redactor
        self._current = current
        self._sockets = sockets
        self._drain = drain
        self._began = time.time()
        self.bridge = LoopBridge()
        self.probes = BackendProbes(self.bridge, current, metrics)

    # Questions for the event loop

    def settings_json(self) -> dict[str, Any]:
        """The settings in force as plain values, without secrets."""
        return public_values(self._current.value)

    def open_sockets(self) -> list[tuple[Session, str]]:
        """The WebSockets that are open, with their services, in the order of their coming."""
        return self._sockets.open_now()

    @staticmethod
    def socket(opened: tuple[Session, str]) -> dict[str, Any] | None:
        """What is told of one, before its secrets are taken out."""
        session, service = opened
        exchange = exchange_of(session.flow)
        if session.over or exchange is None:
            return None
        now = time.monotonic()
        return {
            "id": session.flow.id,
            "service": service,
            "path": session.flow.request.path.partition("?")[0],
            "client": str(exchange.client),
            "request": exchange.request_id,
            "age": round(now - exchange.started, 3),
            "quiet": round(now - session.last_activity, 3),
            "up": {"messages": session.client.messages, "bytes": session.client.bytes},
            "down": {"messages": session.server.messages, "bytes": session.server.bytes},
            "closing": session.ending is not None,
        }

    def close_socket(self, id_: str, code: int, reason: str) -> bool:
        """Close a socket with a code; returns whether it was open. Both have to fit into a close frame."""
        found = next((session for session, _ in self._sockets.open_now() if session.flow.id == id_), None)
        if found is not None:
            found.close(code, reason)
        return found is not None

    def drain(self) -> None:
        """End the process in order, as SIGTERM does."""
        ctx.master.shutdown()

    def end_step(self) -> None:
        """A step of the trend is over."""
        by_service = Counter(service for _, service in self._sockets.open_now())
        self.history.time_series.end_interval(dict(by_service), len(self.history.session_numbers()))

    def overview(self) -> dict[str, Any]:
        """Everything at a glance."""
        steps = list(self.history.time_series.intervals)
        return {
            "began": self._began,
            "draining": self._drain.draining,
            "sockets": len(self._sockets),
            "sessions": len(self.history.session_numbers()),
            "steps": steps,
        }

    def own_checks(self) -> list[Check]:
        """What can be said of the gateway without asking anybody else."""
        listening = _listening()
        return [
            Check("settings", self._current.loaded, "" if self._current.loaded else "no settings are loaded"),
            Check("listening", not listening, listening),
            Check(
                "not draining", not self._drain.draining, "the gateway is being stopped" if self._drain.draining else ""
            ),
        ]

    async def checks(self, *, every_backend: bool = False) -> list[Check]:
        """All that has to hold. Of the backends one is enough: the apps that are up are not to suffer from another."""
        own = await self.bridge.call(self.own_checks)
        return [*own, _backends_check(await self.probes.states(), every=every_backend)]


def _backends_check(states: list[dict[str, Any]], *, every: bool) -> Check:
    down = [f"{each['service']} ({each['why']})" for each in states if not each["up"]]
    good = not down or (not every and len(down) < len(states))
    more = f" and {len(down) - MAX_BACKENDS_NAMED} more" if len(down) > MAX_BACKENDS_NAMED else ""
    why = f"{len(down)} of {len(states)} down: {', '.join(down[:MAX_BACKENDS_NAMED])}{more}" if down else ""
    return Check("backends", good, why)


def _listening() -> str:
    """Why nobody can connect; empty when all is well."""
    proxyserver = ctx.master.addons.get("proxyserver")
    servers = list(proxyserver.servers) if proxyserver is not None else []
    if not servers:
        return "no listener"
    return "; ".join(str(each.last_exception) for each in servers if each.last_exception is not None)
