"""Reader of frame logs, which can follow a log as it grows."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from livegate.inspect.frame_log.writer import MAX_DATA_BYTES, VERSION
from livegate.inspect.recording_formats.replay import MAX_NUMBER, Contents, Line, ReadError

POLL_S = 0.2
"""Interval between reads of a followed log."""
MAX_LINE_BYTES = 16 * MAX_DATA_BYTES
"""Length of a line; enough for a frame whose every byte is a JSON escape."""
NUMERIC_FIELDS = ("at", "ms", "size", "diff", "status", "code")
EXPECTED = 'expected a line of a frame log, such as {"v":1,"kind":"frame",…}, a HAR file or a flow file of mitmproxy'


class FrameLogFile:
    """Frame log that is read to its end, or followed as it grows."""

    def __init__(self, file: BinaryIO, path: Path, contents: Contents, *, follow: bool = False) -> None:
        self._file = file
        self._path = path
        self._contents = contents
        self._follow = follow
        self._number = 0

    def lines(self, sleep: Callable[[float], None] = time.sleep) -> Iterator[Line]:
        """Yield the lines. Raises ReadError, with the number of the line, for a line that is not of a frame log."""
        partial = b""
        while True:
            partial += self._file.readline(MAX_LINE_BYTES + 1 - len(partial))
            if partial.endswith(b"\n"):
                line, partial = self._parse(partial), b""
                if line is not None:
                    yield line
            elif len(partial) > MAX_LINE_BYTES:
                raise ReadError(f"{self._path}:{self._number + 1}: longer than {MAX_LINE_BYTES:,} bytes; {EXPECTED}")
            elif self._follow:
                sleep(POLL_S)
                if not partial:
                    self._follow_rotation()
            else:
                yield from self._last_line(partial)
                return

    def _last_line(self, text: bytes) -> Iterator[Line]:
        """Yield a last line without a line end, which may be complete, or cut off by a crash."""
        if not text.strip():
            return
        try:
            line = self._parse(text)
        except ReadError:
            if self._number == 1:
                raise
            self._contents.warnings.append(f"{self._path}:{self._number}: the last line is cut off")
            return
        if line is not None:
            yield line

    def _parse(self, text: bytes) -> Line | None:
        """Parse a line; return None for a blank one."""
        self._number += 1
        if not text.strip():
            return None
        try:
            line = json.loads(text.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            raise ReadError(f"{self._path}:{self._number}: not a line of a frame log; {EXPECTED}") from None
        if not isinstance(line, dict) or line.get("v") != VERSION:
            value = line.get("v") if isinstance(line, dict) else None
            version = f"a frame log of version {value!r}" if value is not None else "a line without a version `v`"
            raise ReadError(f"{self._path}:{self._number}: {version}; this livegate reads version {VERSION}")
        return without_invalid_numbers(line)

    def _follow_rotation(self) -> None:
        """Reopen the log when it was rotated, and start over when it was truncated."""
        try:
            there, here = self._path.stat(), os.fstat(self._file.fileno())
            if (there.st_ino, there.st_dev) != (here.st_ino, here.st_dev):
                fresh = self._path.open("rb")
                self._file.close()
                self._file = fresh
            elif there.st_size < self._file.tell():
                self._file.seek(0)
        except OSError:
            return  # between two files; the next poll tries again


def without_invalid_numbers(line: Line) -> Line:
    """Remove invalid numbers from a line in place, so that its formatter can rely on them."""
    for name in NUMERIC_FIELDS:
        value = line.get(name)
        if value is not None and not _is_number(value):
            del line[name]
    if not isinstance(line.get("session"), int | None):
        line["session"] = None
    return line


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < MAX_NUMBER
