"""`python -m tests.bench.soak`: the command line, the order of things, and what has to hold at the end."""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from tests.bench import machine
from tests.bench.__main__ import WIDTH, ended_cleanly
from tests.bench.processes import StartError

from .clients import Pace, Plan
from .gateway import App, Clients, SoakedGateway
from .page import OpenPage
from .record import Record
from .report import judged, print_report

FILL_FACTOR = 5
"""While tables are filled, so many times the events and tabs of later."""
SETTLE_S = 10.0
"""What has queued up by then is not to count."""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15, help="that count; %(default)s")
    parser.add_argument(
        "--fill", type=float, default=60, metavar="SECONDS", help="of fivefold load before; %(default)s"
    )
    parser.add_argument("--sockets", type=int, default=1000, help="LiveView tabs; %(default)s")
    parser.add_argument("--rate", type=float, default=200, help="HTTP requests/s; %(default)s")
    parser.add_argument("--events", type=float, default=200, help="LiveView events/s of all tabs; %(default)s")
    parser.add_argument("--tabs", type=float, default=4, help="tabs/s that end, each followed by another; %(default)s")
    parser.add_argument("--reload", type=float, default=10, metavar="SECONDS", help="between reloads; %(default)s")
    parser.add_argument("--no-page", action="store_true", help="without a browser that has the page open")
    parser.add_argument("--frame-log", action="store_true", help="with the frame log on")
    parser.add_argument("--folder", type=Path, help="keep the gateway's log and settings there")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write everything that was measured")
    return parser.parse_args(arguments)


def soak(given: argparse.Namespace, folder: Path, status: Console) -> Record:
    """Put a gateway under load; returns what was seen."""
    cores = machine.Cores.choose(machine.available_cores())
    pace = Pace(events=given.events, requests=given.rate, tabs=given.tabs)
    full = Pace(events=given.events * FILL_FACTOR, requests=given.rate, tabs=given.tabs * FILL_FACTOR)
    with ExitStack() as stack:
        stack.enter_context(machine.pinned(cores.load))
        app = stack.enter_context(App(cores.backend, folder))
        gateway = stack.enter_context(SoakedGateway(cores.proxy, folder, app.port, frame_log=given.frame_log))
        plan = Plan(**asdict(pace), port=gateway.port, sockets=given.sockets)
        clients = stack.enter_context(Clients(cores.load, folder, plan))
        clients.wait_until_open(given.sockets)
        page = None
        if not given.no_page:
            page = stack.enter_context(OpenPage(chromium(), gateway.admin_url))
        record = Record(gateway, clients, page, status, reload_s=given.reload)
        clients.change(full)
        record.watch(given.fill, "filling")
        clients.change(pace)
        record.watch(SETTLE_S, "settling")
        clients.change(pace)  # which counts anew
        record.begin()
        record.watch(given.minutes * 60, "soaking")
        record.end()
    record.read_log()
    return record


def chromium() -> str:
    """The path of the browser. Raises StartError."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        raise StartError("Chromium is not installed: apt-get install chromium, or --no-page")
    return path


def main(arguments: Sequence[str]) -> int:
    """Returns the exit status: 0 when everything held, 1 when not, 2 when it could not be tried."""
    given = parse(arguments)
    status, console = Console(stderr=True, highlight=False), Console(highlight=False)
    console.width = max(console.width, WIDTH)
    if not hasattr(os, "sched_setaffinity"):
        status.print("this needs Linux, where a process can be kept to one core", style="red")
        return 2
    machine.raise_file_limit()
    about = machine.describe()
    with ended_cleanly(), tempfile.TemporaryDirectory(prefix="livegate-soak-") as name:
        folder = given.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            record = soak(given, folder, status)
        except StartError as error:
            status.print(str(error), style="red", markup=False)
            return 2
    promises = judged(record)
    print_report(console, record, promises, about)
    if given.json:
        told: dict[str, Any] = {**about, "asked": {name: str(value) for name, value in vars(given).items()}}
        told |= {"promises": [asdict(each) for each in promises], **record.told()}
        given.json.write_text(json.dumps(told, indent=2) + "\n")
    return int(not all(each.kept for each in promises))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
