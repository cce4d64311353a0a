"""Status, slug and message of each kind of failure."""

from pathlib import Path

import pytest
from flows import begun, flow, settings

from livegate.pipeline.exchange.failures import refusal_for
from livegate.proxy.policy import Failure, FailureKind


@pytest.mark.parametrize(
    ("failure", "timed_out", "status", "reason"),
    [
        (Failure(FailureKind.CLIENT_DISCONNECTED, "gone"), "", 499, "client-gone"),
        (Failure(FailureKind.CONNECT_FAILED, "connection cancelled"), "", 499, "client-gone"),
        (Failure(FailureKind.CONNECT_FAILED, "client disconnected"), "", 499, "client-gone"),
        (Failure(FailureKind.CONNECT_FAILED, "connection cancelled"), "connect", 504, "timeout-connect"),
        (Failure(FailureKind.REQUEST_TOO_LARGE, "x"), "", 413, "body-too-large"),
        (Failure(FailureKind.REQUEST_MALFORMED, "x"), "", 400, "request-malformed"),
        (Failure(FailureKind.HOST_MISSING, "x"), "", 400, "host-missing"),
        (Failure(FailureKind.CONNECT_FAILED, "closed by command"), "connect", 504, "timeout-connect"),
        (Failure(FailureKind.BACKEND_FAILED, "x"), "upgrade", 504, "timeout-upgrade"),
        (Failure(FailureKind.BACKEND_FAILED, "x"), "response", 504, "timeout-response"),
        (Failure(FailureKind.CONNECT_FAILED, "Certificate verify failed: x"), "", 502, "backend-untrusted"),
        (Failure(FailureKind.CONNECT_FAILED, "refused"), "", 502, "backend-unreachable"),
        (Failure(FailureKind.RESPONSE_INVALID, "x"), "", 502, "backend-invalid"),
        (Failure(FailureKind.BACKEND_FAILED, "10.0.0.7 broke"), "", 502, "backend-broken"),
    ],
)
def test_a_failure_has_a_status_and_names_no_address(
    tmp_path: Path, failure: Failure, timed_out: str, status: int, reason: str
) -> None:
    exchange = begun(flow(), settings(tmp_path))
    exchange.timed_out = timed_out
    refusal = refusal_for(failure, exchange)
    assert (refusal.status, refusal.reason) == (status, reason)
    assert "127.0.0.1" not in refusal.message
    assert "10.0.0.7" not in refusal.message


def test_an_unrouted_request_is_500(tmp_path: Path) -> None:
    exchange = begun(flow(), settings(tmp_path), host="unknown.test")
    assert refusal_for(Failure(FailureKind.CONNECT_FAILED, "x"), exchange).status == 500
    exchange.timed_out = "connect"
    assert refusal_for(Failure(FailureKind.CONNECT_FAILED, "x"), exchange).status == 504
