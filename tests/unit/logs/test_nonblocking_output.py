"""Standard output written by a thread: order, what is counted, and that nobody ever waits."""

import contextlib
import errno
import io
import os
import select
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest

from livegate.logs import nonblocking_output
from livegate.logs.nonblocking_output import Output, StandardStreams

WAIT_S = 20


def missing(count: int) -> str:
    return f"{count} missing\n"


class Pipe:
    """A pipe with an `Output` on its writing end."""

    def __init__(self, **given: Any) -> None:
        self.reading, self.writing = os.pipe()
        self.reasons: list[str] = []
        self.original = os.fdopen(self.writing, "w", encoding="utf-8")
        self.output = Output(self.original, missing, on_loss=self.reasons.append, **given)

    def fill(self) -> int:
        """Write until the pipe takes no more, and the thread is stuck in it; returns how much that was."""
        os.set_blocking(self.writing, False)
        size = 0
        for piece in (1024, 1):
            with contextlib.suppress(BlockingIOError):
                while True:
                    size += os.write(self.writing, b"." * piece)
        os.set_blocking(self.writing, True)
        return size

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += os.read(self.reading, size - len(data))
        return data

    def read_until(self, end: str) -> str:
        data = b""
        while not data.endswith(end.encode()):
            assert select.select([self.reading], [], [], WAIT_S)[0], data[-1000:]
            data += os.read(self.reading, 65536)
        return data.decode()


@pytest.fixture
def pipes() -> Iterator[list[Pipe]]:
    made: list[Pipe] = []
    yield made
    for pipe in made:
        with contextlib.suppress(OSError):
            os.close(pipe.reading)
        pipe.output.end(WAIT_S)
        pipe.output._thread.join(WAIT_S)
        with contextlib.suppress(OSError):
            pipe.original.close()


def test_lines_of_many_threads_are_whole_and_each_threads_are_in_order(pipes: list[Pipe]) -> None:
    pipe = Pipe()
    pipes.append(pipe)

    def write_lines(name: str) -> None:
        for number in range(200):
            pipe.output.write(f"{name} {number}\n")

    threads = [threading.Thread(target=write_lines, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    pipe.output.write("end\n")
    lines = pipe.read_until("end\n").splitlines()
    for name in "abc":
        assert [line for line in lines if line.startswith(name)] == [f"{name} {number}" for number in range(200)]
    assert pipe.output.lost == 0


def test_a_line_is_written_when_it_is_complete_or_at_flush(pipes: list[Pipe]) -> None:
    pipe = Pipe()
    pipes.append(pipe)
    print("one", "two", file=pipe.output)
    assert pipe.read_until("\n") == "one two\n"
    assert pipe.output.write("no end") == 6
    pipe.output.flush()
    assert pipe.read_until("end") == "no end"


def test_what_was_printed_before_comes_first(pipes: list[Pipe]) -> None:
    reading, writing = os.pipe()
    original = os.fdopen(writing, "w", encoding="utf-8")
    original.write("before\n")
    made = Output(original, missing)
    made.write("after\n")
    assert made.drain(WAIT_S)
    assert os.read(reading, 100) == b"before\nafter\n"
    made.end(WAIT_S)
    original.close()
    os.close(reading)
    assert not pipes


def test_a_stalled_reader_blocks_nothing_and_lost_lines_are_reported_at_their_place(pipes: list[Pipe]) -> None:
    pipe = Pipe(max_bytes=1000)
    pipes.append(pipe)
    filled = pipe.fill()
    for number in range(1000):
        pipe.output.write(f"line {number}\n")
    assert pipe.output.lost > 500
    assert pipe.reasons == ["its reader is too slow"]
    assert not pipe.output.drain(0.01)
    lost = pipe.output.lost
    pipe.read(filled)
    assert pipe.output.drain(WAIT_S), "there is room again"
    pipe.output.write("again\n")
    lines = pipe.read_until("again\n").splitlines()
    number = 0
    for line in lines[:-1]:  # the writer may have taken some while they came: then there is more than one gap
        if line.endswith(" missing"):
            number += int(line.removesuffix(" missing"))
        else:
            assert line == f"line {number}"
            number += 1
    assert number == 1000
    assert sum(int(line.split()[0]) for line in lines if line.endswith(" missing")) == lost
    assert pipe.output.lost == lost


def test_a_closed_pipe_is_counted_and_reported_once(pipes: list[Pipe]) -> None:
    pipe = Pipe()
    pipes.append(pipe)
    os.close(pipe.reading)
    for _ in range(5):
        pipe.output.write("lost\n")
        assert pipe.output.drain(WAIT_S)
    assert pipe.output.lost == 5
    assert pipe.reasons == ["Broken pipe"]


def test_lost_lines_are_reported_when_a_full_disk_has_room_again(
    pipes: list[Pipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = Pipe()
    pipes.append(pipe)
    real, room = os.write, [7]

    def write(descriptor: int, data: bytes) -> int:
        if descriptor != pipe.writing:
            return real(descriptor, data)
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(descriptor, data[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(nonblocking_output.os, "write", write)
    for text in ("half a line\n", "lost\n", "lost as well\n"):
        pipe.output.write(text)
        assert pipe.output.drain(WAIT_S)
    room[0] = 1_000_000
    pipe.output.write("there\n")
    assert pipe.read_until("there\n") == "half a \n3 missing\nthere\n"
    assert pipe.output.lost == 3
    assert pipe.reasons == ["No space left on device"]


def test_a_non_blocking_descriptor_loses_nothing(pipes: list[Pipe]) -> None:
    pipe = Pipe()
    pipes.append(pipe)
    filled = pipe.fill()
    os.set_blocking(pipe.writing, False)
    pipe.output.write("one\n")
    assert not pipe.output.drain(0.05)
    pipe.read(filled)
    assert pipe.read_until("\n") == "one\n"
    assert pipe.output.lost == 0


def test_a_line_without_end_is_not_kept_for_ever(pipes: list[Pipe]) -> None:
    pipe = Pipe(max_bytes=1000)
    pipes.append(pipe)
    for _ in range(10):
        pipe.output.write("x" * 20_000)
    assert len(pipe.output._partial_line) <= nonblocking_output.MAX_WRITE_BYTES
    assert pipe.output.lost > 0


def test_it_has_the_interface_of_a_text_stream(pipes: list[Pipe]) -> None:
    pipe = Pipe()
    pipes.append(pipe)
    assert pipe.output.writable()
    assert not pipe.output.isatty()
    assert pipe.output.fileno() == pipe.writing
    assert pipe.output.encoding == "utf-8"
    assert pipe.output.buffer is pipe.original.buffer
    pipe.output.write("\udcff\n")
    assert pipe.read_until("\n") == "\\udcff\n"


@contextlib.contextmanager
def standard_pipes(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, tuple[int, TextIO]]]:
    """Pipes in the place of the standard streams; to be entered in the test, as pytest puts its own there."""
    made: dict[str, tuple[int, TextIO]] = {}
    for name in ("stdout", "stderr"):
        reading, writing = os.pipe()
        stream = os.fdopen(writing, "w", encoding="utf-8")
        made[name] = reading, stream
        monkeypatch.setattr(sys, name, stream)
        monkeypatch.setattr(sys, f"__{name}__", stream)
    yield made
    for reading, stream in made.values():
        with contextlib.suppress(OSError):
            os.close(reading)
        with contextlib.suppress(OSError):
            stream.close()


def test_the_streams_are_taken_over_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with standard_pipes(monkeypatch) as standard:
        streams = StandardStreams(missing)
        taken = streams.take_over()
        assert [old for old, _ in taken] == [standard["stdout"][1], standard["stderr"][1]]
        assert streams.take_over() == []
        print("out")
        print("error", file=sys.stderr)
        given = streams.restore()
        assert [old for _, old in given] == [standard["stdout"][1], standard["stderr"][1]]
        assert sys.stdout is standard["stdout"][1]
        assert os.read(standard["stdout"][0], 100) == b"out\n"
        assert os.read(standard["stderr"][0], 100) == b"error\n"


def test_a_failure_of_the_log_is_reported_on_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with standard_pipes(monkeypatch) as standard:
        streams = StandardStreams(missing)
        streams.take_over()
        os.close(standard["stdout"][0])
        print("lost")
        streams._flush_at_exit()
        print("at the very end")
        sys.stdout.flush()
        assert os.read(standard["stderr"][0], 200) == b"livegate: the log cannot be written: Broken pipe\n"
        assert streams.lost == 2
        streams.restore()


def test_replaced_streams_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    own = io.StringIO()
    monkeypatch.setattr(sys, "stdout", own)
    monkeypatch.setattr(sys, "stderr", None)
    streams = StandardStreams(missing)
    assert streams.take_over() == []
    assert streams.restore() == []
    assert sys.stdout is own


def test_streams_that_the_process_was_started_without_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    monkeypatch.setattr(nonblocking_output, "_closed_descriptors", lambda: iter(opened))
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
        monkeypatch.setattr(sys, f"__{name}__", None)
    nonblocking_output.open_missing_descriptors()
    assert [stream.fileno() for stream in (sys.stdin, sys.stdout, sys.stderr)] == [0, 1, 2]
    assert sys.stdout is sys.__stdout__
    spare = os.dup(1)
    os.close(spare)
    opened.append(spare)  # as a closed standard descriptor is, it is the lowest free one or another
    nonblocking_output.open_missing_descriptors()
    assert os.path.samestat(os.fstat(spare), Path(os.devnull).stat())
    os.close(spare)


def test_what_a_thread_cannot_write_to_standard_error_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(sys, "stderr", Broken())
    nonblocking_output._report_on_stderr("any reason")
