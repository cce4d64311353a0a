"""RequestPolicy: plans, checks of a 101, and flows that are not the gateway's."""

from pathlib import Path

import pytest
from flows import begun, flow, settings
from mitmproxy import http

from livegate.pipeline.policy import RequestPolicy
from livegate.pipeline.router import DomainRouter
from livegate.settings import CurrentSettings
from livegate.websocket.registry import SocketRegistry


def request_policy(tmp_path: Path) -> RequestPolicy:
    current = CurrentSettings(settings(tmp_path))
    return RequestPolicy(current, SocketRegistry(), lambda client: None, lambda client, refusal, size: None)


def test_an_unrouted_request_has_no_plan(tmp_path: Path) -> None:
    policy = request_policy(tmp_path)
    assert policy.plan(flow()) is None
    lost = flow()
    begun(lost, settings(tmp_path), host="unknown.test")
    assert policy.plan(lost) is None


def test_another_addon_may_redirect_a_request(tmp_path: Path) -> None:
    policy = request_policy(tmp_path)
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
        ({"Sec-WebSocket-Accept": "wrong"}, "Sec-WebSocket-Accept"),
        ({"Sec-WebSocket-Extensions": "permessage-deflate"}, "extension"),
    ],
)
def test_a_101_is_checked(tmp_path: Path, changes: dict[str, str], problem: str | None) -> None:
    policy = request_policy(tmp_path)
    made = flow(("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Protocol", "phoenix, x"))
    begun(made, settings(tmp_path)).upgrade = True
    response = http.Response.make(101, b"", {**GOOD_101, **changes})
    found = policy.upgrade_response_problem(made, response)
    assert (found is None) if problem is None else (problem in found)
    assert policy.upgrade_response_problem(flow(), response)


def test_the_policy_accepts_unknown_flows(tmp_path: Path) -> None:
    policy = request_policy(tmp_path)
    made = flow()
    policy.response_timed_out(made, "connect")
    policy.retrying(made)
    assert policy.stream_response(made) is True
    assert policy.failure_response(made, 502).status_code == 502
    assert b"failed while it handled" in policy.failure_response(None, 500).content
