"""Which backend a request is sent to, and what somebody hears whose host has none."""

import json
from pathlib import Path

import pytest
from flows import begun, flow, settings
from mitmproxy import http

from livegate.pipeline.exchange.record import exchange_of, start_exchange
from livegate.pipeline.guard import Guard
from livegate.pipeline.router import DomainRouter, service_for
from livegate.settings import CurrentSettings, Settings

SERVICES = {
    "app.test": "http://127.0.0.1:4000",
    "secure.test": "https://backend.test:8443",
    "*.preview.test": "http://127.0.0.1:4100",
    "*.deep.preview.test": "http://127.0.0.1:4200",
    "[::1]": "http://127.0.0.1:4300",
}


@pytest.fixture
def mapped(tmp_path: Path) -> Settings:
    return settings(tmp_path, services=SERVICES)


def routed(made: http.HTTPFlow, by: Settings) -> http.HTTPFlow:
    Guard(CurrentSettings(by)).requestheaders(made)
    DomainRouter().requestheaders(made)
    return made


@pytest.mark.parametrize(
    ("host", "service", "backend"),
    [
        ("app.test", "app.test", ("127.0.0.1", 4000, "http")),
        ("APP.Test", "app.test", ("127.0.0.1", 4000, "http")),
        ("app.test:8080", "app.test", ("127.0.0.1", 4000, "http")),
        ("app.test.", "app.test", ("127.0.0.1", 4000, "http")),
        ("app.test.:80", "app.test", ("127.0.0.1", 4000, "http")),
        ("secure.test", "secure.test", ("backend.test", 8443, "https")),
        ("a.preview.test", "*.preview.test", ("127.0.0.1", 4100, "http")),
        ("b.a.preview.test", "*.preview.test", ("127.0.0.1", 4100, "http")),
        ("a.deep.preview.test", "*.deep.preview.test", ("127.0.0.1", 4200, "http")),
        ("[::1]:8080", "[::1]", ("127.0.0.1", 4300, "http")),
        ("[0:0::1]", "[::1]", ("127.0.0.1", 4300, "http")),
    ],
)
def test_the_host_picks_the_backend(mapped: Settings, host: str, service: str, backend: tuple[str, int, str]) -> None:
    made = routed(flow(host=host), mapped)
    exchange = exchange_of(made)
    assert made.response is None
    assert exchange is not None
    assert exchange.service is not None
    assert exchange.service.name == service
    assert (made.request.host, made.request.port, made.request.scheme) == backend
    assert made.request.headers["Host"] == host, "the header stage decides what the backend is told"
    assert made.request.authority == ""


@pytest.mark.parametrize(
    "host", ["evil.test", "preview.test", "evilpreview.test", "app.test.evil.test", "127.0.0.1", "mitm.it", "default"]
)
def test_an_unmapped_host_is_404_and_stays_at_the_black_hole(mapped: Settings, host: str) -> None:
    made = routed(flow(host=f"{host}:8080"), mapped)
    exchange = exchange_of(made)
    assert made.response is not None
    assert made.response.status_code == 404
    assert json.loads(made.response.content or b"")["error"] == f"Service not found for host: {host}"
    assert exchange is not None
    assert (exchange.service, exchange.refusal_reason) == (None, "unmapped-host")
    assert made.request.host == "livegate.invalid"


def test_the_default_gets_every_other_host(tmp_path: Path) -> None:
    made = routed(flow(host="any.test"), settings(tmp_path, services={**SERVICES, "default": "http://127.0.0.1:4900"}))
    assert made.response is None
    assert made.request.port == 4900


def test_a_refused_request_is_not_routed(mapped: Settings) -> None:
    made = routed(flow(host="app.test, evil.test"), mapped)
    assert made.response is not None
    assert made.response.status_code == 400
    assert made.request.host == "livegate.invalid"


def test_a_record_without_a_host_belongs_to_no_service(mapped: Settings) -> None:
    assert service_for(start_exchange(flow(), mapped)) is None


def test_a_service_that_was_chosen_before_is_kept(mapped: Settings) -> None:
    exchange = begun(flow(), mapped)
    exchange.authority = "secure.test"
    chosen = service_for(exchange)
    assert chosen is not None
    assert chosen.name == "app.test"


def test_a_reload_does_not_move_a_flow_in_flight(mapped: Settings, tmp_path: Path) -> None:
    current = CurrentSettings(mapped)
    made = flow()
    Guard(current).requestheaders(made)
    current.value = settings(tmp_path, services={"other.test": "http://127.0.0.1:5000"})
    DomainRouter().requestheaders(made)
    assert made.request.port == 4000
