"""Commands `liveview.*` in mitmproxy's console and mitmweb: their output, and their errors for bad arguments."""

import csv
import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import exceptions
from mitmproxy.test import taddons
from socket_flow import CANARY, TOPIC, Browser

from livegate.inspect.addon import LiveViewInspector
from livegate.inspect.commands import LiveViewCommands
from livegate.inspect.recorder import Recorder
from livegate.phoenix.model import SessionLimits
from livegate.redaction.redactor import Redactor


class Console:
    """What a person types, and the session that it is about."""

    def __init__(self, context: Any, browser: Browser) -> None:
        self.context, self.browser = context, browser

    def type(self, text: str) -> Any:
        return self.context.master.commands.execute(text)

    def problem(self, text: str) -> str:
        with pytest.raises(exceptions.CommandError) as raised:
            self.type(text)
        return str(raised.value)


@pytest.fixture
def console() -> Iterator[Console]:
    made, redactor = Recorder(), Redactor()
    inspector, commands = LiveViewInspector(made, redactor), LiveViewCommands(made, redactor)
    with taddons.context(inspector, commands) as context:
        browser = Browser(inspector)
        browser.session()
        yield Console(context, browser)


def test_events_have_time_kind_and_outcome(console: Console) -> None:
    console.browser.frame(["4", "13", TOPIC, "event", {"type": "form", "event": "save", "value": ""}])
    console.browser.frame(
        ["4", "13", TOPIC, "phx_reply", {"status": "ok", "response": {"diff": {"0": "2"}}}], up=False, after=0.7
    )
    console.browser.frame(["4", "14", TOPIC, "event", {"type": "click", "event": "crash", "value": ""}])
    console.browser.frame(["4", "4", TOPIC, "phx_error", {}], up=False)
    lines = console.type("liveview.events 1")
    assert lines[0].split() == ["time", "kind", "view", "event", "round", "trip", "diff", "outcome", "detail"]
    rows = [re.split(r"\s{2,}", line) for line in lines[1:]]
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}", row[0]) for row in rows)
    assert [row[1:] for row in rows] == [
        ["join", "/count", "/count", "3.0 ms", "ok"],
        ["event", "/count", "click inc", "3.0 ms", "60 B", "ok"],
        ["event", "/count", "form save", "700 ms", "9 B", "ok"],
        ["event", "/count", "click crash", "crash"],
    ]
    ends = {len(line[: line.index(" ms")]) for line in lines[1:4]}
    assert len(ends) == 1, "numbers stand under each other"


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("kind=join", ["/count"]),
        ("kind=event", ["click inc", "click slow"]),
        ("event=slow", ["click slow"]),
        ("slow=500ms", ["click slow"]),
        ("slow=500", ["click slow"]),
        ("outcome=ok last=1", ["click slow"]),
        ("view=/count kind=event last=1", ["click slow"]),
    ],
)
def test_events_are_filtered(console: Console, words: str, names: list[str]) -> None:
    console.browser.frame(["4", "13", TOPIC, "event", {"type": "click", "event": "slow", "value": ""}])
    console.browser.frame(["4", "13", TOPIC, "phx_reply", {"status": "ok", "response": {}}], up=False, after=0.7)
    assert [re.split(r"\s{2,}", line)[3] for line in console.type(f"liveview.events 1 {words}")[1:]] == names


def test_events_that_are_no_longer_kept_are_counted() -> None:
    made, redactor = Recorder(SessionLimits(pushes=5)), Redactor()
    inspector, commands = LiveViewInspector(made, redactor), LiveViewCommands(made, redactor)
    with taddons.context(inspector, commands):
        browser = Browser(inspector)
        browser.session()
        for number in range(20, 30):
            browser.frame(["4", str(number), TOPIC, "event", {"type": "click", "event": "inc", "value": ""}])
        lines = commands.events("1")
        assert lines[-1] == "(7 earlier events were evicted)"
        assert len(lines) == 2 + 5


def test_an_empty_result_is_a_sentence(console: Console) -> None:
    assert console.type("liveview.events 1 event=none") == ["session 1 has no matching events"]
    assert console.type("liveview.slow 5s") == ["no event has a p95 of at least 5000 ms"]
    assert console.type("liveview.sessions state=crashed") == ["no session matches"]
    made, redactor = Recorder(), Redactor()
    assert LiveViewCommands(made, redactor).sessions() == ["no sessions yet"]


def test_sessions_are_a_table_and_filtered(console: Console) -> None:
    heading, line = console.type("liveview.sessions")
    assert heading.split() == (
        ["session", "state", "opened", "host", "view", "path", "events", "p95", "crashes", "unanswered", "refused"]
    )
    assert re.split(r"\s{2,}", line.strip())[:2] == ["1", "live"]
    assert "app.test" in line
    assert "3.0 ms" in line
    for words in ("state=live", "host=app", "view=count", "path=/cou", "last=3"):
        assert console.type(f"liveview.sessions {words}") == [heading, line], words


def test_slow_events_are_a_table(console: Console) -> None:
    heading, line = console.type("liveview.slow 1")
    assert heading.split() == ["p95", "p50", "events", "view", "event"]
    assert re.split(r"\s{2,}", line.strip()) == ["3.0 ms", "3.0 ms", "1", "/count", "inc"]
    assert console.type("liveview.slow 0") == console.type("liveview.slow 2ms") == [heading, line]


def test_the_page_is_a_whole_document(console: Console) -> None:
    page = console.type("liveview.html 1")
    assert page.startswith("<!doctype html><html><head><meta charset=utf-8><meta http-equiv=")
    assert "script-src 'none'" in page, "what the app wrote does not run"
    assert page.endswith("<title>/count</title></head><body><p>1</p></body></html>")
    console.browser.frame(["4", None, TOPIC, "diff", {"0": 9}], up=False)
    assert "the page of session 1 cannot be shown: component 9" in console.problem("liveview.html 1")
    console.browser.frame(["4", None, TOPIC, "diff", {"0": [1]}], up=False)
    assert "the page of session 1 is unknown: a list instead of" in console.problem("liveview.html 1")


def test_an_export_returns_what_was_written_and_its_size(console: Console, tmp_path: Path) -> None:
    console.browser.frame(["4", "20", TOPIC, "event", {"type": "click", "event": "=cmd()", "value": ""}])
    for suffix, what in ((".json", ""), (".csv", "3 events of "), (".html", "page of ")):
        target = tmp_path / f"out{suffix}"
        result = console.type(f"liveview.export 1 {target}")
        assert re.fullmatch(rf"wrote {what}session 1 to {re.escape(str(target))}: [\d.]+ (B|KiB)", result), result
        assert CANARY not in target.read_text()
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert json.loads((tmp_path / "out.json").read_text())["views"][0]["path"] == "/count"
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == ["/count", "inc", "'=cmd()"]


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        (
            "liveview.events",
            "session is missing; for example: liveview.events 3 kind",
        ),
        ("liveview.events x", "session must be a whole number from 1, not 'x'"),
        ("liveview.events -1", "session must be a whole number from 1, not '-1'"),
        ("liveview.events 99999999999999999999999", "session must be a whole number from 1"),
        ("liveview.events 7", "there is no session 7; there are: 1"),
        ("liveview.events 1 save", "filter 'save': allowed are kind=event, event=save, view=CountLive"),
        ("liveview.events 1 colour=red", "filter 'colour=red': allowed are kind=event"),
        ("liveview.events 1 kind=", "filter 'kind=': allowed are"),
        ("liveview.events 1 kind=event kind=join", "filter kind is given twice: 'event' and 'join'"),
        ("liveview.events 1 kind=evnt", "filter kind must be one of join, event, patch, "),
        ("liveview.events 1 outcome=bad", "filter outcome must be one of pending, ok, error, crash"),
        ("liveview.events 1 slow=soon", "filter slow must be a number of milliseconds or a duration with its unit"),
        ("liveview.events 1 last=0", "filter last must be a whole number from 1, not '0'"),
        ("liveview.sessions 3", "filter '3': allowed are state=live"),
        ("liveview.sessions state=up", "filter state must be one of live, closed, crashed, refused, not 'up'"),
        ("liveview.slow", "milliseconds is missing; for example: liveview.slow 200"),
        ("liveview.slow soon", "milliseconds must be a number of milliseconds or a duration"),
        ("liveview.slow 1 2", "liveview.slow takes no argument '2'"),
        ("liveview.html", "session is missing; for example: liveview.html 3"),
        ("liveview.html 1 2", "liveview.html takes no argument '2'"),
        ("liveview.export 1", "path is missing; for example: liveview.export 3 out.json (or .csv, .html)"),
        ("liveview.export 1 out.txt", "path out.txt: its name must end in .json, .csv or .html"),
        ("liveview.export 1 /nowhere/out.csv", "path /nowhere/out.csv: No such file or directory"),
        ("liveview.export 1 out.csv more", "liveview.export takes no argument 'more'"),
    ],
)
def test_a_bad_argument_is_named_with_what_is_allowed(console: Console, typed: str, problem: str) -> None:
    found = console.problem(typed)
    assert problem in found
    assert not re.search("invalid literal|positional|NoneType|int\\(\\)|Error", found)
