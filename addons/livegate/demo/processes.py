"""Starts the demo's apps as processes, waits until they answer, and leaves none behind."""

import http.client
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from livegate.demo import DemoUnavailableError

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 3.0
POLL_S = 0.05
HOST = "127.0.0.1"
PACKAGE_FOLDER = Path(__file__).resolve().parents[2]


class App:
    """One app in a process of its own, which ends when this one does."""

    def __init__(self, module: str, port: int, *arguments: str) -> None:
        self.port = port or free_port()
        self._command = [sys.executable, "-m", module, "--port", str(self.port), "--exit-with-parent", *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process's number, 0 when it is not started."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start it; `wait` says when it answers. Raises DemoUnavailableError when its port is taken."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, self.port))
            except OSError as error:
                msg = f"port {self.port} is taken ({error.strerror}); end what uses it"
                raise DemoUnavailableError(msg) from None
        path = os.pathsep.join(filter(None, (str(PACKAGE_FOLDER), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(  # noqa: S603 - our own modules
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )

    def wait(self) -> None:
        """Wait until it answers. Raises DemoUnavailableError when it ends or takes too long."""
        assert self._process is not None  # noqa: S101 - called after start
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _answers(self.port):
            if self._process.poll() is not None:
                assert self._process.stderr is not None  # noqa: S101 - a pipe
                last = self._process.stderr.read().decode(errors="replace").strip()[-2000:]
                msg = f"{self._command[2]} ended at once: {last or 'it said nothing'}"
                raise DemoUnavailableError(msg)
            if time.monotonic() > deadline:
                msg = f"{self._command[2]} does not answer on port {self.port}"
                raise DemoUnavailableError(msg)
            time.sleep(POLL_S)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._close()

    def stop(self) -> None:
        """End it politely, and at once when it does not listen."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._close()

    def _close(self) -> None:
        if self._process is not None:
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stderr):
                if pipe is not None:
                    pipe.close()
            self._process = None


class DemoProcesses:
    """Both apps, as a context: they answer inside it, and are gone after it. Port 0 is a free one."""

    def __init__(self, live_port: int = 4000, echo_port: int = 4001) -> None:
        self.live = App("livegate.demo.live", live_port)
        self.echo = App("livegate.demo.echo", echo_port)

    @property
    def live_url(self) -> str:
        """Where the LiveView app is."""
        return f"http://{HOST}:{self.live.port}"

    @property
    def echo_url(self) -> str:
        """Where the echo app is."""
        return f"http://{HOST}:{self.echo.port}"

    def __enter__(self) -> Self:
        try:
            for app in (self.live, self.echo):
                app.start()
            for app in (self.live, self.echo):
                app.wait()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()
        self.echo.stop()


def free_port() -> int:
    """A port of the loopback address that nobody uses now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=1)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status < http.client.INTERNAL_SERVER_ERROR
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
