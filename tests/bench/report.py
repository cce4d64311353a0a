"""What a run found: medians, ratios, targets, as tables and as JSON. Nothing here measures or touches the machine."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from .meter import Usage

IDLE = 0.15
"""Above this share of time without work for its core the proxy waited: the number shows the load, or the backend."""
DISTURBED = 0.15
"""Above this many cores' worth of other programs the numbers say little."""
REFERENCES = (("nginx", "nginx"), ("mitmdump", "plain mitmdump"))


@dataclass(frozen=True)
class Column:
    """A column of the table."""

    name: str
    title: str
    digits: int = 0
    lower_is_better: bool = False


COLUMNS = (
    Column("round_trips", "round\ntrips/s"),
    Column("cpu_us", "CPU µs\na trip ↓", 1, lower_is_better=True),
    Column("p50_ms", "p50\nms ↓", 3, lower_is_better=True),
    Column("p99_ms", "p99\nms ↓", 3, lower_is_better=True),
    Column("burst", "burst\nframes/s"),
    Column("large", "1 MiB\nechoes/s"),
    Column("connects", "connects\n/s"),
    Column("idle_kib", "KiB idle\nsocket ↓", 1, lower_is_better=True),
    Column("http", "HTTP\nreq/s"),
    Column("http_p99_ms", "HTTP\np99 ms ↓", 2, lower_is_better=True),
)
LEGEND = """\
round trips/s: 50 sockets, 100 bytes, one message in flight each. CPU µs: the proxy's processor time for one of them.
p50, p99: one socket. burst: 2,000 messages of 1 KiB from the server to one socket. 1 MiB: one socket, one in flight.
connects: TCP, upgrade, close; 16 at once. KiB: growth of resident memory. HTTP: wrk, 32 connections.
↓ less is better.  * the proxy's core had time left: load or backend are the limit, the proxy could do more."""


@dataclass
class Cell:
    """All rounds of one column of one subject."""

    samples: list[float] = field(default_factory=list)
    usage: list[Usage] = field(default_factory=list)

    @property
    def value(self) -> float:
        """The median."""
        return statistics.median(self.samples)

    @property
    def load_bound(self) -> bool:
        """Whether the proxy could have done more than the load asked of it."""
        return bool(self.usage) and statistics.median(usage.idle for usage in self.usage) > IDLE


@dataclass
class Row:
    """One subject's results by column name, and what went wrong."""

    name: str
    title: str
    cells: dict[str, Cell] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    dead: bool = False
    """Whether it did not start, so that trying again would only take time."""

    def add(self, values: dict[str, float], usage: Usage | None) -> None:
        """Take in one round's values of one measurement."""
        for name, value in values.items():
            cell = self.cells.setdefault(name, Cell())
            cell.samples.append(value)
            if usage is not None:
                cell.usage.append(usage)


class Results:
    """All rows of a run, by the subject's name."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = {row.name: row for row in rows}

    def value(self, subject: str, column: str) -> float | None:
        """A median, or None when it was not measured."""
        row = self.rows.get(subject)
        cell = row.cells.get(column) if row else None
        return cell.value if cell else None

    def ratio(self, subject: str, reference: str, column: str) -> float | None:
        """How many times the reference's median a subject's is, or None when either was not measured."""
        value, base = self.value(subject, column), self.value(reference, column)
        return value / base if value is not None and base else None

    @property
    def disturbance(self) -> float:
        """Cores' worth of processor time that other programs took, as a median of all measurements."""
        shares = [use.others for row in self.rows.values() for cell in row.cells.values() for use in cell.usage]
        return statistics.median(shares) if shares else 0.0


@dataclass(frozen=True)
class Target:
    """What a subject should reach in a column: a multiple of a reference's value, or an absolute value."""

    subject: str
    column: str
    limit: float
    text: str
    reference: str = ""
    at_most: bool = False

    def found(self, results: Results) -> float | None:
        """The ratio or value that counts, or None when it was not measured."""
        if self.reference:
            return results.ratio(self.subject, self.reference, self.column)
        return results.value(self.subject, self.column)

    def met(self, results: Results) -> bool | None:
        """Whether it is reached, or None when it was not measured."""
        found = self.found(results)
        if found is None:
            return None
        return found <= self.limit if self.at_most else found >= self.limit


TARGETS = (
    Target("livegate-run", "round_trips", 20, "livegate run: round trips, times plain mitmdump", "mitmdump"),
    Target("livegate-run", "round_trips", 0.7, "livegate run: round trips, times nginx", "nginx"),
    Target("livegate-mitmdump", "round_trips", 12, "mitmdump -s: round trips, times plain mitmdump", "mitmdump"),
    Target("livegate-run", "p50_ms", 1.5, "livegate run: p50 of one socket, times nginx", "nginx", at_most=True),
    Target("livegate-run", "http", 1.8, "livegate run: HTTP requests, times plain mitmdump", "mitmdump"),
    Target("livegate-run", "idle_kib", 45, "livegate run: KiB per idle socket", at_most=True),
)


def print_report(console: Console, results: Results, shown: Sequence[Column], about: dict[str, Any]) -> None:
    """Absolute values, ratios, problems and targets."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    console.print(f"{about['cpu']}, Python {about['python']}, {versions}", style="dim")
    console.print(_table("Median of the rounds", results, shown, _absolute))
    for reference, title in REFERENCES:
        if reference in results.rows:
            console.print(_table(f"Times {title}", results, shown, _relative(reference)))
    console.print(LEGEND, style="dim")
    if results.disturbance > DISTURBED:
        console.print(
            f"Other programs took {results.disturbance:.0%} of a core meanwhile: the numbers are good on a quiet machine only.",
            style="yellow",
        )
    for row in results.rows.values():
        for problem in row.problems:
            console.print(f"{row.name}: {problem}", style="red", markup=False)
    _print_targets(console, results)


def _table(title: str, results: Results, shown: Sequence[Column], text: Any) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("\n", overflow="fold")
    for column in shown:
        table.add_column(column.title, justify="right", no_wrap=True)
    for row in results.rows.values():
        table.add_row(row.title, *(text(results, row, column) for column in shown))
    return table


def _absolute(results: Results, row: Row, column: Column) -> str:
    del results
    cell = row.cells.get(column.name)
    if cell is None:
        return "–"
    mark = "*" if cell.load_bound and not column.lower_is_better else " "
    return f"{cell.value:,.{column.digits}f}{mark}"


def _relative(reference: str) -> Any:
    def text(results: Results, row: Row, column: Column) -> str:
        ratio = results.ratio(row.name, reference, column.name)
        return "–" if ratio is None else f"{ratio:.2f} "

    return text


def _print_targets(console: Console, results: Results) -> None:
    table = Table(
        title="Targets", title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=False
    )
    for target in TARGETS:
        found, met = target.found(results), target.met(results)
        verdict = {True: "[green]met[/green]", False: "[red]missed[/red]", None: "[dim]not measured[/dim]"}[met]
        sign = "≤" if target.at_most else "≥"
        table.add_row(target.text, f"{sign} {target.limit:g}", "" if found is None else f"{found:.3g}", verdict)
    console.print(table)


def as_json(results: Results, about: dict[str, Any]) -> dict[str, Any]:
    """The whole run, every round of it. Units are in the columns' names and titles."""
    return {
        **about,
        "columns": {column.name: column.title.replace("\n", " ").removesuffix(" ↓") for column in COLUMNS},
        "subjects": {
            row.name: {
                "title": row.title.replace("\n", ""),
                "problems": row.problems,
                "values": {
                    name: {
                        "median": cell.value,
                        "samples": cell.samples,
                        "usage": [{"proxy": use.proxy, "idle": use.idle, "others": use.others} for use in cell.usage],
                        "load_bound": cell.load_bound,
                        **{
                            f"times_{reference}": results.ratio(row.name, reference, name)
                            for reference, _ in REFERENCES
                        },
                    }
                    for name, cell in row.cells.items()
                },
            }
            for row in results.rows.values()
        },
        "targets": [
            {
                "text": target.text,
                "limit": target.limit,
                "at_most": target.at_most,
                "found": target.found(results),
                "met": target.met(results),
            }
            for target in TARGETS
        ],
    }
