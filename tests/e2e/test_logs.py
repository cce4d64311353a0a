"""The log of the real process: whose each line is, its level, no secret in it, and no flood."""

import json
import re
import socket
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from backends import Backend, Scripted, read_request
from gateway_process import MITMDUMP, Gateway, free_port, receive_all, status_of
from phoenix_server import answers, decoded, encoded
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import Server, ServerConnection, serve

CANARY = "CANARYcanary0123456789"
MANY = {"user": None, "ip": None}
GATEWAY_SCRIPT = str(Path(__file__).parents[2] / "addons" / "gateway.py")
COOKIE = f"Cookie: _app_key={CANARY}01; theme={CANARY}02"
BEARER = f"Authorization: Bearer {CANARY}03"
API_KEY = f"X-Api-Key: {CANARY}04"
SESSION_TOKEN = f"SFMyNTY.{CANARY}05.{CANARY}06"
PAGE = f'<meta name="csrf-token" content="{CANARY}07"><div id="phx-1" data-phx-main data-phx-session="{SESSION_TOKEN}">'
JOIN = {"url": f"http://ws.test/p?token={CANARY}08", "params": {"_csrf_token": f"{CANARY}09"}, "session": SESSION_TOKEN}
FORM = {"type": "form", "event": "swap", "value": f"user%5Bpassword%5D={CANARY}10"}

CLUMSY = """
from livegate.pipeline import headers

sort = headers._partition

def sort_or_fail(fields, *, trusted):
    if any(b"boom" in value for _, value in fields):
        raise ValueError(f"cannot sort {fields}")
    return sort(fields, trusted=trusted)

headers._partition = sort_or_fail

class Clumsy:
    def request(self, flow):
        if flow.request.path.startswith("/clumsy"):
            key = flow.request.headers["authorization"].split()[1]
            raise ValueError(f"{key} and {flow.request.headers['cookie']} of {flow.request.url}: {flow.request.content}")

    def websocket_message(self, flow):
        if b"clumsy" in flow.websocket.messages[-1].content:
            raise RuntimeError(f"cannot read {flow.websocket.messages[-1].text} of {flow.request.headers.items()}")

addons = [Clumsy()]
"""


def page_backend() -> Scripted:
    """Pages, and everything that can be wrong with an answer."""
    deaths: list[str] = []

    def script(conn: socket.socket, number: int) -> None:
        while head := read_request(conn):
            path = head.split(b" ")[1].decode()
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            if length is not None and not head.partition(b"\r\n\r\n")[2]:
                conn.recv(int(length[1]))
            match path.partition("?")[0]:
                case "/hang":
                    conn.recv(1)
                case "/bad-line":
                    conn.sendall(f"HTTP/1.1 {CANARY}11 token={CANARY}12\r\n\r\n".encode())
                    return
                case "/bad-field":
                    conn.sendall(f"HTTP/1.1 200 OK\r\nSet-Cookie\x01: a={CANARY}13\r\n\r\n".encode())
                    return
                case "/dies-once" if not deaths:
                    deaths.append(path)
                    return
                case "/style.css":
                    conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/css\r\nContent-Length: 0\r\n\r\n")
                case "/socket":
                    conn.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                case _:
                    fields = (
                        f"Set-Cookie: _app_key={CANARY}14\r\nContent-Type: text/html\r\nContent-Length: {len(PAGE)}"
                    )
                    conn.sendall(f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{PAGE}".encode())

    return Scripted(script)


def liveview_server() -> Server:
    """Answers as Phoenix does; a frame with `bye` in it closes the socket with words that nobody should say."""

    def handle(client: ServerConnection) -> None:
        for message in client:
            if "bye" in str(message):
                client.close(4001, f"token={CANARY}15")
                return
            for frame in answers(decoded(message)):
                client.send(encoded(frame, "2.0.0"))

    return serve(handle, "127.0.0.1", 0, subprotocols=["phoenix"], compression=None)


class Told:
    """What a gateway has printed while everything happened to it that its log knows of."""

    def __init__(self, folder: Path, form: str) -> None:
        clumsy = folder / "clumsy.py"
        clumsy.write_text(CLUMSY)
        with page_backend() as pages, liveview_server() as live:
            thread = threading.Thread(target=live.serve_forever)
            thread.start()
            ws_port = live.socket.getsockname()[1]
            services: dict[str, Any] = {
                "app.test": pages.url,
                "dead.test": f"http://127.0.0.1:{free_port()}",
                "ws.test": {
                    "backend": f"http://127.0.0.1:{ws_port}",
                    "websocket": {"allowed_origins": ["http://ws.test"]},
                },
                "few.test": {"backend": pages.url, "rate_limit": {"user": "1/hour"}},
            }
            settings = {
                "services": services,
                "rate_limit": MANY,
                "timeouts": {"response": "500ms", "request_head": "1s"},
            }
            settings |= {"log": {"format": form, "level": "debug"}, "trusted_proxies": ["127.0.0.1"]}
            with Gateway(folder, settings, "-s", str(clumsy), "--set", "liveview_log=frames") as gateway:
                self.gateway = gateway
                self._requests()
                self._sockets()
                gateway.write({**settings, "timeouts": {"response": "600ms"}})
                gateway.output.wait_for("settings reloaded")
            live.shutdown()
            thread.join(10)
        self.text = gateway.output.text
        self.lines = gateway.output.lines

    def ask(self, path: str, *fields: str, host: str = "app.test", method: str = "GET", body: str = "") -> int:
        sent = [f"{method} {path} HTTP/1.1", f"Host: {host}", COOKIE, BEARER, API_KEY, *fields]
        sent += [f"Content-Length: {len(body)}"] if body else []
        return status_of(self.gateway.raw("\r\n".join([*sent, "Connection: close", "", body]).encode()))

    def _requests(self) -> None:
        ask = self.ask
        query = f"?_csrf_token={CANARY}16&code={CANARY}17"
        password = f"user%5Bpassword%5D={CANARY}18"
        form = "Content-Type: application/x-www-form-urlencoded"
        forwarded = ("X-Forwarded-For: 203.0.113.9", "Origin: http://app.test", "X-Forwarded-Host: public.test")
        assert ask(f"/count{query}", *forwarded) == 200
        assert ask(f"/users/reset/SFMyNTY.{CANARY}19.{CANARY}20/edit") == 200
        assert ask("/style.css", *forwarded, f"Referer: http://app.test/count{query}") == 200
        assert ask("/form", form, method="POST", body=password) == 200
        assert ask(f"/dead{query}", host="dead.test") == 502
        assert ask(f"/unmapped{query}", host="unknown.test") == 404
        assert ask(f"/hang{query}") == 504
        assert ask(f"/bad-line{query}") == 502
        assert ask(f"/bad-field{query}") == 502
        assert ask(f"/clumsy{query}", form, method="POST", body=password) == 200
        assert ask(f"/boom{query}", "X-Boom: boom") == 500
        assert [ask(f"/few{query}", host="few.test") for _ in range(2)] == [200, 429]
        assert ask(f"/odd{query}", f"Bad Field: {CANARY}21") == 400
        assert status_of(self.gateway.raw(f"GET /slow{query} HTTP/1.1\r\n{COOKIE}\r\n".encode())) == 408
        assert status_of(self.gateway.raw(f"{CANARY}22 /{query} HTTP/9\r\n{COOKIE}\r\n\r\n".encode())) in (400, 505)
        with socket.create_connection(("127.0.0.1", self.gateway.port), timeout=60) as conn:
            conn.sendall(f"GET /first HTTP/1.1\r\nHost: app.test\r\n{COOKIE}\r\n\r\n".encode())
            while PAGE.encode() not in conn.recv(65536):
                pass
            conn.sendall(f"GET /dies-once{query} HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n".encode())
            assert status_of(receive_all(conn)) == 200

    def _open(self, host: str = "ws.test", path: str = "/live/websocket", origin: str = "http://ws.test") -> Any:
        return connect(
            f"ws://{host}:{self.gateway.port}{path}?_csrf_token={CANARY}23&vsn=2.0.0",
            sock=socket.create_connection(("127.0.0.1", self.gateway.port)),
            subprotocols=["phoenix", f"base64url.bearer.phx.{CANARY}24"],  # type: ignore[list-item]
            additional_headers={"Cookie": f"_app_key={CANARY}01"},
            origin=origin,  # type: ignore[arg-type]
            compression=None,
        )

    def _sockets(self) -> None:
        for host, path, origin in (
            ("ws.test", "/live/websocket", "http://evil.test"),
            ("app.test", "/socket", "http://x"),
        ):
            with pytest.raises(InvalidStatus, match="HTTP 403"):
                self._open(host, path, origin)
        for last in ("bye", "clumsy", "broken frame"):
            with self._open() as client:
                client.send(json.dumps(["4", "4", "lv:phx-1", "phx_join", JOIN]))
                client.recv(10)
                client.send(json.dumps(["4", "5", "lv:phx-1", "event", FORM]))
                client.recv(10)
                if last == "broken frame":
                    client.socket.sendall(b"\xff" + f"{CANARY}25".encode())
                else:
                    client.send(
                        json.dumps(["4", "6", "lv:phx-1", "event", {**FORM, "value": f"{last}&{FORM['value']}"}])
                    )
                if last == "clumsy":
                    client.recv(10)
                    client.close()
                else:
                    with pytest.raises(ConnectionClosed):
                        client.recv(10)


@pytest.fixture(scope="module")
def as_text(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return Told(tmp_path_factory.mktemp("text"), "text")


@pytest.fixture(scope="module")
def as_json(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return Told(tmp_path_factory.mktemp("json"), "json")


@pytest.fixture(scope="module")
def entries(as_json: Told) -> list[dict[str, Any]]:
    """The JSON lines, of which there is nothing else from the first one on."""
    begin = next(index for index, line in enumerate(as_json.lines) if line.startswith("{"))
    return [json.loads(line) for line in as_json.lines[begin:]]


@pytest.mark.parametrize("form", ["as_text", "as_json"])
def test_no_secret_is_in_the_log_whatever_happens(form: str, request: pytest.FixtureRequest) -> None:
    told: Told = request.getfixturevalue(form)
    leaks = [line for line in told.lines if CANARY in line]
    assert not leaks, "\n".join(leaks)
    happened = (
        "backend-unreachable",
        "timeout-response",
        "unmapped-host",
        "rate-limit-user",
        "origin-refused",
        "request-head-slow",
        "internal-error",
        "Addon error: ",
        "Headers.requestheaders failed",
        "is sent again",
        "close_code",
        "4001",
        "WebSocket closed with 1002",
        "settings reloaded",
        "forwarded to ",
        "header fields of the response",
        "⟪redacted-" if form == "as_text" else "\\u27earedacted-",
    )
    assert [what for what in happened if what not in told.text] == []


def test_every_json_line_has_time_level_logger_and_what_it_says(entries: list[dict[str, Any]]) -> None:
    for entry in entries:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", entry["time"])
        assert entry["level"] in ("debug", "info", "warning", "error")
        assert re.match(r"(livegate|mitmproxy)\.", entry["logger"]), entry
        assert entry.get("message") or entry["logger"] == "livegate.access", entry
        assert None not in entry.values()


def test_every_line_about_a_request_has_its_id(entries: list[dict[str, Any]]) -> None:
    about_requests = {
        *("livegate.access", "livegate.liveview", "livegate.pipeline.failure_log", "livegate.pipeline.headers"),
        *("livegate.pipeline.policy", "livegate.pipeline.rate_limiter", "livegate.pipeline.backend_recovery"),
        *("livegate.pipeline.fail_closed", "livegate.websocket.relay", "mitmproxy.addonmanager"),
    }
    seen = Counter(entry["logger"] for entry in entries)
    assert about_requests <= seen.keys()
    for entry in entries:
        if entry["logger"] in about_requests:
            assert re.fullmatch(r"[0-9a-f]{32}", entry["request_id"]), entry
    ids = {entry["request_id"] for entry in entries if entry["logger"] == "livegate.access"}
    assert {entry["request_id"] for entry in entries if "request_id" in entry} == ids, "each has its access line"


def test_lines_about_a_liveview_have_the_number_of_its_session(entries: list[dict[str, Any]]) -> None:
    def of(logger: str, **fields: object) -> list[dict[str, Any]]:
        return [each for each in entries if each["logger"] == logger and fields.items() <= each.items()]

    number = of("livegate.access", path="/count")[0]["session"]
    assert number >= 1
    assert {each.get("session") for each in of("livegate.access", path="/style.css")} == {number}, "it names the page"
    ended = of("livegate.access", method="WEBSOCKET")
    assert len(ended) == 3
    assert all(each["session"] >= 1 for each in ended)
    answers = [each for each in of("livegate.liveview") if each["message"].startswith("reply ok")]
    assert answers
    assert all(each["session"] >= 1 for each in answers)
    crashed = [each for each in of("mitmproxy.addonmanager") if "cannot read" in each["message"]]
    assert [each["session"] for each in crashed] == [each["session"] for each in ended if each["close_code"] == 1000]
    assert "RuntimeError" in crashed[0]["traceback"]
    (violated,) = of("livegate.websocket.relay")
    assert violated["session"] in {each["session"] for each in ended}


def test_levels_are_the_originals(entries: list[dict[str, Any]]) -> None:
    def level(fragment: str) -> set[str]:
        return {entry["level"] for entry in entries if fragment in entry.get("message", "")}

    assert level("502 backend-unreachable") == {"error"}
    assert level("504 timeout-response") == {"warning"}
    assert level("is sent again") == {"warning"}
    assert level("responds again") == {"warning"}
    assert level("refused: user rate limit") == {"warning"}
    assert level("failed; responded 500") == {"error"}
    assert level("forwarded to") == level("header fields of the") == level("WebSocket relayed") == {"debug"}
    assert {each["level"] for each in entries if each["logger"] == "livegate.access"} == {"info"}
    opened = [each for each in entries if each.get("status") == 101]
    closed = [each for each in entries if each.get("method") == "WEBSOCKET"]
    assert len(opened) == len(closed) == 3
    assert {each["request_id"] for each in opened} == {each["request_id"] for each in closed}


def test_as_text_the_ids_stand_at_the_end_and_debug_tells_where_and_what_changed(as_text: Told) -> None:
    changes = next(line for line in as_text.lines if "header fields of the request" in line and "203.0.113.9" in line)
    assert re.search(r" request=[0-9a-f]{32}$", changes)
    for part in ("removed connection", "x-forwarded-for: 203.0.113.9, 127.0.0.1", "changed host: 127.0.0.1:"):
        assert part in changes
    request = changes.rpartition("=")[2]
    (where,) = [line for line in as_text.lines if "forwarded to" in line and request in line]
    expected = (
        r"forwarded to http://127\.0\.0\.1:\d+ for service app\.test, Host 127\.0\.0\.1:\d+, Origin http://app\.test"
    )
    assert re.search(rf"{expected} request={request}$", where)
    failed = next(line for line in as_text.lines if "WebSocket closed with 1002" in line)
    assert re.search(r" request=[0-9a-f]{32} session=\d+$", failed)


def test_debug_lines_are_not_made_at_level_info(tmp_path: Path) -> None:
    with Backend() as backend, Gateway(tmp_path, {"services": {"app.test": backend.url}}) as gateway:
        gateway.raw(b"GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
        gateway.output.wait_for("status=200")
        assert "forwarded to" not in gateway.output.text
        assert "header fields" not in gateway.output.text
        gateway.write({"services": {"app.test": backend.url}, "log": {"level": "debug"}})
        gateway.output.wait_for("settings reloaded")
        gateway.raw(b"GET /again HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
        gateway.output.wait_for("forwarded to")


def test_verbose_on_the_command_line_shows_debug_lines_as_well(tmp_path: Path) -> None:
    with Backend() as backend, Gateway(tmp_path, {"services": {"app.test": backend.url}}, "-v") as gateway:
        gateway.raw(b"GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
        gateway.output.wait_for("forwarded to")


@pytest.fixture
def flooded(tmp_path: Path) -> Iterator[tuple[Gateway, int]]:
    """mitmweb in front of a dead service that was asked 30 times, and of another that was asked once."""
    web_port = free_port()
    options = ["--web-port", str(web_port), "--no-web-open-browser", "--set", "web_password=secret"]
    command = [str(MITMDUMP.with_name("mitmweb")), "-s", GATEWAY_SCRIPT]
    dead = f"http://127.0.0.1:{free_port()}"
    settings = {"services": {"dead.test": dead, "other.test": dead}, "rate_limit": MANY}
    with Gateway(tmp_path, settings, *options, command=command) as gateway:
        for host in ["dead.test"] * 30 + ["other.test"]:
            gateway.raw(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        yield gateway, web_port


def test_a_flood_of_one_kind_is_held_back_and_counted_in_the_terminal_and_in_mitmweb(
    flooded: tuple[Gateway, int],
) -> None:
    gateway, web_port = flooded
    summary = gateway.output.wait_for("20 more like this in ", timeout=30)
    assert re.search(r"20 more like this in 10\.\d s: 502 backend-unreachable: .*service dead\.test", summary)
    with urllib.request.urlopen(f"http://127.0.0.1:{web_port}/events?token=secret", timeout=60) as answer:
        events = [entry["message"] for entry in json.load(answer)]
    for lines in (gateway.output.lines, events):
        failed = [line for line in lines if "502 backend-unreachable" in line and "more like" not in line]
        assert Counter(re.findall(r"service (\w+\.test)", "\n".join(failed))) == {"dead.test": 10, "other.test": 1}
        assert sum("status=502" in line for line in lines) == 31, "each request still has its line"
        assert sum("more like this" in line for line in lines) == 1


def test_what_was_held_back_is_said_at_the_end(tmp_path: Path) -> None:
    settings = {"services": {"dead.test": f"http://127.0.0.1:{free_port()}"}, "log": {"format": "json"}}
    with Gateway(tmp_path, settings) as gateway:
        for _ in range(12):
            gateway.raw(b"GET / HTTP/1.1\r\nHost: dead.test\r\nConnection: close\r\n\r\n")
    entry = json.loads(next(line for line in gateway.output.lines if "2 more like this" in line))
    assert (entry["suppressed"], entry["level"], entry["logger"]) == (2, "error", "livegate.pipeline.failure_log")
    assert "request_id" not in entry


def test_a_backend_that_answers_again_is_told_once(tmp_path: Path) -> None:
    port = free_port()
    ask = b"GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n"
    with Gateway(tmp_path, {"services": {"app.test": f"http://127.0.0.1:{port}"}}) as gateway:
        assert [status_of(gateway.raw(ask)) for _ in range(3)] == [502] * 3
        with Backend(port=port):
            assert [status_of(gateway.raw(ask)) for _ in range(2)] == [200, 200]
        line = gateway.output.wait_for("responds again")
        assert re.search(r"the backend of app\.test responds again: 3 request\(s\) failed in \d+\.\d s", line)
        assert gateway.output.text.count("responds again") == 1


def test_a_request_that_fails_while_it_starts_does_not_end_the_start(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, {"services": {"dead.test": f"http://127.0.0.1:{free_port()}"}}).start()
    try:
        gateway.ready()
        assert status_of(gateway.raw(b"GET / HTTP/1.1\r\nHost: dead.test\r\nConnection: close\r\n\r\n")) == 502
        assert gateway.process
        assert gateway.process.poll() is None
    finally:
        gateway.__exit__(None, None, None)
