"""Streaming, the access log, transport and its policy: the parts that carry a request, hook by hook."""

import asyncio
import json
import logging
from pathlib import Path

import pytest
from flows import begun, flow, settings
from mitmproxy import exceptions, http, options
from mitmproxy import flow as mitmproxy_flow
from mitmproxy.connection import Server
from mitmproxy.proxy import layer, server_hooks
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.events import DataReceived
from mitmproxy.proxy.layers import modes
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import tflow
from mitmproxy.websocket import WebSocketMessage
from wsproto.frame_protocol import Opcode

from livegate import mitm
from livegate.logs.terminal import JsonLines
from livegate.mitm.layers.http import GatewayHttpLayer
from livegate.pipeline.access_log import AccessLog, render
from livegate.pipeline.exchange.record import MAX_COPY_BYTES, BoundedCopy, exchange_of
from livegate.pipeline.guard import Guard
from livegate.pipeline.handshake_timeout import HandshakeTimeout
from livegate.pipeline.next_layer import GatewayNextLayer
from livegate.pipeline.policy import RequestPolicy
from livegate.pipeline.router import DomainRouter
from livegate.pipeline.streaming import Streaming
from livegate.redaction.redactor import Redactor
from livegate.settings import CurrentSettings
from livegate.websocket.registry import Sockets

# Streaming


def test_a_copy_of_a_streamed_body_is_kept_while_it_is_short() -> None:
    copy = BoundedCopy(10)
    assert copy(b"12345") == b"12345"
    assert copy.content == b"12345"
    assert copy(b"678901") == b"678901"
    assert copy(b"2") == b"2"
    assert (copy.size, copy.content) == (12, None)
    assert BoundedCopy(1 << 30)._bound == MAX_COPY_BYTES


@pytest.mark.parametrize(
    ("fields", "streams", "status"),
    [
        ([], False, 200),
        ([("Content-Length", "100")], False, 200),
        ([("Content-Length", "2000000")], True, 200),
        ([("Content-Length", "200000000")], False, 413),
        ([("Transfer-Encoding", "chunked")], True, 200),
    ],
)
def test_which_request_bodies_are_streamed(tmp_path: Path, fields: list, streams: bool, status: int) -> None:
    made = flow(*fields, method="POST")
    exchange = begun(made, settings(tmp_path))
    Streaming().requestheaders(made)
    assert exchange.streams_request is streams
    assert bool(made.request.stream) is streams
    assert (made.response.status_code if made.response else 200) == status


@pytest.mark.parametrize(
    ("fields", "streams"),
    [
        ({"Content-Type": "text/event-stream; charset=utf-8"}, True),
        ({"Content-Length": "2000000"}, True),
        ({"Content-Length": "20"}, False),
        ({"Content-Length": "nonsense"}, False),
        ({}, False),
    ],
)
def test_which_answers_are_streamed_from_their_head_on(tmp_path: Path, fields: dict, streams: bool) -> None:
    made = flow()
    begun(made, settings(tmp_path))
    made.response = http.Response.make(200, b"", fields)
    if "Content-Length" in fields:
        made.response.headers["Content-Length"] = fields["Content-Length"]
    else:
        del made.response.headers["Content-Length"]
    addon = Streaming()
    addon.responseheaders(made)
    assert bool(made.response.stream) is streams
    if streams:
        made.response.stream(b"piece")
        addon.response(made)
        assert made.response.content == b"piece"


def test_streaming_leaves_other_flows_alone() -> None:
    made = flow()
    addon = Streaming()
    for hook in (addon.requestheaders, addon.request, addon.responseheaders, addon.response):
        hook(made)
    assert made.request.stream is False


# Access log


def test_a_line_is_key_and_value_with_quotes_where_needed() -> None:
    assert render({"a": 1, "b": None, "c": "x y", "d": 'q"', "e": ""}) == 'a=1 c="x y" d="q\\"" e=""'


def test_a_request_and_a_websocket_have_one_line_each(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "livegate.access")
    log = AccessLog(Redactor())
    made = flow(path="/live?token=CANARY")
    begun(made, settings(tmp_path))
    made.response = http.Response.make(101)
    log.response(made)
    made.websocket = tflow.twebsocketflow().websocket
    made.websocket.messages = []
    for from_client, content in ((True, b"12"), (False, b"345"), (False, b"6")):
        made.websocket.messages.append(WebSocketMessage(Opcode.TEXT, from_client, content))
    made.websocket.close_code, made.websocket.close_reason, made.websocket.closed_by_client = 4001, "bye\n", True
    log.websocket_end(made)
    first, second = caplog.messages
    assert "status=101" in first
    assert "path=/live " in first
    for part in (
        "close_code=4001",
        "closed_by=client",
        "frames_in=1",
        "frames_out=2",
        "bytes_in=2",
        "bytes_out=4",
        "bye\\n",
    ):
        assert part in second
    assert "CANARY" not in caplog.text


def test_a_failed_request_has_a_line_even_when_nobody_said_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "livegate.access")
    made = flow()
    begun(made, settings(tmp_path))
    made.error = mitmproxy_flow.Error("x")
    AccessLog(Redactor()).error(made)
    assert "status=0" in caplog.text


def test_flows_that_are_not_the_gateways_have_no_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    made = flow()
    made.response = http.Response.make(200)
    made.websocket = tflow.twebsocketflow().websocket
    log = AccessLog(Redactor())
    for hook in (log.response, log.error, log.websocket_end):
        hook(made)
    assert caplog.messages == []


def test_a_json_line_has_the_fields_or_the_message_and_a_traceback() -> None:
    lines = JsonLines()
    plain = logging.LogRecord("x", logging.WARNING, "f", 1, "a\nb %s", ("c",), None)
    assert json.loads(lines.line(plain))["message"] == "a\\nb c"
    with_fields = logging.LogRecord("livegate.access", logging.INFO, "f", 1, "m", (), None)
    with_fields.livegate_fields = {"status": 200, "reason": None}
    entry = json.loads(lines.line(with_fields))
    assert entry["status"] == 200
    assert "reason" not in entry
    try:
        raise ValueError("inner")
    except ValueError as error:
        failed = logging.LogRecord("x", logging.ERROR, "f", 1, "m", (), (type(error), error, error.__traceback__))
    assert "ValueError: inner" in json.loads(lines.line(failed))["traceback"]


# Guard and router as they meet flows


def test_a_saved_flow_is_never_routed_or_recorded(tmp_path: Path) -> None:
    guard, router = Guard(CurrentSettings(settings(tmp_path))), DomainRouter()
    for change in ({"live": False}, {"response": http.Response.make(200)}):
        made = flow()
        for name, value in change.items():
            setattr(made, name, value)
        guard.requestheaders(made)
        router.requestheaders(made)
        assert exchange_of(made) is None
        assert made.request.host == "livegate.invalid"


def test_a_flow_of_another_mode_is_refused(tmp_path: Path) -> None:
    made = flow()
    made.client_conn.proxy_mode = ProxyMode.parse("regular")
    Guard(CurrentSettings(settings(tmp_path))).requestheaders(made)
    assert made.response
    assert made.response.status_code == 400


def test_connect_is_405(tmp_path: Path) -> None:
    made = flow(method="CONNECT")
    Guard(CurrentSettings(settings(tmp_path))).http_connect(made)
    assert made.response
    assert made.response.status_code == 405


def test_before_any_settings_are_loaded_every_request_is_500() -> None:
    made = flow()
    Guard(CurrentSettings()).requestheaders(made)
    assert made.response
    assert made.response.status_code == 500


def test_what_mitmproxy_has_refused_is_recorded_for_the_log(tmp_path: Path) -> None:
    made = flow()
    made.error = mitmproxy_flow.Error("bad")
    Guard(CurrentSettings(settings(tmp_path))).requestheaders(made)
    assert made.response is None
    assert exchange_of(made) is not None


# Transport


def connection(mode: str = "reverse:http://livegate.invalid:1") -> Context:
    client = tflow.tclient_conn()
    client.proxy_mode = ProxyMode.parse(mode)
    return Context(client, options.Options())


def transport(tmp_path: Path) -> GatewayNextLayer:
    current = CurrentSettings(settings(tmp_path))
    current.ready.set()
    return GatewayNextLayer(
        RequestPolicy(current, Sockets(), lambda client: None, lambda client, refusal, size: None), current.ready
    )


async def test_a_client_of_another_mode_is_turned_away(tmp_path: Path) -> None:
    gate = transport(tmp_path)
    stranger = connection("regular").client
    await gate.client_connected(stranger)
    assert stranger.error
    guest = connection().client
    await gate.client_connected(guest)
    assert guest.error is None


async def test_a_client_waits_until_the_gateway_serves(tmp_path: Path) -> None:
    current = CurrentSettings(settings(tmp_path))
    gate = GatewayNextLayer(
        RequestPolicy(current, Sockets(), lambda client: None, lambda client, refusal, size: None), current.ready
    )
    waiting = asyncio.create_task(gate.client_connected(connection().client))
    await asyncio.sleep(0)
    assert not waiting.done()
    current.ready.set()
    await asyncio.wait_for(waiting, 5)


@pytest.mark.parametrize(
    ("mode", "address", "allowed"),
    [
        ("reverse:http://livegate.invalid:1", ("127.0.0.1", 4000), True),
        ("reverse:http://livegate.invalid:1", ("livegate.invalid", 1), False),
        ("reverse:http://livegate.invalid:1", None, False),
        ("regular", ("127.0.0.1", 4000), False),
    ],
)
def test_nobody_connects_to_the_black_hole_or_by_another_way(
    tmp_path: Path, mode: str, address: tuple[str, int] | None, allowed: bool
) -> None:
    data = server_hooks.ServerConnectionHookData(Server(address=address), connection(mode).client)
    transport(tmp_path).server_connect(data)
    assert (data.server.error is None) is allowed


def next_layer(data: bytes) -> layer.NextLayer:
    context = connection()
    modes.ReverseProxy(context)
    chosen = layer.NextLayer(context)
    if data:
        chosen.events.append(DataReceived(context.client, data))
    return chosen


def test_the_gateways_layer_is_chosen_for_plain_and_tls(tmp_path: Path) -> None:
    gate = transport(tmp_path)
    plain, secure, empty = next_layer(b"GET "), next_layer(b"\x16\x03\x01\x00"), next_layer(b"")
    for chosen in (plain, secure, empty):
        gate.next_layer(chosen)
    assert isinstance(plain.layer, GatewayHttpLayer)
    assert isinstance(secure.layer.child_layer, GatewayHttpLayer)  # type: ignore[union-attr]
    assert empty.layer is None
    with pytest.raises(exceptions.AddonHalt):
        gate.next_layer(next_layer(b"\x16"))


def test_layers_are_left_to_mitmproxy_where_they_are_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = transport(tmp_path)
    other = layer.NextLayer(connection())
    gate.next_layer(other)
    assert other.layer is None
    monkeypatch.setattr(mitm, "SHAPE_PROBLEMS", ("something is missing",))
    unknown = next_layer(b"GET ")
    gate.next_layer(unknown)
    assert unknown.layer is None


# Policy


def test_a_request_that_nobody_routed_has_no_plan(tmp_path: Path) -> None:
    policy = RequestPolicy(
        CurrentSettings(settings(tmp_path)), Sockets(), lambda client: None, lambda client, refusal, size: None
    )
    assert policy.plan(flow()) is None
    lost = flow()
    begun(lost, settings(tmp_path), host="unknown.test")
    assert policy.plan(lost) is None


def test_another_addon_may_send_a_request_elsewhere(tmp_path: Path) -> None:
    policy = RequestPolicy(
        CurrentSettings(settings(tmp_path)), Sockets(), lambda client: None, lambda client, refusal, size: None
    )
    made = flow()
    begun(made, settings(tmp_path))
    DomainRouter().requestheaders(made)
    plan = policy.plan(made)
    assert plan
    assert (plan.upstream.host, plan.upstream.port, plan.upstream.tls) == ("127.0.0.1", 4000, False)
    made.request.data.host, made.request.data.port, made.request.data.scheme = "other.test", 443, b"https"
    elsewhere = policy.plan(made)
    assert elsewhere
    assert (elsewhere.upstream.host, elsewhere.upstream.tls, elsewhere.upstream.verify) == ("other.test", True, True)


GOOD_101 = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"Sec-WebSocket-Protocol": "phoenix"}, None),
        ({"Sec-WebSocket-Accept": "wrong"}, "Sec-WebSocket-Accept"),
        ({"Upgrade": "h2c"}, "another protocol"),
        ({"Connection": "close"}, "Connection"),
        ({"Sec-WebSocket-Protocol": "other"}, "subprotocol"),
        ({"Sec-WebSocket-Extensions": "permessage-deflate"}, "extension"),
    ],
)
def test_a_101_is_believed_only_when_it_is_right(tmp_path: Path, changes: dict[str, str], problem: str | None) -> None:
    policy = RequestPolicy(
        CurrentSettings(settings(tmp_path)), Sockets(), lambda client: None, lambda client, refusal, size: None
    )
    made = flow(("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Protocol", "phoenix, x"))
    begun(made, settings(tmp_path)).upgrade = True
    answer = http.Response.make(101, b"", {**GOOD_101, **changes})
    found = policy.switching_problem(made, answer)
    assert (found is None) if problem is None else (problem in found)
    assert policy.switching_problem(flow(), answer)


def test_the_policy_bears_flows_it_does_not_know(tmp_path: Path) -> None:
    policy = RequestPolicy(
        CurrentSettings(settings(tmp_path)), Sockets(), lambda client: None, lambda client, refusal, size: None
    )
    made = flow()
    policy.answer_overdue(made, "connect")
    policy.retrying(made)
    assert policy.stream_response(made) is True
    assert policy.failure_answer(made, 502).status_code == 502
    assert b"failed while it handled" in policy.failure_answer(None, 500).content


# Timeouts before HTTP


async def test_a_connection_that_never_reaches_http_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[object] = []
    done = asyncio.Event()

    def close(client: object) -> None:
        closed.append(client)
        done.set()

    monkeypatch.setattr("livegate.pipeline.handshake_timeout.close_client", close)
    timeouts = HandshakeTimeout(CurrentSettings(settings(tmp_path, timeouts={"keep_alive": "10ms"})))
    silent, quick, gone, refused = (connection().client for _ in range(4))
    refused.error = "refused"
    for client in (silent, quick, gone, refused):
        timeouts.client_connected(client)
    timeouts.http_started(quick)
    timeouts.client_disconnected(gone)
    await asyncio.wait_for(done.wait(), 5)
    assert closed == [silent]
    assert timeouts._timers == {}
    HandshakeTimeout(CurrentSettings()).client_connected(silent)
