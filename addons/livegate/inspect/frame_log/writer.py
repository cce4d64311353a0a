"""Writer of the frame log: one JSON object per WebSocket frame, and per HTTP exchange of a LiveView session.

A thread writes the file, so that a slow disk does not delay frames. Lines that do not fit into its queue are counted.
Version 1 of a line:

    {"v": 1, "kind": "frame", "at": seconds since 1970, "session": number or null, "flow": id, "dir": "up" or "down",
     "size": bytes, "what": see Note.what, "text": the sentence, "view", "event", "ref", "ms": round trip or null,
     "outcome", "diff": bytes, "data": the frame, "base64": true for a binary one}
    {"v": 1, "kind": "open" or "close", "at", "session", "flow", "transport", "url", "code", "reason", "by"}
    {"v": 1, "kind": "http", "at", "session", "flow", "method", "url", "status", "ms", "size", "views": its topics}
    {"v": 1, "kind": "dropped", "at", "lines": how many were dropped before this one}
"""

import base64
import contextlib
import logging
import os
import queue
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

from livegate.lenient_json import json_bytes
from livegate.phoenix.sessions.frame_info import FrameInfo
from livegate.redaction.redactor import Redactor
from livegate.settings import FrameLog, Payloads
from livegate.tasks import shorten_switch_interval

logger = logging.getLogger("livegate.frame_log")

VERSION = 1
_TEXT_FIELDS = ("text", "view", "event")
"""Fields that may hold text from clients and backends."""
MAX_QUEUED = 20_000
"""Queued lines. Beyond, new lines are dropped."""
MAX_DATA_BYTES = 256 * 1024
"""Size of a frame that is logged with its data."""
FILE_MODE = 0o600

type Line = dict[str, Any]


class FrameLogWriter:
    """Writer of lines to a file, which it rotates by size."""

    def __init__(self, settings: FrameLog, redactor: Redactor) -> None:
        """Open the file and start the thread. Raises OSError when the file cannot be written."""
        self.settings = settings
        self.dropped = 0
        self._redactor = redactor
        self._queue: queue.Queue[tuple[Line, bytes | None, bool] | None] = queue.Queue(MAX_QUEUED)
        self._file = _open(settings.path)
        self._unreported_drops = 0
        self._failed = False
        shorten_switch_interval()
        self._thread = threading.Thread(target=self._run, name="livegate frame log", daemon=True)
        self._thread.start()

    def put(self, line: Line, data: bytes | None = None, *, text: bool = True) -> None:
        """Queue a line with the data of a frame, or drop it."""
        try:
            self._queue.put_nowait((line, data, text))
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write queued lines and end the thread. Waits up to 5 s for the disk."""
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=1)
        self._thread.join(5)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            line, data, text = item
            try:
                self._write(_encoded(complete_line(line, data, self.settings.payloads, self._redactor, text=text)))
            except Exception as error:  # noqa: BLE001 - one line, or a full disk, must not end the thread
                if not self._failed:
                    logger.warning("the frame log %s cannot be written: %s", self.settings.path, error)
                self._failed = True
                self.dropped += 1
            if self._queue.empty():
                with contextlib.suppress(OSError):
                    self._file.flush()
        with contextlib.suppress(OSError):
            self._file.close()

    def _write(self, line: bytes) -> None:
        if self.dropped > self._unreported_drops:
            dropped, self._unreported_drops = self.dropped - self._unreported_drops, self.dropped
            self._file.write(_encoded({"v": VERSION, "kind": "dropped", "at": time.time(), "lines": dropped}))
        self._file.write(line)
        if self._file.tell() >= self.settings.rotate:
            self._rotate()

    def _rotate(self) -> None:
        self._file.close()
        path, keep = self.settings.path, self.settings.keep
        for number in range(keep, 0, -1):
            older = path if number == 1 else path.with_name(f"{path.name}.{number - 1}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number}"))
        if keep == 0:
            path.unlink()
        self._file = _open(path)


def complete_line(line: Line, data: bytes | None, payloads: Payloads, redactor: Redactor, *, text: bool) -> Line:
    """Add version and data to a line; redact it unless `payloads` is `full`."""
    if data is not None and payloads != "none" and len(data) <= MAX_DATA_BYTES:
        if text:
            content = redactor.frame(data) if payloads == "redacted" else data
            line["data"] = content.decode("utf-8", "replace")
        else:
            line |= {"data": base64.b64encode(data).decode(), "base64": True}
    if payloads != "full":
        line |= {key: redactor.text(line[key]) for key in _TEXT_FIELDS if isinstance(line.get(key), str)}
    return {"v": VERSION, **line}


def _encoded(line: Line) -> bytes:
    return json_bytes(line) + b"\n"


def _open(path: Path) -> BinaryIO:
    """Open a file for appending, readable by its owner only."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, FILE_MODE)
    os.fchmod(descriptor, FILE_MODE)
    return os.fdopen(descriptor, "ab")


def frame_line(info: FrameInfo, flow_id: str) -> Line:
    """Return the line of a frame, without its data."""
    push = info.push
    trip = push.round_trip if push is not None else None
    return {
        "kind": "frame",
        "at": info.at,
        "session": info.session.number if info.session is not None else None,
        "flow": flow_id,
        "dir": "up" if info.from_client else "down",
        "size": info.size,
        "what": info.kind,
        "text": info.summary,
        "view": info.view.label if info.view is not None else None,
        "event": push.name if push is not None else None,
        "ref": push.ref if push is not None else None,
        "ms": round(trip * 1000, 3) if trip is not None else None,
        "outcome": push.outcome if push is not None else None,
        "diff": info.diff_size,
    }
