"""Layout of `livegate top`: a snapshot in, renderables for a terminal of some size out. No I/O."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from livegate.cli.top.client import Snapshot
from livegate.observe.history.time_series import INTERVAL_S
from livegate.redaction.printable import printable

type Sort = Literal["slowest", "busiest", "newest", "largest"]
SORTS: tuple[Sort, ...] = ("slowest", "busiest", "newest", "largest")
_SORTED_BY: dict[Sort, str] = {"slowest": "p95", "busiest": "events", "newest": "age", "largest": "KiB"}
"""Column that shows the sort key."""
_KEYS: dict[Sort, Callable[[dict[str, Any]], Any]] = {
    "slowest": lambda row: (row["p95"] or 0, row["events"]),
    "busiest": lambda row: row["events"],
    "newest": lambda row: row["number"],
    "largest": lambda row: row["diff"],
}
BARS = "▁▂▃▄▅▆▇█"
NOTHING = "-"
SLOW_MS, VERY_SLOW_MS = 200, 1000
LATE_MS, VERY_LATE_MS = 20, 100
WIDE = 110
"""Columns of a terminal from which optional details are shown."""
HEADING = "bold cyan"
FIXED_LINES = 12
"""Title, numbers, three headings, footer, and blank lines."""
MAX_PRINTED = 50
"""Sessions with `--once`, which has no height."""
STATES = {"live": "green", "crashed": "bold red", "refused": "bold red", "closed": "dim"}


@dataclass(frozen=True, slots=True)
class State:
    """Content of the screen."""

    url: str
    now: float
    """Seconds since 1970."""
    snapshot: Snapshot | None = None
    """The last snapshot."""
    problem: str = ""
    """Why the snapshot is stale or missing; empty when it is current."""
    sort: Sort = "slowest"
    keys: bool = True
    """Whether keys are read."""


def screen(state: State, width: int, height: int | None) -> RenderableType:
    """Return the whole screen; with a height of None, at full length."""
    parts: list[RenderableType] = [_title(state, width)]
    snapshot = state.snapshot
    if snapshot is not None:
        parts += [Text(""), _numbers(snapshot, width), Text("")]
        parts += _lower_tables(state, snapshot, width, height)
    elif state.problem:
        parts += [Text(""), Text("Start the gateway with `admin` in its settings, or pass its address with --url.")]
    if state.keys:
        parts.append(_footer(state))
    return Group(*parts)


def _title(state: State, width: int) -> Text:
    snapshot = state.snapshot
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(" livegate ", "bold black on cyan")
    if state.problem:
        text.append(f"  ● no connection, trying again ({printable(state.problem, 60)})", "bold red")
    elif snapshot is None:
        text.append("  connecting", "dim")
    elif snapshot.overview["draining"]:
        text.append("  ● draining", "bold yellow")
    else:
        text.append("  ● up ", "green").append(age(state.now - snapshot.overview["began"]), "bold")
    where = state.url.partition("://")[2]
    right = f"{printable(snapshot.version, 20)}  {where}" if snapshot is not None and width >= WIDE else where
    room = width - text.cell_len - len(right)
    if room > 1:
        text.append(" " * room).append(right, "dim")
    return text


def _numbers(snapshot: Snapshot, width: int) -> Table:
    steps = snapshot.overview["steps"]
    last = steps[-1] if steps else None
    requests = [sum(step["requests"].values()) / INTERVAL_S for step in steps]
    refused = [sum(step["refused"].values()) for step in steps]
    numbers: list[tuple[str, Text, Sequence[float | None]]] = [
        ("sockets", _plain(snapshot.overview["sockets"]), [sum(step["sockets"].values()) for step in steps]),
        ("sessions", _plain(snapshot.overview["sessions"]), [step["sessions"] for step in steps]),
        ("req/s", _plain(_rate(requests[-1]) if last else NOTHING), requests),
        (
            "events/s",
            _plain(_rate(last["events"] / INTERVAL_S) if last else NOTHING),
            [step["events"] for step in steps],
        ),
    ]
    word = "event " if width >= WIDE else ""
    if width >= WIDE:
        numbers.append(("event p50", _latest(steps, "p50", SLOW_MS, VERY_SLOW_MS), [step["p50"] for step in steps]))
    numbers += [
        (f"{word}p95", _latest(steps, "p95", SLOW_MS, VERY_SLOW_MS), [step["p95"] for step in steps]),
        (f"{word}p99", _latest(steps, "p99", SLOW_MS, VERY_SLOW_MS), [step["p99"] for step in steps]),
        ("loop lag", _latest(steps, "lag", LATE_MS, VERY_LATE_MS), [step["lag"] for step in steps]),
        ("refused", Text(str(sum(refused)), "bold yellow" if sum(refused) else "bold"), refused),
    ]
    table = Table(box=None, expand=True, show_header=False, padding=(0, 1))
    for _ in numbers:
        table.add_column(ratio=1, no_wrap=True)
    table.add_row(*(Text(name, "dim") for name, _, _ in numbers))
    table.add_row(*(value for _, value, _ in numbers))
    room = max(4, width // len(numbers) - 3)
    table.add_row(*(Text(spark(values, room), "cyan") for _, _, values in numbers))
    return table


def _lower_tables(state: State, snapshot: Snapshot, width: int, height: int | None) -> list[RenderableType]:
    """Return services, sessions and incidents. Sessions get the most lines; incidents get what they leave."""
    services, sessions, incidents = (
        max(1, len(all_)) for all_ in (snapshot.overview["backends"], snapshot.sessions, snapshot.incidents)
    )
    blank = 0
    if height is None:
        sessions, incidents = min(sessions, MAX_PRINTED), min(incidents, MAX_PRINTED // 4)
    else:
        room = max(3, height - FIXED_LINES)
        services = min(services, max(1, room // 4))
        room -= services
        reserved = min(incidents, max(1, room // 4))
        sessions = min(sessions, max(1, room - reserved))
        incidents = min(incidents, max(1, room - sessions))
        blank = max(0, room - sessions - incidents)
    return [
        _services(snapshot, services, width),
        Text(""),
        _sessions(state, snapshot, sessions, width),
        Text(""),
        _incidents(state, snapshot, incidents, width),
        *[Text("")] * blank,
    ]


def _services(snapshot: Snapshot, most: int, width: int) -> Table:
    steps = snapshot.overview["steps"]
    last = steps[-1] if steps else {"requests": {}, "sockets": {}}
    backends = sorted(snapshot.overview["backends"], key=lambda each: each["up"])  # down first
    table = _table(width)
    _column(table, _heading("Services", len(backends), most), ratio=3)
    _column(table, "backend", ratio=3)
    _column(table, "state", ratio=4)
    _column(table, "sockets", right=True, width=7)
    _column(table, "req/s", right=True, width=7)
    for each in backends[:most]:
        state = Text("● up", "green") if each["up"] else Text(f"● down: {printable(each['why'], 80)}", "bold red")
        name = each["service"]
        row = (_text(name), Text(printable(each["backend"], 200), "dim"), state)
        rate = last["requests"].get(name, 0) / INTERVAL_S
        table.add_row(*row, str(last["sockets"].get(name, 0)), _rate(rate))
    return table


def _sessions(state: State, snapshot: Snapshot, most: int, width: int) -> Table:
    rows = sorted(snapshot.sessions, key=_KEYS[state.sort], reverse=True)
    table = _table(width)
    _column(table, _heading("Sessions", len(rows), most), ratio=4)
    _column(table, "view", ratio=3)
    _column(table, "path", ratio=3)
    sizes = {"age": 6, "events": 7, "p50": 8, "p95": 8, "KiB": 7}
    if width < WIDE:
        del sizes["p50"]
    for name, size in sizes.items():
        _column(table, f"↓{name}" if name == _SORTED_BY[state.sort] else name, right=True, width=size)
    _column(table, "state", width=7)
    for row in rows[:most]:
        times = [_ms(row["p95"])] if width < WIDE else [_ms(row["p50"]), _ms(row["p95"])]
        table.add_row(
            Text(f"{row['number']} ", "dim").append_text(_text(row["service"])),
            _text(row["view"]),
            Text(printable(row["path"], 200), "dim"),
            age(state.now - row["opened"]),
            str(row["events"]),
            *times,
            f"{row['diff'] / 1024:.1f}",
            Text(row["state"], STATES.get(row["state"], "")),
        )
    if not rows:
        table.add_row(Text("none yet", "dim"))
    return table


def _incidents(state: State, snapshot: Snapshot, most: int, width: int) -> Table:
    table = _table(width)
    _column(table, _heading("Recent", len(snapshot.incidents), most), ratio=5)
    _column(table, "what", width=12)
    _column(table, "why", ratio=7)
    for each in islice(reversed(snapshot.incidents), most):
        ago = Text(f"{age(state.now - each['at']):>6} ago  ", "dim", no_wrap=True, overflow="ellipsis")
        what = {"closed": f"closed {each.get('code')}", "refused": f"refused {each.get('status')}"}.get(
            each["kind"], "LiveView"
        )
        causes = [cause["title"] for cause in each["causes"]]
        why = printable(causes[0] if causes else each["reason"] or f"by the {each.get('by', 'gateway')}", 200)
        table.add_row(
            ago.append_text(_text(each["service"] or each["host"])),
            Text(what, "yellow" if causes else "dim"),
            Text(why, "" if causes else "dim"),
        )
    if not snapshot.incidents:
        table.add_row(Text("none", "dim"))
    return table


def _footer(state: State) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    for key, what in (("q", "quit"), ("s", f"sort: {state.sort}")):
        text.append(f" {key} ", "reverse").append(f" {what}   ")
    return text


def _table(width: int) -> Table:
    gap = 2 if width >= WIDE else 1
    return Table(box=None, expand=True, header_style=HEADING, padding=(0, gap, 0, 0), show_edge=False)


def _column(
    table: Table, name: str, *, ratio: int | None = None, width: int | None = None, right: bool = False
) -> None:
    justify: Literal["left", "right"] = "right" if right else "left"
    table.add_column(name, ratio=ratio, width=width, justify=justify, no_wrap=True, overflow="ellipsis")


def _heading(name: str, count: int, most: int) -> str:
    return f"{name} {count}" if count <= most else f"{name} {most}/{count}"


def _text(value: str) -> Text:
    """Return text from outside, in which nothing moves the cursor or changes colours."""
    return Text(printable(value, 200), no_wrap=True, overflow="ellipsis")


def _plain(value: object) -> Text:
    return Text(str(value), "bold")


def _latest(steps: Sequence[dict[str, Any]], name: str, high: float, very_high: float) -> Text:
    """Return the last value, coloured if it is high."""
    value = next((step[name] for step in reversed(steps) if step[name] is not None), None)
    return _ms(value, high, very_high, usual="bold")


def _ms(value: float | None, high: float = SLOW_MS, very_high: float = VERY_SLOW_MS, usual: str = "") -> Text:
    if value is None:
        return Text(NOTHING, "dim")
    style = "bold red" if value >= very_high else "yellow" if value >= high else usual
    if value < 10:  # noqa: PLR2004 - below it, a decimal is significant
        return Text(f"{value:.1f} ms", style)
    return Text(f"{value:.0f} ms" if value < 10_000 else f"{value / 1000:.0f} s", style)  # noqa: PLR2004 - likewise


def _rate(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"  # noqa: PLR2004 - likewise


def age(seconds: float) -> str:
    """Return a duration in two or three digits and one unit."""
    for unit, size, most in (("s", 1, 100), ("min", 60, 100), ("h", 3600, 48)):
        if seconds < size * most:
            return f"{max(0, int(seconds / size))} {unit}"
    return f"{int(seconds / 86400)} d"


def spark(values: Sequence[float | None], width: int) -> str:
    """Return the last values as bars, with a blank for a missing one."""
    shown = values[-width:]
    most = max((value for value in shown if value is not None), default=0) or 1
    return "".join(" " if value is None else BARS[min(7, int(value / most * 7.999))] for value in shown)
