"""Whatever the gateway answers, and whenever, Phoenix's own clients of 1.5 to 1.8 come back by themselves."""

import json
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from backends import Scripted, read_request
from gateway_process import Gateway, free_port, receive_all, status_of

pytestmark = pytest.mark.unmeasured

VERSIONS = [f"{minor}-{which}" for minor in ("1.5", "1.6", "1.7", "1.8") for which in ("first", "last")] + [
    "1.8-middle"
]
WITH_FALLBACK = ["1.7-last", "1.8-first", "1.8-middle", "1.8-last"]
"""Those that know `longPollFallbackMs`."""
STATUSES = (404, 429, 503)
TOO_LARGE = 128 * 1024
HERE = Path(__file__).parent
LIMIT_S = 120.0
type Seen = dict[str, dict[str, Any]]


class Process:
    """A helper process that says a line for each that it is told."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put(line)

    def line(self, timeout: float = LIMIT_S) -> str:
        return self._lines.get(timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()


class App(Process):
    def __init__(self, port: int) -> None:
        super().__init__(sys.executable, str(HERE / "longpoll_app.py"), str(port))
        assert self.line() == "listening\n"


class Clients(Process):
    """`tests/clients/clients.mjs`."""

    def __init__(self, folder: Path, base: str) -> None:
        super().__init__("node", str(folder.parent / "clients.mjs"), base)

    def _tell(self, **command: Any) -> Any:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return json.loads(self.line(LIMIT_S + 10))

    def open(self, specs: list[dict[str, Any]], *, eager: bool = False) -> None:
        self._tell(open=specs, eager=eager)

    def wait_refused(self, only: str | None = None) -> None:
        """Wait until each client (of a transport) has been refused or lost."""
        assert not (untouched := self._tell(wait=int(LIMIT_S * 1000), only=only)), untouched

    def ask(self, *, seen: bool = False) -> Seen:
        """Wait until each has pushed and been answered; nothing may have been thrown meanwhile."""
        found = self._tell(ask=int(LIMIT_S * 1000), seen=seen)
        assert not found["failed"], found["failed"]
        clients: Seen = found["clients"]
        assert not (dead := {name: one for name, one in clients.items() if not one["answered"]}), dead
        return clients


def settings(port: int, **more: Any) -> dict[str, Any]:
    return {
        "services": {"default": f"http://127.0.0.1:{port}"},
        "rate_limit": {"user": None, "ip": None},
        "limits": {"body": "64KiB", "stream_above": "64KiB"},
        "timeouts": {"response": "5s", "upgrade": "2s", "drain": "3s", "request_head": "1s"},
        **more,
    }


@pytest.fixture(scope="module")
def app_port() -> Iterator[int]:
    port = free_port()
    with App(port):
        yield port


@pytest.fixture(scope="module")
def gateway(app_port: int, folder: Path) -> Iterator[Gateway]:
    with Gateway(folder, settings(app_port), "-s", str(HERE / "refusing.py")) as made:
        yield made


def specs(phase: str, fault: str) -> list[dict[str, Any]]:
    """Clients of all versions that meet a fault in a phase, over the transport of that phase."""

    def spec(version: str, transport: str, **more: Any) -> dict[str, Any]:
        name = f"{phase}/{fault}/{version}/{'fallback' if more else transport}"
        return {"id": name, "version": version, "transport": transport, **more}

    falling_back = [spec(version, "websocket", fallback=1500) for version in WITH_FALLBACK]
    if phase == "start":
        return falling_back
    if phase == "upgrade":
        return [spec(version, "websocket") for version in VERSIONS] + falling_back
    return [spec(version, "longpoll") for version in VERSIONS]


@pytest.mark.parametrize("phase", ["open", "join", "poll", "send", "upgrade", "start"])
def test_every_answer_in_every_phase_is_survived(gateway: Gateway, phoenix_clients: Path, phase: str) -> None:
    faults = [*map(str, STATUSES), "die", "garbage", *(["hang"] if phase in ("poll", "send", "upgrade") else [])]
    with Clients(phoenix_clients, gateway.url) as clients:
        wanted = [spec for fault in faults for spec in specs(phase, fault)]
        clients.open(wanted, eager=True)
        found = clients.ask(seen=True)
    assert len(found) == len(wanted)
    expected = {"die": 502, "garbage": 502, "hang": 504}
    for name, one in found.items():
        fault = name.split("/")[1]
        patient = one["seen"] != [0] or not name.endswith("fallback")  # else it gave the upgrade up before the answer
        assert not patient or (expected.get(fault) or int(fault)) in one["seen"], (name, one)


def test_a_message_or_a_cookie_that_is_too_large_is_survived(gateway: Gateway, phoenix_clients: Path) -> None:
    longpoll: dict[str, Any] = {"transport": "longpoll"}
    tabs = [{"id": f"large/413/{one}", "version": one, "bytes": TOO_LARGE, **longpoll} for one in VERSIONS]
    tabs += [{"id": f"large/431/{one}", "version": one, "cookie": "x" * TOO_LARGE, **longpoll} for one in VERSIONS]
    with Clients(phoenix_clients, gateway.url) as clients:
        clients.open(tabs, eager=True)
        found = clients.ask(seen=True)
    for name, one in found.items():
        assert int(name.split("/")[1]) in one["seen"], (name, one)


EARLY = {
    "a head with too many fields": (431, b"GET /live/longpoll?vsn=2.0.0 HTTP/1.1\r\n" + b"X: 1\r\n" * 500 + b"\r\n"),
    "a head that does not end": (431, b"GET /live/longpoll?vsn=2.0.0 HTTP/1.1\r\nX: " + b"a" * 100_000),
    "a line that is too long": (414, b"GET /live/longpoll?" + b"a" * 100_000),
    "a malformed field": (400, b"GET /live/longpoll?token=x HTTP/1.1\r\nHost: app.test\r\nX\r\n\r\n"),
    "an unknown version": (400, b"POST /live/longpoll?token=x HTTP/3.1\r\nHost: app.test\r\n\r\n"),
    "no Host": (400, b"GET /live/longpoll HTTP/1.1\r\n\r\n"),
    "a length that is none": (400, b"POST /live/longpoll HTTP/1.1\r\nHost: app.test\r\nContent-Length: x\r\n\r\n"),
    "a chunk that is none": (
        400,
        b"POST /live/longpoll HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    ),
    "a head that is slow": (408, b"GET /live/longpoll?vsn=2.0.0 HTTP/1.1\r\nHost: app."),
}


@pytest.mark.parametrize("name", EARLY)
def test_a_request_that_is_refused_early_is_told_the_same(gateway: Gateway, name: str) -> None:
    status, request = EARLY[name]
    answer = gateway.raw(request)
    body = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (status_of(answer), body["status"], body["http_status"]) == (status, 500, status)


def tabs(name: str) -> list[dict[str, Any]]:
    """A client of each version on each transport that it has."""
    made = [
        {"id": f"{name}/{version}/{transport}", "version": version, "transport": transport}
        for version in VERSIONS
        for transport in ("longpoll", "websocket")
    ]
    fallback = {"transport": "websocket", "fallback": 1500}
    return made + [{"id": f"{name}/{version}/fallback", "version": version, **fallback} for version in WITH_FALLBACK]


class TestAllTabs:
    """One trouble after the other, with the same tabs."""

    @pytest.fixture(scope="class")
    def clients(self, gateway: Gateway, phoenix_clients: Path) -> Iterator[Clients]:
        with Clients(phoenix_clients, gateway.url) as made:
            made.open(tabs("tab"))
            yield made

    def reload(self, gateway: Gateway, settings: dict[str, Any]) -> None:
        since = len(gateway.output.lines)
        gateway.write(settings)
        gateway.output.wait_for("settings reloaded", since=since)

    def test_a_service_that_a_reload_takes_away_and_gives_back(
        self, gateway: Gateway, clients: Clients, app_port: int
    ) -> None:
        without = {**settings(app_port), "services": {"other.test": f"http://127.0.0.1:{app_port}"}}
        self.reload(gateway, without)
        clients.wait_refused()
        self.reload(gateway, settings(app_port))
        seen = clients.ask()
        assert all(404 in one["seen"] for one in seen.values()), seen

    def test_a_rate_limit(self, gateway: Gateway, clients: Clients, app_port: int) -> None:
        self.reload(gateway, settings(app_port, rate_limit={"user": None, "ip": "5/minute"}))
        clients.wait_refused("longpoll")
        self.reload(gateway, settings(app_port))
        seen = clients.ask()
        assert all(429 in one["seen"] for one in seen.values() if one["transport"] == "longpoll"), seen

    def test_a_restart_of_the_gateway(self, gateway: Gateway, clients: Clients) -> None:
        assert gateway.process
        gateway.process.terminate()
        gateway.process.wait(LIMIT_S)
        gateway.start().ready()
        clients.wait_refused()
        clients.ask()


def test_a_poll_that_waits_is_answered_when_the_gateway_stops(tmp_path: Path) -> None:
    asked = threading.Event()

    def never_answer(conn: socket.socket, _: int) -> None:
        read_request(conn)
        asked.set()
        conn.recv(1)

    with Scripted(never_answer) as app, Gateway(tmp_path, {"services": {"default": app.url}}) as gateway:
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=LIMIT_S) as conn:
            conn.sendall(b"GET /live/longpoll?vsn=2.0.0&token=x HTTP/1.1\r\nHost: app.test\r\n\r\n")
            assert asked.wait(LIMIT_S)
            assert gateway.process
            gateway.process.terminate()
            answer = receive_all(conn)
        assert status_of(answer) == 503
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == 500
        gateway.process.wait(LIMIT_S)
        gateway.output.join()
        assert "stopped with" not in gateway.output.text, "the poll has held the stop up"
        assert "error" not in gateway.output.text.lower()
