"""Reads frame logs and mitmproxy's flow files: filters them, follows them, shows the page as it was at a frame."""

import base64
import binascii
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mitmproxy import exceptions, http
from mitmproxy.io import FlowReader

from livegate.inspect.frame_log import VERSION, finished
from livegate.inspect.logging_frames import FrameLogger
from livegate.inspect.recorder import Recorder
from livegate.inspect.redaction import Redactor
from livegate.phoenix.channel import Channels
from livegate.phoenix.note import shortened
from livegate.phoenix.tracker import Tracker
from livegate.phoenix.tree import TreeError

POLL_S = 0.2
"""How often a log that is followed is looked at."""
MAX_LINE_CHARACTERS = 2 * 1024 * 1024

type Line = dict[str, Any]


class ReadError(Exception):
    """What was asked for cannot be read or shown; the text says why, for a person."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines to show; None is any."""

    session: int | None = None
    event: str | None = None
    slow_ms: float | None = None

    def fits(self, line: Line) -> bool:
        """Whether a line is one of them."""
        if self.session is not None and line.get("session") != self.session:
            return False
        if self.event is not None and line.get("event") != self.event:
            return False
        if self.slow_ms is None:
            return True
        return isinstance(line.get("ms"), int | float) and line.get("dir") == "down" and line["ms"] >= self.slow_ms


def read_lines(path: Path, *, follow: bool = False, sleep: Callable[[float], None] = time.sleep) -> Iterator[Line]:
    """The lines of a log, numbered by `n` from 1, or what a flow file would have logged. Raises ReadError."""
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise ReadError(f"{path}: {error.strerror}") from error
    if start and not start.lstrip().startswith(b"{"):
        yield from _numbered(_of_flows(path))
        return
    yield from _numbered(_of_log(path, follow, sleep))


def _numbered(lines: Iterator[Line]) -> Iterator[Line]:
    for number, line in enumerate(lines, 1):
        yield {**line, "n": number}


def _of_log(path: Path, follow: bool, sleep: Callable[[float], None]) -> Iterator[Line]:
    number = 0
    with path.open(encoding="utf-8", errors="replace") as file:
        begun = ""
        while True:
            text = file.readline(MAX_LINE_CHARACTERS)
            begun += text
            if not text.endswith("\n"):
                if follow and not text:
                    sleep(POLL_S)
                    continue
                if not text:
                    return
                continue
            number += 1
            line, begun = _parsed(begun, path, number), ""
            yield line


def _parsed(text: str, path: Path, number: int) -> Line:
    try:
        line = json.loads(text)
    except ValueError:
        raise ReadError(f"{path}:{number}: not a line of a frame log") from None
    if not isinstance(line, dict) or line.get("v") != VERSION:
        found = line.get("v") if isinstance(line, dict) else None
        raise ReadError(f"{path}:{number}: a frame log of version {found}, this livegate reads version {VERSION}")
    return line


class _Collected:
    """Lines as a frame log would have them."""

    def __init__(self, redactor: Redactor) -> None:
        self.lines: list[Line] = []
        self._redactor = redactor

    def put(self, line: Line, data: bytes | None = None, *, text: bool = True) -> None:
        """Keep a line."""
        self.lines.append(finished(line, data, "redacted", self._redactor, text=text))

    def taken(self) -> list[Line]:
        """What has come since."""
        lines, self.lines = self.lines, []
        return lines


def _of_flows(path: Path) -> Iterator[Line]:
    redactor, recorder = Redactor(), Recorder()
    collected = _Collected(redactor)
    logger = FrameLogger(recorder, redactor, collected)
    try:
        with path.open("rb") as file:
            for flow in FlowReader(file).stream():
                if isinstance(flow, http.HTTPFlow):
                    _replay(flow, recorder, logger)
                yield from collected.taken()
    except exceptions.FlowReadException as error:
        raise ReadError(f"{path}: neither a frame log nor a flow file: {error}") from error


def _replay(flow: http.HTTPFlow, recorder: Recorder, logger: FrameLogger) -> None:
    if flow.websocket is None:
        recorder.exchange(flow)
        return
    logger.websocket_start(flow)
    for message in flow.websocket.messages:
        recorder.message(flow, message)
        logger.message(flow, message)
    recorder.closed(flow)
    if flow.websocket.close_code is not None:
        logger.websocket_end(flow)


def line_text(line: Line) -> str:
    """One line for a person: number, time, session, direction, sentence."""
    at = line.get("at")
    clock = (
        time.strftime("%H:%M:%S", time.localtime(at)) + f".{int(at % 1 * 1000):03d}"
        if isinstance(at, int | float)
        else "?"
    )
    session = f"[{line['session']}]" if line.get("session") is not None else ""
    match line.get("kind"):
        case "frame":
            arrow = "▲" if line.get("dir") == "up" else "▼"
            text = line.get("text") or f"{line.get('size')} B"
        case "open":
            arrow, text = "●", f"{line.get('transport') or 'websocket'} opened: {line.get('url')}"
        case "close":
            who = f"closed by {line.get('by')}, {line.get('code')}"
            arrow, text = "○", f"socket {who}{f': {line.get("reason")}' if line.get('reason') else ''}"
        case "http":
            status = line.get("status") or "no answer"
            arrow, text = "→", f"{line.get('method')} {line.get('url')} {status} after {line.get('ms')} ms"
        case _:
            arrow, text = "!", f"{line.get('lines')} lines were dropped here"
    return f"{line.get('n', 0):>6}  {clock}  {session:>5} {arrow} {shortened_line(str(text))}"


def shortened_line(text: str) -> str:
    """A text that may come from anywhere, printable."""
    return text if text.isprintable() else shortened(text)


def page_at(lines: Iterator[Line], number: int) -> str:
    """The page as it was when frame `number` had come. Raises ReadError with why it cannot be shown."""
    tracker = Tracker()
    sockets: dict[str, Channels] = {}
    for line in lines:
        flow = str(line.get("flow"))
        if line.get("kind") == "open":
            sockets[flow] = tracker.open(str(line.get("url")), float(line.get("at") or 0))
        elif line.get("kind") == "frame":
            channels = sockets.setdefault(flow, tracker.open("/live/websocket?vsn=2.0.0", 0.0))
            _feed(channels, line)
        if line["n"] == number:
            return _page(sockets.get(flow), number)
    raise ReadError(f"there is no line {number}")


def _feed(channels: Channels, line: Line) -> None:
    data = line.get("data")
    if not isinstance(data, str):
        return
    text = not line.get("base64")
    try:
        raw = data.encode() if text else base64.b64decode(data)
    except (binascii.Error, UnicodeEncodeError):
        return
    channels.frame(raw, text=text, from_client=line.get("dir") == "up", at=float(line.get("at") or 0))


def _page(channels: Channels | None, number: int) -> str:
    session = channels.session if channels is not None else None
    main = session.main if session is not None else None
    if main is None or main.tree is None:
        why = (
            main.tree_problem
            if main is not None and main.tree_problem
            else "no join of it is in the log, or no payloads are"
        )
        raise ReadError(f"the page at line {number} is not known: {why}")
    try:
        return main.tree.html()
    except TreeError as error:
        raise ReadError(f"the page at line {number} cannot be shown: {error}") from error
