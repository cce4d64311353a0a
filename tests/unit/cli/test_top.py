"""The screen of `livegate top` from what was told, its client, and its keys; the command itself is in the end-to-end tests."""

import io
import os
import pty
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from livegate.cli.top import main
from livegate.cli.top.client import Client, RejectedError, Snapshot, UnavailableError
from livegate.cli.top.view import BARS, SORTS, State, age, screen, spark

NOW = 100_000.0
WAIT_S = 60


def row(number: int, **values: Any) -> dict[str, Any]:
    usual = {"number": number, "service": "live.test", "view": f"View{number}", "path": "/", "opened": NOW - 60 * number, "events": number,
             "p50": 1.0, "p95": 100.0 - number, "diff": 1024 * (number % 3), "state": "live"}  # fmt: skip
    return usual | values


def step(**values: Any) -> dict[str, Any]:
    usual = {"requests": {"live.test": 10}, "sockets": {"live.test": 3}, "sessions": 2, "refused": {}, "events": 5,
             "p50": 1.0, "p95": 250.0, "p99": 12_000.0, "lag": 1.2}  # fmt: skip
    return usual | values


def snapshot(**values: Any) -> Snapshot:
    overview = {
        "began": NOW - 7260, "draining": False, "sockets": 3, "sessions": 2, "steps": [step(), step(refused={"x": 4}, p95=None)],
        "backends": [
            {"service": "live.test", "backend": "http://127.0.0.1:4000", "up": True, "why": ""},
            {"service": "down.test", "backend": "http://10.0.0.1:1", "up": False, "why": "connection refused"},
        ],
    }  # fmt: skip
    incidents = [
        {"id": 1, "at": NOW - 90, "kind": "refused", "status": 404, "service": "", "host": "x.test", "reason": "unmapped-host",
         "causes": [{"title": "No service for this Host"}]},
        {"id": 2, "at": NOW - 5, "kind": "closed", "code": 1000, "by": "client", "service": "live.test", "host": "live.test", "reason": "", "causes": []},
    ]  # fmt: skip
    sessions = values.pop("sessions", [row(1), row(2, state="crashed", p95=1500.0)])
    return Snapshot("1.2.3", overview | values, sessions, values.pop("incidents", incidents))


def drawn(state: State, width: int = 80, height: int | None = 24) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), record=True, force_terminal=True)
    console.print(screen(state, width, height))
    return console.export_text().splitlines()


def test_a_session_has_its_number_by_which_commands_and_logs_know_it() -> None:
    lines = drawn(State("http://127.0.0.1:9091", NOW, snapshot(sessions=[row(41), row(42)])), 120, 30)
    for number in (41, 42):
        (line,) = [line for line in lines if f"View{number}" in line]
        assert line.split()[:2] == [str(number), "live.test"]


def test_everything_is_seen_at_a_glance_in_a_small_terminal() -> None:
    lines = drawn(State("http://127.0.0.1:9091", NOW, snapshot()))
    text = "\n".join(lines)
    assert len(lines) == 24, "it fills the screen, and no more"
    for fragment in (
        *(
            "● up 2 h",
            "127.0.0.1:9091",
            "sockets",
            "250 ms",
            "12 s",
            "live.test",
            "● up",
            "● down: connection",
            "View1",
            "crashed",
        ),
        *(
            "↓p95",
            "1500 ms",
            "refused 404",
            "No service for this Host",
            "closed 1000",
            "by the client",
            "q  quit",
            "sort: slowest",
        ),
    ):
        assert fragment in text, fragment
    assert text.index("down.test") < text.index("live.test"), "what is down is seen first"
    assert text.index("View2") < text.index("View1"), "the slowest first"
    assert text.index("closed 1000") < text.index("refused 404"), "the latest first"


@pytest.mark.parametrize("size", [(80, 24), (160, 45), (100, 16), (60, 20), (40, 12), (20, 5), (1, 1)])
@pytest.mark.parametrize("count", [0, 1, 700])
def test_it_fits_into_every_terminal(size: tuple[int, int], count: int) -> None:
    width, height = size
    many = snapshot(sessions=[row(number, path="/x" * 100, service="s" * 100) for number in range(count)])
    lines = drawn(State("http://127.0.0.1:9091", NOW, many), width, height)
    assert all(cell_len(line) <= width for line in lines)
    if width >= 60 and height >= 16:
        assert len(lines) == height
        assert lines[-1].strip().startswith("q")
        assert width < 80 or ("/700" in "\n".join(lines)) == (count == 700), "and tells what does not fit"


def test_there_is_more_to_see_where_there_is_room() -> None:
    wide = "\n".join(drawn(State("u://x", NOW, snapshot()), 160, 45))
    assert "1.2.3" in wide and "event p50" in wide and "p50" in wide
    assert "p50" not in "\n".join(drawn(State("u://x", NOW, snapshot())))


@pytest.mark.parametrize(
    ("sort", "first"), [("slowest", "View1 "), ("busiest", "View9 "), ("newest", "View9 "), ("largest", "View2 ")]
)
def test_sessions_are_sorted_as_a_person_wants(sort: Any, first: str) -> None:
    rows = [row(number) for number in range(1, 10)]
    lines = drawn(State("u://x", NOW, snapshot(sessions=rows), sort=sort), 160, 45)
    heading = next(place for place, line in enumerate(lines) if line.startswith("Sessions"))
    assert first in lines[heading + 1]
    assert "↓" in lines[heading]
    assert sort in SORTS


def test_without_a_connection_the_last_is_shown_with_the_reason() -> None:
    text = "\n".join(drawn(State("http://h:1", NOW, snapshot(), "connection refused")))
    assert "no connection, trying again (connection refused)" in text and "View1" in text
    text = "\n".join(drawn(State("http://h:1", NOW, None, "connection refused")))
    assert "Start the gateway" in text
    assert "connecting" in drawn(State("http://h:1", NOW))[0]
    assert "draining" in drawn(State("http://h:1", NOW, snapshot(draining=True)))[0]


def test_a_gateway_that_has_just_begun_has_nothing_to_show_and_shows_that() -> None:
    text = "\n".join(drawn(State("u://x", NOW, snapshot(steps=[], sessions=[], incidents=[])), 80, None))
    assert "none yet" in text and "-" in text


def test_nothing_from_outside_reaches_the_terminal_as_a_command() -> None:
    evil = "\x1b]0;owned\x07\x1b[2J[bold]x[/bold]\u202e\n"
    bad = snapshot(sessions=[row(1, service=evil, view=evil, path=evil)])
    bad.incidents[0] |= {"host": evil, "causes": [{"title": evil}]}
    bad.overview["backends"][1] |= {"why": evil, "service": evil, "backend": evil}
    console = Console(width=160, height=45, file=io.StringIO(), force_terminal=False)
    console.print(screen(State("u://x", NOW, bad, evil), 160, 45))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", text)
    assert "[bold]" in text, "as it is, not as markup"


def test_numbers_are_short() -> None:
    assert [age(seconds) for seconds in (-3, 0, 99, 100, 6000, 172_800, 1e7)] == [
        "0 s",
        "0 s",
        "99 s",
        "1 min",
        "1 h",
        "2 d",
        "115 d",
    ]
    assert spark([], 5) == ""
    assert spark([0, None, 4, 8], 3) == f" {BARS[3]}{BARS[7]}"
    assert spark([0, 0], 5) == BARS[0] * 2


# The client, against a listener that answers anything


class Answers(BaseHTTPRequestHandler):
    status, body, seen = 200, b"", dict[str, str]()

    def do_GET(self) -> None:
        Answers.seen = dict(self.headers)
        self.send_response(self.status)
        self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def answers() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "error", "says"),
    [
        (401, b"{}", RejectedError, "rejects this token"),
        (
            403,
            b'{"error": "this listener is not called x; add the name to admin.hosts"}',
            RejectedError,
            "admin.hosts",
        ),
        (403, b"<html>", RejectedError, "is not livegate's admin listener"),
        (404, b"{}", RejectedError, "is not livegate's"),
        (301, b"{}", RejectedError, "is not livegate's"),
        (200, b"<html>", RejectedError, "is not livegate's"),
        (200, b"[" * 100_000, RejectedError, "is not livegate's"),
        (200, b"{}", RejectedError, "is not livegate's"),
        (200, b"[]", RejectedError, "is not livegate's"),
        (503, b'{"error": "the gateway has ended"}', UnavailableError, "has ended"),
    ],
)
def test_what_is_wrong_is_told_apart(
    answers: HTTPServer, status: int, body: bytes, error: type[Exception], says: str
) -> None:
    Answers.status, Answers.body = status, body
    with pytest.raises(error, match=says):
        Client(f"127.0.0.1:{answers.server_port}", "token").fetch()
    assert Answers.seen["Authorization"] == "Bearer token"


def test_without_a_token_one_is_asked_for(answers: HTTPServer) -> None:
    Answers.status = 401
    with pytest.raises(RejectedError, match=r"requires a token.*LIVEGATE_ADMIN_TOKEN"):
        Client(f"http://127.0.0.1:{answers.server_port}/", None).fetch()
    assert "Authorization" not in Answers.seen


def test_nobody_there_is_worth_another_try() -> None:
    with pytest.raises(UnavailableError, match="refused"):
        Client("http://127.0.0.1:1", None).fetch()
    with pytest.raises(UnavailableError):
        Client("https://127.0.0.1:1", None).fetch()


@pytest.mark.parametrize(
    "url", ["", "ftp://x", "http://", "http://x/path", "http://x?token=1", "http://x:port", "http://[::1"]
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Client(url, None)


def test_a_token_that_no_header_can_carry_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ValueError, match="visible ASCII"):
        Client("http://x", "a\r\nX: y")


# The loop


class Scripted:
    """A client that tells, fails and tells again."""

    url = "http://127.0.0.1:9091"

    def __init__(self, *answers: Snapshot | Exception) -> None:
        self.answers = list(answers)
        self.asked = threading.Event()

    def fetch(self) -> Snapshot:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if len(self.answers) == 1:
            self.asked.set()
        if isinstance(answer, Exception):
            raise answer
        return answer


def terminal() -> tuple[int, Any, Console]:
    outer, inner = pty.openpty()
    console = Console(width=100, height=30, file=io.StringIO(), force_terminal=True)
    return outer, os.fdopen(inner, "r"), console


@pytest.mark.parametrize("key", [b"q", b"\x04"])
def test_keys_sort_and_end_and_a_lost_gateway_comes_back(key: bytes) -> None:
    outer, keyboard, console = terminal()
    client = Scripted(snapshot(), UnavailableError("connection refused"), UnavailableError(""), snapshot(draining=True))
    watching = threading.Thread(target=main.watch, args=(client, console, 0.3, keyboard), daemon=True)
    watching.start()
    output = console.file
    wait_for(lambda: "draining" in output.getvalue())  # type: ignore[attr-defined]
    os.write(outer, b"s")
    wait_for(lambda: "busiest" in output.getvalue())  # type: ignore[attr-defined]
    os.write(outer, key)
    watching.join(WAIT_S)
    assert not watching.is_alive()
    text = output.getvalue()  # type: ignore[attr-defined]
    assert "trying again (connection refused)" in text
    assert "\x1b[?1049l" in text, "the terminal is as it was"


def test_a_gateway_that_turns_away_ends_it() -> None:
    _, keyboard, console = terminal()
    with pytest.raises(RejectedError, match="no"):
        main.watch(Scripted(RejectedError("no")), console, 1, keyboard)  # type: ignore[arg-type]


def test_ctrl_c_ends_it_quietly_and_a_keyboard_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "_sleep", interrupt)
    console = Console(width=100, height=30, file=io.StringIO(), force_terminal=True)
    main.watch(Scripted(snapshot()), console, 1, io.StringIO())  # type: ignore[arg-type]


def test_no_key_only_waits() -> None:
    began = time.monotonic()
    assert main._sleep(0.01) == ""
    assert time.monotonic() > began


def wait_for(holds: Any) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
