"""Processes of the demo apps: start, health check, restart and stop. Used by `livegate demo` and the tests."""

import http.client
import os
import secrets
import ssl
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from livegate.demo import DemoUnavailableError, require
from livegate.demo.app_main import READY

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 3.0
MAX_LINES = 40
MAX_LINE_BYTES = 8192
HOST = "127.0.0.1"
PACKAGE_FOLDER = Path(__file__).resolve().parents[2]


class Output:
    """Thread that reads an app's output, so that the app never blocks on a full pipe; keeps the last lines."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.port = 0
        self.port_known = threading.Event()
        """Set when the app has reported its port, or ended without."""
        self._last: deque[str] = deque(maxlen=MAX_LINES)
        self._stream = stream
        self._thread = threading.Thread(target=self._read, name="demo output", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._stream:
            while line := self._stream.readline(MAX_LINE_BYTES):
                text = line.decode(errors="replace").rstrip()
                if text.startswith(READY) and not self.port:
                    self.port = int(text.removeprefix(READY))
                    self.port_known.set()
                else:
                    self._last.append(text)
        self.port_known.set()

    def text(self) -> str:
        """Return the last lines of an app that has ended."""
        self._thread.join(STOP_TIMEOUT_S)
        return "\n".join(self._last).strip()


class App:
    """App in its own process, which ends with this process, even if that is killed.

    Port 0 is any free port, which a restart keeps.
    """

    def __init__(self, module: str, port: int, *arguments: str) -> None:
        self._port = port
        self._module = module
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._output: Output | None = None
        # Kept over restarts, so that pages which are open can come back with the tokens they have.
        self._secret = os.environ.get("PYVIEW_SECRET") or secrets.token_urlsafe(32)

    @property
    def port(self) -> int:
        """Return the port. For port 0, wait until the app has reported it; 0 if it never did."""
        if not self._port and self._output is not None:
            self._output.port_known.wait(START_TIMEOUT_S)
            self._port = self._output.port
        return self._port

    @property
    def pid(self) -> int:
        """Return the process id; 0 if it is not started."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start the app unless it runs; `wait` returns when it responds."""
        if self._process is not None:
            return
        path = os.pathsep.join(filter(None, (str(PACKAGE_FOLDER), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(  # noqa: S603 - our own modules
            [sys.executable, "-m", self._module, "--port", str(self._port), "--exit-with-parent", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": path, "PYVIEW_SECRET": self._secret},
            start_new_session=True,  # a Ctrl-C in the terminal is for the gateway, which then ends the apps
        )
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        self._output = Output(self._process.stdout)

    def wait(self) -> None:
        """Wait until the app responds. Raises DemoUnavailableError if it ends first, or after START_TIMEOUT_S."""
        if self._process is None or self._output is None:
            msg = f"{self._module} was not started"
            raise DemoUnavailableError(msg)
        deadline = time.monotonic() + START_TIMEOUT_S
        self._output.port_known.wait(START_TIMEOUT_S)
        self._port = self._output.port or self._port
        if self._output.port and self._is_healthy(deadline - time.monotonic()):
            return
        try:
            status = self._process.wait(0.0 if time.monotonic() >= deadline else STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            msg = f"{self._module} runs but did not answer on port {self._port} within {START_TIMEOUT_S:.0f} s"
            raise DemoUnavailableError(msg) from None
        msg = f"{self._module} ended with status {status}: {self._output.text() or 'it printed nothing'}"
        raise DemoUnavailableError(msg)

    def kill(self) -> None:
        """Kill the app (SIGKILL); its connections are lost without a close frame."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def stop(self) -> None:
        """Stop the app (SIGTERM), and kill it after STOP_TIMEOUT_S."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reap()

    def _reap(self) -> None:
        assert self._process is not None  # noqa: S101 - callers have looked
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None

    def _is_healthy(self, timeout_s: float) -> bool:
        connection: http.client.HTTPConnection
        if "--tls" in self._arguments:
            trusting = ssl._create_unverified_context()  # noqa: S323, SLF001 - our own child, reached over loopback
            connection = http.client.HTTPSConnection(HOST, self._port, timeout=max(timeout_s, 0.1), context=trusting)
        else:
            connection = http.client.HTTPConnection(HOST, self._port, timeout=max(timeout_s, 0.1))
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class DemoProcesses:
    """Context manager that runs both apps. Port 0 is any free port.

    Entering raises DemoUnavailableError if a library is missing or an app does not start; then neither runs.
    """

    def __init__(self, live_port: int = 4000, echo_port: int = 4001) -> None:
        self.live = App("livegate.demo.live", live_port)
        self.echo = App("livegate.demo.echo", echo_port)

    @property
    def live_url(self) -> str:
        """Return the URL of the LiveView app."""
        return f"http://{HOST}:{self.live.port}"

    @property
    def echo_url(self) -> str:
        """Return the URL of the echo app."""
        return f"http://{HOST}:{self.echo.port}"

    def kill_live(self) -> None:
        """Kill the LiveView app (SIGKILL), like a crash of the whole backend."""
        self.live.kill()

    def restart_live(self) -> None:
        """Restart the LiveView app on its port, and wait until it responds."""
        self.live.stop()
        self.live.start()
        self.live.wait()

    def __enter__(self) -> Self:
        require()
        try:
            for app in (self.live, self.echo):
                app.start()
            for app in (self.live, self.echo):
                app.wait()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        try:
            self.live.stop()
        finally:
            self.echo.stop()
