"""Standard streams that threads write, so that neither a stalled reader nor a full disk blocks the gateway.

`livegate run` and `Logs` replace `sys.stdout` and `sys.stderr` by an `Output`. Lines that do not fit into its queue, or
that the operating system refuses, are counted. A line with their number precedes the next line that is written.
"""

import atexit
import contextlib
import io
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, TextIO, cast

MAX_QUEUED_BYTES = 4 * 1024 * 1024
"""Queued text per stream. Beyond, new lines are dropped."""
MAX_WRITE_BYTES = 64 * 1024
"""Size of one write; the capacity of a pipe on Linux."""
EXIT_TIMEOUT_S = 2.0
"""Time that both streams together have for queued text when the process exits. Beyond, it is lost."""
MISSING = "%d lines of the log could not be written before this one"


class Output(io.TextIOBase):
    """Text stream on a file descriptor whose `write` neither blocks nor raises. Thread-safe.

    Lines keep their order. A line is queued when it is complete, or at `flush`.
    """

    def __init__(
        self,
        original: TextIO,
        missing_text: Callable[[int], str],
        *,
        on_loss: Callable[[str], None] | None = None,
        max_bytes: int = MAX_QUEUED_BYTES,
    ) -> None:
        """Start the thread that writes to the descriptor of `original`.

        `missing_text` formats the line that reports lost lines. Any thread calls `on_loss` with the reason of a loss,
        once until a write succeeds again.
        """
        self.original = original
        self.lost = 0
        """Lines lost since the start."""
        self._descriptor = original.fileno()
        self._missing_text = missing_text
        self._on_loss = on_loss
        self._max_bytes = max_bytes
        self._condition = threading.Condition()
        self._queue: deque[bytes | _Gap] = deque()
        self._queued_bytes = 0
        self._partial_line = ""
        """Start of a line whose end has not been written yet."""
        self._unreported = 0
        """Lines lost in failed writes, which the next successful write reports."""
        self._mid_line = False
        self._writing = False
        self._idle = False
        self._loss_reported = False
        self._exiting = self._stopping = False
        self._thread = threading.Thread(target=self._run, name="livegate output", daemon=True)
        self._thread.start()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute in typeshed
        """Encoding of the descriptor."""
        return self.original.encoding or "utf-8"

    def writable(self) -> bool:
        """Return True."""
        return True

    def isatty(self) -> bool:
        """Return whether the descriptor is a terminal."""
        return self.original.isatty()

    def fileno(self) -> int:
        """Return the file descriptor. Direct writes to it overtake the queue."""
        return self._descriptor

    def write(self, text: str) -> int:
        """Queue text, or count its lines when the queue is full. Return the length of the text."""
        reason = ""
        with self._condition:
            self._partial_line += text
            if "\n" in text or len(self._partial_line) > MAX_WRITE_BYTES:
                reason = self._enqueue()
        if reason:
            self._report(reason)
        return len(text)

    def flush(self) -> None:
        """Queue the start of a line. Waits for the descriptor only while the process exits."""
        with self._condition:
            if self._partial_line:
                self._enqueue(all_of_it=True)
        if self._exiting:
            self.drain(EXIT_TIMEOUT_S)

    def drain(self, seconds: float) -> bool:
        """Wait up to `seconds` until the queue is written; return whether it is."""
        with self._condition:
            return self._condition.wait_for(lambda: not self._queue and not self._writing, max(0.0, seconds))

    def end(self, seconds: float) -> None:
        """Wait up to `seconds` until the queue is written; the thread ends once it is."""
        self.flush()
        self.drain(seconds)
        with self._condition:
            self._stopping = True
            self._condition.notify_all()

    def wait_on_flush(self) -> None:
        """Let `flush` wait from now on: the interpreter's last call of it is next."""
        self._exiting = True

    def _enqueue(self, *, all_of_it: bool = False) -> str:
        """Move complete lines to the queue; return why they were dropped, or an empty text."""
        lines, rest = (self._partial_line, "") if all_of_it else _split(self._partial_line)
        self._partial_line = rest
        data = lines.encode(self.encoding, "backslashreplace")
        if self._queued_bytes + len(data) > self._max_bytes:
            count = _lines_in(data)
            if not self._queue or not isinstance(self._queue[-1], _Gap):
                self._queue.append(_Gap())
            gap = self._queue[-1]
            if isinstance(gap, _Gap):
                gap.lines += count
            self.lost += count
            self._notify()
            return "its reader is too slow"
        self._queue.append(data)
        self._queued_bytes += len(data)
        self._notify()
        return ""

    def _notify(self) -> None:
        if self._idle:
            self._idle = False
            self._condition.notify_all()

    def _report(self, reason: str) -> None:
        if not self._loss_reported:
            self._loss_reported = True
            if self._on_loss is not None:
                self._on_loss(reason)

    # The writing thread

    def _run(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.original.flush()  # text that was printed before this stream replaced it
        while self._wait_for_batch():
            with self._condition:
                data, missing = self._take_batch()
            self._write_batch(data, missing)

    def _wait_for_batch(self) -> bool:
        """Wait for text; return False once `end` was called and the queue is empty."""
        with self._condition:
            self._writing = False
            while not self._queue:
                self._idle = True
                self._condition.notify_all()
                if self._stopping:
                    return False
                self._condition.wait()
            self._writing, self._idle = True, False
        return True

    def _take_batch(self) -> tuple[bytes, int]:
        """Take lines from the queue; return them and the number of lines lost before them."""
        missing = 0
        pieces: list[bytes] = []
        size = 0
        while self._queue and size < MAX_WRITE_BYTES:
            piece = self._queue[0]
            if isinstance(piece, _Gap):
                if pieces:
                    break
                missing += piece.lines
            else:
                pieces.append(piece)
                size += len(piece)
            self._queue.popleft()
        self._queued_bytes -= size
        return b"".join(pieces), missing

    def _write_batch(self, data: bytes, missing: int) -> None:
        """Write lines, preceded by a report of lost lines, if any."""
        missing += self._unreported
        report = self._missing_text(missing) if missing else ""
        prefix = (("\n" if self._mid_line else "") + report).encode(self.encoding, "backslashreplace")
        everything, written = prefix + data, 0
        try:
            while written < len(everything):
                written += self._write_some(everything[written : written + MAX_WRITE_BYTES])
        except OSError as error:
            if written:
                self._mid_line = everything[written - 1 : written] != b"\n"
            count = _lines_in(data[max(0, written - len(prefix)) :])
            self._unreported = count + (missing if written < len(prefix) else 0)
            with self._condition:
                self.lost += count
            self._report(error.strerror or type(error).__name__)
        else:
            self._mid_line, self._unreported = not everything.endswith(b"\n"), 0
            self._loss_reported = self._loss_reported and not data

    def _write_some(self, data: bytes) -> int:
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:  # a process that shares the descriptor has made it non-blocking
                ready = select.poll()
                ready.register(self._descriptor, select.POLLOUT)
                ready.poll()

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the original stream, such as `buffer`."""
        return getattr(self.__dict__["original"], name)


class _Gap:
    """Mark in the queue where lines were lost."""

    __slots__ = ("lines",)

    def __init__(self, lines: int = 0) -> None:
        self.lines = lines


def _split(text: str) -> tuple[str, str]:
    """Split a text into complete lines and the rest. A rest beyond MAX_WRITE_BYTES counts as complete."""
    end = text.rfind("\n") + 1
    return (text[:end], text[end:]) if end and len(text) - end <= MAX_WRITE_BYTES else (text, "")


def _lines_in(data: bytes) -> int:
    return data.count(b"\n") + (not data.endswith(b"\n") and bool(data))


class StandardStreams:
    """Both standard streams, replaced and restored together."""

    def __init__(self, missing_text: Callable[[int], str]) -> None:
        """Take `missing_text` for both streams; see `Output`."""
        self.out: Output | None = None
        self.error: Output | None = None
        self._missing_text = missing_text

    @property
    def lost(self) -> int:
        """Lines lost since the streams were replaced."""
        return sum(stream.lost for stream in self._outputs())

    def take_over(self) -> list[tuple[TextIO, TextIO]]:
        """Replace both streams; return pairs of original and replacement.

        A stream that is not the interpreter's own, or that is missing, stays.
        """
        if self._outputs():
            return []
        error, out = sys.stderr, sys.stdout
        if _is_same_stream(error, sys.__stderr__):
            self.error = Output(error, self._missing_text)
            sys.stderr = cast("TextIO", self.error)
        if _is_same_stream(out, sys.__stdout__):
            self.out = Output(out, self._missing_text, on_loss=_report_on_stderr)
            sys.stdout = cast("TextIO", self.out)
        taken = self._outputs()
        if taken:
            atexit.register(self._flush_at_exit)
        return [(stream.original, cast("TextIO", stream)) for stream in taken]

    def restore(self) -> list[tuple[TextIO, TextIO]]:
        """Write the queues and restore the originals; return pairs of replacement and original."""
        taken = self._outputs()
        self._end_outputs()
        for name, stream in (("stdout", self.out), ("stderr", self.error)):
            if stream is not None and getattr(sys, name) is stream:
                setattr(sys, name, stream.original)
        self.out = self.error = None
        atexit.unregister(self._flush_at_exit)
        return [(cast("TextIO", stream), stream.original) for stream in taken]

    def _outputs(self) -> list[Output]:
        return [stream for stream in (self.out, self.error) if stream is not None]

    def _end_outputs(self) -> None:
        deadline = time.monotonic() + EXIT_TIMEOUT_S
        for stream in self._outputs():
            stream.end(deadline - time.monotonic())

    def _flush_at_exit(self) -> None:
        deadline = time.monotonic() + EXIT_TIMEOUT_S
        for stream in self._outputs():
            stream.flush()
            if stream.drain(deadline - time.monotonic()):
                stream.wait_on_flush()


def _is_same_stream(stream: object, original: object) -> bool:
    return stream is not None and stream is original


def _report_on_stderr(reason: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"livegate: the log cannot be written: {reason}\n")


def open_missing_descriptors() -> None:
    """Open /dev/null for each standard descriptor that is closed (`>&-`).

    Otherwise the next file or socket gets its number, and printed text goes there.
    """
    for descriptor in _closed_descriptors():
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)
    sys.stdin = sys.stdin or open(0, closefd=False, encoding="utf-8")  # noqa: SIM115 - as long as the process lives
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            stream = open(descriptor, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def _closed_descriptors() -> Iterator[int]:
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            yield descriptor
