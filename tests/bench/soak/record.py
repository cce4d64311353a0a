"""What is noted while the gateway is under load: its memory every second, its metrics, its log, and what clients say."""

import json
import time
from collections import Counter
from typing import Any

from rich.console import Console

from .gateway import Clients, SoakedGateway
from .page import OpenPage

SCRAPE_S = 15.0
MIB = 1024 * 1024
LAG = "gateway_event_loop_lag_seconds"
EXPECTED = frozenset({"debug", "info"})
"""Levels of log lines that tell of nothing bad."""


class Record:
    """The samples of a run. Times in seconds since `begin`, memory in MiB."""

    def __init__(
        self, gateway: SoakedGateway, clients: Clients, page: OpenPage | None, status: Console, *, reload_s: float
    ) -> None:
        self.gateway, self.clients, self.page = gateway, clients, page
        self.memory: list[tuple[float, float]] = []
        self.before: dict[str, float] = {}
        self.after: dict[str, float] = {}
        self.worst_lag_ms: list[float] = []
        """Of each five seconds."""
        self.cpu = 0.0
        """The gateway's share of a core."""
        self.complaints: Counter[str] = Counter()
        """Lines of the gateway's log that are warnings or errors, and how it ended."""
        self.reloads = 0
        self.counts: dict[str, Any] = {}
        self._status, self._reload_s = status, reload_s
        self._reload_at = self._scrape_at = time.monotonic()
        self._began = time.time()
        self._cpu_before = 0.0

    def begin(self) -> None:
        """What comes now counts."""
        self.memory.clear()
        self.before = self.gateway.metrics()
        self._began, self._cpu_before = time.time(), self.gateway.cpu_s()

    def watch(self, seconds: float, what: str) -> None:
        """Let time pass; look at everything once a second."""
        began, line_at = time.monotonic(), 0.0
        while (passed := time.monotonic() - began) < seconds and self.gateway.popen.poll() is None:
            now = time.monotonic()
            if now >= self._reload_at:
                self._reload_at = now + self._reload_s
                self.gateway.rewrite()
            if now >= self._scrape_at:
                self._scrape_at = now + SCRAPE_S
                self.gateway.metrics()
            self.memory.append((time.time() - self._began, self.gateway.rss() / MIB))
            if passed >= line_at:
                line_at += SCRAPE_S
                last = self.clients.last
                told = f"{what} {passed:4.0f} s: {self.memory[-1][1]:.1f} MiB, {last.get('open', 0)} sockets"
                self._status.print(f"{told}, errors {last.get('errors', {})}", style="dim", markup=False)
            time.sleep(max(0.0, 1 - (time.monotonic() - now)))

    def end(self) -> None:
        """Read everything for the last time."""
        self.counts = self.clients.last
        if self.gateway.popen.poll() is not None:
            return
        self.after = self.gateway.metrics()
        self.cpu = (self.gateway.cpu_s() - self._cpu_before) / (time.time() - self._began)
        steps = self.gateway.overview()["steps"]
        self.worst_lag_ms = [step["lag"] for step in steps if step["at"] > self._began and step["lag"] is not None]

    def read_log(self) -> None:
        """Once the gateway has ended."""
        if self.gateway.popen.returncode != 0:
            self.complaints[f"the gateway ended with status {self.gateway.popen.returncode}"] += 1
        with self.gateway.log.open(errors="replace") as lines:
            for line in lines:
                try:
                    told = json.loads(line)
                except ValueError:  # before the settings were read, and after they are no longer in force
                    if "rror" in line or "Traceback" in line:
                        self.complaints[line.strip()[:300]] += 1
                    continue
                self.reloads += told.get("message", "").startswith("settings reloaded")
                if told["level"] not in EXPECTED or "traceback" in told:
                    self.complaints[f"{told['level']}: {told.get('message', told)}"[:300]] += 1

    def grown(self, name: str) -> float:
        """How much a sample of the metrics grew."""
        return self.after.get(name, 0.0) - self.before.get(name, 0.0)

    def lags(self) -> list[tuple[float, float]]:
        """Upper bounds of the event loop's lag in seconds, and the share of all measurements that lie below."""
        total = self.grown(f"{LAG}_count")
        prefix = f'{LAG}_bucket{{le="'
        bounds = [name.removeprefix(prefix).removesuffix('"}') for name in self.after if name.startswith(prefix)]
        return [(float(bound), self.grown(f'{prefix}{bound}"}}') / total) for bound in bounds] if total else []

    def told(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "memory": self.memory,
            "lag": self.lags(),
            "worst_lag_ms": self.worst_lag_ms,
            "cpu": self.cpu,
            "clients": self.counts,
            "reloads": self.reloads,
            "complaints": dict(self.complaints),
            "page": {"shown": self.page.shown, "problems": self.page.problems} if self.page is not None else None,
            "grown": {name: self.grown(name) for name in self.after if not name.endswith("_created")},
        }
