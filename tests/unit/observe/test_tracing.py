"""The addon is in nobody's way while it is off, follows the settings, and tells of each exchange what belongs there."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar

import pytest
from flows import begun, flow, settings
from mitmproxy import ctx, http
from mitmproxy.test import taddons, tflow, tutils
from mitmproxy.websocket import WebSocketData, WebSocketMessage

from livegate import tasks
from livegate.http1.refusal import Refusal
from livegate.inspect.recorder import Recorder
from livegate.mitm import hook_table
from livegate.observe.tracing import addon as module
from livegate.observe.tracing.addon import Tracing
from livegate.observe.tracing.spans import Span
from livegate.pipeline.headers import Headers
from livegate.redaction.redactor import Redactor
from livegate.settings import CurrentSettings, TracingSettings

ON = TracingSettings(endpoint="http://127.0.0.1:9/v1/traces")
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"
FLOW_HOOKS = ("requestheaders", "response", "error", "websocket_end")


class Export:
    """Stands in for SpanExport."""

    all: ClassVar["list[Export]"] = []

    def __init__(self, wanted: TracingSettings) -> None:
        self.settings, self.spans, self.dropped, self.stopped = wanted, [], 0, False
        self.put = self.spans.append
        Export.all.append(self)

    def start(self) -> None:
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True


class Made:
    def __init__(self, folder: Path, tracing: TracingSettings | None) -> None:
        self.base = settings(folder)
        self.current = CurrentSettings(dataclasses.replace(self.base, tracing=tracing))
        self.recorder = Recorder()
        self.addon = Tracing(self.current, self.recorder, Redactor())

    def use(self, tracing: TracingSettings | None) -> None:
        self.current.value = dataclasses.replace(self.base, tracing=tracing)

    @property
    def spans(self) -> list[Span]:
        return Export.all[-1].spans

    def hooks(self) -> list[str]:
        table = hook_table.table_of(ctx.master.addons)
        return [name for name in FLOW_HOOKS if table._look_up(name)]


@pytest.fixture
async def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Made]:
    monkeypatch.setattr(module, "SpanExport", Export)
    Export.all.clear()
    found = Made(tmp_path, ON)
    with taddons.context(found.addon.context, found.addon):
        yield found
        found.addon.done()
    assert all(each.stopped for each in Export.all)


def answered(made: http.HTTPFlow, status: int = 200) -> http.HTTPFlow:
    made.response = tutils.tresp(status_code=status)
    return made


async def test_while_it_is_off_there_is_no_hook_no_listener_and_no_thread(made: Made) -> None:
    for tracing in (None, ON.model_copy(update={"sample": 0.0})):
        made.use(tracing)
        made.addon.running()
        assert made.hooks() == []
        assert made.recorder.on_frame == made.recorder.on_exchange == []
        assert Export.all == []
        untouched = flow(("traceparent", GOOD))
        begun(untouched, made.current.value)
        made.addon.context.requestheaders(untouched)
        made.addon.response(answered(untouched))
        made.addon.websocket_end(untouched)
        assert untouched.request.headers["traceparent"] == GOOD
    made.use(ON)
    assert made.hooks() == list(FLOW_HOOKS)
    made.use(None)
    assert made.hooks() == []
    assert made.recorder.on_frame == made.recorder.on_exchange == []


async def test_nothing_runs_before_there_are_settings(tmp_path: Path) -> None:
    addon = Tracing(CurrentSettings(), Recorder(), Redactor())
    with taddons.context(addon):
        addon.running()
        assert addon.skip
        assert addon.dropped == 0
        addon.done()


async def test_a_reload_keeps_what_is_under_way_and_sends_it_where_it_says(made: Made) -> None:
    made.addon.running()
    spans = made.addon._spans
    made.use(ON.model_copy(update={"sample": 0.5}))
    assert len(Export.all) == 1
    assert made.addon.context.sampler is not None
    assert made.addon.context.sampler.ratio == 0.5
    made.use(ON.model_copy(update={"endpoint": "http://127.0.0.1:8/v1/traces"}))
    assert made.addon._spans is spans
    assert len(Export.all) == 2
    Export.all[0].dropped, Export.all[1].dropped = 3, 4
    for task in list(tasks._running):
        await task
    assert Export.all[0].stopped
    assert made.addon.dropped == 7
    made.use(None)
    for task in list(tasks._running):
        await task
    assert (Export.all[1].stopped, made.addon.dropped) == (True, 7)


async def test_a_request_carries_its_own_span_to_the_backend(made: Made) -> None:
    made.addon.running()
    sent = flow(("traceparent", GOOD), ("tracestate", "a=1"), ("tracestate", "b=2"), path="/a/SFMyNTY.abcdefghij?x=1")
    exchange = begun(sent, made.current.value)
    made.addon.context.requestheaders(sent)
    Headers().requestheaders(sent)
    exchange.forwarded_at, exchange.response_started_at = 1.0, 1.25
    made.addon.response(answered(sent, 503))
    (span,) = made.spans
    assert sent.request.headers["traceparent"] == f"00-{TRACE}-{span.context.span_id}-01"
    assert sent.request.headers["tracestate"] == "a=1,b=2"
    assert (span.name, span.context.trace_id, span.parent, span.remote_parent) == ("GET", TRACE, SPAN, True)
    assert span.error == "503"
    told = dict(span.attributes)
    assert str(told.pop("url.path")).startswith("/a/⟪redacted-")
    assert told == {
        "http.request.method": "GET",
        "http.response.status_code": 503,
        "error.type": "503",
        "url.scheme": "http",
        "server.address": "app.test",
        "network.protocol.name": "http",
        "network.protocol.version": "1.1",
        "livegate.service": "app.test",
        "livegate.request_id": exchange.request_id,
        "livegate.backend.seconds": 0.25,
    }


async def test_what_is_refused_or_lost_is_told_with_its_reason(made: Made) -> None:
    made.addon.running()
    refused = flow(method="BREW")
    begun(refused, made.current.value).refusal_reason = "unmapped-host"
    made.addon.response(answered(refused, 404))
    lost, gone, unknown = flow(), flow(), flow()
    begun(lost, made.current.value).failure = Refusal(502, "x", "backend-unreachable")
    begun(gone, made.current.value).failure = Refusal(499, "x", "client-gone")
    begun(unknown, made.current.value)
    for each in (lost, gone, unknown):
        made.addon.context.requestheaders(each)
        made.addon.error(each)
    told = [
        (span.name, span.error, span.attributes.get("error.type"), span.attributes.get("http.response.status_code"))
        for span in made.spans
    ]
    assert told == [
        ("HTTP", None, "unmapped-host", 404),
        ("GET", "backend-unreachable", "backend-unreachable", 502),
        ("GET", None, "client-gone", 499),
        ("GET", "lost", "lost", None),
    ]
    assert made.spans[0].attributes["http.request.method"] == "_OTHER"


async def test_saved_flows_and_what_was_under_way_before_are_not_told(made: Made) -> None:
    saved = tflow.tflow(resp=True)
    socket = tflow.twebsocketflow()
    made.addon.running()
    made.addon.context.requestheaders(saved)
    made.addon.response(saved)
    made.addon.error(saved)
    made.addon.websocket_end(socket)
    socket.request.path = "/live/websocket?vsn=2.0.0"
    socket.websocket.messages[0].content = b'["4","4","lv:a","phx_join",{}]'  # type: ignore[union-attr]
    made.recorder.message(socket, socket.websocket.messages[0])  # type: ignore[union-attr]
    before = answered(flow())
    begun(before, made.current.value).forwarded_at = 1.0
    made.addon.response(before)
    assert made.spans == []


async def test_the_clock_sweeps(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    monkeypatch.setattr(module, "SWEEP_EVERY_S", 0.001)
    made.addon.running()
    swept = asyncio.Event()
    monkeypatch.setattr(made.addon._spans, "sweep", lambda now: swept.set())
    await asyncio.wait_for(swept.wait(), 20)


async def test_a_page_and_its_socket_are_one_trace_and_the_socket_says_how_it_ended(made: Made) -> None:
    made.addon.running()
    page = flow(("traceparent", GOOD), path="/count")
    begun(page, made.current.value)
    made.addon.context.requestheaders(page)
    page.response = http.Response.make(200, b'<div data-phx-session="x" id="phx-1">', {"content-type": "text/html"})
    made.recorder.exchange(page)
    made.addon.response(page)
    socket = flow(path="/live/websocket?vsn=2.0.0")
    begun(socket, made.current.value)
    made.addon.context.requestheaders(socket)
    made.addon.response(answered(socket, 101))
    socket.websocket = WebSocketData()
    join = WebSocketMessage(1, True, b'["4","4","lv:phx-1","phx_join",{"url":"http://h/count"}]')
    made.recorder.message(socket, join)
    socket.websocket.close_code, socket.websocket.timestamp_end = 1001, join.timestamp + 1
    made.recorder.closed(socket)
    made.addon.websocket_end(socket)
    made.addon.websocket_end(answered(flow()))
    made.use(None)
    spans = {
        span.name if span.attributes.get("http.response.status_code") != 101 else "upgrade": span for span in made.spans
    }
    assert set(spans) == {"GET", "upgrade", "liveview.join", "liveview.socket", "liveview.session"}
    ended = spans["liveview.socket"]
    assert (ended.attributes["livegate.close.code"], ended.attributes["livegate.close.by"]) == (1001, "backend")
    assert ended.end_ns - int(join.timestamp * 10**9) == pytest.approx(10**9, abs=1000)
    assert ended.links == (spans["upgrade"].context,)
    assert spans["liveview.session"].context.trace_id == TRACE
    assert spans["GET"].parent == spans["liveview.session"].context.span_id


async def test_what_is_not_sampled_goes_on_as_it_came(made: Made) -> None:
    made.use(ON.model_copy(update={"sample": 1e-9}))
    made.addon.running()
    sent = flow(("traceparent", GOOD), ("tracestate", "not good"))
    begun(sent, made.current.value)
    made.addon.context.requestheaders(sent)
    assert sent.request.headers["traceparent"] == GOOD
    assert sent.request.headers["tracestate"] == "not good"
    made.addon.response(answered(sent))
    assert made.spans == []


async def test_a_tracestate_that_is_not_good_ends_here(made: Made) -> None:
    made.addon.running()
    sent = flow(("traceparent", GOOD), ("Tracestate", "not good"))
    begun(sent, made.current.value)
    made.addon.context.requestheaders(sent)
    assert sent.request.headers["traceparent"] != GOOD
    assert "tracestate" not in sent.request.headers
