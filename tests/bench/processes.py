"""Processes that are measured, or measured with: started on chosen cores, and ended in any case."""

import ctypes
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from .machine import pinned

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
PR_SET_PDEATHSIG = 1
OUTPUT_TAIL_CHARACTERS = 1500


class StartError(Exception):
    """A process did not start; the text has its last output."""


@dataclass(frozen=True)
class Ports:
    """Where the backend serves, on 127.0.0.1."""

    websocket: int
    http: int
    liveview: int = 0


def _exit_with_parent() -> Callable[[], None] | None:
    """What lets a child of Linux end when this process dies in a way that runs no more code."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Process:
    """One started program with all of its children. A context manager: they are gone when it is left."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        cores: frozenset[int],
        folder: Path,
        environ: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
        stdout: int | None = None,
    ) -> None:
        self._command = list(command)
        self.cores = cores
        self._folder = folder
        self._environ = {**os.environ, **(environ or {})}
        self._stdin = stdin
        self._stdout = stdout
        self._log = folder / "output.txt"
        self.popen: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        with pinned(self.cores), self._log.open("wb") as log:
            self.popen = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environ,
                stdin=self._stdin,
                stdout=log if self._stdout is None else self._stdout,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches the measurement alone, which then ends this one
                preexec_fn=_exit_with_parent(),
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe:
                pipe.close()
        self._signal(signal.SIGTERM)
        try:
            self.popen.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            pass  # killed below
        finally:
            self._signal(signal.SIGKILL)
            self.popen.wait()

    def _signal(self, number: signal.Signals) -> None:
        """Signal the whole group, which lives as long as any of its members."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.popen.pid, number)

    def tree(self) -> list[psutil.Process]:
        """The process and its children, as they are now."""
        root = psutil.Process(self.popen.pid)
        return [root, *root.children(recursive=True)]

    def rss(self) -> int:
        """Resident memory of the whole tree, in bytes."""
        return sum(process.memory_info().rss for process in self.tree())

    def cpu_s(self) -> float:
        """Processor time that the whole tree has used, in seconds."""
        return sum(times.user + times.system for times in (process.cpu_times() for process in self.tree()))

    def output_tail(self) -> str:
        """The end of what it has printed."""
        try:
            return self._log.read_text(errors="replace")[-OUTPUT_TAIL_CHARACTERS:].strip()
        except OSError:
            return ""

    def wait_until_serving(self, port: int, body: bytes) -> None:
        """Return as soon as a GET to a port of 127.0.0.1 has the backend's answer."""
        deadline = time.monotonic() + START_TIMEOUT_S
        last: object = "nothing tried"
        while time.monotonic() < deadline:
            if self.popen.poll() is not None:
                raise StartError(f"ended with status {self.popen.returncode}\n{self.output_tail()}")
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            try:
                connection.request("GET", "/", headers={"Connection": "close"})
                response = connection.getresponse()
                content = response.read()
                if response.status == http.HTTPStatus.OK and content == body:
                    return
                last = f"{response.status} {content[:200]!r}"
            except (OSError, http.client.HTTPException) as error:
                last = error
            finally:
                connection.close()
            time.sleep(0.05)
        raise StartError(f"does not serve after {START_TIMEOUT_S:.0f} s: {last}\n{self.output_tail()}")


class Backend(Process):
    """The server behind all proxies."""

    def __init__(self, *, cores: frozenset[int], folder: Path) -> None:
        script = Path(__file__).with_name("backend.py")
        super().__init__(
            [sys.executable, str(script)], cores=cores, folder=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.ports: Ports

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            assert self.popen.stdout
            line = self.popen.stdout.readline()
            if not line:
                raise StartError(f"the backend did not start\n{self.output_tail()}")
            self.ports = Ports(**json.loads(line))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self
