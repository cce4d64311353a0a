"""`livegate read` on recordings of every kind: frame logs, flow files of all versions, HAR files; whole, cut, damaged."""

import base64
import gzip
import json
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mitmproxy.addons import savehar
from mitmproxy.io import tnetstring
from mitmproxy.test import tflow
from socket_flow import CANARY, CLICK, JOIN, JOINED, PAGE, REPLY, Browser

from livegate.cli import read as read_command
from livegate.inspect.recording_formats import flows as flow_files
from livegate.inspect.recording_formats import frame_log as frame_logs
from livegate.inspect.recording_formats import har as har_files
from livegate.inspect.recording_formats import reader
from livegate.inspect.recording_formats.reader import Contents, ReadError, format_line, page_at, read_lines

LIVEGATE = Path(sys.executable).with_name("livegate")
TEXTS = [json.dumps(frame) for frame in (JOIN, JOINED, CLICK, REPLY)]
CHUNK = b"\0\x01\x02\x05\x05414lvu:0chunk\xff"
SENTENCES = ["join /count (#4)", "joined", 'click "inc" on /count (#12)', "reply ok to #12"]


# Recordings of each kind, with the same session in them


def flow_file(*, others: bool = False) -> bytes:
    browser = Browser()
    browser.session()
    browser.frame(CHUNK)
    flows: list[Any] = [tflow.tflow(resp=True), browser.flow]
    if others:
        flows += [tflow.ttcpflow(), tflow.tdnsflow(), tflow.tudpflow()]
    return b"".join(tnetstring.dumps(flow.get_state()) for flow in flows)


def old_flow_file(version: int) -> bytes:
    """A flow file whose text frames are text. Version 11: a socket is a flow of its own, besides its handshake's."""
    state = tflow.twebsocketflow(messages=False).get_state()
    for connection in ("client_conn", "server_conn"):
        conn = state[connection]
        conn |= {"tls_established": False, "cipher_name": conn.pop("cipher", None), "state": 3}
    client, server = state["client_conn"], state["server_conn"]
    client |= {"address": client.pop("peername"), "tls_extensions": []}
    server |= {
        "ip_address": server.pop("peername"),
        "source_address": server.pop("sockname"),
        "via2": None,
        "via": None,
    }
    state["request"] |= {"path": b"/live/websocket?vsn=2.0.0", "host": "app.test"}
    times = [1_700_000_000.0 + number / 1000 for number in range(5)]
    messages = [[1, number % 2 == 0, text, times[number], False] for number, text in enumerate(TEXTS)]
    messages.append([2, True, CHUNK, times[4], False])
    state |= {"version": version, "mode": "regular"}
    state.pop("timestamp_created")
    if version > 11:
        state["websocket"] |= {"messages": messages}
        return tnetstring.dumps(state)
    del state["websocket"]
    state["metadata"] = {"websocket": True}
    ended = {"close_sender": "server", "close_code": 1006, "close_reason": ""}
    of_its_own = {"type": "websocket", "metadata": {"websocket_handshake": state["id"]}, "messages": messages, **ended}
    return tnetstring.dumps(state) + tnetstring.dumps({**state, **of_its_own, "id": "another"})


def har(creator: str, messages: list[dict[str, Any]] | None, *, pretty: bool = True, url: str = "ws") -> bytes:
    entries: list[dict[str, Any]] = [
        {
            "startedDateTime": "2026-01-02T03:04:05.100Z",
            "time": 420.5,
            "_resourceType": "websocket",
            "request": {
                "method": "GET",
                "url": f"{url}://app.test/live/websocket?_csrf_token={CANARY}&vsn=2.0.0",
                "headers": [{"name": "Host", "value": "app.test"}, {"name": "Cookie", "value": f"_key={CANARY}"}],
            },
            "response": {"status": 101, "headers": [["Upgrade", "websocket"]], "content": {"size": 0}},
        },
        {
            "startedDateTime": "2026-01-02T03:04:05Z",
            "time": 12,
            "request": {"method": "GET", "url": "http://app.test/count", "headers": []},
            "response": {
                "status": 200,
                "headers": [
                    {"name": "Content-Type", "value": "text/html; charset=utf-8"},
                    {"name": "content-encoding", "value": "gzip"},
                ],
                "content": {"text": PAGE, "mimeType": "text/html"},
            },
        },
        {"startedDateTime": "2026-01-02T03:04:06Z", "time": 0, "request": {"url": "data:text/plain,x"}, "response": {}},
    ]
    if messages is not None:
        entries[0]["_webSocketMessages"] = messages
    whole = {"log": {"version": "1.2", "creator": {"name": creator, "version": "1"}, "entries": entries}}
    return json.dumps(whole, indent=2 if pretty else None).encode()


def messages(**changed: Any) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [
        {"type": "receive" if number % 2 else "send", "time": 1767323046.5 + number / 1000, "opcode": 1, "data": text}
        for number, text in enumerate(TEXTS)
    ]
    made.append({"type": "send", "time": 1767323047.5, "opcode": 2, "data": base64.b64encode(CHUNK).decode()})
    return [message | changed for message in made]


def frame_log() -> bytes:
    lines: list[dict[str, Any]] = [{"v": 1, "kind": "open", "at": 1.5, "flow": "f", "url": "/live/websocket?vsn=2.0.0"}]
    lines += [
        {"v": 1, "kind": "frame", "at": 2.0 + n, "flow": "f", "session": 7, "dir": "down" if n % 2 else "up", "size": len(text),
         "what": "event", "text": f"{SENTENCES[n]} …", "data": text, "event": "inc" if n > 1 else None}
        for n, text in enumerate(TEXTS)
    ]  # fmt: skip
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


RECORDINGS: dict[str, Callable[[], bytes]] = {
    "flow file": flow_file,
    "flow file of mitmproxy 6": lambda: old_flow_file(11),
    "flow file of mitmproxy 7": lambda: old_flow_file(13),
    "HAR of Chromium": lambda: har("WebInspector", messages()),
    "HAR of Chromium, on one line": lambda: har("WebInspector", messages(), pretty=False, url="wss"),
    "HAR of Firefox": lambda: b"\xef\xbb\xbf" + har("Firefox", messages()),
    "HAR of mitmproxy": lambda: har("mitmproxy", messages(), url="http"),
    "HAR with milliseconds": lambda: har("other", messages(time=1767323046500)),
    "HAR with microseconds": lambda: har("other", messages(time=1767323046500000)),
    "zhar of mitmproxy": lambda: zlib.compress(har("mitmproxy", messages())),
    "frame log": frame_log,
    "frame log, packed": lambda: gzip.compress(frame_log()),
}


@pytest.mark.parametrize("kind", RECORDINGS)
def test_a_recording_of_any_kind_is_read_as_a_log(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "recording"
    path.write_bytes(RECORDINGS[kind]())
    contents = Contents()
    lines = list(read_lines(path, contents=contents))
    frames = [line for line in lines if line["kind"] == "frame" and "data" in line and not line.get("base64")]
    assert [line["dir"] for line in frames] == ["up", "down", "up", "down"]
    for line, sentence in zip(frames, SENTENCES, strict=True):
        assert sentence in format_line(line)
    if not kind.startswith("frame log"):
        assert [line["base64"] for line in lines if line.get("base64")] == [True]
        assert CANARY not in str(lines)
        assert "?" not in format_line(frames[0])[:22], "its time is known"
    assert page_at(iter(lines), frames[-1]["n"]) == "<p>1</p>"
    assert contents.liveview >= 4
    assert contents.kind.split()[0] == kind.replace("zhar", "HAR").split()[0]


def test_a_har_file_as_mitmproxy_itself_writes_it_is_read(tmp_path: Path) -> None:
    browser = Browser()
    browser.session()
    browser.frame(CHUNK)
    path = tmp_path / "out.har"
    path.write_text(json.dumps(savehar.SaveHar().make_har([tflow.tflow(resp=True), browser.flow])))
    lines = list(read_lines(path))
    assert [line["kind"] for line in lines] == ["open", *["frame"] * 5]
    assert page_at(iter(lines), 5) == "<p>1</p>"


@pytest.mark.parametrize("version", range(11, 16))
def test_text_frames_that_were_saved_as_text_are_read(version: int, tmp_path: Path) -> None:
    path = tmp_path / "flows"
    path.write_bytes(old_flow_file(version))
    assert sum(line["kind"] == "frame" for line in read_lines(path)) == 5


# What was in it


def read(tmp_path: Path, content: bytes, *arguments: str, name: str = "recording") -> subprocess.CompletedProcess[str]:
    path = tmp_path / name
    path.write_bytes(content)
    command = [str(LIVEGATE), "read", str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def asked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes, name: str = "recording", **options: Any
) -> tuple[int, str, str]:
    """The status, output and errors of `livegate read`, in this process."""
    path = tmp_path / name
    path.write_bytes(content)
    status = read_command.run(read_command.ReadOptions(path, **options))
    out, error = capsys.readouterr()
    return status, out, error.replace(f"{path}", name)


def test_a_recording_without_frames_is_summarized(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    only_http = b"".join(tnetstring.dumps(tflow.tflow(resp=True).get_state()) for _ in range(3))
    none = "; no frames of LiveView or Phoenix channels\n"
    assert asked(capsys, tmp_path, only_http) == (
        0,
        "",
        f"recording: flow file: 3 HTTP exchanges, 0 sockets, 0 frames{none}",
    )
    status, out, error = asked(capsys, tmp_path, flow_file(others=True), session=9)
    assert (status, out) == (1, "")
    assert error == (
        "recording: no line matches --session 9; sessions in it: 1 "
        "(flow file: 1 HTTP exchange, 1 socket, 5 frames, 3 flows of other protocols)\n"
    )


def test_a_har_file_without_messages_gets_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, error = asked(capsys, tmp_path, har("Firefox", None), "a.har")
    assert status == 0
    assert "websocket opened" in out
    assert "1 WebSocket without messages (`_webSocketMessages`)" in error
    assert "HAR file of Firefox: 1 HTTP exchange, 1 socket, 0 frames, 1 flow of other protocols; no frames" in error


@pytest.mark.parametrize(
    ("options", "shown"),
    [({"session": 7}, 4), ({"event": "inc"}, 2), ({"event": "inc", "session": 7}, 2), ({"frame": 3}, 1), ({}, 5)],
)
def test_lines_are_chosen(
    options: dict[str, Any], shown: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, error = asked(capsys, tmp_path, frame_log(), **options)
    assert (status, error) == (0, "")
    assert sum(bool(re.match(r" +\d+  ", line)) for line in out.splitlines()) == shown


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"session": 9}, "log: no line matches --session 9; sessions in it: 7 (frame log: 0 HTTP exchanges, 1 socket"),
        ({"event": "none", "slow": "1s"}, "log: no line matches --event none --slow 1s;"),
        ({"slow": "soon"}, "--slow soon: expected a duration with its unit, such as 500ms"),
        ({"frame": 0}, "--frame 0: numbers start at 1"),
        ({"html": 99}, "there is no line 99"),
        ({"html": 1}, "the page at line 1 is unknown"),
    ],
)
def test_a_reason_is_printed_and_the_status_is_1_when_nothing_can_be_shown(
    options: dict[str, Any], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, error = asked(capsys, tmp_path, frame_log(), "log", **options)
    assert (status, out) == (1, "")
    assert problem in error


def test_a_frame_is_shown_with_what_it_changed_and_its_content_without_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, error = asked(capsys, tmp_path, flow_file(), frame=5)
    assert (status, error) == (0, "")
    heading, change, *_ = out.splitlines()
    assert "▼ reply ok to #12 after 3.0 ms" in heading
    assert change == '  0: "0" → "1"  (3 B)'
    assert '        "diff": {\n' in out
    assert "⟪redacted-" in out
    assert CANARY not in out
    _, out, _ = asked(capsys, tmp_path, flow_file(), payload=True)
    assert '"phx_join"' in out
    assert "19 bytes: 00 01 02" in out, "binary ones in hexadecimal"
    _, out, _ = asked(capsys, tmp_path, frame_log(), payload=True)
    assert CANARY not in out, "a log with full payloads is shown without secrets as well"


def test_a_payload_that_was_not_logged_is_reported_as_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = b'{"v":1,"kind":"frame","flow":"f","dir":"up","size":5,"text":"x"}\n'
    _, out, _ = asked(capsys, tmp_path, line, payload=True)
    assert "(no content: " in out
    for data in ('"data":"!!!","base64":true', '"data":7', '"data":"[]"', '"data":"' + "[" * 5000 + '"'):
        status, _, _ = asked(capsys, tmp_path, line.replace(b'"text"', f'{data},"text"'.encode()), payload=True)
        assert status == 0


def test_the_page_is_a_whole_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = asked(capsys, tmp_path, flow_file(), "a&b", html=5)
    assert "script-src 'none'" in out
    assert "<title>a&amp;b, line 5</title></head><body>" in out
    assert out.endswith("<p>1</p></body></html>\n")


def test_control_characters_in_a_payload_are_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b]0;pwn\x07\x9b2J\u202e\u2028\rmethod=GET"
    frame = json.dumps(["4", None, "lv:phx-1", "push", {"text": evil}])
    line = json.dumps({"v": 1, "kind": "frame", "at": 1.0, "flow": "f", "dir": "down", "size": 9, "data": frame})
    _, out, _ = asked(capsys, tmp_path, f"{line}\n".encode(), payload=True)
    assert all(each.isprintable() for each in out.split("\n"))


def test_a_har_file_with_redaction_marks_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    marked = har("mitmproxy", None).replace(CANARY.encode(), "⟪redacted-95-chars-f03443⟫".encode())
    status, out, err = asked(capsys, tmp_path, marked)
    assert "not a URL" not in out + err
    assert status == 0


# Damaged ones


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "f: the file is empty; expected a line of a frame log, such as"),
        (b" \n", "f: the file is empty"),
        (b"PK\x03\x04xx", "f: a zip archive; extract it and read the .har file in it"),
        (b"%PDF-1.7", "f: neither a frame log nor a flow file nor a HAR file; expected"),
        (gzip.compress(b"%PDF", mtime=0), "f: neither a frame log"),
        (gzip.compress(frame_log())[:-20], "f: Compressed file ended"),
        (zlib.compress(b"nothing"), "f: neither a frame log"),
        (b"x\x9c" + b"\xff" * 50, "f: Error -3"),
        (b'{"a":1}\n', "f:1: a line without a version `v`; this livegate reads version 1"),
        (frame_log() + b'{"v":1,\n' + frame_log(), "f:6: not a line of a frame log"),
        (b'{"v":1}\n' + b"[" * 100_000 + b"\n", "f:2: not a line of a frame log"),
        (b'{"v":1,"data":"' + b"x" * frame_logs.MAX_LINE_BYTES, "f:1: longer than 4,194,304 bytes"),
        (b"12:nonsense", "f: flow 1 cannot be read: Invalid data format. (the file ends within it)"),
        (b"999999999999:x", "f: flow 1 cannot be read: Invalid data format. (its size is 999,999,999,999 bytes"),
        (flow_file()[:-9], "f: flow 2 cannot be read: Invalid data format. (the file ends within it)"),
        (flow_file() + b"7:version}", "f: flow 3 cannot be read"),
        (tnetstring.dumps({"version": 99}), "flow format version 99, please update mitmproxy"),
        (tnetstring.dumps({"version": 21, "type": "http"}), "f: flow 1 cannot be read: it is not a flow as mitmproxy saves it"),
        (tnetstring.dumps([]), "f: flow 1 cannot be read"),
        (b'{"log": {"entries": [}}', "f:1: not JSON, as a HAR file is: Expecting value"),
        (b'{"log": []}', "f: not a HAR file: expected a list at log.entries"),
        (b'{"log": {"entries": {}}}', "f: not a HAR file: expected a list at log.entries"),
        (b'{"log": {"entries": [7]}}', "f: entry 1 of 1: expected an object, found int"),
        (b'{"log": {"entries": [{}]}}', "f: entry 1 of 1: expected a text at request.url"),
        (b'{"log": {"entries": [{"request":{"url":"http://[x"}}]}}', "f: entry 1 of 1: request.url is not a URL: 'http://[x'"),
        (b'{"log": ' + b"[" * 100_000, "f: nested too deeply for a HAR file"),
        (har("x", messages(type="sent")), 'entry 1 of 3, message 1: type must be "send" or "receive", not \'sent\''),
        (har("x", messages(data=5)), "entry 1 of 3, message 1: expected a text at data"),
        (har("x", [7]), "entry 1 of 3: expected an object as message 1 of _webSocketMessages"),  # type: ignore[list-item]
        (har("x", 7), "entry 1 of 3: expected a list at _webSocketMessages"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_an_error_names_the_place_and_what_was_expected(
    content: bytes, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, error = asked(capsys, tmp_path, content, "f")
    assert status == 1
    assert problem in error
    assert error.count("\n") == 1


def test_sizes_are_bounded(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(har_files, "MAX_HAR_BYTES", 1024 * 1024)
    monkeypatch.setattr(reader, "MAX_HAR_BYTES", 1024 * 1024)
    monkeypatch.setattr(flow_files, "MAX_FLOW_BYTES", 1000)
    large = b'{"log":' + b" " * 2 * 1024 * 1024
    assert "larger than 1 MiB, the limit" in asked(capsys, tmp_path, large)[2]
    assert "larger than 1 MiB when unpacked" in asked(capsys, tmp_path, zlib.compress(large))[2]
    assert "the limit is 1,000" in asked(capsys, tmp_path, flow_file())[2]


def test_a_log_that_a_crash_has_cut_off_is_read_up_to_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, error = asked(capsys, tmp_path, frame_log()[:-30], "log")
    assert (status, len(out.splitlines())) == (0, 4)
    assert error == "log:5: the last line is cut off\n"
    status, out, error = asked(capsys, tmp_path, frame_log().rstrip() + b"\n\n", "log")
    assert (status, len(out.splitlines()), error) == (0, 5, "")
    assert len(asked(capsys, tmp_path, frame_log().rstrip(), "log")[1].splitlines()) == 5, (
        "only its end of line is missing"
    )


def test_only_a_frame_log_is_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for content, what in ((flow_file(), ""), (har("x", messages()), ", not a HAR file")):
        assert asked(capsys, tmp_path, content, "f", follow=True)[2] == f"f: only a frame log can be followed{what}\n"


def test_a_log_that_begins_anew_while_it_is_followed_is_followed_on(tmp_path: Path) -> None:
    path = tmp_path / "f"
    line = '{"v":1,"kind":"http","method":"GET","url":"/%d","status":200,"ms":1}\n'
    path.write_text(line % 1)
    steps = [
        lambda: path.rename(tmp_path / "f.1"),
        lambda: path.write_text(line % 2),
        lambda: path.write_text(""),
        lambda: path.write_text(line % 3),
    ]

    def sleep(seconds: float) -> None:
        del seconds
        steps.pop(0)()

    lines = read_lines(path, follow=True, sleep=sleep)
    assert [next(lines)["url"] for _ in range(3)] == ["/1", "/2", "/3"]


def test_values_of_a_line_that_are_none_do_no_harm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd: list[Any] = ["x", [], {}, True, 1e300, -1e300, 10**400, None, float("nan"), float("inf")]
    names = ("at", "ms", "size", "session", "flow", "dir", "text", "data", "url", "code", "reason", "kind", "event")
    lines = [
        {"v": 1, "kind": kind, name: value}
        for kind in ("frame", "open", "close", "http", "dropped", None)
        for name in names
        for value in odd
    ]
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    for options in ({}, {"payload": True}, {"slow": "1ms"}, {"html": len(lines)}):
        status, _, error = asked(capsys, tmp_path, content, **options)
        assert status in (0, 1)
        assert "Traceback" not in error


SAMPLES = [made() for made in RECORDINGS.values()]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_makes_anything_but_a_line_of_an_error(data: st.DataObject, tmp_path: Path) -> None:
    content = bytearray(data.draw(st.sampled_from(SAMPLES)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        match data.draw(st.sampled_from(["cut", "replace", "insert", "delete", "number"])):
            case "cut":
                del content[at:]
            case "replace":
                content[at : at + 1] = data.draw(st.binary(min_size=1, max_size=3))
            case "insert":
                content[at:at] = data.draw(st.binary(max_size=20))
            case "delete":
                del content[at : at + data.draw(st.integers(1, 60))]
            case _:
                number = re.search(rb"\d+", bytes(content[at:]))
                if number is not None:
                    content[at + number.start() : at + number.end()] = data.draw(
                        st.sampled_from([b"0", b"-1", b"999999999999999999999", b"1e999", b"null", b'""', b"[]", b"{}"])
                    )
    path = tmp_path / "damaged"
    path.write_bytes(content)
    lines = []
    try:
        for line in read_lines(path):
            format_line(line)
            lines.append(line)
    except ReadError as error:
        assert "\n" not in str(error)
    if lines:
        try:
            page_at(iter(lines), lines[-1]["n"])
        except ReadError as error:
            assert "line" in str(error)


# The real command


@pytest.mark.process
def test_it_reads_standard_input_and_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(frame_log() * 3000)
    many = subprocess.run(
        ["/bin/sh", "-c", '"$0" read - < "$1" | head -1', str(LIVEGATE), str(path)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert many.stdout.count("\n") == 1
    assert many.stderr == ""


@pytest.mark.parametrize(
    ("redirected", "status", "message"),
    [
        (">/dev/full", 1, "standard output: No space left on device\n"),
        (">&-", 0, ""),
        ("<&- >/dev/null", 0, ""),
    ],
)
@pytest.mark.process
def test_an_output_that_is_full_or_closed_makes_no_traceback(
    redirected: str, status: int, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    path.write_bytes(frame_log())
    ran = subprocess.run(
        ["/bin/sh", "-c", f'"$0" read "$1" {redirected}', str(LIVEGATE), str(path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (status, message)


@pytest.mark.process
def test_the_command_names_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    ran = read(tmp_path, b"%PDF", name="[bold]x")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(f"{tmp_path}/[bold]x: neither a frame log")
    ran = subprocess.run([LIVEGATE, "read", tmp_path], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (1, f"{tmp_path}: Is a directory\n")
