"""`livegate read`: prints recorded traffic. Called by `cli.app`."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from livegate.inspect.recording_formats import reader
from livegate.inspect.recording_formats.payloads import PayloadFormatter
from livegate.inspect.recording_formats.reader import Contents, Line, LineFilter, ReadError
from livegate.inspect.session_documents import html_document
from livegate.settings.units import duration

MAX_SESSIONS_NAMED = 20


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Options of the command."""

    path: Path
    session: int | None = None
    event: str | None = None
    slow: str | None = None
    payload: bool = False
    frame: int | None = None
    html: int | None = None
    follow: bool = False


def run(options: ReadOptions) -> int:
    """Print the lines that match; return the exit status: 1 if the file cannot be read, or nothing matches."""
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="backslashreplace")  # because traffic may hold what the terminal's encoding lacks
    contents = Contents()
    try:
        shown = _print(options, contents)
        if out is not None:
            out.flush()
    except KeyboardInterrupt:
        return 0
    except ReadError as problem:
        _report(problem)
        return 1
    except BrokenPipeError:
        _discard_output()
        return 0  # the reader, such as `head`, closed the pipe
    except OSError as problem:
        _discard_output()
        _report(f"standard output: {problem.strerror or problem}")
        return 1
    for remark in contents.warnings:
        _report(remark)
    if shown:
        if not contents.liveview:
            _report(f"{options.path}: {contents.summary()}")
        return 0
    _report(f"{options.path}: {_no_match(options, contents)}")
    return 1 if _is_filtered(options) else 0


def _print(options: ReadOptions, contents: Contents) -> int:
    """Print the lines or the page; return the number of lines printed."""
    line_filter = LineFilter(options.session, options.event, _slow_ms(options.slow))
    for name, number in (("--session", options.session), ("--frame", options.frame), ("--html", options.html)):
        if number is not None and number < 1:
            raise ReadError(f"{name} {number}: numbers start at 1")
    lines = reader.read_lines(options.path, follow=options.follow and options.html is None, contents=contents)
    if options.html is not None:
        _write(html_document(f"{options.path.name}, line {options.html}", reader.page_at(lines, options.html)))
        return 1
    return _print_lines(lines, options, line_filter)


def _print_lines(lines: Iterator[Line], options: ReadOptions, line_filter: LineFilter) -> int:
    payloads = PayloadFormatter() if options.payload or options.frame is not None else None
    shown = 0
    for line in lines:
        text = payloads.format(line) if payloads is not None else ""
        if options.frame not in (None, line["n"]) or not line_filter.matches(line):
            continue
        _write(f"{reader.format_line(line)}\n{text}".rstrip("\n"), at_once=options.follow)
        shown += 1
        if options.frame is not None:
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


def _is_filtered(options: ReadOptions) -> bool:
    return any(value is not None for value in (options.session, options.event, options.slow, options.frame))


def _no_match(options: ReadOptions, contents: Contents) -> str:
    """Return why nothing was printed."""
    if not _is_filtered(options):
        return contents.summary()
    filters = (("session", options.session), ("event", options.event), ("slow", options.slow), ("frame", options.frame))
    given = " ".join(f"--{name} {value}" for name, value in filters if value is not None)
    numbers = sorted(contents.sessions)
    named = ", ".join(map(str, numbers[:MAX_SESSIONS_NAMED])) + (" …" if len(numbers) > MAX_SESSIONS_NAMED else "")
    return f"no line matches {given}; sessions in it: {named or 'none'} ({contents.summary()})"


def _discard_output() -> None:
    """Redirect standard output to the null device, so that the interpreter's flush at exit does not fail."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
