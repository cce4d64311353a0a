"""`python -m tests.bench`: the command line, and the order in which things are measured."""

import argparse
import dataclasses
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console

from . import machine
from .measurements import MEASUREMENTS, QUICK, Measurement, Plan
from .meter import LoadError
from .processes import Backend, StartError
from .report import COLUMNS, Results, Row, as_json, print_report
from .subjects import INSTALL, SUBJECTS, Bench, Subject, find_program

WIDTH = 120
"""Characters a line of the report has at least."""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    subjects, columns = [one.name for one in SUBJECTS], [one.name for one in COLUMNS]
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Measure livegate beside other proxies, each alone on one core, the load and the backend on others.",
        epilog=f"Subjects: {', '.join(subjects)}. Columns: {', '.join(columns)}.",
    )

    def names(known: list[str]) -> Callable[[str], list[str]]:
        def read(text: str) -> list[str]:
            chosen = text.split(",")
            for name in chosen:
                if name not in known:
                    raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
            return chosen

        return read

    parser.add_argument("--quick", action="store_true", help="one short round, in less than a minute")
    parser.add_argument("--only", type=names(subjects), default=subjects, metavar="NAMES", help="subjects, with commas")
    parser.add_argument("--columns", type=names(columns), default=columns, metavar="NAMES", help="with commas")
    parser.add_argument("--rounds", type=int, help=f"of every measurement; {Plan.rounds} without --quick")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), metavar="PATH", help="default: %(default)s")
    return parser.parse_args(arguments)


def measure(
    bench: Bench, plan: Plan, subjects: list[Subject], measurements: list[Measurement], status: Console
) -> Results:
    """All rounds of everything; what is interleaved suffers alike from other load on the machine."""
    rows = {subject.name: Row(subject.name, subject.title) for subject in subjects}
    for number in range(1, plan.rounds + 1):
        for subject in subjects:
            status.print(f"round {number} of {plan.rounds}: {subject.name}", style="dim")
            for of_new_process in (True, False):
                group = [one for one in measurements if one.of_new_process == of_new_process]
                if subject.launch is None:
                    group = [one for one in group if not one.needs_proxy]
                if group and not rows[subject.name].dead:
                    measure_group(bench, plan, subject, group, rows[subject.name])
    return Results(rows.values())


def measure_group(bench: Bench, plan: Plan, subject: Subject, group: list[Measurement], row: Row) -> None:
    """Start a subject anew and take some measurements of it, once."""
    try:
        with subject.running(bench) as target:
            for one in group:
                try:
                    sample = one.sample(target, plan, bench)
                except LoadError as error:
                    row.problems.append(f"{', '.join(one.columns)}: {error}")
                else:
                    row.add(sample.values, sample.usage)
    except StartError as error:
        row.dead = True
        row.problems.append(f"start: {error}")


def available(
    chosen_subjects: list[str], chosen_columns: list[str], status: Console
) -> tuple[list[Subject], list[Measurement]]:
    """What of the chosen can be measured here; says what to install for the rest."""
    subjects = []
    for subject in SUBJECTS:
        if subject.name in chosen_subjects:
            if subject.missing:
                status.print(f"without {subject.name}, which is not installed: {subject.missing}", style="yellow")
            else:
                subjects.append(subject)
    measurements = []
    for one in MEASUREMENTS:
        if set(one.columns) & set(chosen_columns):
            if one.program and find_program(one.program) is None:
                status.print(f"without {', '.join(one.columns)}: {INSTALL[one.program]}", style="yellow")
            else:
                measurements.append(one)
    return subjects, measurements


@contextmanager
def ended_cleanly() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the stack as Ctrl-C does, so that every process is ended."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(arguments: Sequence[str]) -> int:
    """Run it all; returns the exit status: 0, or 1 when something could not be measured."""
    given = parse(arguments)
    plan = QUICK if given.quick else Plan()
    if given.rounds:
        plan = dataclasses.replace(plan, rounds=given.rounds)
    status = Console(stderr=True, highlight=False)
    if not hasattr(os, "sched_setaffinity"):
        status.print("this needs Linux, where a process can be kept to one core", style="red")
        return 2
    given.json.touch()  # rather now than after all the work
    subjects, measurements = available(given.only, given.columns, status)
    cores = machine.Cores.choose(machine.available_cores())
    if cores.shared:
        status.print("one core only: proxy, load and backend share it, so the results say little", style="yellow")
    machine.raise_file_limit()
    about = machine.describe()
    with ended_cleanly(), tempfile.TemporaryDirectory(prefix="livegate-bench-") as name, machine.pinned(cores.load):
        folder = Path(name)
        with Backend(cores=cores.backend, folder=folder) as backend:
            results = measure(Bench(cores, backend, folder), plan, subjects, measurements, status)
    console = Console(highlight=False)
    console.width = max(console.width, WIDTH)
    measured = {name for one in measurements for name in one.columns} & set(given.columns)
    print_report(console, results, [column for column in COLUMNS if column.name in measured], about)
    given.json.write_text(json.dumps({**as_json(results, about), "plan": dataclasses.asdict(plan)}, indent=2) + "\n")
    return int(any(row.problems for row in results.rows.values()))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
