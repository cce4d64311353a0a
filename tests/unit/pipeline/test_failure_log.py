"""Log lines of failed exchanges."""

import logging
from pathlib import Path

import pytest
from flows import begun, flow, settings
from mitmproxy import flow as mitmproxy_flow
from mitmproxy import http

from livegate.logs.context import FLOW
from livegate.pipeline.exchange.failures import CLIENT_CLOSED, refusal_for
from livegate.pipeline.failure_log import FailureLog
from livegate.proxy.policy import Failure, FailureKind


@pytest.mark.parametrize(
    ("message", "responded", "expected"),
    [
        ("Connection killed.", False, (499, "INFO")),
        ("Received bad header", False, (400, "WARNING")),
        ("Received bad header", True, (502, "ERROR")),
    ],
)
def test_a_message_that_mitmproxy_itself_refused_is_classified(
    tmp_path: Path, message: str, responded: bool, expected: tuple[int, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = flow()
    exchange = begun(made, settings(tmp_path))
    made.error = mitmproxy_flow.Error(message)
    made.response = http.Response.make(200) if responded else None
    FailureLog().error(made)
    assert exchange.failure
    (record,) = caplog.records
    assert (exchange.failure.status, record.levelname) == expected
    assert vars(record)[FLOW] is made


@pytest.mark.parametrize(
    ("failure", "timed_out", "level"),
    [
        (Failure(FailureKind.CONNECT_FAILED, "x"), "", "ERROR"),
        (Failure(FailureKind.CONNECT_FAILED, "x"), "connect", "WARNING"),
        (Failure(FailureKind.BACKEND_FAILED, "x"), "response", "WARNING"),
        (Failure(FailureKind.BACKEND_FAILED, "x"), "", "ERROR"),
        (Failure(FailureKind.REQUEST_TOO_LARGE, "x"), "", "WARNING"),
        (Failure(FailureKind.CLIENT_DISCONNECTED, "x"), "", "INFO"),
    ],
)
def test_time_outs_and_clients_mistakes_are_warnings_and_failures_are_errors(
    tmp_path: Path, failure: Failure, timed_out: str, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = flow()
    exchange = begun(made, settings(tmp_path))
    exchange.timed_out = timed_out
    exchange.failure = refusal_for(failure, exchange)
    made.error = mitmproxy_flow.Error("x")
    FailureLog().error(made)
    assert [record.levelname for record in caplog.records] == [level]


def test_flows_of_others_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    FailureLog().error(flow())
    assert caplog.text == ""


def test_a_client_that_left_is_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = flow()
    begun(made, settings(tmp_path)).failure = CLIENT_CLOSED
    made.error = mitmproxy_flow.Error("x")
    FailureLog().error(made)
    assert caplog.text == ""
