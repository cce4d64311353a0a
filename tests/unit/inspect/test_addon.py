"""From mitmproxy's hooks to what a person sees: notes, comments, marks, lines, content views, commands, the frame log."""

import asyncio
import base64
import json
import stat
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mitmproxy_rs.syntax_highlight
import pytest
from mitmproxy import contentviews, exceptions, http
from mitmproxy import io as flow_files
from mitmproxy.contentviews import Metadata
from mitmproxy.flow import Flow
from mitmproxy.test import taddons, tflow
from mitmproxy.websocket import WebSocketMessage
from socket_flow import CANARY, CLICK, JOIN, JOINED, PAGE, REPLY, TOPIC, Browser

from livegate.addons import inspector_addons
from livegate.inspect import longpoll, recorder
from livegate.inspect.addon import LiveViewInspector
from livegate.inspect.contentview import HeartbeatContentview, LiveViewContentview
from livegate.inspect.frame_log.addon import FrameLogger
from livegate.inspect.frame_log.writer import FrameLogWriter
from livegate.inspect.recorder import Recorder
from livegate.inspect.recording_formats import reader
from livegate.logs.context import EVICTED_MESSAGES
from livegate.logs.context import session_of as session_number
from livegate.mitm import display
from livegate.phoenix.model import Session
from livegate.redaction.flows import FlowRedactor
from livegate.redaction.redactor import Redactor
from livegate.settings import FrameLog


def session_of(flow: http.HTTPFlow) -> Session | None:
    channels = recorder.socket_of(flow)
    return channels.session if channels is not None else None


@pytest.fixture
def inspector() -> Iterator[LiveViewInspector]:
    made = LiveViewInspector()
    with taddons.context(made):
        yield made


def test_a_frame_is_shown_as_a_sentence_what_changed_and_itself(inspector: LiveViewInspector) -> None:
    browser = Browser(inspector)
    join, _, click, answer = browser.session()
    shown = {each: _prettified(inspector, browser.flow, each) for each in (join, click, answer)}
    assert shown[join].startswith("▲ join /count (#4)\n")
    assert shown[click].startswith('▲ click "inc" on /count (#12)\n  value: {"password": "⟪redacted-')
    lines = shown[answer].split("\n")
    assert lines[0].startswith("▼ reply ok to #12 after 3.0 ms, diff ")
    assert lines[1] == '  0: "0" → "1"  (3 B)'
    assert lines[2].startswith('  event \'toast\': {"token": "⟪redacted-')
    assert lines[-1].startswith('["4","12"')
    assert CANARY not in str(list(shown.values()))
    assert browser.flow.comment == "0 ev · /count · session 1"
    session = session_of(browser.flow)
    assert session is not None
    assert session.main is not None


def _prettified(inspector: LiveViewInspector, flow: http.HTTPFlow, message: WebSocketMessage) -> str:
    view = LiveViewContentview(inspector.redactor)
    metadata = Metadata(flow=flow, websocket_message=message)
    assert view.render_priority(message.content, metadata) > 1
    return view.prettify(message.content, metadata)


def test_the_view_is_chosen_by_itself_for_phoenix_and_for_nothing_else(inspector: LiveViewInspector) -> None:
    browser = Browser(inspector)
    (join, *_) = browser.session()
    found = contentviews.prettify_message(join, browser.flow)
    assert (found.view_name, found.syntax_highlight) == ("LiveView", "none")
    plain = Browser(inspector, path="/socket")
    message = plain.frame({"a": 1})
    assert contentviews.prettify_message(message, plain.flow).view_name != "LiveView"
    assert recorder.frame_info_of(message) is None
    view = LiveViewContentview(inspector.redactor)
    with pytest.raises(ValueError, match="not a frame"):
        view.prettify(b"", Metadata())


def test_a_flow_from_a_file_is_understood_when_it_is_looked_at(inspector: LiveViewInspector) -> None:
    browser = Browser(LiveViewInspector(), inspector)
    browser.session()
    loaded = http.HTTPFlow.from_state(browser.flow.get_state())
    assert loaded.websocket
    assert _prettified(inspector, loaded, loaded.websocket.messages[3]).startswith("▼ reply ok to #12")


def test_heartbeats_binary_frames_and_undecodable_ones(inspector: LiveViewInspector) -> None:
    browser = Browser(inspector)
    browser.session()
    beat = browser.frame([None, "13", "phoenix", "heartbeat", {}])
    chunk = browser.frame(b"\0\x01\x02\x05\x05414lvu:0chunk" + bytes(100))
    odd = browser.frame({"not": "phoenix"})
    assert _prettified(inspector, browser.flow, beat) == "♥ heartbeat"
    shown = contentviews.prettify_message(beat, browser.flow)
    assert (shown.view_name, shown.text) == ("LiveView heartbeat", "# ♥ heartbeat")
    assert mitmproxy_rs.syntax_highlight.highlight(shown.text, shown.syntax_highlight) == [("comment", shown.text)]
    assert contentviews.prettify_message(odd, browser.flow).view_name == "LiveView"
    with pytest.raises(ValueError, match="not a heartbeat"):
        HeartbeatContentview().prettify(odd.content, Metadata(flow=browser.flow, websocket_message=odd))
    assert "bytes: 00 01 02" in _prettified(inspector, browser.flow, chunk)
    assert _prettified(inspector, browser.flow, odd).startswith("▲ not a Phoenix frame: not a list")


def test_a_crash_marks_the_flow_and_the_comment_has_the_close_code(inspector: LiveViewInspector) -> None:
    browser = Browser(inspector)
    browser.session()
    browser.frame(["4", "13", TOPIC, "event", {"type": "click", "event": "crash"}])
    browser.frame(["4", "4", TOPIC, "phx_error", {}], up=False)
    assert browser.flow.marked == ":boom:"
    browser.flow.metadata[EVICTED_MESSAGES] = 1234
    browser.close()
    assert browser.flow.comment == (
        "💥 1006 · 2 ev · p95 3.0 ms · 1 unanswered · /count · session 1 · 1,234 earlier messages not kept"
    )


@pytest.mark.parametrize(
    ("frames", "sign"),
    [
        (
            [
                (JOIN, True),
                (["4", "4", TOPIC, "phx_reply", {"status": "error", "response": {"reason": "stale"}}], False),
            ],
            ":no_entry:",
        ),
        ([(JOIN, True), (JOINED, False), (CLICK, True)], ":question:"),
        ([(JOIN, True), (JOINED, False)], ""),
    ],
)
def test_signs(inspector: LiveViewInspector, frames: list[tuple[Any, bool]], sign: str) -> None:
    browser = Browser(inspector)
    for frame, up in frames:
        browser.frame(frame, up=up)
    browser.close()
    assert browser.flow.marked == sign
    marked = Browser(inspector)
    marked.flow.marked = ":star:"
    for frame, up in frames:
        marked.frame(frame, up=up)
    marked.close()
    assert marked.flow.marked == ":star:", "somebody's own mark stays"


def test_lines_in_the_terminal(caplog: pytest.LogCaptureFixture) -> None:
    inspector = LiveViewInspector()
    with taddons.context(inspector) as context:
        caplog.set_level("INFO")
        browser = Browser(inspector)
        browser.session()
        assert caplog.messages == []
        context.configure(inspector, liveview_log="events")
        browser.frame(["4", "14", TOPIC, "event", {"type": "click", "event": "slow"}])
        browser.frame(["4", "14", TOPIC, "phx_reply", {"status": "ok", "response": {}}], up=False, after=0.7)
        browser.frame([None, "15", "phoenix", "heartbeat", {}])
        browser.frame(["4", "16", TOPIC, "cids_destroyed", {"cids": []}])
        browser.frame(["4", "16", TOPIC, "phx_reply", {"status": "ok", "response": {"cids": []}}], up=False)
        browser.frame(["4", "17", TOPIC, "event", {"type": "click", "event": "x"}])
        browser.frame(["4", "17", TOPIC, "phx_reply", {"status": "error", "response": {"reason": "no"}}], up=False)
        browser.frame(["4", "9", TOPIC, "phx_reply", {"status": "ok", "response": {}}], up=False)
        assert caplog.messages == [
            '[1] /count  click "slow"  700 ms',
            '[1] /count  click "x"  3.0 ms  error  no',
            "[1] reply without a pending push",
        ]
        caplog.clear()
        context.configure(inspector, liveview_log="frames")
        inspector._colour = True
        browser.frame([None, "18", "phoenix", "heartbeat", {}])
        browser.frame(["4", "19", TOPIC, "event", {"type": "click", "event": "slow"}])
        browser.frame(["4", "19", TOPIC, "phx_reply", {"status": "ok", "response": {}}], up=False, after=0.7)
        assert caplog.messages == [
            "\x1b[2mheartbeat\x1b[0m",
            '\x1b[0mclick "slow" on /count (#19)\x1b[0m',
            "\x1b[33mreply ok to #19 after 700 ms\x1b[0m",
        ]
        with pytest.raises(exceptions.OptionsError):
            context.configure(inspector, liveview_log="everything")


def test_mitmwebs_columns_show_the_comment_unless_the_user_chose() -> None:
    from mitmproxy.tools.web.webaddons import WebAddon

    inspector = LiveViewInspector()
    with taddons.context(inspector, WebAddon()) as context:
        inspector.running()
        assert "comment" in context.options.web_columns
        context.options.update(web_columns=["path"])
        inspector.running()
        assert context.options.web_columns == ["path"]


def test_pages_and_long_polls(inspector: LiveViewInspector) -> None:
    page = tflow.tflow(resp=True)
    page.request.host, page.request.path = "app.test", "/count"
    page.response = http.Response.make(200, PAGE, {"Content-Type": "text/html"})
    page.response.timestamp_start = page.response.timestamp_end = page.request.timestamp_start + 0.02
    inspector.response(page)

    def exchange(method: str, path: str, body: bytes, answer: Any, **fields: str) -> None:
        flow = tflow.tflow(resp=True)
        flow.request = http.Request.make(method, f"http://app.test{path}", body, fields)
        flow.response = http.Response.make(200, answer if isinstance(answer, bytes) else json.dumps(answer))
        inspector.response(flow)

    url = "/live/longpoll?vsn=2.0.0"
    exchange("GET", url, b"", {"status": 410, "token": "T", "messages": []})
    exchange(
        "POST", f"{url}&token=T", json.dumps(JOIN).encode(), {"status": 200}, **{"Content-Type": "application/x-ndjson"}
    )
    exchange("GET", f"{url}&token=T", b"", {"status": 200, "token": "T", "messages": [json.dumps(JOINED)]})
    (session,) = inspector.recorder.tracker.sessions.values()
    assert session.page_load is not None
    assert (session.page_load.path, session.state, session.sockets[0].transport) == ("/count", "live", "longpoll")
    exchange("GET", f"{url}&token=unknown", b"", {"status": 200, "messages": []})
    exchange("PUT", url, b"", {"status": 200})
    exchange("GET", url, b"", b"not json")
    exchange("GET", f"{url}&token=T", b"", {"status": 410, "token": "T2", "messages": []})
    assert session.state == "closed"
    assert session.sockets[0].close_code == 3410


def test_log_lines_of_every_flow_of_a_tab_have_its_session(
    inspector: LiveViewInspector, caplog: pytest.LogCaptureFixture
) -> None:
    page, asset, poll, other = (tflow.tflow(resp=True) for _ in range(4))
    page.request.path = "/count"
    page.request.host = asset.request.host = "app.test"
    page.response = http.Response.make(200, PAGE, {"Content-Type": "text/html"})
    asset.request.headers["Referer"] = f"http://app.test/count?token={CANARY}"
    poll.request = http.Request.make("GET", "http://app.test/live/longpoll?vsn=2.0.0")
    poll.response = http.Response.make(200, json.dumps({"status": 410, "token": "T", "messages": []}))
    for flow in (page, asset, poll, other):
        inspector.response(flow)
    assert [session_number(flow) for flow in (page, asset, poll, other)] == [1, 1, None, None]
    browser = Browser(inspector)
    browser.frame([None, "1", "phoenix", "heartbeat", {}])
    assert session_number(browser.flow) is None
    browser.session()
    assert session_number(browser.flow) == 1


def test_a_fault_of_the_inspectors_own_is_logged_and_goes_no_further(
    inspector: LiveViewInspector, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(flow: object) -> None:
        raise ValueError("on purpose")

    for name in ("exchange", "closed"):
        monkeypatch.setattr(inspector.recorder, name, fail)
    inspector.response(tflow.tflow(resp=True))
    inspector.error(tflow.tflow(err=True))
    inspector.websocket_end(tflow.twebsocketflow())
    assert caplog.messages == ["Addon error: on purpose"] * 3


def test_what_is_no_page_is_none() -> None:
    made = Recorder()
    flow = tflow.tflow(resp=True)
    assert not made.exchange(flow)
    flow.response = http.Response.make(200, b"<p>", {"Content-Type": "text/html"})
    assert not made.exchange(flow)
    flow.response = http.Response.make(
        200, PAGE.encode() + b" " * recorder.MAX_PAGE_BYTES, {"Content-Type": "text/html"}
    )
    assert not made.exchange(flow)
    assert not made.exchange(tflow.tflow())
    plain = tflow.twebsocketflow()
    assert made.closed(plain) is None
    assert made.message(plain, plain.websocket.messages[0]) is None  # type: ignore[union-attr]


def test_only_so_many_long_polls_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(longpoll, "MAX_LONGPOLLS", 2)
    made = Recorder()
    for number in range(4):
        flow = tflow.tflow(resp=True)
        flow.request.path = "/live/longpoll?vsn=2.0.0"
        flow.response = http.Response.make(200, json.dumps({"status": 410, "token": str(number)}))
        made.exchange(flow)
    kept = [socket.tracker.info.closed_at is None for socket in made._longpolls._by_token.values()]
    assert kept == [True, True]


@pytest.mark.parametrize("path", ["/socket/v2/abc?vsn=2.0.0", "/chat", "/ws?token=x"])
def test_channels_are_found_on_a_path_of_ones_own_by_their_first_join(inspector: LiveViewInspector, path: str) -> None:
    browser = Browser(inspector, path=path)
    browser.frame({"hello": "from the app"}, up=False)
    note = recorder.frame_info_of(browser.frame(["3", "3", "room:a", "phx_join", {}]))
    assert note is not None
    assert note.summary == "join room:a (#3)"
    old = Browser(inspector, path="/chat")
    joined = old.frame({"topic": "room:a", "event": "phx_join", "payload": {}, "ref": "1"})
    found = recorder.frame_info_of(joined)
    assert found is not None
    assert found.summary == "join room:a (#1)"


@pytest.mark.parametrize(
    "first",
    [["a", "list"], {"phx_join": 1}, ["3", "3", "room:a", "other", {"x": "phx_join"}], [1, 2, 3, "phx_join", {}]],
)
def test_what_only_looks_like_a_join_makes_no_channels(inspector: LiveViewInspector, first: Any) -> None:
    browser = Browser(inspector, path="/chat")
    assert recorder.frame_info_of(browser.frame(first)) is None
    assert recorder.frame_info_of(browser.frame(["3", "3", "room:a", "phx_join", {}])) is None


def test_a_socket_on_which_the_app_alone_speaks_is_none_of_phoenix(inspector: LiveViewInspector) -> None:
    browser = Browser(inspector, path="/ticker")
    for number in range(recorder.MAX_UNDECODABLE + 1):
        browser.frame({"n": number}, up=False)
    assert recorder.frame_info_of(browser.frame(["3", "3", "room:a", "phx_join", {}])) is None


def test_a_socket_that_speaks_something_else_is_left_alone_after_a_few_frames(inspector: LiveViewInspector) -> None:
    browser = Browser(inspector)
    messages = [browser.frame({"n": number}) for number in range(recorder.MAX_UNDECODABLE + 5)]
    notes = [recorder.frame_info_of(message) is not None for message in messages]
    assert notes == [True] * recorder.MAX_UNDECODABLE + [False] * 5
    assert session_of(browser.flow) is None
    browser.close()
    late = Browser(inspector)
    late.session()
    for number in range(recorder.MAX_UNDECODABLE + 5):
        late.frame({"n": number})
    assert recorder.frame_info_of(late.frame({"n": 0})) is not None, "it has spoken Phoenix before"


def test_old_notes_keep_their_sentence_only(inspector: LiveViewInspector) -> None:
    browser = Browser(inspector)
    first, *_ = browser.session()
    for number in range(recorder.DETAILED_FRAMES):
        browser.frame([None, str(100 + number), "phoenix", "heartbeat", {}])
    note = recorder.frame_info_of(first)
    assert note is not None
    assert (note.frame, note.summary) == (None, "join /count (#4)")
    assert _prettified(inspector, browser.flow, first).startswith("▲ join /count (#4)\n")


def test_of_all_sockets_together_only_the_last_notes_are_full(
    inspector: LiveViewInspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "MAX_DETAILED_FRAMES", 10)
    first, *_ = Browser(inspector).session()
    other = Browser(inspector)
    last = [other.frame([None, str(100 + number), "phoenix", "heartbeat", {}]) for number in range(10)]
    notes = [recorder.frame_info_of(message) for message in (first, *last)]
    assert [note is not None and note.frame is not None for note in notes] == [False] + [True] * 10


# The frame log


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[tuple[Path, Browser, FrameLogger]]:
    made, redactor = Recorder(), Redactor()
    inspector, frames = LiveViewInspector(made, redactor), FrameLogger(made, redactor)
    path = tmp_path / "frames.jsonl"
    with taddons.context(inspector, frames):
        frames.writer = FrameLogWriter(FrameLog(path=path), redactor)
        yield path, Browser(inspector, frames), frames
        frames.writer.close()


def test_every_frame_is_a_line_without_secrets(logged: tuple[Path, Browser, FrameLogger]) -> None:
    path, browser, frames = logged
    page = tflow.tflow(resp=True)
    page.request.host, page.request.path = "app.test", f"/count?token={CANARY}"
    page.response = http.Response.make(200, PAGE, {"Content-Type": "text/html"})
    inspector = browser.addons[0]
    inspector.response(page)
    inspector.response(tflow.tflow(resp=True))
    browser.session()
    followed = tflow.tflow(err=True)
    followed.request.host = "app.test"
    followed.request.headers["Referer"] = "http://app.test/count?token=x"
    inspector.error(followed)
    browser.frame(b"\0\x01\x02\x05\x05414lvu:0chunk\xff")
    browser.close()
    assert frames.writer
    frames.writer.close()
    text = path.read_text()
    assert CANARY not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["kind"] for line in lines] == [
        "open",
        "http",
        "frame",
        "frame",
        "frame",
        "frame",
        "http",
        "frame",
        "close",
    ]
    assert [line.get("session") for line in lines] == [None, *[1] * 8]
    assert (lines[1]["views"], lines[6]["status"]) == ([TOPIC], None)
    answer = lines[5]
    assert (answer["v"], answer["session"], answer["dir"], answer["event"], answer["ms"], answer["outcome"]) == (
        1,
        1,
        "down",
        "inc",
        3.0,
        "ok",
    )
    assert json.loads(answer["data"])[:2] == ["4", "12"]
    assert base64.b64decode(lines[7]["data"]).endswith(b"chunk\xff")
    assert (lines[8]["code"], lines[8]["by"]) == (1006, "server")


@pytest.mark.parametrize(("payloads", "has"), [("none", False), ("full", True)])
def test_payloads_follow_the_settings(tmp_path: Path, payloads: Any, has: bool) -> None:
    writer = FrameLogWriter(FrameLog(path=tmp_path / "f", payloads=payloads), Redactor())
    writer.put({"kind": "frame", "text": f"token={CANARY}"}, f'{{"token":"{CANARY}"}}'.encode())
    writer.put({"kind": "frame"}, b"x" * 300_000)
    writer.close()
    first, second = (json.loads(line) for line in (tmp_path / "f").read_text().splitlines())
    assert ("data" in first, CANARY in str(first)) == (has, has)
    assert "data" not in second, "too long for one line"


def test_a_large_log_is_rotated_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "f"
    for keep, names in ((2, {"f", "f.1", "f.2"}), (0, {"f"})):
        for old in tmp_path.iterdir():
            old.unlink()
        writer = FrameLogWriter(FrameLog(path=path, rotate="100B", keep=keep), Redactor())
        for number in range(20):
            writer.put({"kind": "frame", "number": number, "text": "x" * 40})
        writer.close()
        assert {each.name for each in tmp_path.iterdir()} == names


def test_a_log_that_cannot_keep_up_counts_what_it_drops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livegate.inspect.frame_log.writer.MAX_QUEUED", 2)
    gate = threading.Event()
    writer = FrameLogWriter(FrameLog(path=tmp_path / "f"), Redactor())
    stock = writer._write
    monkeypatch.setattr(writer, "_write", lambda text: (gate.wait(10), stock(text)))
    for number in range(10):
        writer.put({"kind": "frame", "number": number})
    assert writer.dropped >= 7
    gate.set()
    writer.close()
    lines = [json.loads(line) for line in (tmp_path / "f").read_text().splitlines()]
    assert sum(line["lines"] for line in lines if line["kind"] == "dropped") == writer.dropped


def test_a_full_disk_is_logged_once_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = FrameLogWriter(FrameLog(path=tmp_path / "f"), Redactor())

    def full(text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "_write", full)
    for _ in range(3):
        writer.put({"kind": "frame"})
    writer.close()
    assert caplog.text.count("cannot be written") == 1
    assert writer.dropped == 3


def test_without_a_log_nothing_is_logged() -> None:
    made = Recorder()
    inspector, frames = LiveViewInspector(made), FrameLogger(made, Redactor())
    with taddons.context(inspector, frames):
        browser = Browser(inspector, frames)
        browser.session()
        browser.close()
        page = tflow.tflow(resp=True)
        page.response = http.Response.make(200, PAGE, {"Content-Type": "text/html"})
        inspector.response(page)


# Reading it


def test_a_log_is_read_filtered_and_shown(logged: tuple[Path, Browser, FrameLogger]) -> None:
    path, browser, frames = logged
    browser.session()
    browser.close()
    assert frames.writer
    frames.writer.close()
    lines = list(reader.read_lines(path))
    texts = [reader.format_line(line) for line in lines]
    assert "websocket opened: http://app.test" in texts[0]
    assert "▲ join /count (#4)" in texts[1]
    assert "○ socket closed by server, 1006" in texts[5]
    assert [line["n"] for line in lines] == list(range(1, 7))
    assert [line["n"] for line in lines if reader.LineFilter(session=1, event="inc").matches(line)] == [4, 5]
    assert [line["n"] for line in lines if reader.LineFilter(slow_ms=1).matches(line)] == [3, 5]
    assert [line["n"] for line in lines if reader.LineFilter(session=2).matches(line)] == []
    assert reader.page_at(iter(lines), 3) == "<p>0</p>"
    assert reader.page_at(iter(lines), 5) == "<p>1</p>"
    for number, why in ((99, "no line 99"), (1, "its join, or the payloads,")):
        with pytest.raises(reader.ReadError, match=why):
            reader.page_at(iter(lines), number)


def test_a_flow_file_is_read_as_a_log(tmp_path: Path) -> None:
    browser, plain = Browser(), Browser(path="/socket")
    browser.session()
    browser.frame(b"\0\0\0\0\0")
    plain.frame({"a": 1})
    path = tmp_path / "flows"
    with path.open("wb") as file:
        for flow in (browser.flow, tflow.tflow(), plain.flow):
            flow_files.FlowWriter(file).add(flow)
    lines = list(reader.read_lines(path))
    assert [line["kind"] for line in lines] == ["open", *["frame"] * 5, "close", "open", "frame", "close"]
    assert reader.page_at(iter(lines), 5) == "<p>1</p>"
    assert "7 B" in reader.format_line(lines[-2])
    assert CANARY not in str(lines)


def _polls() -> list[http.HTTPFlow]:
    """A page and a session over long-poll, as mitmproxy sees them."""
    url, token = "http://app.test/live/longpoll?vsn=2.0.0", f"&token={CANARY}"
    binary = base64.b64encode(b"\0\x01\x02\x05\x05414lvu:0chunk\xff")
    exchanges = [
        ("GET", "http://app.test/count", b"", PAGE),
        ("GET", url, b"", {"status": 410, "token": CANARY, "messages": []}),
        ("POST", url + token, json.dumps(JOIN).encode(), {"status": 200}),
        ("GET", url + token, b"", {"status": 200, "token": CANARY, "messages": [json.dumps(JOINED)]}),
        ("POST", url + token, json.dumps(CLICK).encode() + b"\n" + binary, {"status": 200}),
        ("GET", url + token, b"", {"status": 200, "token": CANARY, "messages": [json.dumps(REPLY)]}),
        ("GET", url + token, b"", {"status": 410, "token": CANARY + "2", "messages": []}),
    ]
    flows = []
    for method, where, body, answer in exchanges:
        flow = tflow.tflow(resp=True)
        flow.request = http.Request.make(method, where, body, {"Content-Type": "application/x-ndjson"})
        kind = "text/html" if isinstance(answer, str) else "application/json"
        flow.response = http.Response.make(
            200, answer if isinstance(answer, str) else json.dumps(answer), {"Content-Type": kind}
        )
        flows.append(flow)
    return flows


def test_a_long_poll_session_is_logged_and_its_page_shown(tmp_path: Path) -> None:
    path, saved = tmp_path / "frames.jsonl", tmp_path / "flows"
    made, redactor = Recorder(), Redactor()
    logger = FrameLogger(made, redactor, FrameLogWriter(FrameLog(path=path), redactor))
    with saved.open("wb") as file:
        for flow in _polls():
            made.exchange(flow)
            flow_files.FlowWriter(file).add(flow)
    assert isinstance(logger.writer, FrameLogWriter)
    logger.writer.close()
    lines, of_flows = list(reader.read_lines(path)), list(reader.read_lines(saved))
    kinds = ["http", "http", "open", "frame", "http", "frame", "http", "frame", "frame", "http", "frame", "http"]
    assert [line["kind"] for line in lines] == [*kinds, "http", "close", "open"]
    assert [line["kind"] for line in of_flows] == [line["kind"] for line in lines]
    socket = lines[2]["flow"]
    frames = [line for line in lines if line["kind"] == "frame"]
    assert {(line["flow"], line["session"]) for line in frames} == {(socket, 1)}
    assert len({line["via"] for line in frames}) == 4
    assert CANARY not in path.read_text()
    assert "longpoll opened: http://app.test/live/longpoll?vsn=2.0.0" in reader.format_line(lines[2])
    for each in (lines, of_flows):
        assert [reader.page_at(iter(each), number) for number in (6, 11)] == ["<p>0</p>", "<p>1</p>"]
    assert [line["code"] for line in lines if line["kind"] == "close"] == [3410]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"nonsense", "neither a frame log nor a flow file"),
        (b'{"v":9}\n', "of version 9"),
        (b'{"v":1}\n[]\n', ":2: a line without a version"),
        (b"{\n", "not a line"),
    ],
)
def test_a_file_that_is_no_log_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    with pytest.raises(reader.ReadError, match=why):
        list(reader.read_lines(path))
    with pytest.raises(reader.ReadError, match="No such file"):
        list(reader.read_lines(tmp_path / "none"))


def test_a_log_is_followed_while_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text('{"v":1,"kind":"dropped","lines":3}\n{"v":1,"ki')
    grown = False

    def sleep(seconds: float) -> None:
        nonlocal grown
        assert not grown, "nothing came of it"
        grown = True
        with path.open("a") as file:
            file.write('nd":"http","method":"GET","url":"/","status":200,"ms":1}\n')

    lines = reader.read_lines(path, follow=True, sleep=sleep)
    assert "3 lines were dropped here" in reader.format_line(next(lines))
    assert "→ GET / 200 after 1 ms" in reader.format_line(next(lines))
    assert [line["kind"] for line in reader.read_lines(path)] == ["dropped", "http"]


def test_lines_that_were_tampered_with_do_no_harm() -> None:
    frames: list[dict[str, Any]] = [
        {"kind": "frame", "flow": "f", "n": 1, "data": 7},
        {"kind": "frame", "flow": "f", "n": 2, "data": "!!", "base64": True},
        {"kind": "frame", "flow": "f", "n": 3, "data": json.dumps(JOIN), "dir": "up"},
        {"kind": "frame", "flow": "f", "n": 4, "data": json.dumps(["4", "4", TOPIC, "phx_reply", {"status": "ok", "response": {"rendered": {"s": ["", ""], "0": 5}}}])},
    ]  # fmt: skip
    with pytest.raises(reader.ReadError, match="cannot be shown: component 5"):
        reader.page_at(iter(frames), 4)
    assert "\x1b" not in reader.format_line({"kind": "frame", "text": "\x1b[31m", "at": 0.0})


# Everything else that stores or shows flows


def test_flows_are_stored_and_shown_without_secrets_and_stay_whole(tmp_path: Path) -> None:
    from mitmproxy.addons import dumper, export, savehar
    from mitmproxy.tools.web import app

    browser = Browser()
    browser.session()
    flow = browser.flow
    assert flow.response
    flow.request.headers["Cookie"] = f"_key={CANARY}"
    flow.request.content = f"password={CANARY}".encode()
    flow.request.headers["Content-Type"] = "application/x-www-form-urlencoded"
    flow.response.headers["Set-Cookie"] = f"_key={CANARY}"
    flow.response.headers["Content-Type"] = "text/html"
    flow.response.content = PAGE.encode()
    flow.response.encode("gzip")
    flow.comment = f"token={CANARY}"
    flow.backup()
    before = flow.get_state()
    with taddons.context(*inspector_addons(), export.Export()) as context:
        context.options.liveview_redact = True
        path = tmp_path / "flows"
        with path.open("wb") as file:
            flow_files.FlowWriter(file).add(flow)
            flow_files.FilteredFlowWriter(file, None).add(flow)
        (loaded, _) = list(flow_files.FlowReader(path.open("rb")).stream())
        har = json.dumps(savehar.SaveHar().make_har([flow]))
        exported = [str(export.formats[name](flow)) for name in ("curl", "httpie", "raw_request")]
        terminal = (tmp_path / "out").open("w+")
        with taddons.context(dumper.Dumper(terminal)) as dump:
            dump.options.flow_detail = 4
            dumper.Dumper(terminal).echo_flow(flow)
        terminal.seek(0)
        surfaces = [
            path.read_bytes().decode("utf-8", "replace"),
            har,
            terminal.read(),
            json.dumps(app.flow_to_json(flow)),
        ]
        surfaces += exported
        surfaces += [
            contentviews.prettify_message(message, flow, name).text
            for message in (flow.request, flow.response)
            for name in ("auto", "raw")
        ]
        assert flow.websocket
        surfaces += [contentviews.prettify_message(message, flow, "raw").text for message in flow.websocket.messages]
        for surface in surfaces:
            assert CANARY not in surface
            assert surface
        assert isinstance(loaded, http.HTTPFlow)
        assert CANARY not in str(loaded.get_state())
        assert loaded.response
        assert "data-phx-session" in (loaded.response.text or "")
    display.uninstall()
    assert flow.get_state() == before, "the flow itself is as it was"
    assert CANARY in json.dumps(app.flow_to_json(flow)), "and is shown whole once that is over"


def test_redaction_can_be_switched_off_alone(caplog: pytest.LogCaptureFixture) -> None:
    with taddons.context(*inspector_addons()) as context:
        context.options.liveview_redact = False
        assert "liveview_redact is off" in caplog.text
        assert display._STOCK == []
        context.options.liveview_redact = True
        assert display._STOCK
    display.uninstall()


def test_a_body_that_cannot_be_looked_into_is_not_shown() -> None:
    flow = tflow.tflow(resp=True)
    assert flow.response
    flow.response.headers["Content-Encoding"] = "gzip"
    flow.response.raw_content = b"not gzip"
    state = FlowRedactor(Redactor()).state(flow.get_state())
    assert state["response"]["content"] == "⟪8 bytes that cannot be decoded, and so not redacted⟫".encode()


async def test_the_last_comment_of_a_burst_is_written_though_nothing_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livegate.inspect.comments.DELAY_S", 0.05)
    inspector = LiveViewInspector()
    shown: list[str] = []
    updated = asyncio.Event()

    class Listener:
        def update(self, flows: Sequence[Flow]) -> None:
            shown.extend(flow.comment for flow in flows)
            updated.set()

    with taddons.context(inspector, Listener()):
        browser = Browser(inspector)
        browser.session()
        for number in range(20, 120):
            browser.frame(["4", str(number), *CLICK[2:]])
        assert browser.flow.comment == "0 ev · /count · session 1"  # of the join, which is told at once
        await asyncio.wait_for(updated.wait(), 10)
        assert shown == ["101 ev · p95 3.0 ms · /count · session 1"]
        browser.frame(["4", "200", *CLICK[2:]])
        browser.close()
        assert browser.flow.comment == "❓ 1006 · 102 ev · p95 3.0 ms · 101 unanswered · /count · session 1"
        await asyncio.sleep(0.1)
        assert len(shown) == 1
