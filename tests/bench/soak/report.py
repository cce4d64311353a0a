"""Whether a soak has shown what was promised, and the table that says so. Nothing here touches a process."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from .record import Record

WARM_UP = 1 / 3
"""The first part of a soak, in which memory may grow."""
MAX_SLOPE = 1.0
"""MiB a minute."""
MAX_LAG_S = 0.05
RELOADS = 0.8
"""The watch of the file may see two changes as one."""


@dataclass(frozen=True)
class Promise:
    """One thing that has to hold."""

    text: str
    found: str
    kept: bool


def slope(samples: Sequence[tuple[float, float]]) -> float:
    """By least squares, in units of the values a minute of the times, which are in seconds."""
    if not samples:
        return 0.0
    middle = sum(at for at, _ in samples) / len(samples)
    mean = sum(value for _, value in samples) / len(samples)
    spread = sum((at - middle) ** 2 for at, _ in samples)
    return 60 * sum((at - middle) * (value - mean) for at, value in samples) / spread if spread else 0.0


def warm(samples: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those after the warm-up."""
    last = samples[-1][0] if samples else 0.0
    return [sample for sample in samples if sample[0] >= last * WARM_UP]


def percentile_of(lags: Sequence[tuple[float, float]], part: float) -> float:
    """An upper bound of a percentile, from shares below bounds."""
    return next((bound for bound, share in lags if share >= part), float("inf"))


def judged(record: Record) -> list[Promise]:
    """Each promise, and whether it was kept."""
    counts, errors = record.counts, dict(record.counts.get("errors", {}))
    reloads, written = record.reloads, record.gateway.written
    hooks = sum(record.grown(name) for name in record.after if name.startswith("gateway_hook_errors_total"))
    growth = slope(warm(record.memory))
    within = next((share for bound, share in record.lags() if bound == MAX_LAG_S), 0.0)
    promises = [
        Promise("clients: no error", str(errors or "none"), not errors and counts.get("events", 0) > 0),
        Promise("log: no warning, no error", str(dict(record.complaints) or "none"), not record.complaints),
        Promise("no exception in a hook", f"{hooks:.0f}", hooks == 0),
        Promise("settings reloaded each time", f"{reloads} of {written}", written > 0 and reloads >= RELOADS * written),
        Promise(f"memory grows < {MAX_SLOPE:g} MiB/min", f"{growth:+.2f} MiB/min", growth < MAX_SLOPE),
        Promise(f"loop lag p99 < {MAX_LAG_S * 1000:.0f} ms", f"{within:.2%} below", within >= 0.99),
    ]
    if record.page is not None:
        problems = record.page.problems
        found = f"{record.page.shown} views, {'; '.join(problems[:3]) or 'no complaint'}"
        promises.append(Promise("page: no console error", found, record.page.shown > 0 and not problems))
    return promises


def print_report(console: Console, record: Record, promises: Sequence[Promise], about: dict[str, Any]) -> None:
    """The load, the figures, the promises."""
    counts, samples = record.counts, record.memory
    console.print(f"{about['cpu']}, Python {about['python']}, commit {about['commit']}", style="dim")
    memory = [value for _, value in warm(samples)] or [0.0]
    lags, worst = record.lags(), sorted(record.worst_lag_ms) or [0.0]
    rows = (
        ("sockets open", str(counts.get("open", 0))),
        ("LiveView events", f"{counts.get('events', 0):,}; answered in ms: {_shown(counts.get('event_ms'))}"),
        ("tabs opened, sockets that came back", f"{counts.get('tabs', 0):,}, {counts.get('rejoins', 0):,}"),
        (
            "HTTP requests",
            f"{counts.get('requests', 0):,} ({counts.get('late', 0)} late); ms: {_shown(counts.get('request_ms'))}",
        ),
        ("gateway's share of a core", f"{record.cpu:.0%}"),
        ("memory after warm-up, MiB", f"{min(memory):.1f} to {max(memory):.1f}, last {memory[-1]:.1f}"),
        ("loop lag below", ", ".join(f"{bound * 1000:g} ms {share:.2%}" for bound, share in lags if share < 1)),
        ("loop lag, worst of each 5 s, ms", f"median {worst[len(worst) // 2]:.1f}, worst {worst[-1]:.1f}"),
    )
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in rows:
        table.add_row(name, value)
    console.print(table)
    verdicts = Table(
        title="Promises", title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=False
    )
    for each in promises:
        verdicts.add_row("[green]PASS[/green]" if each.kept else "[red]FAIL[/red]", each.text, each.found)
    console.print(verdicts)


def _shown(percentiles: dict[str, float] | None) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in (percentiles or {}).items()) or "–"
