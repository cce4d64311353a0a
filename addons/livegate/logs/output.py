"""Standard output and standard error, written by a thread: no reader that stalls, and no full disk, stops the gateway.

`livegate run` and `Logs` put an `Output` in the place of `sys.stdout` and `sys.stderr`. What the queue cannot take, or
the operating system does not, is counted, and the next line that can be written is preceded by how many are missing.
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
"""Of text that waits to be written; what comes when it is full is dropped."""
MAX_WRITE_BYTES = 64 * 1024
"""That leave in one write: the capacity of a pipe."""
EXIT_TIMEOUT_S = 2.0
"""How long the end of the process waits for all that is still queued, on both streams together."""
MISSING = "%d lines of the log could not be written before this one"


class Output(io.TextIOBase):
    """A text stream on a file descriptor that never waits and never raises. Any thread may write.

    Lines keep their order. A line leaves when it is complete, or at `flush`.
    """

    def __init__(
        self,
        original: TextIO,
        missing_text: Callable[[int], str],
        *,
        on_loss: Callable[[str], None] | None = None,
        max_bytes: int = MAX_QUEUED_BYTES,
    ) -> None:
        """Begin to write for a stream.

        `missing_text` makes the line that says how many are missing. `on_loss` is called by any thread with the
        reason, once until something could be written again.
        """
        self.original = original
        self.lost = 0
        """Lines that could not be written since the start."""
        self._descriptor = original.fileno()
        self._missing_text = missing_text
        self._on_loss = on_loss
        self._max_bytes = max_bytes
        self._condition = threading.Condition()
        self._queue: deque[bytes | _Gap] = deque()
        self._queued_bytes = 0
        self._partial_line = ""
        """The start of a line whose end is still to come."""
        self._unreported = 0
        """How many lines the operating system has not taken since the last that it took."""
        self._mid_line = False
        self._writing = False
        self._idle = False
        self._loss_reported = False
        self._exiting = self._stopping = False
        self._thread = threading.Thread(target=self._run, name="livegate output", daemon=True)
        self._thread.start()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute in typeshed
        """The name of the encoding that the descriptor is written in."""
        return self.original.encoding or "utf-8"

    def writable(self) -> bool:
        """Return True."""
        return True

    def isatty(self) -> bool:
        """Tell whether a terminal is behind it."""
        return self.original.isatty()

    def fileno(self) -> int:
        """Return the file descriptor; what is written there directly overtakes the queue."""
        return self._descriptor

    def write(self, text: str) -> int:
        """Queue text, or count its lines when the queue is full. Never waits; returns the length of the text."""
        reason = ""
        with self._condition:
            self._partial_line += text
            if "\n" in text or len(self._partial_line) > MAX_WRITE_BYTES:
                reason = self._enqueue()
        if reason:
            self._report(reason)
        return len(text)

    def flush(self) -> None:
        """Queue the start of a line. Does not wait for the descriptor, except as the process ends."""
        with self._condition:
            if self._partial_line:
                self._enqueue(all_of_it=True)
        if self._exiting:
            self.drain(EXIT_TIMEOUT_S)

    def drain(self, seconds: float) -> bool:
        """Wait until all is written, so long at most; returns whether it is."""
        with self._condition:
            return self._condition.wait_for(lambda: not self._queue and not self._writing, max(0.0, seconds))

    def end(self, seconds: float) -> None:
        """Write what is queued, waiting so long at most, and end the thread when that is done."""
        self.flush()
        self.drain(seconds)
        with self._condition:
            self._stopping = True
            self._condition.notify_all()

    def wait_on_flush(self) -> None:
        """From now on `flush` waits: it is the interpreter's last one."""
        self._exiting = True

    def _enqueue(self, *, all_of_it: bool = False) -> str:
        """Move complete lines to the queue; returns why they were dropped, or nothing."""
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
            return "what reads it does not keep up"
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
            self.original.flush()  # what was printed before this stream took its place
        while self._wait_for_batch():
            with self._condition:
                data, missing = self._take_batch()
            self._write_batch(data, missing)

    def _wait_for_batch(self) -> bool:
        """Wait for something to write; returns whether there is any, which is not so once it shall end."""
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
        """Take lines from the queue; returns them, and how many are missing before them."""
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
        """Write lines, after one that says how many are missing, if any are."""
        missing += self._unreported
        remark = self._missing_text(missing) if missing else ""
        before = (("\n" if self._mid_line else "") + remark).encode(self.encoding, "backslashreplace")
        everything, written = before + data, 0
        try:
            while written < len(everything):
                written += self._write_some(everything[written : written + MAX_WRITE_BYTES])
        except OSError as error:
            if written:
                self._mid_line = everything[written - 1 : written] != b"\n"
            count = _lines_in(data[max(0, written - len(before)) :])
            self._unreported = count + (missing if written < len(before) else 0)
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
            except BlockingIOError:  # somebody has made the descriptor non-blocking, for whoever shares it
                ready = select.poll()
                ready.register(self._descriptor, select.POLLOUT)
                ready.poll()

    def __getattr__(self, name: str) -> Any:
        """Look up all else, such as `buffer`, at the original."""
        return getattr(self.__dict__["original"], name)


class _Gap:
    """A place in the order where lines are missing."""

    __slots__ = ("lines",)

    def __init__(self, lines: int = 0) -> None:
        self.lines = lines


def _split(text: str) -> tuple[str, str]:
    """The complete lines of a text, and the rest; a rest that is too long is not waited for."""
    end = text.rfind("\n") + 1
    return (text[:end], text[end:]) if end and len(text) - end <= MAX_WRITE_BYTES else (text, "")


def _lines_in(data: bytes) -> int:
    return data.count(b"\n") + (not data.endswith(b"\n") and bool(data))


class StandardStreams:
    """Both standard streams, taken over together and given back together."""

    def __init__(self, missing_text: Callable[[int], str]) -> None:
        """`missing_text`: see `Output`."""
        self.out: Output | None = None
        self.error: Output | None = None
        self._missing_text = missing_text

    @property
    def lost(self) -> int:
        """How many lines could not be written since the streams were taken over."""
        return sum(stream.lost for stream in self._outputs())

    def take_over(self) -> list[tuple[TextIO, TextIO]]:
        """Take the streams' places; returns each original with what stands in its place.

        A stream that somebody else has put there, or that has no file descriptor, is left alone.
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
        """Put the originals back, after what is queued; returns each that was taken over with its original."""
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
    """Open /dev/null in the place of a standard descriptor that the process was started without (`>&-`).

    Otherwise the next file or socket gets its number, and whatever prints writes into that.
    """
    for descriptor in _closed_descriptors():
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)
    sys.stdin = sys.stdin or open(0, closefd=False, encoding="utf-8")  # noqa: SIM115 - as long as the process lives
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            made = open(descriptor, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, made)
            setattr(sys, f"__{name}__", made)


def _closed_descriptors() -> Iterator[int]:
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            yield descriptor
