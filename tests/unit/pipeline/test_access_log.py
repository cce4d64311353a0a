"""Access log: one line per request and one per closed WebSocket."""

import logging
from pathlib import Path

import pytest
from flows import begun, flow, settings
from mitmproxy import flow as mitmproxy_flow
from mitmproxy import http
from mitmproxy.test import tflow
from mitmproxy.websocket import WebSocketMessage
from wsproto.frame_protocol import Opcode

from livegate.logs.context import set_session
from livegate.pipeline.access_log import AccessLog, render
from livegate.redaction.redactor import Redactor


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


def test_a_failed_request_without_a_recorded_reason_has_a_line(
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


def test_the_access_log_has_the_session_and_no_token_of_a_path(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "livegate.access")
    token = "SFMyNTY.g2gDbQAAAAVDQU5BUlluBgA.CANARYcanary0123456789"
    made = flow(path=f"/users/reset/{token}/edit")
    begun(made, settings(tmp_path))
    set_session(made, 12)
    made.response = http.Response.make(200)
    AccessLog(Redactor()).response(made)
    assert " session=12" in caplog.messages[0]
    assert " path=/users/reset/⟪redacted-" in caplog.messages[0]
    assert "/edit " in caplog.messages[0]
    assert "CANARY" not in caplog.text
