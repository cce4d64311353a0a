"""One log line when a backend responds again after failures."""

from pathlib import Path

import pytest
from flows import begun, flow, settings
from mitmproxy import http

from livegate.http1.refusal import Refusal
from livegate.pipeline.backend_recovery import BackendRecovery
from livegate.pipeline.exchange.failures import CLIENT_CLOSED
from livegate.settings import CurrentSettings

DOWN = Refusal(502, "x", "backend-unreachable")
SERVICES = {"a.test": "http://127.0.0.1:4000", "b.test": "http://127.0.0.1:4001"}


class Lab:
    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self.current = CurrentSettings(settings(tmp_path, services=SERVICES))
        self.addon = BackendRecovery(self.current)

    def fails(
        self, failure: Refusal | None = DOWN, host: str = "a.test", response_started_at: float | None = None
    ) -> None:
        made = flow(host=host)
        exchange = begun(made, self.current.value, host=host)
        exchange.failure, exchange.response_started_at = failure, response_started_at
        self.addon.error(made)

    def responds(self, host: str = "a.test", *, of_backend: bool = True) -> None:
        made = flow(host=host)
        made.response = http.Response.make(200)
        begun(made, self.current.value, host=host).response_started_at = 1.0 if of_backend else None
        self.addon.responseheaders(made)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_the_first_response_after_failures_is_logged_with_their_number(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    lab.responds()
    for _ in range(3):
        lab.fails()
    lab.responds("b.test")
    lab.responds(of_backend=False)
    assert caplog.messages == []
    lab.responds()
    lab.responds()
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("the backend of a.test responds again: 3 request(s) failed in ")


def test_a_clients_own_failures_and_incomplete_responses_are_no_outage(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    lab.fails(CLIENT_CLOSED)
    lab.fails(None)
    lab.fails(response_started_at=1.0)
    lab.addon.error(flow())
    lab.fails(host="unknown.test")
    lab.responds()
    assert caplog.messages == []
    lab.fails()
    lab.addon.responseheaders(flow())
    lab.responds("unknown.test")
    assert caplog.messages == []


def test_a_removed_service_has_no_outage(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    lab.fails()
    lab.fails(host="b.test")
    lab.current.value = settings(lab.tmp_path, services={"b.test": SERVICES["b.test"]})
    assert list(lab.addon._outages) == ["b.test"]
