"""Which plain requests are sent to https, and where exactly."""

from pathlib import Path

import pytest
from flows import begun, flow, settings
from mitmproxy import http

from livegate.pipeline.https_redirect import HttpsRedirect
from livegate.settings import Settings


@pytest.fixture
def redirecting(tmp_path: Path) -> Settings:
    return settings(tmp_path, tls={"redirect_http": True})


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
@pytest.mark.parametrize(
    ("host", "path", "location"),
    [
        ("app.test", "/", "https://app.test/"),
        ("App.test:8080", "/a%20b?c=d&e", "https://App.test:8080/a%20b?c=d&e"),
        ("app.test", "//evil.test/x", "https://app.test//evil.test/x"),
        ("app.test", "/\\@evil.test", "https://app.test/\\@evil.test"),
        ("[::1]:80", "/?", "https://[::1]:80/?"),
    ],
)
def test_a_plain_request_is_sent_to_the_same_place_over_tls(
    redirecting: Settings, method: str, host: str, path: str, location: str
) -> None:
    made = flow(method=method, host=host, path=path)
    exchange = begun(made, redirecting, host=host)
    HttpsRedirect().requestheaders(made)
    assert made.response is not None
    assert (made.response.status_code, made.response.reason) == (308, "Permanent Redirect")
    assert made.response.headers["Location"] == location
    assert exchange.refusal_reason == "tls-required"


def test_options_star_is_sent_to_the_server_as_a_whole(redirecting: Settings) -> None:
    made = flow(method="OPTIONS", path="*")
    begun(made, redirecting)
    HttpsRedirect().requestheaders(made)
    assert made.response is not None
    assert made.response.headers["Location"] == "https://app.test"


def test_a_plain_upgrade_is_426_since_no_browser_follows_a_redirect(redirecting: Settings) -> None:
    made = flow()
    begun(made, redirecting).upgrade = True
    HttpsRedirect().requestheaders(made)
    assert made.response is not None
    assert made.response.status_code == 426
    assert made.response.headers["Upgrade"] == "TLS/1.2, HTTP/1.1"
    assert "wss" in (made.response.text or "")
    assert "Location" not in made.response.headers


def test_a_request_over_tls_passes_also_by_a_trusted_proxys_word(redirecting: Settings) -> None:
    made = flow()
    begun(made, redirecting).scheme = "https"
    HttpsRedirect().requestheaders(made)
    assert made.response is None


def test_without_the_setting_nothing_is_redirected(tmp_path: Path) -> None:
    made = flow()
    begun(made, settings(tmp_path))
    HttpsRedirect().requestheaders(made)
    assert made.response is None


def test_a_request_that_has_a_response_keeps_it(redirecting: Settings) -> None:
    made = flow()
    begun(made, redirecting)
    made.response = http.Response.make(404)
    HttpsRedirect().requestheaders(made)
    assert made.response.status_code == 404
