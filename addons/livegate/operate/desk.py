"""Where operators' questions meet the gateway: what is asked runs on the event loop, what takes long in a thread."""

import asyncio
import concurrent.futures
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from mitmproxy import ctx

from livegate.inspect.redaction import Redactor
from livegate.operate.metrics import Metrics
from livegate.operate.watch import Watch
from livegate.pipeline.drain import Drain
from livegate.pipeline.exchange import CurrentSettings, exchange_of
from livegate.settings import Settings
from livegate.websocket import closing
from livegate.websocket.registry import Sockets

PROBE_WITHIN_S = 2.0
PROBE_KEPT_S = 5.0
_SECRET = frozenset({"token", "key_pem", "chain_pem", "routes"})
"""Fields of the settings that are not told."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that has to hold for the gateway to be ready."""

    name: str
    good: bool
    why: str = ""


class Desk:
    """All that the admin listener, mitmweb's page and `livegate top` can ask for."""

    def __init__(
        self,
        current: CurrentSettings,
        sockets: Sockets,
        *,
        drain: Drain,
        watch: Watch,
        metrics: Metrics,
        redactor: Redactor,
    ) -> None:
        self.watch = watch
        self.metrics = metrics
        self.redactor = redactor
        self._current = current
        self._sockets = sockets
        self._drain = drain
        self._main: asyncio.AbstractEventLoop | None = None
        self._probed: dict[str, tuple[float, str]] = {}
        self._began = time.time()
        self.spent_s = 0.0
        """Seconds of the gateway's event loop that answers to other loops have taken."""

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """The gateway runs on this loop."""
        self._main = loop

    async def ask[**P, T](self, question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a short function on the gateway's event loop, from any loop."""
        main = self._main
        if main is None:
            raise RuntimeError("the gateway does not run yet")
        if asyncio.get_running_loop() is main:
            return question(*args, **kwargs)
        answered: concurrent.futures.Future[T] = concurrent.futures.Future()

        def answer() -> None:
            began = time.perf_counter()
            try:
                answered.set_result(question(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - whoever asked gets it
                answered.set_exception(error)
            self.spent_s += time.perf_counter() - began

        main.call_soon_threadsafe(answer)
        return await asyncio.wrap_future(answered)

    # Questions for the event loop

    def settings(self) -> Settings | None:
        """The settings in force."""
        return self._current.value if self._current.loaded else None

    def settings_told(self) -> dict[str, Any]:
        """The same as plain values, without secrets."""
        told = _plain(self._current.value)
        return told if isinstance(told, dict) else {}

    def sockets(self) -> list[dict[str, Any]]:
        """The WebSockets that are open."""
        now, told = time.monotonic(), []
        for session, service in self._sockets.open_now():
            exchange = exchange_of(session.flow)
            told.append(
                {
                    "id": session.flow.id,
                    "service": service,
                    "path": self.redactor.url(session.flow.request.path.partition("?")[0]),
                    "client": str(exchange.client) if exchange is not None else "",
                    "request": exchange.request_id if exchange is not None else "",
                    "age": round(now - exchange.started, 3) if exchange is not None else None,
                    "quiet": round(now - session.heard, 3),
                    "up": {"messages": session.client.messages, "bytes": session.client.bytes},
                    "down": {"messages": session.server.messages, "bytes": session.server.bytes},
                    "closing": session.ending is not None,
                }
            )
        return told

    def close_socket(self, id_: str, code: int, reason: str) -> bool:
        """Close a socket with a code; returns whether it was open. Raises ValueError for a code that cannot be sent."""
        if not closing.is_sendable(code):
            raise ValueError(f"{code} cannot be sent in a close frame (RFC 6455 section 7.4)")
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
        self.watch.trend.end_step(dict(by_service), len(self.watch.numbers()))

    def overview(self) -> dict[str, Any]:
        """Everything at a glance."""
        steps = list(self.watch.trend.steps)
        return {
            "began": self._began,
            "draining": self._drain.draining,
            "sockets": len(self._sockets),
            "sessions": len(self.watch.numbers()),
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

    def backends(self) -> list[tuple[str, str, int, str]]:
        """Service, host, port and URL of each backend."""
        services = self._current.value.services if self._current.loaded else ()
        return [(each.name, each.backend.host, each.backend.port, each.backend.url) for each in services]

    # In any loop

    async def backend_states(self) -> list[dict[str, Any]]:
        """Whether each backend accepts connections; looked at again after five seconds."""
        backends = await self.ask(self.backends)
        problems = await asyncio.gather(*(self._probe(host, port) for _, host, port, _ in backends))
        return [
            {"service": service, "backend": url, "up": not problem, "why": problem}
            for (service, _, _, url), problem in zip(backends, problems, strict=True)
        ]

    async def _probe(self, host: str, port: int) -> str:
        key, now = f"{host}:{port}", time.monotonic()
        known = self._probed.get(key)
        if known is not None and now - known[0] < PROBE_KEPT_S:
            return known[1]
        try:
            async with asyncio.timeout(PROBE_WITHIN_S):
                _, writer = await asyncio.open_connection(host, port)
            writer.close()
            problem = ""
        except TimeoutError:
            problem = f"no connection within {PROBE_WITHIN_S:g} s"
        except OSError as error:
            problem = (error.strerror or str(error)).lower()
        self._probed[key] = (now, problem)
        return problem

    async def checks(self) -> list[Check]:
        """All that has to hold."""
        own = await self.ask(self.own_checks)
        states = await self.backend_states()
        return own + [Check(f"backend {each['service']}", each["up"], each["why"]) for each in states]


def _listening() -> str:
    """Why nobody can connect; empty when all is well."""
    proxyserver = ctx.master.addons.get("proxyserver")
    servers = list(proxyserver.servers) if proxyserver is not None else []
    if not servers:
        return "no listener"
    return "; ".join(str(each.last_exception) for each in servers if each.last_exception is not None)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        if hasattr(value, "__str__") and type(value).__str__ is not object.__str__ and "__str__" in vars(type(value)):
            return str(value)
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value) if each.name not in _SECRET}
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if isinstance(value, Path | IPv4Network | IPv6Network):
        return str(value)
    return value
