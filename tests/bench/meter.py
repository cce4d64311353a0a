"""Takes the time of a measurement, and what the proxy and its core did meanwhile."""

import os
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psutil

from .machine import Cores
from .processes import Process


class LoadError(Exception):
    """A subject did not do what it was asked for, so that there is nothing to measure."""


@dataclass(frozen=True)
class Usage:
    """Processor time while a proxy was measured, as shares of the time that passed."""

    proxy: float
    """What the proxy used."""
    idle: float
    """What its core had nothing to do for."""
    others: float
    """What programs that are no part of the measurement used, on all cores that it runs on."""


@dataclass(frozen=True)
class Reading:
    """The counters at one moment, in seconds."""

    proxy_s: float
    own_s: float
    """Processor time of everything that belongs to the measurement, the proxy too."""
    proxy_core_idle_s: float
    all_idle_s: float


class Meter:
    """A context manager around the part of a measurement that counts."""

    def __init__(self, proxy: Process | None, backend: Process, cores: Cores) -> None:
        self._proxy = proxy
        self._backend = backend
        self._cores = cores
        self._began = 0.0
        self._before: Reading
        self.seconds = 0.0
        self.cpu_s = 0.0
        """Processor time that the proxy used; 0 without a proxy."""
        self.usage: Usage | None = None
        """None without a proxy."""

    @property
    def so_far(self) -> float:
        """Seconds since it began."""
        return time.perf_counter() - self._began

    def rss(self) -> int:
        """Resident memory of the proxy, in bytes."""
        return self._proxy.rss() if self._proxy else 0

    def __enter__(self) -> Self:
        self._before = self._read()
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = self.so_far
        if error is not None or not self._proxy:
            return
        before, after = self._before, self._read()
        self.cpu_s = after.proxy_s - before.proxy_s
        busy_s = len(self._cores.all) * self.seconds - (after.all_idle_s - before.all_idle_s)
        self.usage = Usage(
            proxy=self.cpu_s / self.seconds,
            idle=(after.proxy_core_idle_s - before.proxy_core_idle_s) / self.seconds,
            others=max(0.0, busy_s - (after.own_s - before.own_s)) / self.seconds,
        )

    def _read(self) -> Reading:
        proxy_s = self._proxy.cpu_s() if self._proxy else 0.0
        load = os.times()
        load_s = load.user + load.system + load.children_user + load.children_system  # children: wrk, once it has ended
        cores = psutil.cpu_times(percpu=True)
        idle_s = {core: cores[core].idle + getattr(cores[core], "iowait", 0.0) for core in self._cores.all}
        return Reading(
            proxy_s=proxy_s,
            own_s=proxy_s + load_s + self._backend.cpu_s(),
            proxy_core_idle_s=idle_s[min(self._cores.proxy)],
            all_idle_s=sum(idle_s.values()),
        )
