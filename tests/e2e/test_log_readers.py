"""The gateway with a standard output that nobody reads, that is full, that has gone, or that it never had."""

import http.client
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from backends import Backend
from gateway_process import CHECKOUT, MITMDUMP, START_TIMEOUT_S, TIMEOUT_S, Gateway, free_port, status_of

pytestmark = pytest.mark.unmeasured

RUN = [str(Path(sys.executable).with_name("livegate")), "run"]
SCRIPT = [str(MITMDUMP), "-s", str(CHECKOUT / "addons" / "gateway.py")]
MANY = {"user": None, "ip": None}
REQUESTS = 300
PIPE_BYTES = 4096
"""The least that Linux gives a pipe, so that few lines fill it."""
ASKED = b"GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n"


class Running:
    """A gateway whose streams are the test's own."""

    def __init__(self, gateway: Gateway, admin: int) -> None:
        self.gateway, self.admin = gateway, admin

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self.gateway.process
        return self.gateway.process

    def ask(self, count: int) -> None:
        """Make so many requests, each of which has to be answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=TIMEOUT_S)
        for number in range(count):
            connection.request("GET", f"/{number}/{'x' * 200}", headers={"Host": "app.test"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
        connection.close()

    def unwritten(self) -> int:
        """How many lines of the log could not be written, as the metric says."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=TIMEOUT_S) as answer:
            (line,) = [line for line in answer.read().decode().splitlines() if 'what="log-lines-unwritten"' in line]
        return int(float(line.split()[-1]))

    def wait_for_unwritten(self, least: int) -> int:
        deadline = time.monotonic() + TIMEOUT_S
        while (found := self.unwritten()) < least:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        return found

    def end(self) -> int:
        """Stop it as an operator does; returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(TIMEOUT_S)


@contextmanager
def running(
    folder: Path,
    command: list[str],
    out: int | IO[bytes] | None,
    error: int | IO[bytes] | None = None,
    script: Path | None = None,
    **more: Any,
) -> Iterator[Running]:
    """A gateway that answers; `more` is of its settings."""
    with Backend() as backend:
        admin = free_port()
        settings: dict[str, Any] = {"services": {"app.test": backend.url}, "rate_limit": MANY, **more}
        gateway = Gateway(folder, {**settings, "admin": {"listen": f"127.0.0.1:{admin}"}}, command=command)
        gateway.command += ["--"] if command[-1] == "run" else []
        gateway.command += ["-s", str(script)] if script is not None else []
        gateway.process = process = subprocess.Popen(
            gateway.command,
            env={**gateway.environ, "PYTHONUNBUFFERED": ""},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.DEVNULL if error is None else error,
            pipesize=PIPE_BYTES,
        )
        try:
            _wait_until_it_serves(gateway)
            yield Running(gateway, admin)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(TIMEOUT_S)
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


def _wait_until_it_serves(gateway: Gateway) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        assert gateway.process
        assert gateway.process.poll() is None, gateway.process.returncode
        assert time.monotonic() < deadline
        try:
            if status_of(gateway.raw(ASKED, timeout=3)) == 200:
                return
        except OSError:
            time.sleep(0.05)


@pytest.mark.parametrize("command", [RUN, SCRIPT], ids=["run", "script"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_reader_that_stalls_stops_no_traffic_and_learns_how_many_lines_it_has_missed(
    command: list[str], form: str, tmp_path: Path
) -> None:
    script = tmp_path / "small.py"
    script.write_text("import sys\ndef running():\n    sys.stdout._max_bytes = 16384\n")  # so that fewer requests do
    with running(tmp_path, command, subprocess.PIPE, script=script, log={"format": form}) as gateway:
        gateway.ask(REQUESTS)
        lost = gateway.wait_for_unwritten(100)
        assert gateway.process.stdout
        gateway.process.send_signal(signal.SIGTERM)
        lines = gateway.process.stdout.read().decode().splitlines()
        assert gateway.process.wait(TIMEOUT_S) == 0
    found = [int(line.split("path", 1)[1].split("/")[1]) for line in lines if "/xxx" in line]
    assert found == sorted(set(found)), "in order, and each once"
    assert found[:10] == list(range(10))
    gaps = re.findall(r"(\d+) lines? of the log could not be written before this one", "\n".join(lines))
    assert sum(map(int, gaps)) >= max(lost, REQUESTS - len(found)), "each gap is told at its place"


@pytest.mark.parametrize("command", [RUN, SCRIPT], ids=["run", "script"])
def test_nobody_reads_to_the_very_end(command: list[str], tmp_path: Path) -> None:
    with running(tmp_path, command, subprocess.PIPE) as gateway:
        gateway.ask(REQUESTS)
        assert gateway.end() == 0, "it waits for the reader only so long"


@pytest.mark.parametrize("command", [RUN, SCRIPT], ids=["run", "script"])
def test_a_reader_that_has_gone_ends_nothing_and_what_it_misses_is_counted(command: list[str], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with running(tmp_path, command, writing, subprocess.PIPE) as gateway:
        os.close(writing)
        os.close(reading)
        gateway.ask(20)
        gateway.wait_for_unwritten(20)
        assert gateway.end() == 0
        assert gateway.process.stderr
        said = gateway.process.stderr.read().decode()
    assert said == "livegate: the log cannot be written: Broken pipe\n"


@pytest.mark.parametrize("command", [RUN, SCRIPT], ids=["run", "script"])
def test_a_full_disk_ends_nothing(command: list[str], tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full, running(tmp_path, command, full, full) as gateway:
        gateway.ask(20)
        gateway.wait_for_unwritten(20)
        assert gateway.end() == 0


def test_flows_that_mitmdump_prints_are_dropped_as_well(tmp_path: Path) -> None:
    with running(tmp_path, [*RUN, "--", "--set", "flow_detail=3"], subprocess.PIPE) as gateway:
        gateway.ask(300)
        assert gateway.end() == 0


def test_it_starts_without_any_standard_stream(tmp_path: Path) -> None:
    shell = ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *RUN]
    with running(tmp_path, shell, subprocess.DEVNULL) as gateway:
        gateway.ask(20)
        opened = {str(Path(f"/proc/{gateway.process.pid}/fd/{number}").readlink()) for number in range(3)}
        assert opened == {"/dev/null"}
        assert gateway.end() == 0
