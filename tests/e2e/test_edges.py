"""Clients and backends that misbehave on the wire: the gateway answers, keeps its bounds and lets nobody wait."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from backends import Backend, Scripted, read_request
from gateway_process import Gateway, header_of, receive_all, status_of
from websockets.sync.client import connect

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
MANY = {"user": "100000/minute", "ip": "100000/minute"}
SHORT = {"request_head": "2s", "keep_alive": "5s", "connect": "500ms", "response": "5s"}

Script = Callable[[socket.socket, int], None]


@dataclass(frozen=True, slots=True)
class Front:
    """A gateway in front of a scripted backend, with the lines that it has printed since the test began."""

    gateway: Gateway
    backend: Scripted | None
    since: int

    @property
    def port(self) -> int:
        return self.gateway.port

    @property
    def log(self) -> str:
        return "\n".join(self.gateway.output.lines[self.since :])

    def wait_for_line(self, fragment: str) -> str:
        return self.gateway.output.wait_for(fragment, since=self.since)

    def raw(self, data: bytes) -> bytes:
        return self.gateway.raw(data)


def settings(url: str, **more: object) -> dict[str, object]:
    return {"services": {"app.test": url}, "rate_limit": MANY, "timeouts": SHORT, **more}


@pytest.fixture(scope="module")
def shared(folder: Path) -> Iterator[tuple[Gateway, Scripted]]:
    """A gateway for the tests that need no settings of their own, and its backend."""
    with Scripted(lambda conn, number: None) as backend, Gateway(folder, settings(backend.url)) as gateway:
        yield gateway, backend


@pytest.fixture
def behind(shared: tuple[Gateway, Scripted], tmp_path: Path) -> Iterator[Callable[..., Front]]:
    """Put a gateway in front of a script, or of a URL, at `app.test`: the shared one if no arguments are given."""
    with ExitStack() as opened:

        def start(script: Script | str, *arguments: str, **more: object) -> Front:
            if not isinstance(script, str) and not arguments and not more:
                gateway, backend = shared
                backend.use(script)
                return Front(gateway, backend, len(gateway.output.lines))
            own = None if isinstance(script, str) else opened.enter_context(Scripted(script))
            url = script if isinstance(script, str) else own.url
            gateway = opened.enter_context(Gateway(tmp_path, settings(url, **more), *arguments))
            return Front(gateway, own, 0)

        yield start


def request(method: str = "GET", *fields: str, close: bool = True) -> bytes:
    lines = [f"{method} / HTTP/1.1", "Host: app.test", *fields, *(["Connection: close"] if close else [])]
    return "\r\n".join([*lines, "", ""]).encode()


def one_answer(conn: socket.socket) -> bytes:
    """Read one answer that has a length."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += conn.recv(65536)
    size = int(header_of(answer, "Content-Length")[0])
    while len(answer.partition(b"\r\n\r\n")[2]) < size:
        answer += conn.recv(65536)
    return answer


# A dead keep-alive connection


def answers_once(conn: socket.socket, number: int) -> None:
    """Answers the first request of a connection, and hangs up on the second without a byte."""
    if read_request(conn):
        conn.sendall(OK)
        read_request(conn)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_a_safe_or_idempotent_request_is_sent_again_once(behind, method: str) -> None:
    gateway = behind(answers_once)
    body = [] if method in ("GET", "HEAD", "OPTIONS") else ["Content-Length: 0"]
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as conn:
        conn.sendall(request(close=False))
        assert status_of(one_answer(conn)) == 200
        conn.sendall(request(method, *body))
        assert status_of(receive_all(conn)) == 200
    assert gateway.backend.connections == 2
    gateway.wait_for_line("is sent again")


@pytest.mark.parametrize("fields", [("POST", "Content-Length: 0"), ("PUT", "Content-Length: 3")])
def test_what_may_have_been_done_is_not_sent_again(behind, fields: tuple[str, str]) -> None:
    gateway = behind(answers_once)
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as conn:
        conn.sendall(request(close=False))
        assert status_of(one_answer(conn)) == 200
        conn.sendall(request(*fields) + b"abc"[: int(fields[1][-1])])
        assert status_of(receive_all(conn)) == 502
    assert gateway.backend.connections == 1


def test_it_is_sent_again_only_once(behind) -> None:
    def dead_after_the_first(conn: socket.socket, number: int) -> None:
        if number == 1:
            answers_once(conn, number)

    gateway = behind(dead_after_the_first)
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as conn:
        conn.sendall(request(close=False))
        assert status_of(one_answer(conn)) == 200
        conn.sendall(request())
        assert status_of(receive_all(conn)) == 502
    assert gateway.backend.connections == 2


def test_a_backend_that_announces_its_close_gets_a_new_connection(behind) -> None:
    def one_each(conn: socket.socket, number: int) -> None:
        read_request(conn)
        conn.sendall(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

    gateway = behind(one_each)
    answer = gateway.raw(request("POST", "Content-Length: 0", close=False) + request("POST", "Content-Length: 0"))
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert gateway.backend.connections == 2


# Backends


def raw_answer(data: bytes, *, hold: bool = False) -> Script:
    def script(conn: socket.socket, number: int) -> None:
        read_request(conn)
        conn.sendall(data)
        if hold:
            conn.recv(1)

    return script


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000,
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 40,
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut",
        b"HTTP/1.1 2",
    ],
    ids=[
        "nonsense",
        "no status",
        "endless head",
        "endless hints",
        "two lengths",
        "both framings",
        "cut body",
        "cut head",
    ],
)
def test_an_answer_that_is_no_http_is_502(behind, data: bytes) -> None:
    answer = behind(raw_answer(data, hold=len(data) > 200)).raw(request())
    assert b"HTTP/1.1 502 Bad Gateway\r\n" in answer
    assert b"HTTP/1.1 200" not in answer


@pytest.mark.parametrize("end", [b"Set-Cookie CANARY\r\n\r\n", b"Set-Cookie: CANARY"])
def test_a_malformed_answer_does_not_put_its_fields_into_the_log(behind, end: bytes) -> None:
    gateway = behind(raw_answer(b"HTTP/1.1 200 OK\r\n" + end))
    assert status_of(gateway.raw(request())) == 502
    gateway.wait_for_line("status=502")
    assert "CANARY" not in gateway.log


def test_an_answer_cut_while_it_is_streamed_is_cut_for_the_client_too(behind) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = behind(raw_answer(head + b"5\r\nfirst\r\n")).raw(request())
    assert b"5\r\nfirst\r\n" in answer
    assert not answer.endswith(b"0\r\n\r\n")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_long_answer_of_unknown_length_is_streamed(behind) -> None:
    chunk = b"40000\r\n" + b"x" * 0x40000 + b"\r\n"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = behind(raw_answer(head + chunk * 20 + b"0\r\n\r\n")).raw(request())
    assert answer.endswith(b"0\r\n\r\n")
    assert answer.count(b"x") >= 20 * 0x40000


def test_an_answer_until_the_end_of_the_connection_arrives_whole(behind) -> None:
    answer = behind(raw_answer(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")).raw(request(close=False))
    assert answer.endswith(b"until the end")
    assert header_of(answer, "Connection") == ["close"]


def test_trailers_of_an_answer_are_dropped_and_nobody_waits(behind) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = behind(raw_answer(head + b"2\r\nok\r\n0\r\nX-Trailer: 1\r\n\r\n", hold=True)).raw(request())
    assert answer.endswith(b"2\r\nok\r\n0\r\n\r\n")


def test_what_a_backend_sends_unasked_reaches_nobody(behind) -> None:
    gateway = behind(raw_answer(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON", hold=True))
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as conn:
        conn.sendall(request(close=False))
        first = one_answer(conn)
        conn.sendall(request())
        assert b"POISON" not in first + receive_all(conn)
    assert "POISON" not in gateway.log


def test_a_backend_that_cannot_be_connected_to_is_504_after_the_connect_time(behind) -> None:
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    waiting = [socket.socket() for _ in range(3)]
    try:
        for conn in waiting:  # fill the queue, so that the next one gets no answer at all
            conn.setblocking(False)
            conn.connect_ex(full.getsockname())
        answer = behind(f"http://127.0.0.1:{full.getsockname()[1]}").raw(request())
    finally:
        for conn in [*waiting, full]:
            conn.close()
    assert status_of(answer) == 504
    assert b"could not be reached within 0.5 s" in answer


def test_a_tls_backend_that_never_shakes_hands_is_504_after_the_connect_time(behind) -> None:
    def silent(conn: socket.socket, number: int) -> None:
        while conn.recv(65536):
            pass

    with Scripted(silent) as backend:
        answer = behind(backend.url.replace("http:", "https:")).raw(request())
    assert status_of(answer) == 504


def test_an_interim_response_is_not_for_http_1_0(behind) -> None:
    gateway = behind(raw_answer(b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + OK))
    answer = gateway.raw(b"GET / HTTP/1.0\r\nHost: app.test\r\n\r\n")
    assert b" 103 " not in answer
    assert answer.endswith(b"ok")


def test_a_second_100_continue_of_the_backend_is_swallowed(behind) -> None:
    gateway = behind(raw_answer(b"HTTP/1.1 100 Continue\r\n\r\n" + OK))
    assert gateway.raw(request("POST", "Content-Length: 0")).startswith(b"HTTP/1.1 200 OK")


# Clients


def test_a_client_that_sends_far_ahead_is_cut_off(behind) -> None:
    hold = threading.Event()

    def slow(conn: socket.socket, number: int) -> None:
        read_request(conn)
        hold.wait(15)

    gateway = behind(slow, limits={"head": "4KiB"})
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as conn:
        conn.sendall(request(close=False))
        try:
            for _ in range(100):
                conn.sendall(b"x" * 4096)
            assert receive_all(conn) == b""
        except (ConnectionResetError, BrokenPipeError):
            pass
        finally:
            hold.set()
    assert status_of(gateway.raw(b"GET / HTTP/1.1\r\nHost: no.test\r\nConnection: close\r\n\r\n")) == 404


def test_a_request_body_that_stalls_ends_the_exchange(behind) -> None:
    gone = threading.Event()

    def until_gone(conn: socket.socket, number: int) -> None:
        while conn.recv(65536):
            pass
        gone.set()

    gateway = behind(until_gone)
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as conn:
        conn.sendall(request("POST", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n")
        assert receive_all(conn) == b""
    assert gone.wait(60), "the backend's connection is freed as well"


def test_a_client_that_leaves_frees_the_backend(behind) -> None:
    asked, gone = threading.Event(), threading.Event()

    def until_gone(conn: socket.socket, number: int) -> None:
        read_request(conn)
        asked.set()
        conn.recv(1)
        gone.set()

    gateway = behind(until_gone)
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as conn:
        conn.sendall(request())
        assert asked.wait(60)
    assert gone.wait(60)
    gateway.wait_for_line("status=499")


def test_an_early_answer_lets_the_client_finish_and_then_closes(behind) -> None:
    gateway = behind(raw_answer(OK))
    head = b"POST / HTTP/1.1\r\nHost: no.test\r\nContent-Length: 200000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as conn:
        conn.sendall(head)
        answer = one_answer(conn)
        conn.sendall(b"x" * 200_000)
        assert receive_all(conn) == b""
    assert status_of(answer) == 404
    assert header_of(answer, "Connection") == ["close"]


def test_a_malformed_chunk_ends_the_exchange_with_400(behind) -> None:
    gateway = behind(raw_answer(OK, hold=True))
    answer = gateway.raw(request("POST", "Transfer-Encoding: chunked") + b"zz\r\nabc\r\n")
    assert status_of(answer) == 400
    line = gateway.wait_for_line(f" request_id={header_of(answer, 'X-Request-Id')[0]}")
    assert f" bytes_out={len(answer.partition(b'\r\n\r\n')[2])} " in line
    assert "reason=request-malformed" in line
    assert "host=app.test" in line


# mitmproxy's own switches, and other addons


def test_an_addon_may_answer_a_request_with_a_body(behind, tmp_path: Path) -> None:
    script = tmp_path / "answers.py"
    script.write_text(
        "from mitmproxy import http\ndef requestheaders(flow):\n    flow.response = http.Response.make(418, b'tea')\n"
    )
    answer = behind(raw_answer(OK), "-s", str(script)).raw(request("POST", "Content-Length: 3") + b"abc")
    assert status_of(answer) == 418


@pytest.mark.parametrize("hook", ["requestheaders", "responseheaders"])
def test_a_flow_that_an_addon_kills_ends_without_an_answer(behind, tmp_path: Path, hook: str) -> None:
    script = tmp_path / "kills.py"
    script.write_text(f"def {hook}(flow):\n    flow.kill()\n")
    gateway = behind(raw_answer(OK), "-s", str(script))
    assert gateway.raw(request()) == b""
    gateway.wait_for_line("reason=killed")


def test_an_addon_that_kills_an_early_answer_ends_the_connection(behind, tmp_path: Path) -> None:
    script = tmp_path / "kills.py"
    script.write_text("def responseheaders(flow):\n    flow.kill()\n")
    gateway = behind(raw_answer(OK), "-s", str(script))
    assert gateway.raw(b"POST / HTTP/1.1\r\nHost: no.test\r\nContent-Length: 3\r\n\r\n") == b""


def test_websockets_can_be_switched_off_in_mitmproxy(tmp_path: Path, behind) -> None:
    with Backend() as backend:
        gateway = behind(backend.url, "--set", "websocket=false")
        answer = gateway.raw(
            b"GET /ws HTTP/1.1\r\nHost: app.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.1 101 ")
        gateway.wait_for_line("option websocket is off")


def test_mitmproxys_own_size_options_are_ignored_with_a_word(behind) -> None:
    gateway = behind(raw_answer(OK), "--set", "stream_large_bodies=1k", "--set", "body_size_limit=1")
    assert status_of(gateway.raw(request())) == 200
    assert "option stream_large_bodies is ignored" in gateway.log


def test_options_cannot_be_made_unsafe_while_it_runs(behind, tmp_path: Path) -> None:
    script = tmp_path / "weakens.py"
    script.write_text(
        "from mitmproxy import ctx, exceptions\n"
        "def request(flow):\n"
        "    for change in ({'rawtcp': True}, {'mode': ['regular']}):\n"
        "        try:\n            ctx.options.update(**change)\n"
        "        except exceptions.OptionsError as error:\n            print('turned down:', error, flush=True)\n"
    )
    gateway = behind(raw_answer(OK), "-s", str(script))
    mark = len(gateway.gateway.output.lines)
    assert status_of(gateway.raw(request())) == 200
    gateway.wait_for_line("turned down: rawtcp must stay False")
    gateway.wait_for_line("turned down: livegate serves as a reverse proxy only")
    # mitmproxy has begun to listen elsewhere before the change was turned down, and comes back.
    gateway.gateway.output.wait_for(f"listening at 127.0.0.1:{gateway.port}", since=mark)
    forward = b"GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: 127.0.0.1:1\r\nConnection: close\r\n\r\n"
    assert status_of(gateway.raw(forward)) == 404


def test_an_unknown_mitmproxy_runs_on_its_stock_layers_and_says_so(behind, tmp_path: Path) -> None:
    """The fall-back: the policy holds, WebSockets pass, and the warning says what is lost, once."""
    script = tmp_path / "old.py"
    script.write_text(
        "from livegate import mitm\nmitm.INCOMPATIBILITIES = ('HttpStream.x is missing',)\n"
        "from livegate.addons import gateway_addons\naddons = gateway_addons()\n"
    )
    with Scripted(raw_answer(OK)) as backend, Backend() as echo:
        gateway = Gateway(
            tmp_path,
            {"services": {"app.test": backend.url, "echo.test": echo.url}, "rate_limit": MANY},
            command=[*Gateway(tmp_path, {}).command[:2], str(script)],
        )
        with gateway:
            assert gateway.output.text.count("unknown to livegate") == 1
            assert "no limits on WebSockets" in gateway.output.text
            assert status_of(gateway.raw(request())) == 200
            assert status_of(gateway.raw(b"GET / HTTP/1.1\r\nHost: no.test\r\nConnection: close\r\n\r\n")) == 404
            assert status_of(gateway.raw(b"TRACE / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")) == 405
            assert status_of(gateway.raw(b"GET / HTTP/1.2\r\nHost: app.test\r\nConnection: close\r\n\r\n")) == 400
            raw = socket.create_connection(("127.0.0.1", gateway.port))
            with connect(f"ws://echo.test:{gateway.port}/ws", sock=raw) as websocket:
                websocket.send("hello")
                assert websocket.recv() == "hello"
                websocket.close(4001, "enough")
            gateway.output.wait_for("close_code=4001")
