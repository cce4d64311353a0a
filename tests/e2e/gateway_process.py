"""The gateway as a real process, as a user starts it, and raw sockets to talk to it."""

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import yaml

from ports import free_port

CHECKOUT = Path(__file__).resolve().parents[2]
MITMDUMP = Path(sys.executable).with_name("mitmdump")
START_TIMEOUT_S = 60
TIMEOUT_S = 60
"""Of what should come at once, on a machine that does much else."""
STOP_TIMEOUT_S = 20


class Output:
    """The lines that a process has printed; can be waited for."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.lines: list[str] = []
        self._arrived: queue.Queue[str | None] = queue.Queue()
        assert process.stdout
        self._thread = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._thread.start()

    def _read(self, stream: Any) -> None:
        for line in stream:
            text = line.decode(errors="replace").rstrip("\n")
            self.lines.append(text)
            self._arrived.put(text)
        self._arrived.put(None)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, fragment: str, *, since: int = 0, timeout: float = TIMEOUT_S) -> str:
        """The first line from `since` on that contains a fragment."""
        deadline = time.monotonic() + timeout
        while True:
            found = next((line for line in self.lines[since:] if fragment in line), None)
            if found is not None:
                return found
            left = deadline - time.monotonic()
            try:
                ended = self._arrived.get(timeout=max(0.01, left)) is None
            except queue.Empty:
                ended = False
            if ended or left <= 0:
                found = next((line for line in self.lines[since:] if fragment in line), None)
                if found is not None:
                    return found
                raise AssertionError(f"{fragment!r} was not printed:\n{self.text}")

    def join(self) -> None:
        self._thread.join(TIMEOUT_S)


class Gateway:
    """`mitmdump -s addons/gateway.py` (or another command) with settings of the test's own.

    mitmproxy's own tools start on the port of the settings. With `bare` they are given no port, start on 8080, and need
    the fixture `default_port`.
    """

    def __init__(
        self,
        folder: Path,
        settings: dict[str, Any] | str,
        *arguments: str,
        command: list[str] | None = None,
        environ: dict[str, str] | None = None,
        bare: bool = False,
    ) -> None:
        self.port = free_port()
        self.folder = folder
        self.config = folder / "gateway.yaml"
        self.write(settings)
        base = command or [str(MITMDUMP), "-s", str(CHECKOUT / "addons" / "gateway.py")]
        self.command = [*base, *arguments]
        if not bare and Path(base[0]).name.startswith("mitm"):
            self.command += ["--listen-port", str(self.port)]
        self.environ = {
            **os.environ,
            "GATEWAY_CONFIG_FILE": str(self.config),
            "PYTHONUNBUFFERED": "1",
            **(environ or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.output: Output

    def write(self, settings: dict[str, Any] | str) -> None:
        text = (
            settings if isinstance(settings, str) else yaml.safe_dump({"listen": f"127.0.0.1:{self.port}", **settings})
        )
        fresh = self.config.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.config)

    def start(self) -> Self:
        self.process = subprocess.Popen(
            self.command,
            env=self.environ,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.output = Output(self.process)
        return self

    def ready(self) -> Self:
        """Wait until it serves as a reverse proxy on its port."""
        self.output.wait_for(f"listening at 127.0.0.1:{self.port}", timeout=START_TIMEOUT_S)
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert time.monotonic() < deadline, self.output.text
                assert self.process, "not started"
                assert self.process.poll() is None, self.output.text
                time.sleep(0.02)
            else:
                return self

    def ended(self) -> int:
        """Wait until the process ends by itself; return its exit status."""
        assert self.process
        try:
            return self.process.wait(TIMEOUT_S)
        finally:
            self.__exit__(None, None, None)

    def __enter__(self) -> Self:
        self.start()
        try:
            return self.ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
        if self.process:
            self.process.wait()
            self.output.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def rss(self) -> int:
        assert self.process
        return psutil.Process(self.process.pid).memory_info().rss

    def raw(self, data: bytes, *, timeout: float = TIMEOUT_S, half_close: bool = False) -> bytes:
        """Send bytes, return everything that comes back until the gateway closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as conn:
            conn.sendall(data)
            if half_close:
                conn.shutdown(socket.SHUT_WR)
            return receive_all(conn)


def eventually(condition: Callable[[], object], *, timeout: float = TIMEOUT_S) -> None:
    """Wait for a condition, looking again and again."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.02)


def receive_all(conn: socket.socket) -> bytes:
    received = bytearray()
    while True:
        try:
            data = conn.recv(65536)
        except ConnectionResetError:
            return bytes(received)
        if not data:
            return bytes(received)
        received += data


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else 0


def header_of(answer: bytes, name: str) -> list[str]:
    head = answer.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
    return [line.partition(":")[2].strip() for line in head if line.partition(":")[0].lower() == name.lower()]
