"""What the tracker makes of frames: pairs, times, crashes, rejoins, uploads, refusals; one session for one tab."""

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from livegate.phoenix.formatting import seconds_text, shortened, size_text
from livegate.phoenix.model import MAX_ROUND_TRIPS, HttpExchange, PageLoad, Session, SessionLimits, View, percentile
from livegate.phoenix.page_html import path_of, read_page, vsn_of_url
from livegate.phoenix.sessions.frame_info import FrameInfo
from livegate.phoenix.sessions.socket import SocketTracker
from livegate.phoenix.sessions.store import MAX_SOCKETS
from livegate.phoenix.sessions.tracker import Tracker

TRACES = Path(os.environ.get("LIVEGATE_TRACES") or Path(__file__).parents[5] / "shared" / "traces")
TOPIC = "lv:phx-1"
URL = "/live/websocket?vsn=2.0.0"
RENDERED = {"s": ["<p>", "</p>"], "0": "0"}


class Tab:
    """A browser tab and its server, with a clock that a test moves."""

    def __init__(self, tracker: Tracker | None = None, url: str = URL) -> None:
        self.tracker = tracker or Tracker()
        self.now = 100.0
        self.channels = self.open(url)

    def open(self, url: str = URL) -> SocketTracker:
        self.channels = self.tracker.open(url, self.now)
        return self.channels

    def up(self, *frame: Any, after: float = 0.0) -> FrameInfo:
        return self._frame(frame, True, after)

    def down(self, *frame: Any, after: float = 0.0) -> FrameInfo:
        return self._frame(frame, False, after)

    def _frame(self, frame: tuple[Any, ...], from_client: bool, after: float) -> FrameInfo:
        self.now += after
        data = frame[0] if isinstance(frame[0], bytes) else json.dumps(frame).encode()
        text = not isinstance(frame[0], bytes)
        return self.channels.read_frame(data, text=text, from_client=from_client, at=self.now)

    def reply(
        self, join_ref: str, ref: str, response: Any, *, status: str = "ok", topic: str = TOPIC, after: float = 0.01
    ) -> FrameInfo:
        return self.down(join_ref, ref, topic, "phx_reply", {"status": status, "response": response}, after=after)

    def join(self, ref: str = "4", topic: str = TOPIC, **payload: Any) -> FrameInfo:
        self.up(ref, ref, topic, "phx_join", {"url": "http://h/count?secret=1", "params": {}, **payload})
        return self.reply(ref, ref, {"rendered": RENDERED, "liveview_version": "1.1.0"}, topic=topic)

    def click(self, ref: str, name: str = "inc") -> FrameInfo:
        return self.up("4", ref, TOPIC, "event", {"type": "click", "event": name, "value": {}})

    @property
    def session(self) -> Session:
        assert self.channels.session is not None
        return self.channels.session


def test_an_event_is_paired_with_its_reply() -> None:
    tab = Tab()
    joined = tab.join()
    assert joined.summary == "joined /count, LiveView 1.1.0, 142 B after 10.0 ms"
    clicked = tab.click("12")
    assert clicked.summary == 'click "inc" on /count (#12)'
    reply = tab.reply("4", "12", {"diff": {"0": "1"}}, after=0.0031)
    assert reply.summary == "reply ok to #12 after 3.1 ms, diff 9 B: 1 path"
    event = reply.push
    assert event is clicked.push
    assert event is not None
    assert (event.outcome, event.diff_size, event.paths, event.view) == ("ok", 9, 1, "/count")
    assert event.round_trip == pytest.approx(0.0031)
    assert tab.session.round_trips_by_event() == {("/count", "inc"): [pytest.approx(0.0031)]}
    assert tab.session.main is not None
    assert tab.session.main.tree is not None
    assert tab.session.main.tree.html() == "<p>1</p>"
    assert tab.session.state == "live"
    assert tab.session.bytes_in > 0 < tab.session.bytes_out


def test_heartbeats_measure_the_round_trip_of_the_transport() -> None:
    tab = Tab()
    assert tab.up(None, "1", "phoenix", "heartbeat", {}).summary == "heartbeat"
    first = tab.down(None, "1", "phoenix", "phx_reply", {"status": "ok", "response": {}}, after=0.002)
    assert first.summary == "heartbeat reply after 2.00 ms".replace("2.00", "2.0")
    tab.join()
    tab.up(None, "9", "phoenix", "heartbeat", {})
    tab.down(None, "9", "phoenix", "phx_reply", {"status": "ok", "response": {}}, after=0.005)
    assert list(tab.session.heartbeats) == [pytest.approx(0.005)]
    assert all(event.kind != "heartbeat" for event in tab.session.pushes)


def test_a_crash_leaves_its_events_without_a_reply_and_the_rejoin_is_the_same_session() -> None:
    tab = Tab()
    tab.join()
    clicked = tab.click("12", "crash")
    crash = tab.down("4", "4", TOPIC, "phx_error", {"reason": "channel_crash"})
    assert crash.summary == 'CRASH of /count, "crash" without a reply'
    assert clicked.push is not None
    assert clicked.push.outcome == "crash"
    assert (tab.session.state, tab.session.crashes, tab.session.unanswered) == ("crashed", 1, 1)
    again = tab.up("20", "20", TOPIC, "phx_join", {"url": "http://h/count", "params": {"_mounts": 1}})
    assert again.summary == "rejoin /count (#20)"
    assert tab.reply("20", "20", {"rendered": RENDERED}).summary.startswith("rejoined /count, LiveView 1.1.0")
    assert (tab.session.rejoins, tab.session.state, len(tab.tracker.sessions)) == (1, "live", 1)


def test_a_lost_socket_is_the_end_of_what_was_under_way_and_the_next_one_goes_on() -> None:
    tab = Tab()
    tab.join()
    clicked = tab.click("12")
    lost = tab.channels.close(1006, "", "server", tab.now)
    assert [event.ref for event in lost] == ["12"]
    assert clicked.push is not None
    assert clicked.push.outcome == "closed"
    assert tab.channels.close(1000, "", "client", tab.now) == [], "it has ended once"
    assert tab.session.state == "closed"
    assert tab.session.sockets[0].close_code == 1006
    session = tab.session
    tab.open()
    tab.join("9")
    assert tab.session is session
    assert (session.rejoins, len(session.sockets), session.state) == (1, 2, "live")


def test_navigation_is_another_view_and_no_rejoin() -> None:
    tab = Tab()
    tab.join()
    tab.click("12", "nav")
    reply = tab.reply("4", "12", {"live_redirect": {"kind": "push", "to": "/feed?x=1", "flash": "SFMy"}})
    assert reply.summary.endswith("live_redirect to /feed?x=1 with flash")
    assert tab.up("4", "13", TOPIC, "phx_leave", {}).summary == "leaves /count (#13)"
    joined = tab.up("14", "14", TOPIC, "phx_join", {"redirect": "http://h/feed", "params": {}})
    assert joined.summary == "join /feed (#14)"
    assert tab.down("4", "4", TOPIC, "phx_close", {}).summary == ("/count closed (an earlier join)")
    assert tab.session.main is not None
    assert tab.session.main.state == "joining", "the end of the view before is not its own"
    tab.reply("4", "13", {})
    tab.reply("14", "14", {"rendered": RENDERED})
    assert tab.session.main is not None
    assert tab.session.main.state == "up"
    assert (tab.session.unanswered, tab.session.rejoins) == (0, 0)


def test_a_view_that_was_left_is_left() -> None:
    tab = Tab()
    tab.join()
    tab.click("12")
    tab.up("4", "13", TOPIC, "phx_leave", {})
    tab.down("4", "4", TOPIC, "phx_close", {})
    assert tab.session.views[TOPIC].state == "left"
    assert tab.session.unanswered == 1
    assert tab.reply("4", "12", {}).summary == "reply without a pending push"


def test_patches_pushes_and_diffs_of_the_server() -> None:
    tab = Tab()
    tab.join()
    assert (
        tab.up("4", "5", TOPIC, "live_patch", {"url": "http://h/count?page=2"}).summary
        == 'patch "/count?page=2" on /count (#5)'
    )
    assert tab.down("4", None, TOPIC, "live_patch", {"kind": "push", "to": "/other"}).summary == (
        'server pushes "live_patch" on /other: to /other'
    )
    assert tab.down("4", None, TOPIC, "diff", {"0": "7", "e": [["toast", {}]], "t": "T"}).summary == (
        "/other sends diff 36 B: 1 path, pushed 'toast', title"
    )
    assert tab.down("4", None, TOPIC, "diff", {}).summary == "/other sends diff 2 B: no change"
    assert tab.session.pushed_diffs == 2
    assert tab.down(None, None, "room:b", "news", {}).summary == 'server pushes "news" on room:b'
    assert tab.up("9", "9", "room:a", "shout", {"a": 1}).summary == 'client pushes "shout" on room:a (#9)'


@pytest.mark.parametrize(
    ("response", "reason"),
    [({"reason": "stale"}, "stale"), ({}, "without a reason")],
)
def test_a_refused_join_has_its_reason(response: dict[str, Any], reason: str) -> None:
    tab = Tab()
    tab.up("4", "4", TOPIC, "phx_join", {"url": "http://h/count"})
    info = tab.reply("4", "4", response, status="error")
    assert info.summary == f"join of /count refused: {reason}"
    assert dict(tab.session.refusals) == {reason: 1}
    assert tab.session.state == "refused"


@pytest.mark.parametrize("kind", ["redirect", "live_redirect"])
def test_a_redirect_in_mount_is_normal_traffic(kind: str) -> None:
    tab = Tab()
    tab.up("4", "4", TOPIC, "phx_join", {"url": "http://h/count"})
    info = tab.reply("4", "4", {kind: {"to": "/login", "flash": "SFMyNTY"}}, status="error")
    assert (info.kind, info.summary) == ("redirected", f"join of /count got a {kind} to /login")
    assert (dict(tab.session.refusals), len(tab.session.incidents), tab.session.state) == ({}, 0, "live")


def test_an_error_reply_to_an_event_has_its_reason() -> None:
    tab = Tab()
    tab.join()
    tab.click("12")
    assert tab.reply("4", "12", {"reason": "unmatched topic"}, status="error").summary == (
        "reply error to #12 after 10.0 ms, unmatched topic"
    )


def test_an_upload_is_followed_to_its_end() -> None:
    tab = Tab()
    tab.join()
    entries = [{"ref": "0", "name": "a.txt", "size": 10}, {"ref": "1", "name": "b.txt", "size": "?"}, 7]
    assert (
        tab.up("4", "5", TOPIC, "allow_upload", {"ref": "u", "entries": entries}).summary
        == "upload: a.txt, b.txt requested (#5)"
    )
    assert tab.up("6", "6", "lvu:0", "phx_join", {"token": "t"}).summary == "upload: a.txt begins (#6)"
    tab.reply("6", "6", {}, topic="lvu:0")
    for ref in ("7", "8"):
        chunk = b"\0\x01\x01\x05\x05" + f"6{ref}lvu:0chunk".encode() + b"12345"
        assert tab.up(chunk).summary == f"upload: chunk of 5 B of a.txt (#{ref})"
        tab.reply("6", ref, {}, topic="lvu:0")
    assert tab.up("4", "9", TOPIC, "progress", {"entry_ref": "0", "progress": 50}).summary == "upload: a.txt 50 % (#9)"
    assert tab.up("4", "10", TOPIC, "progress", {"entry_ref": "0", "progress": {"error": "too_large"}}).summary == (
        "upload: a.txt failed: too_large (#10)"
    )
    assert (
        tab.up("4", "11", TOPIC, "progress", {"entry_ref": "x"}).summary == 'client pushes "progress" on /count (#11)'
    )
    assert tab.up("6", "12", "lvu:0", "phx_leave", {}).summary == "upload: a.txt ends (#12)"
    assert tab.up("6", "13", "lvu:9", "odd", {}).summary == "upload: odd of lvu:9 (#13)"
    upload = tab.session.uploads["0"]
    assert (upload.sent, upload.chunks, upload.progress, upload.error) == (10, 2, 50, "too_large")
    assert upload.rate == pytest.approx(10 / 0.01)
    assert tab.session.uploads["1"].rate is None


def test_an_old_uploads_end_on_a_new_socket_is_of_the_session_that_follows() -> None:
    """The client leaves its upload's channel first when it has reconnected."""
    tab = Tab()
    tab.join()
    session = tab.session
    tab.channels.close(1006, "", "server", tab.now)
    tab.open()
    assert tab.up("6", "49", "lvu:0", "phx_leave", {}).session is None, "it is no session of its own"
    assert tab.up("50", "50", TOPIC, "phx_join", {"url": "http://h/count"}).summary == "rejoin /count (#50)"
    assert tab.session is session
    assert list(tab.tracker.sessions) == [session.number]
    assert len(session.sockets) == 2


def test_a_leave_of_what_was_never_joined_makes_no_view() -> None:
    tab = Tab()
    tab.join()
    assert tab.up(None, "73", "lv:", "phx_leave", {}).summary == "leaves a view that was never joined (#73)"
    assert list(tab.session.views) == [TOPIC]
    plain = Tab()
    plain.up("1", "1", "room:a", "phx_join", {})
    plain.up("3", "3", "lv:", "phx_join", {})
    assert [session.kind for session in plain.tracker.sessions.values()] == ["channels"]


def test_components_that_are_gone_are_forgotten() -> None:
    tab = Tab()
    tab.up("4", "4", TOPIC, "phx_join", {"url": "http://h/"})
    tab.reply("4", "4", {"rendered": {**RENDERED, "c": {"1": {"s": ["x"]}}}})
    tab.up("4", "5", TOPIC, "cids_destroyed", {"cids": [1]})
    tab.reply("4", "5", {"cids": [1, "x"]})
    view = tab.session.views[TOPIC]
    assert view.tree is not None
    assert view.tree.components == {}


def test_a_page_that_cannot_be_merged_has_a_reason_and_the_session_continues() -> None:
    tab = Tab()
    tab.up("4", "4", TOPIC, "phx_join", {"url": "http://h/"})
    tab.reply("4", "4", {"rendered": {"s": 5}})
    view = tab.session.views[TOPIC]
    assert view.tree is None
    assert view.tree_problem == "the template 5 is not in the table"
    tab.join("6")
    tab.down("6", None, TOPIC, "diff", {"0": [1]})
    assert view.tree is None
    assert "a list instead of" in str(view.tree_problem)
    assert tab.down("6", None, TOPIC, "diff", {"0": "x"}).summary == "/count sends diff 9 B"


@pytest.mark.parametrize("depth", [200, 300, 900, 5000, 100_000])
@pytest.mark.parametrize("around", ["[", '{"0":'])
def test_nesting_of_any_depth_raises_nothing(depth: int, around: str) -> None:
    tab = Tab()
    tab.join()
    tab.click("12")
    close = "]" if around == "[" else "}"
    deep = around * depth + "1" + close * depth
    for text in (
        f'["4","12","{TOPIC}","phx_reply",{{"status":"ok","response":{{"diff":{{"0":{deep}}}}}}}]',
        f'["4",null,"{TOPIC}","diff",{deep}]',
    ):
        assert tab.channels.read_frame(text.encode(), text=True, from_client=False, at=tab.now).summary
    data = f'["4","4","{TOPIC}","phx_reply",{{"status":"ok","response":{{"rendered":{deep}}}}}]'.encode()
    assert tab.channels.read_frame(data, text=True, from_client=False, at=tab.now).summary


def test_what_is_not_phoenix_is_shown_as_that() -> None:
    tab = Tab()
    info = tab.up(b"\xff\xff")
    assert info.summary == "not a Phoenix frame: a binary frame of an unknown kind"
    assert info.session is None
    tab.down("4", "4", TOPIC, "phx_error", {})
    tab.down("4", "4", TOPIC, "phx_close", {})
    tab.down("4", None, TOPIC, "diff", {"0": 1})
    tab.reply("1", "1", {})
    assert tab.channels.session is None


def test_a_page_load_is_the_beginning_of_its_session() -> None:
    tab = Tab()
    html = '<div data-phx-main id="phx-1" class="a" data-phx-session="S" data-phx-static="T"><p id="x">'
    load = PageLoad("/count", 200, 90.0, 0.02)
    assert tab.tracker.add_page_load(html, load)
    assert (load.topics, load.number) == ((TOPIC,), 1)
    assert not tab.tracker.add_page_load("<p>", PageLoad("/", 200, 91.0, 0.02))
    tab.join()
    assert tab.session.number == 1
    assert tab.session.exchanges is load.exchanges
    assert (tab.session.page_load, tab.session.opened_at) == (load, 90.0)


def test_the_views_of_a_page() -> None:
    two = read_page("<div data-phx-session=\"x\" id=a></div><b id=\"n\"><i id='b' data-phx-session=''>")
    assert two.topics == ("lv:a", "lv:b")
    assert read_page("<p data-phx-session='x'>").topics == ()
    assert len(read_page('<p id="a" data-phx-session="">' * 500).topics) == 100
    assert read_page("<" * 100_000 + "data-phx-session=").topics == ()


@pytest.mark.parametrize(
    ("url", "path"), [("http://h/a?b", "/a"), ("/x", "/x"), ("http://h", "/"), (None, None), ("http://[", None)]
)
def test_paths_are_without_queries(url: object, path: str | None) -> None:
    assert path_of(url) == path


def test_the_version_of_a_url() -> None:
    assert vsn_of_url("/live/websocket?vsn=2.0.0") == "2"
    assert vsn_of_url("/live/websocket") == "1"
    assert vsn_of_url("/live/websocket?" + "a=1&" * 500) is None
    tab = Tab(url="/live/websocket?vsn=7")
    assert tab.channels.info.vsn == "?"


def test_page_loads_that_no_session_claims_are_bounded() -> None:
    tracker = Tracker(SessionLimits(page_loads=2))
    for number in range(3):
        tracker.add_page_load(f'<p id="phx-{number}" data-phx-session="">', PageLoad("/", 200, 0, 0))
    assert len(tracker._page_loads) == 2
    assert View("lv:x", module="App.Deep.CountLive").label == "CountLive"


def test_events_of_all_sessions_together_are_bounded_the_oldest_go() -> None:
    tracker = Tracker(SessionLimits(pushes=4, all_pushes=6))
    first, second = Tab(tracker), Tab(tracker)
    first.join(topic="lv:phx-1")
    second.join(topic="lv:phx-2")
    for number in range(10):
        second.up("4", str(100 + number), "lv:phx-2", "event", {"type": "click", "event": "x"})
    assert (len(first.session.pushes), first.session.pushes_dropped) == (0, 1)
    assert (len(second.session.pushes), second.session.pushes_dropped) == (4, 7)
    assert len(tracker._pushes) == 6


def test_requests_of_all_sessions_together_are_bounded_the_oldest_go() -> None:
    tracker = Tracker(SessionLimits(exchanges=3))
    one, other = PageLoad("/", 200, 1.0, 0.1), PageLoad("/", 200, 1.0, 0.1)
    made = [HttpExchange(str(number), 1.0, "GET", "/", 200, 0.1, 10) for number in range(5)]
    for number, exchange in enumerate(made):
        tracker.add_exchange((one if number < 3 else other).exchanges, exchange)
    assert (list(one.exchanges), list(other.exchanges)) == (made[2:3], made[3:])
    one.exchanges.clear()
    tracker.add_exchange(other.exchanges, made[0])
    assert list(other.exchanges) == [*made[3:], made[0]]


def test_percentiles_are_of_the_last_round_trips() -> None:
    tab = Tab()
    tab.join()
    for number in range(MAX_ROUND_TRIPS + 10):
        tab.click(str(100 + number))
        tab.reply("4", str(100 + number), {}, after=1.0 if number < 10 else 0.5)
    assert list(tab.session.round_trips) == [pytest.approx(0.5)] * MAX_ROUND_TRIPS


def test_everything_is_bounded_and_what_goes_is_counted() -> None:
    tracker = Tracker(SessionLimits(sessions=2, pushes=3, pending=2, views=2))
    for number in range(3):
        tab = Tab(tracker)
        tab.join(topic=f"lv:phx-{number}")
    assert (len(tracker.sessions), tracker.evicted) == (2, 1)
    for number in range(5):
        tab.up("4", str(100 + number), "lv:phx-2", "event", {"type": "click", "event": "x"})
    assert (len(tab.session.pushes), tab.session.pushes_dropped) == (3, 3)
    assert [event.outcome for event in tab.session.pushes] == ["forgotten", "pending", "pending"]
    for number in range(4):
        tab.up(None, None, f"room:{number}", "x", {})
    assert len(tab.session.views) == 2
    tab.up("4", "300", "lv:phx-2", "allow_upload", {"entries": [{"ref": str(at), "name": "f"} for at in range(150)]})
    assert len(tab.session.uploads) == 100
    for _ in range(MAX_SOCKETS + 5):
        tab.open()
        tab.join(topic="lv:phx-2")
    assert len(tab.session.sockets) == MAX_SOCKETS


def test_the_pages_of_the_oldest_sessions_go_when_they_are_too_large() -> None:
    tracker = Tracker(SessionLimits(tree_bytes=400))
    tabs = [Tab(tracker) for _ in range(4)]
    for number, tab in enumerate(tabs):
        tab.join(topic=f"lv:phx-{number}")
    kept = [session.main.tree is not None for session in tracker.sessions.values() if session.main]
    assert kept == [False, False, True, True]
    assert tracker.tree_bytes <= 400
    tabs[3].down("4", None, "lv:phx-3", "diff", {"0": "x" * 500})
    assert tracker.tree_bytes == 0
    assert tabs[3].session.views["lv:phx-3"].tree_problem is not None


def test_a_session_that_is_no_longer_kept_is_followed_without_its_page() -> None:
    tracker = Tracker(SessionLimits(sessions=1))
    first, second = Tab(tracker), Tab(tracker)
    first.join(topic="lv:phx-1")
    second.join(topic="lv:phx-2")
    kept = tracker.tree_bytes
    assert not first.session.is_stored
    for _ in range(3):
        first.join("20", topic="lv:phx-1")
        first.down("20", None, "lv:phx-1", "diff", {"0": "x" * 100})
    assert tracker.tree_bytes == kept
    assert first.session.views["lv:phx-1"].tree_problem == "too many sessions are open"
    assert second.session.views["lv:phx-2"].tree is not None


def test_numbers_for_people() -> None:
    assert [size_text(size) for size in (34, 4301, 3 << 20)] == ["34 B", "4.2 KiB", "3.0 MiB"]
    assert [seconds_text(each) for each in (None, 0.00042, 0.0031, 0.7, 12.34)] == [
        "?",
        "0.42 ms",
        "3.1 ms",
        "700 ms",
        "12.3 s",
    ]
    assert shortened("a" * 100) == "a" * 80 + "…"
    assert shortened("a\x1bb") == "a\\x1bb"
    assert [percentile([3.0, 1.0, 2.0], part) for part in (0.5, 0.95, 0.0)] == [2.0, 3.0, 1.0]
    assert percentile([], 0.5) is None


def test_a_note_that_was_shortened_keeps_its_sentence() -> None:
    tab = Tab()
    tab.join()
    info = tab.click("12")
    tab.session.views[TOPIC].path = "/elsewhere"
    info.drop_details()
    assert info.frame is None
    assert info.summary == 'click "inc" on /count (#12)'


GOLDEN = {
    # sessions as (state, events, crashes, rejoins, unanswered, uploads), then the views that were seen
    "lv-0.18.18": ([("crashed", 34, 2, 1, 2, 0), ("live", 8, 0, 0, 0, 1), ("closed", 1, 0, 0, 0, 0), ("live", 5, 0, 0, 0, 0)], {"CountLive", "UploadLive", "/feed"}),
    "lv-0.20.17": ([("live", 34, 1, 1, 1, 0), ("live", 8, 0, 0, 0, 1), ("closed", 1, 0, 0, 0, 0), ("live", 5, 0, 0, 0, 0)], {"CountLive", "UploadLive", "/feed"}),
    "lv-1.1.33": ([("live", 34, 1, 1, 1, 0), ("live", 8, 0, 0, 0, 1), ("closed", 1, 0, 0, 0, 0), ("live", 5, 0, 0, 0, 0)], {"CountLive", "UploadLive", "/feed"}),
    "pyview-0.9.0-lv0.20.17js": ([("live", 14, 0, 0, 0, 0), ("live", 4, 0, 1, 1, 0), ("live", 8, 0, 0, 0, 1)], {"/count", "/feed", "/upload"}),
}  # fmt: skip


@pytest.mark.parametrize("name", GOLDEN)
def test_recordings_of_genuine_sessions_are_read_without_a_gap(name: str) -> None:
    trace = TRACES / f"{name}.jsonl"
    if not trace.is_file():
        pytest.skip(f"no recording of a genuine session at {trace}: set LIVEGATE_TRACES")
    tracker, sockets = Tracker(), {}
    views = set()
    for line in trace.read_text().splitlines():
        entry = json.loads(line)
        if entry["ev"] == "open":
            sockets[entry["conn"]] = tracker.open(entry["url"], 0.0)
        elif entry["ev"] == "close":
            sockets[entry["conn"]].close(1006, "", "server", entry["t"])
        else:
            data = base64.b64decode(entry["data"]) if entry["op"] == 2 else entry["data"].encode()
            info = sockets[entry["conn"]].read_frame(
                data, text=entry["op"] == 1, from_client=entry["dir"] == "c2s", at=entry["t"]
            )
            assert info.kind not in ("broken", "other"), info
            assert "without a pending" not in info.summary
            if info.view is not None and info.view.path:
                views.add(info.view.label)
                assert info.view.tree_problem is None
    sessions, seen = GOLDEN[name]
    found = [
        (each.state, len(each.pushes), each.crashes, each.rejoins, each.unanswered, len(each.uploads))
        for each in tracker.sessions.values()
    ]
    assert (found, views) == (sessions, seen)
