"""What becomes a span, of which trace, under which parent, when; without a clock, a gateway or OpenTelemetry."""

import itertools
import json
from typing import Any

import pytest

from livegate.observe.tracing import spans as module
from livegate.observe.tracing.spans import LINGER_S, LONG_POLL_QUIET_S, MAX_DIFFS, MAX_OPEN_PUSHES, Span, Spans
from livegate.phoenix.model import PageLoad, SessionLimits, Transport
from livegate.phoenix.sessions.tracker import Tracker
from livegate.pipeline.fields.trace_context import RequestTrace, Sampler, SpanContext
from livegate.redaction.redactor import Redactor

TOPIC = "lv:phx-1"
HTML = '<div data-phx-session="x" id="phx-1"></div>'
RENDERED = {"s": ["<p>", "</p>"], "0": "0"}


class World:
    """A gateway's tracker and its spans, with a clock that a test moves."""

    def __init__(self, ratio: float = 1.0, limits: SessionLimits | None = None) -> None:
        self.told: list[Span] = []
        counting = itertools.count(1)
        self.sampler = Sampler(ratio, lambda size: f"{next(counting):0{2 * size}x}")
        self.spans = Spans(self.sampler, Redactor(), self.told.append)
        self.tracker = Tracker(limits)
        self.now = 100.0
        self.sockets = itertools.count(1)

    def page(self, *, request: RequestTrace | None = None) -> PageLoad:
        request = request or self.sampler.request([], [], trusted=False)
        load = PageLoad("/count", 200, self.now, 0.1)
        assert self.tracker.add_page_load(HTML, load)
        self.spans.start_session(request, load.number, "app.test", "/count", began=self.now, ended=self.now + 0.1)
        self.request(request, number=load.number, is_page=True)
        return load

    def request(self, request: RequestTrace, **more: Any) -> None:
        self.spans.end_request(request, "GET", {"x": 1}, error=None, began=self.now, ended=self.now + 0.1, **more)

    def open(self, transport: Transport = "websocket", upgrade: SpanContext | None = None) -> "Tab":
        return Tab(self, transport, upgrade)

    def named(self, name: str) -> list[Span]:
        return [span for span in self.told if span.name == name]


class Tab:
    def __init__(self, world: World, transport: Transport, upgrade: SpanContext | None) -> None:
        self.world, self.upgrade = world, upgrade
        url = "/live/websocket?vsn=2.0.0"
        self.channels = world.tracker.open(url, world.now, transport, str(next(world.sockets)))

    def say(self, up: bool, *frame: Any, after: float = 0.0) -> None:
        self.world.now += after
        data = json.dumps(frame).encode()
        note = self.channels.read_frame(data, text=True, from_client=up, at=self.world.now)
        self.world.spans.on_frame(note, self.channels.info, "app.test", self.upgrade)

    def reply(self, ref: str, response: Any, status: str = "ok", topic: str = TOPIC, after: float = 0.5) -> None:
        self.say(False, "4", ref, topic, "phx_reply", {"status": status, "response": response}, after=after)

    def join(self, topic: str = TOPIC) -> None:
        self.say(True, "4", "4", topic, "phx_join", {"url": "http://h/count"})
        self.reply("4", {"rendered": RENDERED}, topic=topic)

    def click(self, ref: str, name: str = "inc") -> None:
        self.say(True, "4", ref, TOPIC, "event", {"type": "click", "event": name, "value": {}})

    def close(self, code: int = 1000) -> None:
        self.channels.close(code, "", "client", self.world.now)
        self.world.spans.end_socket(self.channels.info.id, self.world.now, {"livegate.close.code": code})


def test_a_page_its_sockets_and_their_pushes_are_one_trace() -> None:
    world = World()
    parent = SpanContext("a" * 32, "b" * 16)
    load = world.page(request=RequestTrace(SpanContext("a" * 32, "c" * 16), parent))
    upgrade = SpanContext("d" * 32, "e" * 16)
    tab = world.open(upgrade=upgrade)
    tab.join()
    tab.click("5")
    tab.reply("5", {"diff": {"0": "1"}})
    tab.close()
    again = world.open()
    again.join()
    again.close()
    world.spans.end_all(world.now)
    (root,) = world.named("liveview.session")
    assert (root.context.trace_id, root.parent, root.remote_parent) == ("a" * 32, parent.span_id, True)
    assert (root.start_ns, root.end_ns) == (100 * 10**9, int(world.now * 10**9))
    assert root.attributes["livegate.session"] == load.number
    (page,) = world.named("GET")
    assert (page.parent, page.remote_parent, page.kind) == (root.context.span_id, False, "server")
    sockets = world.named("liveview.socket")
    assert [(each.parent, each.links) for each in sockets] == [
        (root.context.span_id, (upgrade,)),
        (root.context.span_id, ()),
    ]
    joins = world.named("liveview.join")
    assert [each.parent for each in joins] == [each.context.span_id for each in sockets]
    (event,) = world.named("liveview.event inc")
    assert event.parent == sockets[0].context.span_id
    assert event.end_ns - event.start_ns == 500_000_000
    assert dict(event.attributes) == {
        "livegate.service": "app.test",
        "livegate.session": load.number,
        "liveview.view": "/count",
        "liveview.kind": "event",
        "liveview.ref": "5",
        "liveview.outcome": "ok",
        "liveview.push_bytes": event.attributes["liveview.push_bytes"],
        "liveview.reply_bytes": event.attributes["liveview.reply_bytes"],
        "liveview.diff_bytes": 9,
        "liveview.event": "inc",
        "liveview.event_type": "click",
    }
    assert len({span.context.trace_id for span in world.told}) == 1
    assert len({span.context.span_id for span in world.told}) == len(world.told)
    assert all(span.error is None for span in world.told)


def test_a_session_without_a_page_load_begins_a_trace_and_a_view_that_is_none_does_not() -> None:
    world = World()
    chat = world.open()
    chat.say(True, "1", "1", "room:lobby", "phx_join", {})
    chat.close()
    world.spans.end_all(world.now)
    assert world.told == []
    tab = world.open()
    tab.join()
    tab.close()
    world.spans.end_all(world.now)
    (root,) = world.named("liveview.session")
    assert (root.parent, root.attributes["liveview.view"], root.attributes["url.path"]) == (None, "/count", "/count")


def test_the_root_is_told_once_when_the_session_has_been_without_a_socket_for_long() -> None:
    world = World()
    world.page()
    tab = world.open()
    tab.join()
    world.spans.sweep(world.now + 10 * LINGER_S)
    assert not world.named("liveview.session"), "a socket is open"
    tab.close()
    closed = world.now
    world.spans.sweep(closed + LINGER_S)
    assert not world.named("liveview.session")
    world.spans.sweep(closed + LINGER_S + 1)
    (root,) = world.named("liveview.session")
    assert root.end_ns == int(closed * 10**9)
    world.now += 10 * LINGER_S
    late = world.open()
    late.join()
    late.close()
    world.spans.sweep(world.now + 2 * LINGER_S)
    world.spans.end_all(world.now)
    assert len(world.named("liveview.session")) == 1
    assert world.named("liveview.socket")[1].parent == root.context.span_id, "it is still of that trace"


def test_a_page_that_nobody_joins_is_told_too() -> None:
    world = World()
    world.page()
    world.spans.sweep(world.now + LINGER_S + 1)
    (root,) = world.named("liveview.session")
    assert root.attributes["liveview.sockets"] == 0
    assert root.end_ns - root.start_ns == pytest.approx(100_000_000, abs=1000)


@pytest.mark.parametrize(
    ("end", "outcome", "error"),
    [
        (lambda tab: tab.say(False, "4", "4", TOPIC, "phx_error", {}), "crash", "crash"),
        (lambda tab: tab.say(False, "4", "4", TOPIC, "phx_close", {}), "left", "left"),
        (lambda tab: tab.close(1006), "closed", "closed"),
        (lambda tab: tab.reply("5", {"reason": "no token=hunter2hunter2"}, "error"), "error", "no token=⟪redacted"),
        (lambda tab: tab.world.spans.end_all(tab.world.now), "pending", None),
    ],
)
def test_a_push_without_a_good_answer_is_an_error(end: Any, outcome: str, error: str | None) -> None:
    world = World()
    tab = world.open()
    tab.join()
    tab.click("5")
    end(tab)
    (event,) = world.named("liveview.event inc")
    assert event.attributes["liveview.outcome"] == outcome
    assert (event.error or "").startswith(error or "")
    assert (event.error is None) == (error is None)
    assert "hunter2" not in repr(world.told)
    world.spans.end_all(world.now)
    (root,) = world.named("liveview.session")
    assert root.attributes["liveview.unanswered"] == (outcome in ("crash", "left", "closed"))
    assert root.attributes["liveview.crashes"] == (outcome == "crash")


def test_diffs_that_come_unasked_are_moments_of_the_socket_the_last_ones() -> None:
    world = World()
    tab = world.open()
    tab.join()
    for _ in range(MAX_DIFFS + 3):
        tab.say(False, "4", None, TOPIC, "diff", {"0": "2"})
    tab.close()
    (socket,) = world.named("liveview.socket")
    assert len(socket.events) == MAX_DIFFS
    assert socket.attributes["liveview.diffs"] == MAX_DIFFS + 3
    assert socket.attributes["liveview.diff_bytes"] == 9 * (MAX_DIFFS + 3)


def test_words_from_outside_are_short_and_no_name_of_a_span_unless_they_fit() -> None:
    world = World()
    tab = world.open()
    tab.join()
    secret = "SFMyNTY.abcdefghijklmnop"
    for ref, name in (("5", secret), ("6", "x" * 5000), ("7", "line\nbreak \ud800"), ("8", "save!")):
        tab.click(ref, name)
        tab.reply(ref, {})
    assert "abcdefghijklmnop" not in repr(world.told)
    events = [span for span in world.told if span.name.startswith("liveview.event")]
    assert [span.name for span in events] == ["liveview.event"] * 3 + ["liveview.event save!"]
    assert all(len(str(span.attributes["liveview.event"])) < 100 for span in events)
    assert str(events[2].attributes["liveview.event"]).isprintable()


def test_a_join_is_named_by_its_view_and_uploads_and_heartbeats_are_no_joins() -> None:
    world = World()
    tab = world.open()
    tab.join()
    view = tab.channels.session.views[TOPIC]  # type: ignore[union-attr]
    view.module = "DemoWeb.CountLive"
    tab.join()
    assert world.named("liveview.join CountLive")[0].attributes["liveview.view"] == "DemoWeb.CountLive"
    tab.say(True, None, "9", "phoenix", "heartbeat", {})
    tab.say(False, None, "9", "phoenix", "phx_reply", {"status": "ok", "response": {}})
    tab.say(True, "9", "10", "lvu:0", "phx_join", {"token": "x"})
    tab.say(True, "4", "11", TOPIC, "allow_upload", {"entries": [{"name": "secret.pdf", "ref": "0"}]})
    tab.reply("11", {})
    (upload,) = [span for span in world.told if "join" not in span.name]
    assert upload.name == "liveview.upload"
    assert "secret.pdf" not in repr(world.told)


def test_nothing_is_told_of_what_is_not_sampled() -> None:
    world = World(0.0)
    world.page()
    tab = world.open()
    tab.join()
    tab.close()
    lone = World(0.0).open()
    lone.join()
    world.spans.end_all(world.now)
    lone.world.spans.end_all(0)
    assert (world.told, lone.world.told) == ([], [])


def test_a_request_of_a_tab_is_linked_to_its_session_and_others_are_not() -> None:
    world = World()
    load = world.page()
    world.told.clear()
    parent = SpanContext("a" * 32, "b" * 16)
    for request, number in (
        (RequestTrace(SpanContext("a" * 32, "c" * 16), parent), load.number),
        (RequestTrace(SpanContext("d" * 32, "e" * 16), None), 77),
        (RequestTrace(SpanContext("d" * 32, "e" * 16), None), None),
    ):
        world.request(request, number=number)
    first, *others = world.told
    assert (first.parent, first.remote_parent, first.attributes["livegate.session"]) == ("b" * 16, True, load.number)
    world.spans.end_all(world.now)
    assert first.links == (world.named("liveview.session")[0].context,)
    assert [(span.parent, span.links) for span in others] == [(None, ()), (None, ())]


def test_sockets_that_end_without_a_word_are_swept() -> None:
    world = World()
    poll, gone, quiet = world.open("longpoll"), world.open("longpoll"), world.open()
    for tab in (poll, gone, quiet):
        tab.join()
    gone.channels.close(3410, "", "server", world.now)
    world.spans.sweep(world.now)
    assert [span.attributes["livegate.close.by"] for span in world.named("liveview.socket")] == ["server"]
    world.now += LONG_POLL_QUIET_S
    poll.say(True, None, "9", "phoenix", "heartbeat", {})
    world.spans.sweep(world.now + 1)
    assert len(world.named("liveview.socket")) == 1
    world.spans.sweep(world.now + LONG_POLL_QUIET_S + 1)
    assert [span.attributes["livegate.close.by"] for span in world.named("liveview.socket")] == ["server", "quiet"]
    world.spans.end_all(world.now + 200)
    assert world.named("liveview.socket")[2].attributes["livegate.close.by"] == "still open"
    world.spans.end_socket("no such socket", world.now, {})


def test_every_table_has_its_bound_and_what_falls_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SESSIONS", 2)
    monkeypatch.setattr(module, "MAX_SOCKETS", 2)
    world = World()
    tabs = [world.open() for _ in range(3)]
    for number, tab in enumerate(tabs):
        tab.join(f"lv:phx-{number + 1}")
    assert [span.attributes["livegate.close.by"] for span in world.named("liveview.socket")] == ["forgotten"]
    assert len(world.named("liveview.session")) == 1
    for ref in range(5, MAX_OPEN_PUSHES + 7):
        tabs[2].say(True, "4", str(ref), "lv:phx-3", "event", {"type": "click", "event": "e", "value": {}})
    forgotten = [span for span in world.told if span.attributes.get("liveview.outcome") == "forgotten"]
    assert len(forgotten) == 2
    assert forgotten[0].error == "forgotten"
    tabs[0].join("lv:phx-1")
    world.spans.end_all(world.now)
    assert len(world.named("liveview.session")) == 4, "one that was forgotten begins anew"


def test_a_clock_that_is_set_back_makes_no_span_shorter_than_nothing() -> None:
    world = World()
    tab = world.open()
    tab.join()
    tab.click("5")
    tab.reply("5", {}, after=-50.0)
    (event,) = world.named("liveview.event inc")
    assert event.end_ns == event.start_ns
