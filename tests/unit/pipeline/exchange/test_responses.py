"""The gateway's own responses: JSON, pages, and the body that brings a long-poll client back."""

import json
import re
from pathlib import Path

import pytest
from flows import begun, flow, settings

from livegate.http1.refusal import Refusal
from livegate.pipeline.exchange.responses import make_response, prefers_html

CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        (CHROME, True),
        ("text/html;q=0.5, application/json;q=0.9", False),
        ("text/html;q=0.9, application/json;q=0.5", True),
        ("application/json, text/html", False),
        ("text/html;q=0", False),
        ("," * 5000 + "text/html", False),
    ],
)
def test_a_page_is_for_clients_that_prefer_html(accept: str, html: bool) -> None:
    assert prefers_html(accept) is html


def test_text_of_a_client_is_escaped_in_a_page(tmp_path: Path) -> None:
    made = flow(("Accept", CHROME))
    begun(made, settings(tmp_path))
    response = make_response(made, Refusal(404, "<script>alert(1)</script> & more", "x"))
    assert b"<script>" not in response.content
    assert b"&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in response.content


def test_a_header_value_cannot_add_another_header(tmp_path: Path) -> None:
    made = flow()
    begun(made, settings(tmp_path)).request_id = "x"
    response = make_response(made, Refusal(308, "moved", "x", (("Location", "https://a/\udcff"),)))
    assert b"\n" not in response.headers.fields[4][1]


def test_a_response_without_a_flow_has_a_request_id() -> None:
    response = make_response(None, Refusal(400, "bad", "x", close=True))
    body = json.loads(response.content)
    assert body["request_id"] == response.headers["X-Request-Id"]
    assert response.headers["Connection"] == "close"
    assert response.reason == "Bad Request"


@pytest.mark.parametrize(
    ("method", "refusal", "again"),
    [
        ("GET", Refusal(502, "Gone.", "x"), "5"),
        ("GET", Refusal(504, "Slow.", "x"), "5"),
        ("GET", Refusal(503, "Stopping.", "x", (("Retry-After", "1"),)), "5"),
        ("GET", Refusal(429, "Too often.", "x", (("Retry-After", "42"),)), "42"),
        ("POST", Refusal(502, "Gone.", "x"), None),
        ("GET", Refusal(404, "Unknown.", "x"), None),
        ("GET", Refusal(500, "Broken.", "x"), None),
    ],
)
def test_the_page_of_a_temporary_failure_reloads(
    tmp_path: Path, method: str, refusal: Refusal, again: str | None
) -> None:
    made = flow(("Accept", CHROME), method=method)
    begun(made, settings(tmp_path))
    response = make_response(made, refusal)
    assert response.headers["Content-Type"].startswith("text/html")
    assert re.findall(r'http-equiv="refresh" content="(\d+)"', response.text or "") == ([again] if again else [])


LONGPOLL = [
    ("GET", "/live/longpoll?_csrf_token=x&vsn=2.0.0&token="),
    ("GET", "/live/longpoll?vsn=2.0.0&token=SFMyNTY.x"),
    ("POST", "/socket/longpoll?vsn=2.0.0&token=SFMyNTY.x"),
    ("GET", "/longpoll"),
]


@pytest.mark.parametrize("status", [400, 403, 404, 408, 413, 414, 421, 426, 429, 431, 500, 502, 503, 504])
@pytest.mark.parametrize(("method", "path"), LONGPOLL)
def test_a_long_poll_client_reconnects_after_any_refusal(tmp_path: Path, method: str, path: str, status: int) -> None:
    made = flow(("Accept", "application/json"), method=method, path=path)
    begun(made, settings(tmp_path))
    response = make_response(made, Refusal(status, "Not now.", "x", (("Retry-After", "3"),)))
    assert (response.status_code, response.headers["Retry-After"]) == (status, "3")
    request_id = response.headers["X-Request-Id"]
    assert json.loads(response.content) == {
        "error": "Not now.",
        "status": 500,
        "http_status": status,
        "request_id": request_id,
    }


@pytest.mark.parametrize("path", ["/", "/longpoll/x", "/live/longpolls", "/x?to=/live/longpoll", "/live/websocket"])
def test_every_other_client_gets_the_http_status(tmp_path: Path, path: str) -> None:
    made = flow(path=path)
    begun(made, settings(tmp_path))
    body = json.loads(make_response(made, Refusal(502, "Not now.", "x")).content)
    assert (body["status"], sorted(body)) == (502, ["error", "request_id", "status"])


def test_a_long_poll_request_without_a_flow_is_recognized_by_its_target() -> None:
    for target, status in (
        ("/live/longpoll?vsn=2.0.0", 500),
        ("http://app.test/live/longpoll", 500),
        ("/", 431),
        ("", 431),
    ):
        assert json.loads(make_response(None, Refusal(431, "Too large.", "x"), target).content)["status"] == status
