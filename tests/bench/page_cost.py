"""`python -m tests.bench.page_cost`: what WebSockets lose through the admin listener, and while its page is open.

Two gateways, one without an admin listener, take turns on the same core; the browser shares the other cores with the
load. Where these are the bottleneck, round trips say little, and the processor time of a message says all.
"""

import argparse
import json
import queue
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, override

import picows
from playwright.sync_api import Page
from rich.console import Console
from rich.table import Table

from . import configs, liveview, load, machine
from .__main__ import WIDTH, ended_cleanly
from .backend import BODY
from .meter import LoadError, Meter
from .processes import Backend, Process, StartError
from .soak.__main__ import chromium
from .soak.page import OpenPage
from .subjects import find_program

SOCKETS = 50
MESSAGE = bytes(100)
LEAST = 0.9
"""Of the throughput without the page, with it open."""
WITHOUT = "admin on"
STATES = (WITHOUT, "admin off", WITHOUT, "page: Now", WITHOUT, "page: a session", WITHOUT)
"""In the order of their turns: the machine changes its speed by the second, so each state has both its neighbours for
comparison."""
LOADS = ("echo", "liveview")
WARM_UP_S = 1.0
SETTLE_S = 2.0
"""What a view asks for when it is opened is not what it costs while it is open."""


class Looking(OpenPage):
    """A browser that shows what it is told to show."""

    def __init__(self, path: str, url: str) -> None:
        super().__init__(path, url)
        self._wanted: queue.Queue[str] = queue.Queue()
        self._done: queue.Queue[None] = queue.Queue()

    def show(self, where: str) -> None:
        """A part of the page, such as `#/now`; empty for no page at all. Returns when it is there."""
        self._wanted.put(where)
        self._done.get(timeout=30)

    @override
    def look(self, page: Page) -> None:
        while self.rest(page, 0.1):
            with self._next() as where:
                if where is not None:
                    page.goto(f"{self.url}{where}" if where else "about:blank")
                    if where:
                        page.wait_for_selector("#link.on")
                        self.rest(page, SETTLE_S)

    @contextmanager
    def _next(self) -> Iterator[str | None]:
        try:
            where = self._wanted.get_nowait()
        except queue.Empty:
            yield None
        else:
            yield where
            self._done.put(None)


class Tab(load.PingPong):
    """A LiveView client that clicks again as soon as it has its answer."""

    def __init__(self, number: int) -> None:
        super().__init__(b"")
        self._topic, self._ref = f"lv:phx-bench-{number}", 4

    @override
    def send(self) -> None:
        first = self._ref == 4
        token = liveview.session_token(self._topic, "BenchWeb.CountLive")
        said = liveview.join(self._topic, "/count", token) if first else liveview.click(self._topic, self._ref)
        self._ref += 1
        self.transport.send(picows.WSMsgType.TEXT, said)

    @override
    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type is picows.WSMsgType.TEXT:
            self.messages += 1
            self.on_message()
        else:
            super().on_ws_frame(transport, frame)


def echo_load(port: int, meter: Meter, seconds: float) -> Awaitable[float]:
    """Round trips a second of sockets that nobody understands."""
    return load.round_trips(port, meter, lambda: load.PingPong(MESSAGE), count=SOCKETS, seconds=seconds)


def liveview_load(port: int, meter: Meter, seconds: float) -> Awaitable[float]:
    """Events a second of LiveView sockets."""
    numbers = iter(range(SOCKETS))
    where = {"host": configs.LIVEVIEW_HOST, "path": f"{liveview.SOCKET_PATH}?vsn=2.0.0"}
    return load.round_trips(port, meter, lambda: Tab(next(numbers)), count=SOCKETS, seconds=seconds, **where)


WORK: dict[str, Callable[[int, Meter, float], Awaitable[float]]] = {"echo": echo_load, "liveview": liveview_load}


class Measured:
    """A `livegate run`, its port, and where its page is."""

    def __init__(self, stack: ExitStack, folder: Path, backend: Backend, cores: machine.Cores, *, admin: bool) -> None:
        own = folder / ("on" if admin else "off")
        own.mkdir()
        program = find_program("livegate")
        assert program, "make install"
        self.port, admin_port = machine.free_port(), machine.free_port()
        self.url = f"http://127.0.0.1:{admin_port}/"
        more = {"admin": {"listen": f"127.0.0.1:{admin_port}"} if admin else None}
        file = configs.write_livegate(own, self.port, backend.ports, Path(program), **more)
        command = [program, "run", "--", "-q", "--set", f"confdir={folder / 'mitmproxy'}"]
        self.process = stack.enter_context(
            Process(command, cores=cores.proxy, folder=own, environ={"GATEWAY_CONFIG_FILE": str(file)})
        )
        self.process.wait_until_serving(self.port, BODY)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="page_cost", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="of every measurement; %(default)s")
    parser.add_argument("--seconds", type=float, default=2, help="of each; %(default)s")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every round")
    return parser.parse_args(arguments)


type Samples = dict[tuple[str, str], list[tuple[float, float]]]
"""By load and state: round trips a second, and microseconds of the gateway a round trip."""


def measure(given: argparse.Namespace, folder: Path, status: Console) -> tuple[Samples, list[str]]:
    """All rounds; the states take turns, so that they suffer alike from other load on the machine."""
    cores = machine.Cores.choose(machine.available_cores())
    samples: Samples = defaultdict(list)
    with ExitStack() as stack:
        stack.enter_context(machine.pinned(cores.load))
        backend = stack.enter_context(Backend(cores=cores.backend, folder=folder))
        gateways = {admin: Measured(stack, folder, backend, cores, admin=admin) for admin in (False, True)}
        page = stack.enter_context(Looking(chromium(), gateways[True].url))
        for gateway in gateways.values():  # so that session 1 is there
            meter = Meter(gateway.process, backend, cores)
            load.run(partial(liveview_load, gateway.port, meter, WARM_UP_S))
        views = {"page: Now": "#/now", "page: a session": "#/session/1"}
        for number in range(given.rounds):
            status.print(f"round {number + 1} of {given.rounds}", style="dim")
            for name in LOADS:
                for state in STATES:
                    gateway = gateways[state != "admin off"]
                    page.show(views.get(state, ""))
                    meter = Meter(gateway.process, backend, cores)
                    rate = load.run(partial(WORK[name], gateway.port, meter, given.seconds))
                    samples[name, state].append((rate, 1e6 * meter.cpu_s / (rate * meter.seconds)))
        return samples, page.problems


class Found(NamedTuple):
    """Medians of all rounds."""

    rate: float
    """Round trips a second."""
    times: float
    """That, divided by what was before and after it with the listener and no page."""
    cost: float
    """Microseconds of the gateway's processor a round trip."""
    costs: float
    """As `times`, of `cost`."""


def medians(samples: Samples) -> dict[tuple[str, str], Found]:
    """By load and state."""
    found = {}
    for name in LOADS:
        base = samples[name, WITHOUT]
        for place, state in enumerate(state for state in STATES if state != WITHOUT):
            rounds = samples[name, state]
            step = len(base) // len(rounds)
            near = [(base[at * step + place], base[at * step + place + 1]) for at in range(len(rounds))]
            times, costs = (
                [2 * one[i] / (a[i] + b[i]) for one, (a, b) in zip(rounds, near, strict=True)] for i in (0, 1)
            )
            middle = [statistics.median(values) for values in zip(*rounds, strict=True)]
            found[name, state] = Found(middle[0], statistics.median(times), middle[1], statistics.median(costs))
    return found


def main(arguments: Sequence[str]) -> int:
    """Returns the exit status: 0, 1 when the page costs too much, 2 when it could not be measured."""
    given = parse(arguments)
    status, console = Console(stderr=True, highlight=False), Console(highlight=False)
    console.width = max(console.width, WIDTH)
    machine.raise_file_limit()
    with ended_cleanly(), tempfile.TemporaryDirectory(prefix="livegate-page-") as name:
        try:
            samples, problems = measure(given, Path(name), status)
        except (StartError, LoadError) as error:
            status.print(str(error), style="red", markup=False)
            return 2
    table = Table(box=None, pad_edge=False)
    for title in ("", "", "round trips/s", "times no page", "CPU µs a round trip", "times no page"):
        table.add_column(title, justify="right" if title else "left")
    found = medians(samples)
    for (load_name, state), one in found.items():
        table.add_row(load_name, state, f"{one.rate:,.0f}", f"{one.times:.3f}", f"{one.cost:.1f}", f"{one.costs:.3f}")
    console.print(table)
    kept = all(one.times >= LEAST for (_, state), one in found.items() if state.startswith("page"))
    verdict = "[green]PASS[/green]" if kept and not problems else "[red]FAIL[/red]"
    console.print(f"{verdict}  page open: at least {LEAST:g} times the round trips without")
    for problem in problems:
        console.print(f"page: {problem}", style="red", markup=False)
    if given.json:
        told = {f"{load_name}, {state}": rounds for (load_name, state), rounds in samples.items()}
        given.json.write_text(json.dumps({**machine.describe(), "rounds": told}, indent=2) + "\n")
    return int(not kept or bool(problems))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
