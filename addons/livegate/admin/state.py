"""Where operators' questions meet the gateway: what is asked runs on the event loop, what takes long in a thread."""

import asyncio
import concurrent.futures
import os
import time
from collections import Counter
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any

from mitmproxy import ctx

from livegate.observe.history.addon import Watch
from livegate.observe.metrics.addon import Metrics
from livegate.pipeline.drain import Drain
from livegate.pipeline.exchange.record import exchange_of
from livegate.redaction.redactor import Redactor
from livegate.settings import CurrentSettings, public_values
from livegate.websocket.registry import Sockets
from livegate.websocket.relay import Session

PROBE_WITHIN_S = 2.0
PROBE_KEPT_S = 5.0
MAX_TOLD_DOWN = 5
MAX_PROBES = 20
"""At a time."""
ASK_WITHIN_S = 5.0
PORTION_S = 0.002
"""How long the event loop may be held to answer one question; frames wait meanwhile."""


class SilentError(Exception):
    """The gateway's event loop does not answer."""


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
        self._probed: dict[tuple[str, int], tuple[float, str]] = {}
        self._began = time.time()
        self.spent_s = 0.0
        """Seconds of the gateway's event loop that answers to other loops have taken."""

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """The gateway runs on this loop."""
        self._main = loop

    async def ask[**P, T](self, question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a short function on the gateway's event loop, from any loop. Raises SilentError, and what it raises."""
        main = self._main
        if main is None:
            raise SilentError("the gateway does not run yet")
        if asyncio.get_running_loop() is main:
            return question(*args, **kwargs)
        answered: concurrent.futures.Future[T] = concurrent.futures.Future()

        def answer() -> None:
            if not answered.set_running_or_notify_cancel():
                return  # whoever asked has gone
            began = time.perf_counter()
            try:
                answered.set_result(question(*args, **kwargs))
            except Exception as error:  # noqa: BLE001 - whoever asked gets it
                answered.set_exception(error)
            self.spent_s += time.perf_counter() - began

        try:
            main.call_soon_threadsafe(answer)
        except RuntimeError:
            raise SilentError("the gateway has ended") from None
        try:
            async with asyncio.timeout(ASK_WITHIN_S):
                return await asyncio.wrap_future(answered)
        except TimeoutError:
            raise SilentError(f"the gateway's event loop has not answered within {ASK_WITHIN_S:g} s") from None

    async def ask_each[T](self, items: Sequence[T], tell: Callable[[T], dict[str, Any] | None]) -> list[dict[str, Any]]:
        """What `tell` says of each item, asked in portions; for None nothing."""
        found: list[dict[str, Any]] = []
        start = 0
        while start < len(items):
            start = await self.ask(_portion, items, start, tell, found)
            await asyncio.sleep(PORTION_S)  # frames have the loop as long as this had it
        return found

    # Questions for the event loop

    def settings_told(self) -> dict[str, Any]:
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
            "quiet": round(now - session.heard, 3),
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

    async def backend_states(self, only: Container[str] | None = None) -> list[dict[str, Any]]:
        """Whether each backend, or those of some services, accepts connections; looked at again after five seconds."""
        backends = [each for each in await self.ask(self.backends) if only is None or each[0] in only]
        places = {(host, port) for _, host, port, _ in backends}
        if only is None:
            self._probed = {place: known for place, known in self._probed.items() if place in places}
        limit = asyncio.Semaphore(MAX_PROBES)
        looked_at = sorted(places)
        problems = await asyncio.gather(*(self._probe(place, limit) for place in looked_at))
        problem_of = dict(zip(looked_at, problems, strict=True))
        tried = [(service, not problem_of[host, port]) for service, host, port, _ in backends]
        await self.ask(self._tell_tried, tried)
        return [
            {"service": service, "backend": url, "up": not problem_of[host, port], "why": problem_of[host, port]}
            for service, host, port, url in backends
        ]

    async def look_again(self) -> None:
        """Try the backends that could not be reached; while nobody asks for them, nobody else would."""
        unreachable = await self.ask(self.metrics.unreachable)
        if unreachable:
            await self.backend_states(unreachable)

    def _tell_tried(self, tried: list[tuple[str, bool]]) -> None:
        for service, reached in tried:
            self.metrics.tried(service, reached=reached)

    async def _probe(self, place: tuple[str, int], limit: asyncio.Semaphore) -> str:
        known = self._probed.get(place)
        if known is not None and time.monotonic() - known[0] < PROBE_KEPT_S:
            return known[1]
        async with limit:
            problem = await _connection_problem(*place)
        self._probed[place] = (time.monotonic(), problem)
        return problem

    async def checks(self, *, every_backend: bool = False) -> list[Check]:
        """All that has to hold. Of the backends one is enough: the apps that are up are not to suffer from another."""
        own = await self.ask(self.own_checks)
        return [*own, _backends_check(await self.backend_states(), every=every_backend)]


def _portion[T](
    items: Sequence[T], start: int, tell: Callable[[T], dict[str, Any] | None], found: list[dict[str, Any]]
) -> int:
    """Tell of items as long as there is time; returns the place of the next."""
    end = time.perf_counter() + PORTION_S
    for place in range(start, len(items)):
        said = tell(items[place])
        if said is not None:
            found.append(said)
        if time.perf_counter() > end:
            return place + 1
    return len(items)


async def _connection_problem(host: str, port: int) -> str:
    """Why a place accepts no connection; empty when it does."""
    try:
        async with asyncio.timeout(PROBE_WITHIN_S):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
    except TimeoutError:
        return f"no connection within {PROBE_WITHIN_S:g} s"
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None) or 0
        return (os.strerror(number) if number > 0 else getattr(error, "strerror", None) or str(error)).lower()
    return ""


def _backends_check(states: list[dict[str, Any]], *, every: bool) -> Check:
    down = [f"{each['service']} ({each['why']})" for each in states if not each["up"]]
    good = not down or (not every and len(down) < len(states))
    more = f" and {len(down) - MAX_TOLD_DOWN} more" if len(down) > MAX_TOLD_DOWN else ""
    why = f"{len(down)} of {len(states)} down: {', '.join(down[:MAX_TOLD_DOWN])}{more}" if down else ""
    return Check("backends", good, why)


def _listening() -> str:
    """Why nobody can connect; empty when all is well."""
    proxyserver = ctx.master.addons.get("proxyserver")
    servers = list(proxyserver.servers) if proxyserver is not None else []
    if not servers:
        return "no listener"
    return "; ".join(str(each.last_exception) for each in servers if each.last_exception is not None)
