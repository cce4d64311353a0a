"""The processes of a soak: the app, `livegate run` with an admin listener, and the clients."""

import itertools
import json
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from tests.bench.machine import CHECKOUT, free_port
from tests.bench.processes import Process, StartError
from tests.bench.subjects import find_program

from .clients import HOST, Pace, Plan

PATIENCE_S = 60.0
OPEN_WITHIN_S = 180.0
"""All tabs, beside the HTTP requests; a slow machine opens ten a second."""
LOG = "output.txt"


def _folder(folder: Path, name: str) -> Path:
    own = folder / name
    own.mkdir(exist_ok=True)
    return own


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"tests.bench.soak.{name}", *arguments]


class App(Process):
    """The backend."""

    def __init__(self, cores: frozenset[int], folder: Path) -> None:
        super().__init__(
            _module("backend"),
            cores=cores,
            folder=_folder(folder, "app"),
            environ={"PYTHONPATH": str(CHECKOUT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.port = 0

    def __enter__(self) -> Self:
        super().__enter__()
        assert self.popen.stdout
        line = self.popen.stdout.readline()
        if not line:
            self.__exit__(None, None, None)
            raise StartError(f"the app did not start\n{self.output_tail()}")
        self.port = json.loads(line)["port"]
        return self


class SoakedGateway(Process):
    """`livegate run`, whose settings are written anew again and again."""

    def __init__(self, cores: frozenset[int], folder: Path, app_port: int, *, frame_log: bool) -> None:
        own = _folder(folder, "gateway")
        self.port, admin_port = free_port(), free_port()
        self.admin_url = f"http://127.0.0.1:{admin_port}/"
        self.written = 0
        self.log = own / LOG
        # In a folder of its own, as that is watched: each line of the log would wake up whoever watches it.
        self._file = _folder(own, "settings") / "gateway.yaml"
        self._settings: dict[str, Any] = {
            "listen": f"127.0.0.1:{self.port}",
            "admin": {"listen": f"127.0.0.1:{admin_port}"},
            "services": {HOST: f"http://127.0.0.1:{app_port}"},
            "rate_limit": {"user": "1000000/minute", "ip": "1000000/minute"},
            "websocket": {"max_connections": {"per_client": 5000}},
            "timeouts": {"drain": "1s"},
            "log": {"format": "json"},
        }
        if frame_log:
            self._settings["inspect"] = {"frame_log": {"path": str(own / "frames.jsonl"), "keep": 1}}
        program = find_program("livegate")
        assert program, "make install"
        command = [program, "run", "--", "--set", f"confdir={own / 'mitmproxy'}"]
        super().__init__(command, cores=cores, folder=own, environ={"GATEWAY_CONFIG_FILE": str(self._file)})

    def __enter__(self) -> Self:
        self._write(self._settings)
        super().__enter__()
        try:
            self._wait()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.popen.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.popen.wait(PATIENCE_S)
        super().__exit__(kind, error, trace)

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and self.popen.poll() is None:
            try:
                urllib.request.urlopen(f"{self.admin_url}readyz", timeout=2).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise StartError(f"the gateway is not ready\n{self.output_tail()}")

    def rewrite(self) -> None:
        """Other settings, which change nothing for the clients: a service more or less, another bound."""
        self.written += 1
        services, number = dict(self._settings["services"]), self.written
        if number % 2:
            services["extra.test"] = "http://127.0.0.1:9"
        bounds = {"max_connections": {"per_client": 5000 + number % 7}, "max_message": f"{16 + number % 3}MiB"}
        self._write({**self._settings, "services": services, "websocket": bounds})

    def _write(self, settings: dict[str, Any]) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(yaml.safe_dump(settings))
        fresh.replace(self._file)

    def metrics(self) -> dict[str, float]:
        """All samples of /metrics by name and labels, as they stand in the text."""
        with urllib.request.urlopen(f"{self.admin_url}metrics", timeout=PATIENCE_S) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def overview(self) -> dict[str, Any]:
        """What the API says at a glance."""
        with urllib.request.urlopen(f"{self.admin_url}api/v1/overview", timeout=PATIENCE_S) as answer:
            told: dict[str, Any] = json.load(answer)
            return told


class Clients(Process):
    """The load."""

    def __init__(self, cores: frozenset[int], folder: Path, plan: Plan) -> None:
        super().__init__(
            _module("clients", json.dumps(asdict(plan))),
            cores=cores,
            folder=_folder(folder, "clients"),
            environ={"PYTHONPATH": str(CHECKOUT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.last: dict[str, Any] = {}
        """What they have told last."""

    def __enter__(self) -> Self:
        super().__enter__()
        threading.Thread(target=self._read, name="clients", daemon=True).start()
        return self

    def _read(self) -> None:
        assert self.popen.stdout
        for line in self.popen.stdout:
            self.last = json.loads(line)

    def wait_until_open(self, sockets: int) -> None:
        """Until nearly all have their first socket. Raises StartError."""
        for _ in itertools.takewhile(lambda _: self.popen.poll() is None, range(int(OPEN_WITHIN_S * 10))):
            if self.last.get("tabs", 0) >= sockets:
                return
            time.sleep(0.1)
        raise StartError(f"not all sockets were opened: {self.last}\n{self.output_tail()}")

    def change(self, pace: Pace) -> None:
        """Go on at another pace, and count anew."""
        assert self.popen.stdin
        self.popen.stdin.write(json.dumps(asdict(pace)).encode() + b"\n")
        self.popen.stdin.flush()
