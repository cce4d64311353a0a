"""Probes of the backends, to learn which accept connections."""

import asyncio
import time
from collections.abc import Container

from livegate.admin.bodies import Backend
from livegate.admin.loop_bridge import LoopBridge
from livegate.observe.metrics.addon import Metrics
from livegate.os_errors import error_text
from livegate.settings import CurrentSettings

PROBE_TIMEOUT_S = 2.0
CACHE_S = 5.0
"""Age up to which the result of a probe is used again."""
MAX_PROBES = 20
"""Concurrent probes; further ones wait, because each takes a file descriptor."""
type Address = tuple[str, int]


class BackendProbes:
    """Results of the last probe of each backend. Usable from any event loop."""

    def __init__(self, bridge: LoopBridge, current: CurrentSettings, metrics: Metrics) -> None:
        self._bridge = bridge
        self._current = current
        self._metrics = metrics
        self._results: dict[Address, tuple[float, str]] = {}
        """Time and problem by host and port."""

    async def states(self, only: Container[str] | None = None) -> list[Backend]:
        """Return the state of each backend, or of those of some services; probe it unless that was done just now."""
        backends = [each for each in await self._bridge.call(self._backends) if only is None or each[0] in only]
        addresses = sorted({(host, port) for _, host, port, _ in backends})
        if only is None:
            self._results = {address: self._results[address] for address in addresses if address in self._results}
        limit = asyncio.Semaphore(MAX_PROBES)
        problems = await asyncio.gather(*(self._probe(address, limit) for address in addresses))
        problem_of = dict(zip(addresses, problems, strict=True))
        await self._bridge.call(
            self._record, [(service, not problem_of[host, port]) for service, host, port, _ in backends]
        )
        return [
            Backend(service=service, backend=url, up=not problem_of[host, port], why=problem_of[host, port])
            for service, host, port, url in backends
        ]

    async def probe_unreachable(self) -> None:
        """Probe the backends that metrics show as unreachable, because without traffic nothing else would."""
        unreachable = await self._bridge.call(self._metrics.unreachable)
        if unreachable:
            await self.states(unreachable)

    def _backends(self) -> list[tuple[str, str, int, str]]:
        """Return service, host, port and URL of each backend."""
        services = self._current.value.services if self._current.loaded else ()
        return [(each.name, each.backend.host, each.backend.port, each.backend.url) for each in services]

    def _record(self, results: list[tuple[str, bool]]) -> None:
        for service, reached in results:
            self._metrics.record_reachability(service, reached=reached)

    async def _probe(self, address: Address, limit: asyncio.Semaphore) -> str:
        known = self._results.get(address)
        if known is not None and time.monotonic() - known[0] < CACHE_S:
            return known[1]
        async with limit:
            problem = await _connection_problem(*address)
        self._results[address] = (time.monotonic(), problem)
        return problem


async def _connection_problem(host: str, port: int) -> str:
    """Return why a TCP connection fails, or an empty string."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
    except TimeoutError:
        return f"no connection within {PROBE_TIMEOUT_S:g} s"
    except (OSError, UnicodeError) as error:
        return error_text(error)
    return ""
