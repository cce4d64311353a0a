"""JSON lines: each log record as one object on standard output; docs/reference/logs.md lists the fields."""

import asyncio
import contextlib
import functools
import json
import logging
import sys
from datetime import UTC, datetime

from mitmproxy import log
from mitmproxy.utils import human

from livegate.lenient_json import json_bytes
from livegate.logs.handler import MAX_TRACEBACK_CHARACTERS, log_line_of
from livegate.redaction.printable import printable


class JsonLines(log.MitmLogHandler):
    """Handler that writes each record to standard output as one JSON object; docs/reference/logs.md lists its fields.

    Lines from the event loop are written together at the end of its iteration; warnings and errors at once.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # mitmproxy's base is untyped
        self._lines: list[str] = []
        """Lines that wait for the scheduled flush."""
        self._unbuffered = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's line."""
        self._lines.append(f"{self.line(record)}\n")
        if self._unbuffered or record.levelno >= logging.WARNING or not self._schedule_flush():
            self.flush()

    def _schedule_flush(self) -> bool:
        if len(self._lines) == 1:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:  # no event loop runs in this thread
                return False
        return True

    def flush(self) -> None:
        """Write all pending lines. Lines that cannot be written are dropped; `Output`, once installed, counts them."""
        with self.lock or contextlib.nullcontext():
            lines, self._lines = self._lines, []
            if lines:
                with contextlib.suppress(OSError):
                    sys.stdout.write("".join(lines))
                    sys.stdout.flush()

    def stop_buffering(self) -> None:
        """Write each line at once from now on, because the event loop is about to stop."""
        self._unbuffered = True
        self.flush()

    def uninstall(self) -> None:
        """Remove the handler from the root logger and write pending lines."""
        super().uninstall()
        self.flush()

    def line(self, record: logging.LogRecord) -> str:
        """Return the JSON text of a record, without a line end."""
        entry: dict[str, object] = {
            "time": _time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        fields: dict[str, object] | None = vars(record).get("livegate_fields")
        entry |= _message_fields(record) if fields is None else fields
        client = vars(record).get("client")
        if client:  # mitmproxy's lines about a connection
            entry["client"] = human.format_address(client)
        present = {name: value for name, value in entry.items() if value is not None}
        line = json_bytes(present)
        return line.decode() if line.isascii() else json.dumps(present)  # any terminal's encoding has ASCII


def _time(created: float) -> str:
    second, milliseconds = divmod(int(created * 1000), 1000)
    return f"{_second(second)}.{milliseconds:03}+00:00"


@functools.lru_cache(maxsize=4)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _message_fields(record: logging.LogRecord) -> dict[str, object]:
    """Return the fields of a record that is not from the access log."""
    line = log_line_of(record)
    if line is not None:
        ids = {"request_id": line.request_id, "session": line.session}
        return {"message": line.message, **ids, "suppressed": line.suppressed, "traceback": line.traceback or None}
    fields: dict[str, object] = {"message": printable(record.getMessage())}
    if record.exc_info:
        fields["traceback"] = logging.Formatter().formatException(record.exc_info)[-MAX_TRACEBACK_CHARACTERS:]
    return fields
