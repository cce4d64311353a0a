"""`livegate read`: prints recorded traffic; called by the `livegate` command."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from livegate.inspect.files import reader
from livegate.inspect.files.payloads import Payloads
from livegate.inspect.files.reader import Contents, Line, ReadError, Wanted
from livegate.inspect.session_documents import document
from livegate.settings.units import duration

MAX_SESSIONS_NAMED = 20


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for."""

    path: Path
    session: int | None = None
    event: str | None = None
    slow: str | None = None
    payload: bool = False
    frame: int | None = None
    html: int | None = None
    follow: bool = False


def run(asked: Asked) -> int:
    """Print what is asked for; returns the process's exit status: 1 when it cannot be read, or nothing fits."""
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="backslashreplace")  # whatever a terminal's encoding, text from outside stays readable
    contents = Contents()
    try:
        shown = _print(asked, contents)
        if out is not None:
            out.flush()
    except KeyboardInterrupt:
        return 0
    except ReadError as problem:
        _report(problem)
        return 1
    except BrokenPipeError:
        _give_up_output()
        return 0  # whoever reads has seen enough
    except OSError as problem:
        _give_up_output()
        _report(f"standard output: {problem.strerror or problem}")
        return 1
    for remark in contents.remarks:
        _report(remark)
    if shown:
        if not contents.liveview:
            _report(f"{asked.path}: {contents.text()}")
        return 0
    _report(f"{asked.path}: {_nothing(asked, contents)}")
    return 1 if _is_filtered(asked) else 0


def _print(asked: Asked, contents: Contents) -> int:
    """Print what is asked for; returns how many lines were."""
    wanted = Wanted(asked.session, asked.event, _slow_ms(asked.slow))
    for name, number in (("--session", asked.session), ("--frame", asked.frame), ("--html", asked.html)):
        if number is not None and number < 1:
            raise ReadError(f"{name} {number}: numbers begin at 1")
    lines = reader.read_lines(asked.path, follow=asked.follow and asked.html is None, contents=contents)
    if asked.html is not None:
        _write(document(f"{asked.path.name}, line {asked.html}", reader.page_at(lines, asked.html)))
        return 1
    return _print_lines(lines, asked, wanted)


def _print_lines(lines: Iterator[Line], asked: Asked, wanted: Wanted) -> int:
    payloads = Payloads() if asked.payload or asked.frame is not None else None
    shown = 0
    for line in lines:
        text = payloads.text(line) if payloads is not None else ""
        if asked.frame not in (None, line["n"]) or not wanted.fits(line):
            continue
        _write(f"{reader.line_text(line)}\n{text}".rstrip("\n"), at_once=asked.follow)
        shown += 1
        if asked.frame is not None:
            break
    return shown


def _report(text: object) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"{text}\n")


def _write(text: str, *, at_once: bool = False) -> None:
    if sys.stdout is not None:  # None when the process was started without one
        sys.stdout.write(f"{text}\n")
        if at_once:
            sys.stdout.flush()


def _slow_ms(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return duration(text) * 1000
    except ValueError as error:
        raise ReadError(f"--slow {text}: expected {error}") from error


def _is_filtered(asked: Asked) -> bool:
    return any(value is not None for value in (asked.session, asked.event, asked.slow, asked.frame))


def _nothing(asked: Asked, contents: Contents) -> str:
    """Why nothing was printed."""
    if not _is_filtered(asked):
        return contents.text()
    options = (("session", asked.session), ("event", asked.event), ("slow", asked.slow), ("frame", asked.frame))
    given = " ".join(f"--{name} {value}" for name, value in options if value is not None)
    numbers = sorted(contents.sessions)
    named = ", ".join(map(str, numbers[:MAX_SESSIONS_NAMED])) + (" …" if len(numbers) > MAX_SESSIONS_NAMED else "")
    return f"no line fits {given}; it has the sessions {named or 'none'} ({contents.text()})"


def _give_up_output() -> None:
    """Let what could not be written be, also when the interpreter ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
