"""Reader of recorded traffic for `livegate read`: detects the format, filters and formats lines, renders a page.

Each format has a module that yields the lines of a frame log.
"""

import base64
import binascii
import gzip
import io
import re
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from livegate.inspect.recording_formats.flows import flow_file_lines
from livegate.inspect.recording_formats.frame_log import EXPECTED, FrameLogFile
from livegate.inspect.recording_formats.har import MAX_HAR_BYTES, har_lines
from livegate.inspect.recording_formats.replay import FRAME_LOG, Contents, Line, ReadError
from livegate.inspect.text import clock_text
from livegate.phoenix.rendered.tree import TreeError
from livegate.phoenix.sessions.page import current_page
from livegate.phoenix.sessions.socket import SocketTracker
from livegate.phoenix.sessions.tracker import Tracker
from livegate.redaction.printable import escaped

__all__ = ["Contents", "Line", "LineFilter", "ReadError", "format_line", "page_at", "read_lines"]

PEEK_BYTES = 4096
STDIN = "-"
BOM = b"\xef\xbb\xbf"
GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"
ZLIB = (b"x\x01", b"x\x5e", b"x\x9c", b"x\xda")
"""Starts of zlib data, which mitmproxy writes as `.zhar`."""
_HAR = re.compile(rb'\s*\{\s*"log"\s*:')
_JSON = re.compile(rb"\s*\{")
_TNETSTRING = re.compile(rb"\d{1,12}:")


@dataclass(frozen=True, slots=True)
class LineFilter:
    """Filter of lines; None matches every line."""

    session: int | None = None
    event: str | None = None
    slow_ms: float | None = None

    def matches(self, line: Line) -> bool:
        """Return whether a line matches."""
        if self.session is not None and line.get("session") != self.session:
            return False
        if self.event is not None and line.get("event") != self.event:
            return False
        if self.slow_ms is None:
            return True
        return isinstance(line.get("ms"), int | float) and line.get("dir") == "down" and line["ms"] >= self.slow_ms


def read_lines(
    path: Path,
    *,
    follow: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    contents: Contents | None = None,
) -> Iterator[Line]:
    """Yield the lines of a frame log, or those that one would have for the flows of a file, numbered by `n` from 1.

    `-` is standard input. `contents` counts the lines. Raises ReadError.
    """
    contents = contents or Contents()
    try:
        with _open(path) as file:
            lines = _lines(file, path, contents, follow=follow, sleep=sleep)
            for number, line in enumerate(lines, 1):
                contents.count(line)
                yield {**line, "n": number}
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ReadError(f"{path}: {reason}") from error


def _open(path: Path) -> BinaryIO:
    if str(path) == STDIN:
        if sys.stdin is None:
            raise ReadError("standard input is closed")
        return cast("BinaryIO", sys.stdin.buffer)
    return path.open("rb")


def _lines(
    file: BinaryIO, path: Path, contents: Contents, *, follow: bool, sleep: Callable[[float], None]
) -> Iterator[Line]:
    file, start = _decompress(file, path)
    if follow and not _JSON.match(start) and start:
        raise ReadError(f"{path}: only a frame log can be followed")
    if _HAR.match(start):
        if follow:
            raise ReadError(f"{path}: only a frame log can be followed, not a HAR file")
        return har_lines(file, path, contents)
    if _JSON.match(start) or follow:
        contents.kind = FRAME_LOG
        return FrameLogFile(file, path, contents, follow=follow).lines(sleep)
    if _TNETSTRING.match(start):
        contents.kind = "flow file"
        return flow_file_lines(file, path, contents)
    if not start.strip():
        raise ReadError(f"{path}: the file is empty; {EXPECTED}")
    if start.startswith(ZIP):
        raise ReadError(f"{path}: a zip archive; extract it and read the .har file in it")
    raise ReadError(f"{path}: neither a frame log nor a flow file nor a HAR file; {EXPECTED}")


def _decompress(file: BinaryIO, path: Path) -> tuple[BinaryIO, bytes]:
    """Return the file without compression and byte order mark, and its first bytes."""
    start = _peek(file)
    if start.startswith(GZIP):
        file = cast("BinaryIO", io.BufferedReader(gzip.GzipFile(fileobj=file)))
        start = _peek(file)
    elif start.startswith(ZLIB):
        unpacking = zlib.decompressobj()
        data = unpacking.decompress(file.read(MAX_HAR_BYTES), MAX_HAR_BYTES + 1)
        if len(data) > MAX_HAR_BYTES or unpacking.unconsumed_tail:
            raise ReadError(f"{path}: larger than {MAX_HAR_BYTES // 1024 // 1024} MiB when unpacked")
        file = io.BytesIO(data)
        start = data[:PEEK_BYTES]
    if start.startswith(BOM):
        file.read(len(BOM))
        start = start[len(BOM) :]
    return file, start


def _peek(file: BinaryIO) -> bytes:
    return file.peek(PEEK_BYTES)[:PEEK_BYTES] if isinstance(file, io.BufferedReader) else b""


def format_line(line: Line) -> str:
    """Return a line as text: number, time, session, direction, summary."""
    at = line.get("at")
    clock = clock_text(at) if isinstance(at, int | float) else "?"
    session = f"[{line['session']}]" if line.get("session") is not None else ""
    match line.get("kind"):
        case "frame":
            arrow = "▲" if line.get("dir") == "up" else "▼"
            text = line.get("text") or f"{line.get('size')} B"
        case "open":
            arrow, text = "●", f"{line.get('transport') or 'websocket'} opened: {line.get('url')}"
        case "close":
            code = line.get("code")
            event = f"closed by {line.get('by')}, {code}" if code is not None else "timed out"
            arrow, text = "○", f"socket {event}{f': {line.get("reason")}' if line.get('reason') else ''}"
        case "http":
            status = line.get("status") or "no response"
            arrow, text = "→", f"{line.get('method')} {line.get('url')} {status} after {line.get('ms')} ms"
        case _:
            arrow, text = "!", f"{line.get('lines')} lines were dropped here"
    return f"{line.get('n', 0):>6}  {clock}  {session:>5} {arrow} {escaped(str(text))}"


def page_at(lines: Iterator[Line], number: int) -> str:
    """Return the page after frame `number` as HTML. Raises ReadError when it is unknown or cannot be shown."""
    tracker = Tracker()
    sockets: dict[str, SocketTracker] = {}
    for line in lines:
        flow = str(line.get("flow"))
        if line.get("kind") == "open":
            sockets[flow] = tracker.open(str(line.get("url")), float(line.get("at") or 0))
        elif line.get("kind") == "frame":
            socket = sockets.setdefault(flow, tracker.open("/live/websocket?vsn=2.0.0", 0.0))
            _feed(socket, line)
        if line["n"] == number:
            return _page(sockets.get(flow), number)
    raise ReadError(f"there is no line {number}")


def _feed(socket: SocketTracker, line: Line) -> None:
    data = line.get("data")
    if not isinstance(data, str):
        return
    text = not line.get("base64")
    try:
        raw = data.encode() if text else base64.b64decode(data)
    except (binascii.Error, UnicodeEncodeError):
        return
    socket.read_frame(raw, text=text, from_client=line.get("dir") == "up", at=float(line.get("at") or 0))


def _page(socket: SocketTracker | None, number: int) -> str:
    session = socket.session if socket is not None else None
    main = session.main if session is not None else None
    page = current_page(session) if session is not None else None
    if page is None:
        reason = (
            main.tree_problem
            if main is not None and main.tree_problem
            else "its join, or the payloads, are not in the recording"
        )
        raise ReadError(f"the page at line {number} is unknown: {reason}")
    try:
        return page.html()
    except TreeError as error:
        raise ReadError(f"the page at line {number} cannot be shown: {error}") from error
