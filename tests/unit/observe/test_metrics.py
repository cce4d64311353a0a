"""Metrics count each thing once, under labels from bounded sets, and keep nothing of what is over."""

import gc
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flows
import pytest
from mitmproxy import http
from mitmproxy.test import taddons, tflow
from mitmproxy.websocket import WebSocketData, WebSocketMessage
from wsproto.frame_protocol import Opcode

from certificates import Authority
from livegate import mitm
from livegate.http1.refusal import Refusal
from livegate.inspect.recorder import ObservedFrame, Recorder
from livegate.mitm.hook_table import FLOW_EVENTS, hook_errors
from livegate.observe.history.addon import History
from livegate.observe.history.incidents import MAX_ENTRIES
from livegate.observe.metrics import addon as counting
from livegate.observe.metrics.addon import Metrics
from livegate.observe.metrics.labels import OTHER
from livegate.pipeline.exchange.record import BoundedCopy, Exchange, SocketStats
from livegate.redaction.redactor import Redactor
from livegate.settings import CurrentSettings, Settings
from livegate.websocket.registry import SocketRegistry

BROKEN = Refusal(502, "It broke.", "backend-broken")
UNREACHABLE = Refusal(502, "It could not be reached.", "backend-unreachable")


class Lab:
    """Metrics with what they are given, and requests to count."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self.settings = self.read(services={"app.test": "http://127.0.0.1:1", "other.test": "http://127.0.0.1:2"})
        self.current = CurrentSettings(self.settings)
        self.sockets = SocketRegistry()
        self.recorder = Recorder()
        self.metrics = Metrics(self.current, self.sockets, self.recorder.tracker)
        self.recorder.on_frame.append(self.metrics.on_frame)
        self.recorder.on_incident.append(self.metrics.on_incident)
        self.metrics.running()

    def read(self, **given: Any) -> Settings:
        return flows.settings(self.tmp_path, **given)

    def of(self, name: str, /, **labels: str) -> float | None:
        self.metrics.refresh()
        return self.metrics.registry.get_sample_value(name, labels)

    def text(self) -> str:
        self.metrics.refresh()
        return self.metrics.text().decode()

    def begin(self, **given: Any) -> tuple[http.HTTPFlow, Exchange]:
        host = given.get("host", "app.test")
        flow = flows.flow(**given)
        exchange = flows.begun(flow, self.current.value, host=host)
        self.metrics.requestheaders(flow)
        return flow, exchange

    def answer(self, flow: http.HTTPFlow, status: int = 200, body: bytes = b"") -> None:
        flow.response = http.Response.make(status, body)
        self.metrics.response(flow)

    def fail(self, flow: http.HTTPFlow, exchange: Exchange, failure: Refusal | None) -> None:
        exchange.failure = failure
        flow.error = tflow.terr()
        self.metrics.error(flow)

    def socket(self, **given: Any) -> tuple[http.HTTPFlow, Exchange]:
        flow, exchange = self.begin(**given)
        exchange.upgrade = True
        self.answer(flow, 101)
        flow.websocket = WebSocketData()
        self.metrics.websocket_start(flow)
        return flow, exchange

    def end(self, flow: http.HTTPFlow, code: int | None = 1000) -> None:
        assert flow.websocket
        flow.websocket.close_code = code
        self.metrics.websocket_end(flow)


class RelayStub:
    """The part of a relay that the metrics read."""

    def __init__(self, flow: http.HTTPFlow) -> None:
        self.flow = flow
        self.client = SimpleNamespace(messages=0, pings=0, pongs=0, bytes=0)
        self.backend = SimpleNamespace(messages=0, pings=0, pongs=0, bytes=0)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with taddons.context(loadcore=False):
        yield Lab(tmp_path)


# Requests


def test_an_answered_request_is_counted_timed_and_measured(lab: Lab) -> None:
    flow, exchange = lab.begin(method="POST")
    assert lab.of("gateway_requests_in_flight", route="app.test") == 1
    flow.request.content = b"12345"
    exchange.started = time.monotonic() - 0.3
    exchange.forwarded_at, exchange.response_started_at = 10.0, 10.02
    lab.answer(flow, 201, b"answer!")
    assert lab.of("gateway_requests_in_flight", route="app.test") == 0
    assert lab.of("gateway_requests_total", route="app.test", method="POST", code="201") == 1
    assert lab.of("gateway_request_duration_seconds_bucket", route="app.test", le="0.25") == 0
    assert lab.of("gateway_request_duration_seconds_count", route="app.test") == 1
    assert lab.of("gateway_upstream_duration_seconds_bucket", route="app.test", le="0.01") == 0
    assert lab.of("gateway_upstream_duration_seconds_bucket", route="app.test", le="0.025") == 1
    assert lab.of("gateway_http_bytes_total", route="app.test", direction="up") == 5
    assert lab.of("gateway_http_bytes_total", route="app.test", direction="down") == 7
    assert lab.of("gateway_upstream_up", route="app.test") == 1


def test_bodies_that_were_passed_on_as_they_came_count_in_full(lab: Lab) -> None:
    flow, exchange = lab.begin()
    exchange.request_copy, exchange.response_copy = BoundedCopy(1), BoundedCopy(1)
    exchange.request_copy(b"x" * 100)
    exchange.response_copy(b"x" * 300)
    lab.answer(flow)
    assert lab.of("gateway_http_bytes_total", route="app.test", direction="up") == 100
    assert lab.of("gateway_http_bytes_total", route="app.test", direction="down") == 300


def test_no_body_follows_the_answer_to_a_head_request(lab: Lab) -> None:
    flow, _ = lab.begin(method="HEAD")
    lab.answer(flow, 404, b"not sent")
    assert lab.of("gateway_http_bytes_total", route="app.test", direction="down") is None


def test_what_was_refused_before_the_router_is_still_the_services(lab: Lab) -> None:
    for host, route in (("app.test", "app.test"), ("nobody.test", "_unmapped"), ("", "_unmapped")):
        flow, exchange = lab.begin(host=host)
        exchange.service, exchange.refusal_reason = None, "draining"
        lab.answer(flow, 503)
        counted = lab.of("gateway_rejected_total", route=route, reason="draining")
        assert counted == (2 if host == "" else 1)


def test_a_request_is_counted_once_though_an_error_follows_its_answer(lab: Lab) -> None:
    flow, exchange = lab.begin()
    exchange.refusal_reason = "body-too-large"
    lab.answer(flow, 413)
    lab.fail(flow, exchange, Refusal(499, "It went away.", "client-gone"))
    lab.metrics.requestheaders(flow)
    assert lab.of("gateway_requests_total", route="app.test", method="GET", code="413") == 1
    assert lab.of("gateway_requests_total", route="app.test", method="GET", code="499") is None
    assert lab.of("gateway_rejected_total", route="app.test", reason="body-too-large") == 1
    assert lab.of("gateway_requests_in_flight", route="app.test") == 0


def test_failures_are_counted_by_reason(lab: Lab) -> None:
    flow, exchange = lab.begin()
    exchange.upgrade = True
    lab.fail(flow, exchange, BROKEN)
    flow, exchange = lab.begin()
    lab.fail(flow, exchange, None)
    assert lab.of("gateway_requests_total", route="app.test", method="GET", code="502") == 1
    assert lab.of("gateway_requests_total", route="app.test", method="GET", code="0") == 1
    assert lab.of("gateway_failures_total", route="app.test", reason="backend-broken") == 1
    assert lab.of("gateway_ws_upgrades_total", route="app.test", outcome="failed") == 1
    assert lab.of("gateway_upstream_up", route="app.test") is None  # it took the connection


def test_refusals_and_decisions_of_the_rate_limiter(lab: Lab) -> None:
    flow, exchange = lab.begin()
    exchange.upgrade, exchange.refusal_reason = True, "rate-limit-ip"
    exchange.limit_decisions = (("user", "allowed"), ("ip", "refused"))
    lab.answer(flow, 429)
    flow, exchange = lab.begin(host="nobody.test")
    exchange.refusal_reason = "unmapped-host"
    lab.answer(flow, 404)
    lab.metrics.refused_before_flow(Refusal(431, "Too large.", "head-large"), 90)
    assert lab.of("gateway_rejected_total", route="app.test", reason="rate-limit-ip") == 1
    assert lab.of("gateway_ratelimit_decisions_total", policy="user", decision="allowed") == 1
    assert lab.of("gateway_ratelimit_decisions_total", policy="ip", decision="refused") == 1
    assert lab.of("gateway_ws_upgrades_total", route="app.test", outcome="refused") == 1
    assert lab.of("gateway_rejected_total", route="_unmapped", reason="unmapped-host") == 1
    assert lab.of("gateway_requests_total", route="_unmapped", method="GET", code="404") == 1
    assert lab.of("gateway_rejected_total", route="_unmapped", reason="head-large") == 1
    assert lab.of("gateway_http_bytes_total", route="_unmapped", direction="down") == 90
    assert lab.of("gateway_requests_total", route="_unmapped", method="other", code="431") == 1


def test_a_flow_that_did_not_come_through_the_gateway_is_not_counted(lab: Lab) -> None:
    before = lab.text()
    flow = flows.flow()
    for hook in ("requestheaders", "response", "error", "websocket_start", "websocket_end"):
        getattr(lab.metrics, hook)(flow)
    flow, _ = lab.begin()
    lab.metrics.response(flow)  # without an answer
    del flow
    gc.collect()
    assert _without_process(lab.text()) == _without_process(before)


def test_a_request_whose_end_nobody_tells_is_under_way_only_as_long_as_it_is_there(lab: Lab) -> None:
    flow, exchange = lab.begin()
    assert lab.of("gateway_requests_in_flight", route="app.test") == 1
    del flow, exchange
    gc.collect()
    assert lab.of("gateway_requests_in_flight", route="app.test") == 0


# Backends


def test_a_backend_is_down_until_it_is_reached_again(lab: Lab) -> None:
    flow, exchange = lab.begin()
    lab.fail(flow, exchange, UNREACHABLE)
    assert lab.of("gateway_upstream_up", route="app.test") == 0
    assert lab.metrics.unreachable() == {"app.test"}
    lab.metrics.record_reachability("app.test", reached=True)
    assert lab.of("gateway_upstream_up", route="app.test") == 1
    assert lab.metrics.unreachable() == frozenset()
    assert lab.of("gateway_upstream_up", route="other.test") is None


def test_nothing_is_said_of_the_backend_of_a_service_that_is_gone(lab: Lab) -> None:
    flow, exchange = lab.begin()
    lab.metrics.record_reachability("app.test", reached=False)
    lab.current.value = lab.read(services={"other.test": "http://127.0.0.1:2"})
    assert lab.metrics.unreachable() == frozenset()
    lab.fail(flow, exchange, UNREACHABLE)  # it began before
    assert lab.of("gateway_upstream_up", route="app.test") is None
    assert lab.metrics.unreachable() == frozenset()


# WebSockets


def test_a_socket_is_counted_while_it_is_open_and_once_it_has_ended(lab: Lab) -> None:
    flow, exchange = lab.socket()
    session: Any = RelayStub(flow)
    lab.sockets.add(session, "app.test")
    assert lab.of("gateway_ws_connections", route="app.test") == 1
    assert lab.of("gateway_ws_upgrades_total", route="app.test", outcome="opened") == 1
    session.client.messages, session.client.bytes, session.client.pings, session.client.pongs = 3, 30, 1, 2
    assert lab.of("gateway_ws_frames_total", route="app.test", direction="up", type="message") == 3
    assert lab.of("gateway_ws_frames_total", route="app.test", direction="up", type="control") == 3
    assert lab.of("gateway_ws_bytes_total", route="app.test", direction="up") == 30
    assert lab.of("gateway_ws_bytes_total", route="app.test", direction="down") == 0
    lab.sockets.remove(session)
    exchange.socket = SocketStats(5, 7, 50, 70, 3, 1, "backend", 0)
    lab.end(flow, 4123)
    lab.end(flow, 4123)
    assert lab.of("gateway_ws_connections", route="app.test") == 0
    assert lab.of("gateway_ws_frames_total", route="app.test", direction="up", type="message") == 5
    assert lab.of("gateway_ws_frames_total", route="app.test", direction="down", type="message") == 7
    assert lab.of("gateway_ws_frames_total", route="app.test", direction="down", type="control") == 1
    assert lab.of("gateway_ws_bytes_total", route="app.test", direction="up") == 50
    assert lab.of("gateway_ws_bytes_total", route="app.test", direction="down") == 70
    assert lab.of("gateway_ws_close_total", route="app.test", code="4xxx", by="backend") == 1
    assert lab.of("gateway_ws_close_total", route="app.test", code="1006", by="backend") == 0
    assert lab.of("gateway_ws_duration_seconds_count", route="app.test") == 1


@pytest.mark.parametrize("looked_at", [True, False])
def test_a_socket_that_mitmproxys_own_layer_carries_is_counted_alike(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, looked_at: bool
) -> None:
    monkeypatch.setattr(mitm, "INCOMPATIBILITIES", ("something is missing",))
    flow, _ = lab.socket()
    lab.metrics._open_sockets["strange"] = tflow.twebsocketflow()
    assert flow.websocket
    for number in range(4):
        message = WebSocketMessage(Opcode.TEXT, number != 2, b"12345", 0)
        flow.websocket.messages.append(message)
        if looked_at:
            lab.metrics.refresh()
            passed = lab.of("gateway_ws_frames_total", route="app.test", direction="up", type="message")
            assert passed == (1, 2, 2, 3)[number]
    assert lab.of("gateway_ws_connections", route="app.test") == 1
    flow.websocket.closed_by_client = True
    lab.end(flow, 1001)
    assert lab.of("gateway_ws_frames_total", route="app.test", direction="up", type="message") == 3
    assert lab.of("gateway_ws_frames_total", route="app.test", direction="down", type="message") == 1
    assert lab.of("gateway_ws_bytes_total", route="app.test", direction="up") == 15
    assert lab.of("gateway_ws_close_total", route="app.test", code="1001", by="client") == 1


def test_a_socket_whose_end_nobody_tells_leaves_nothing_behind(lab: Lab) -> None:
    for _ in range(1000):
        flow, _ = lab.socket()
        session: Any = RelayStub(flow)
        lab.sockets.add(session, "app.test")
        session.client.messages = 1
        lab.metrics.refresh()
        lab.sockets.remove(session)
    del flow, session
    gc.collect()
    assert lab.of("gateway_ws_connections", route="app.test") == 0
    assert len(lab.metrics._open_sockets) == len(lab.metrics._in_flight) == 0
    assert lab.of("gateway_ws_frames_total", route="app.test", direction="up", type="message") == 1000


# LiveView


TOPIC = "lv:phx-1"


class Tab:
    """A LiveView tab on a socket of its own."""

    def __init__(self, lab: Lab, host: str = "app.test", *, view: str | None = "DemoWeb.CountLive") -> None:
        self.lab = lab
        self.at = 1000.0
        self.ref = 4
        self.flow, _ = lab.socket(host=host, path="/live/websocket?vsn=2.0.0")
        self.say("4", "4", TOPIC, "phx_join", {"url": "http://h/x", "params": {}})
        self.reply("4", {"rendered": {"s": ["<p>", "</p>"], "0": "0"}}, view=view)

    def say(self, *frame: Any, up: bool = True, after: float = 0.0) -> None:
        self.at += after
        assert self.flow.websocket
        message = WebSocketMessage(Opcode.TEXT, up, json.dumps(frame).encode(), self.at)
        self.flow.websocket.messages.append(message)
        self.lab.recorder.message(self.flow, message)

    def reply(
        self, ref: str, response: Any, *, after: float = 0.003, status: str = "ok", view: str | None = None
    ) -> None:
        if view is not None:
            session = next(reversed(self.lab.recorder.tracker.sessions.values()))
            session.views[TOPIC].module = view
        self.say("4", ref, TOPIC, "phx_reply", {"status": status, "response": response}, up=False, after=after)

    def click(self, name: str, *, after: float = 0.003, status: str = "ok") -> None:
        self.ref += 1
        self.say("4", str(self.ref), TOPIC, "event", {"type": "click", "event": name, "value": {}})
        self.reply(str(self.ref), {"diff": {"0": "1"}}, after=after, status=status)


def test_round_trips_and_diffs_of_events_by_view_and_event(lab: Lab) -> None:
    tab = Tab(lab)
    tab.click("inc", after=0.003)
    tab.click("inc", after=0.3)
    tab.click("inc", after=-5)  # the clock was set back
    labels = {"route": "app.test", "view": "DemoWeb.CountLive", "event": "inc"}
    name = "gateway_liveview_event_duration_seconds"
    assert lab.of(f"{name}_count", **labels) == 3
    assert lab.of(f"{name}_bucket", **labels, le="0.0025") == 1
    assert lab.of(f"{name}_bucket", **labels, le="0.005") == 2
    assert lab.of(f"{name}_sum", **labels) == pytest.approx(0.303)
    assert lab.of("gateway_liveview_diff_bytes_total", **labels) == 27
    assert lab.of(f"{name}_count", **labels | {"event": "_join"}) == 1
    assert lab.of("gateway_liveview_sessions", state="open") == 1
    assert lab.of("gateway_liveview_sessions", state="closed") == 0


def test_crashes_refusals_and_rejoins_begin_at_zero(lab: Lab) -> None:
    tab = Tab(lab)
    for kind in ("crash", "refused", "rejoin"):
        assert lab.of("gateway_liveview_incidents_total", route="app.test", kind=kind) == 0
    tab.say("4", "4", TOPIC, "phx_error", {}, up=False)
    tab.say("4", "4", TOPIC, "phx_join", {"url": "http://h/x", "params": {}})
    tab.reply("4", {"rendered": {"s": ["x"]}})
    tab.say("4", "4", TOPIC, "phx_error", {}, up=False)
    tab.say("4", "4", TOPIC, "phx_join", {"url": "http://h/x", "params": {}})
    tab.reply("4", {"reason": "stale"}, status="error")
    assert lab.of("gateway_liveview_incidents_total", route="app.test", kind="crash") == 2
    assert lab.of("gateway_liveview_incidents_total", route="app.test", kind="rejoin") == 1
    assert lab.of("gateway_liveview_incidents_total", route="app.test", kind="refused") == 1
    assert lab.of("gateway_incidents_total", route="app.test", cause="view-crashed") == 2
    assert lab.of("gateway_incidents_total", route="app.test", cause="csrf-missing") == 1


def test_a_frame_of_a_flow_that_is_not_ours_has_no_route(lab: Lab) -> None:
    tab = Tab(lab)
    seen = []
    lab.recorder.on_frame.append(seen.append)
    tab.click("inc")
    strange = ObservedFrame(tflow.twebsocketflow(), seen[-1].socket, seen[-1].info, b"", True)
    lab.metrics.on_frame(strange)
    labels = {"route": "_unmapped", "view": "DemoWeb.CountLive", "event": "inc"}
    assert lab.of("gateway_liveview_event_duration_seconds_count", **labels) == 1


def test_a_client_that_makes_up_events_and_views_grows_neither_memory_nor_exposition(lab: Lab) -> None:
    tab = Tab(lab)
    tab.click("inc")
    for number in range(2000):
        tab.click(f"made-up-{number}", status="error")
    assert len(lab.metrics._events) == 2
    for number in range(100_000):
        labels = lab.metrics._events.bounded("app.test", "DemoWeb.CountLive", f"answered-{number}", may_grow=True)
        lab.metrics._child(lab.metrics._liveview.event_durations, *labels)
    assert len(lab.metrics._events) == counting.MAX_EVENTS_PER_VIEW
    for number in range(100_000):
        labels = lab.metrics._events.bounded("app.test", f"View{number}", "click", may_grow=True)
        lab.metrics._child(lab.metrics._liveview.event_durations, *labels)
    assert len(lab.metrics._events) == counting.MAX_EVENT_LABELS
    assert len(lab.metrics._instruments._children) < 700
    assert len(lab.text()) < 1_500_000
    tab.click("inc")
    labels = {"route": "app.test", "view": "DemoWeb.CountLive", "event": "inc"}
    assert lab.of("gateway_liveview_event_duration_seconds_count", **labels) == 2
    tab.click("new")
    labels["event"] = OTHER
    assert lab.of("gateway_liveview_event_duration_seconds_count", **labels) == 2001


# The gateway itself


def test_reloads_are_counted_by_result_and_the_last_is_told(lab: Lab) -> None:
    assert lab.of("gateway_config_last_reload_success") == 1
    assert lab.of("gateway_config_reloads_total", result="failure") == 0
    lab.metrics.on_reload(False)
    assert lab.of("gateway_config_last_reload_success") == 0
    lab.metrics.on_reload(True)
    assert lab.of("gateway_config_last_reload_success") == 1
    assert lab.of("gateway_config_reloads_total", result="failure") == 1
    assert lab.of("gateway_config_reloads_total", result="success") == 1


def test_what_others_drop_and_errors_in_hooks_are_followed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = {"lines": 0}
    lab.metrics.count_drops({"lines": lambda: lost["lines"]})
    before = lab.of("gateway_hook_errors_total", hook="response")
    assert before is not None
    assert lab.of("gateway_dropped_total", what="lines") == 0
    lost["lines"] = 5
    hook_errors["response"] += 2
    hook_errors["of_a_script"] += 1
    assert lab.of("gateway_dropped_total", what="lines") == 5
    assert lab.of("gateway_dropped_total", what="lines") == 5
    assert lab.of("gateway_hook_errors_total", hook="response") == before + 2
    assert lab.of("gateway_hook_errors_total", hook="of_a_script") == 1
    assert all(lab.of("gateway_hook_errors_total", hook=hook) is not None for hook in FLOW_EVENTS)
    del hook_errors["of_a_script"]


def test_incidents_that_are_no_longer_kept_are_counted(lab: Lab) -> None:
    """And a flood of refusals leaves what closed."""
    watch = History(Recorder(), Redactor())
    facts = dict.fromkeys(("service", "host", "path", "client", "request"), "")
    watch.feed._append("closed", {**facts, "code": 1000, "by": "client", "reason": "bye", "session": None}, [])
    for _ in range(MAX_ENTRIES + 3):
        watch.refused_before_flow("203.0.113.1", Refusal(431, "Too large.", "head-large"))
    assert watch.feed.evicted == 3
    assert [each.id for each in watch.feed.entries] == [1, *range(5, MAX_ENTRIES + 5)]


def test_certificates_tell_when_they_end_as_long_as_they_are_in_the_settings(lab: Lab) -> None:
    authority = Authority()
    authority.write(lab.tmp_path / "app.pem", "app.test")
    lab.current.value = lab.read(tls={"certificates": {"app.test": "app.pem"}})
    told = lab.of("gateway_certificate_expiry_timestamp_seconds", name="app.test")
    assert told is not None
    assert told > time.time()
    lab.current.value = lab.settings
    assert lab.of("gateway_certificate_expiry_timestamp_seconds", name="app.test") is None


def test_a_service_that_is_gone_is_forgotten_at_the_next_but_one_change(lab: Lab) -> None:
    tab = Tab(lab)
    tab.click("inc")
    lab.metrics.record_reachability("app.test", reached=False)
    lab.metrics.refresh()
    children = len(lab.metrics._instruments._children)
    for number in range(50):
        lab.current.value = lab.read(services={f"new-{number}.test": "http://127.0.0.1:2"})
        assert lab.of("gateway_upstream_up", route="app.test") is None
        kept = lab.of("gateway_ws_upgrades_total", route="app.test", outcome="opened")
        assert kept == (1 if number == 0 else None)
        lab.metrics._child(lab.metrics._http.requests, f"new-{number}.test", "GET", "200").inc()
    lab.end(tab.flow)
    lab.current.value = lab.settings
    lab.current.value = lab.settings
    assert len(lab.metrics._events) == 0
    assert "new-" not in lab.text()
    assert len(lab.metrics._instruments._children) < children


def test_metrics_made_without_settings_wait_for_them(tmp_path: Path) -> None:
    with taddons.context(loadcore=False):
        made = Metrics(CurrentSettings(), SocketRegistry(), Recorder().tracker)
        made.running()
        made.refresh()
        assert b"gateway_build_info" in made.text()


def test_no_label_holds_anything_that_a_client_sent(lab: Lab) -> None:
    sent = [("X-User-ID", "canary-user"), ("Authorization", "Bearer canary"), ("Cookie", "_canary_key=canary")]
    given: dict[str, Any] = {"peer": "203.0.113.77", "path": "/canary?canary=canary"}
    for host in ("app.test", "canary.test", "canary canary"):
        flow = flows.flow(*sent, method="CANARY", host=host, **given)
        exchange = flows.begun(flow, lab.settings, host=host)
        lab.metrics.requestheaders(flow)
        exchange.limit_decisions = (("ip", "refused"),)
        exchange.refusal_reason = "Canary: canary.test"
        lab.answer(flow, 799, b"canary")
        flow = flows.flow(*sent, host=host, **given)
        exchange = flows.begun(flow, lab.settings, host=host)
        lab.fail(flow, exchange, Refusal(502, "canary", "Canary canary"))
    tab = Tab(lab, view="canary/canary")
    tab.click("/canary/canary")
    tab.click("canary canary@example.test")
    tab.say("4", "99", TOPIC, "live_patch", {"url": "http://canary.test/canary?canary=1"})
    tab.reply("99", {})
    assert tab.flow.websocket
    tab.flow.websocket.close_reason = "canary"
    lab.end(tab.flow, 4242)
    text = lab.text()
    assert "canary" not in text.lower()
    assert "203.0.113" not in text
    assert 'reason="_other"' in text
    assert 'event="_patch"' in text


def test_it_can_be_read_while_it_is_counted(lab: Lab) -> None:
    """The reader is another thread, and new children come and go under its hands."""
    wrong: list[BaseException] = []
    stop = threading.Event()

    def read() -> None:
        try:
            while not stop.is_set():
                assert b"gateway_build_info" in lab.metrics.text()
        except BaseException as error:
            wrong.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    other = lab.read(services={"x.test": "http://127.0.0.1:9"})
    for number in range(3000):
        route = f"r{number}"
        lab.metrics._child(lab.metrics._http.requests, route, "GET", "200").inc()
        lab.metrics._child(lab.metrics._liveview.event_durations, route, "V", "e").observe(0.1)
        lab.metrics.refused_before_flow(Refusal(431, "", f"reason-{number % 100}"), 1)
        if number % 50 == 0:
            lab.metrics.refresh()
            lab.current.value = other if number % 100 else lab.settings
    stop.set()
    for reader in readers:
        reader.join(20)
    assert not wrong
    assert lab.of("gateway_rejected_total", route="_unmapped", reason="reason-7") == 30


def _without_process(text: str) -> str:
    """Without what the process itself does all the time."""
    return "\n".join(line for line in text.splitlines() if not line.startswith(("process_", "python_")))
