"""The gateway's own answers, and what stands in the log when an exchange fails."""

import json
import logging
import re
from pathlib import Path

import pytest
from flows import begun, flow, settings
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import flow as mitmproxy_flow
from mitmproxy import http

from livegate.http1.refusal import Refusal
from livegate.logs.context import FLOW
from livegate.pipeline import errors
from livegate.pipeline.exchange.failures import CLIENT_GONE, refusal_for
from livegate.pipeline.fail_closed import fail_closed
from livegate.proxy.policy import ErrorCode, Failure
from livegate.redaction.printable import printable

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
def test_a_page_is_for_those_who_prefer_it(accept: str, html: bool) -> None:
    assert errors.prefers_html(accept) is html


def test_text_of_a_client_is_escaped_in_a_page(tmp_path: Path) -> None:
    made = flow(("Accept", CHROME))
    begun(made, settings(tmp_path))
    answer = errors.answer(made, Refusal(404, "<script>alert(1)</script> & more", "x"))
    assert b"<script>" not in answer.content
    assert b"&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in answer.content


def test_an_answer_cannot_get_another_header_by_its_values(tmp_path: Path) -> None:
    made = flow()
    begun(made, settings(tmp_path)).request_id = "x"
    answer = errors.answer(made, Refusal(308, "moved", "x", (("Location", "https://a/\udcff"),)))
    assert b"\n" not in answer.headers.fields[4][1]


def test_an_answer_without_any_flow_has_a_request_id_all_the_same() -> None:
    answer = errors.answer(None, Refusal(400, "bad", "x", close=True))
    body = json.loads(answer.content)
    assert body["request_id"] == answer.headers["X-Request-Id"]
    assert answer.headers["Connection"] == "close"
    assert answer.reason == "Bad Request"


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
def test_a_page_that_could_not_be_had_is_loaded_again(
    tmp_path: Path, method: str, refusal: Refusal, again: str | None
) -> None:
    made = flow(("Accept", CHROME), method=method)
    begun(made, settings(tmp_path))
    answer = errors.answer(made, refusal)
    assert answer.headers["Content-Type"].startswith("text/html")
    assert re.findall(r'http-equiv="refresh" content="(\d+)"', answer.text or "") == ([again] if again else [])


LONGPOLL = [
    ("GET", "/live/longpoll?_csrf_token=x&vsn=2.0.0&token="),
    ("GET", "/live/longpoll?vsn=2.0.0&token=SFMyNTY.x"),
    ("POST", "/socket/longpoll?vsn=2.0.0&token=SFMyNTY.x"),
    ("GET", "/longpoll"),
]


@pytest.mark.parametrize("status", [400, 403, 404, 408, 413, 414, 421, 426, 429, 431, 500, 502, 503, 504])
@pytest.mark.parametrize(("method", "path"), LONGPOLL)
def test_a_long_poll_client_is_told_to_connect_again(tmp_path: Path, method: str, path: str, status: int) -> None:
    made = flow(("Accept", "application/json"), method=method, path=path)
    begun(made, settings(tmp_path))
    answer = errors.answer(made, Refusal(status, "Not now.", "x", (("Retry-After", "3"),)))
    assert (answer.status_code, answer.headers["Retry-After"]) == (status, "3")
    request_id = answer.headers["X-Request-Id"]
    assert json.loads(answer.content) == {
        "error": "Not now.",
        "status": 500,
        "http_status": status,
        "request_id": request_id,
    }


@pytest.mark.parametrize("path", ["/", "/longpoll/x", "/live/longpolls", "/x?to=/live/longpoll", "/live/websocket"])
def test_every_other_client_is_told_the_http_status(tmp_path: Path, path: str) -> None:
    made = flow(path=path)
    begun(made, settings(tmp_path))
    body = json.loads(errors.answer(made, Refusal(502, "Not now.", "x")).content)
    assert (body["status"], sorted(body)) == (502, ["error", "request_id", "status"])


def test_a_long_poll_client_is_known_by_what_it_asked_for_where_no_flow_was_made() -> None:
    for target, status in (
        ("/live/longpoll?vsn=2.0.0", 500),
        ("http://app.test/live/longpoll", 500),
        ("/", 431),
        ("", 431),
    ):
        assert json.loads(errors.answer(None, Refusal(431, "Too large.", "x"), target).content)["status"] == status


def test_a_hook_that_fails_answers_500_and_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Addon:
        @fail_closed
        def requestheaders(self, made: http.HTTPFlow) -> None:
            raise ZeroDivisionError

    for record in (True, False):
        made = flow()
        if record:
            begun(made, settings(tmp_path))
        made.request.stream = True
        Addon().requestheaders(made)
        assert made.response
        assert made.response.status_code == 500
        assert made.request.stream is False
    assert "Addon.requestheaders failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("failure", "timed_out", "status", "reason"),
    [
        (Failure(ErrorCode.CLIENT_DISCONNECTED, "gone"), "", 499, "client-gone"),
        (Failure(ErrorCode.CONNECT_FAILED, "connection cancelled"), "", 499, "client-gone"),
        (Failure(ErrorCode.CONNECT_FAILED, "client disconnected"), "", 499, "client-gone"),
        (Failure(ErrorCode.CONNECT_FAILED, "connection cancelled"), "connect", 504, "timeout-connect"),
        (Failure(ErrorCode.REQUEST_TOO_LARGE, "x"), "", 413, "body-too-large"),
        (Failure(ErrorCode.REQUEST_VALIDATION_FAILED, "x"), "", 400, "request-malformed"),
        (Failure(ErrorCode.DESTINATION_UNKNOWN, "x"), "", 400, "host-missing"),
        (Failure(ErrorCode.CONNECT_FAILED, "closed by command"), "connect", 504, "timeout-connect"),
        (Failure(ErrorCode.GENERIC_SERVER_ERROR, "x"), "upgrade", 504, "timeout-upgrade"),
        (Failure(ErrorCode.GENERIC_SERVER_ERROR, "x"), "response", 504, "timeout-response"),
        (Failure(ErrorCode.CONNECT_FAILED, "Certificate verify failed: x"), "", 502, "backend-untrusted"),
        (Failure(ErrorCode.CONNECT_FAILED, "refused"), "", 502, "backend-unreachable"),
        (Failure(ErrorCode.RESPONSE_VALIDATION_FAILED, "x"), "", 502, "backend-invalid"),
        (Failure(ErrorCode.GENERIC_SERVER_ERROR, "10.0.0.7 broke"), "", 502, "backend-broken"),
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
    assert refusal_for(Failure(ErrorCode.CONNECT_FAILED, "x"), exchange).status == 500
    exchange.timed_out = "connect"
    assert refusal_for(Failure(ErrorCode.CONNECT_FAILED, "x"), exchange).status == 504


@pytest.mark.parametrize(
    ("message", "answered", "expected"),
    [
        ("Connection killed.", False, (499, "INFO")),
        ("Received bad header", False, (400, "WARNING")),
        ("Received bad header", True, (502, "ERROR")),
    ],
)
def test_what_mitmproxy_itself_turned_down_is_understood(
    tmp_path: Path, message: str, answered: bool, expected: tuple[int, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = flow()
    exchange = begun(made, settings(tmp_path))
    made.error = mitmproxy_flow.Error(message)
    made.response = http.Response.make(200) if answered else None
    errors.Errors().error(made)
    assert exchange.failure
    (record,) = caplog.records
    assert (exchange.failure.status, record.levelname) == expected
    assert vars(record)[FLOW] is made


@pytest.mark.parametrize(
    ("failure", "timed_out", "level"),
    [
        (Failure(ErrorCode.CONNECT_FAILED, "x"), "", "ERROR"),
        (Failure(ErrorCode.CONNECT_FAILED, "x"), "connect", "WARNING"),
        (Failure(ErrorCode.GENERIC_SERVER_ERROR, "x"), "response", "WARNING"),
        (Failure(ErrorCode.GENERIC_SERVER_ERROR, "x"), "", "ERROR"),
        (Failure(ErrorCode.REQUEST_TOO_LARGE, "x"), "", "WARNING"),
        (Failure(ErrorCode.CLIENT_DISCONNECTED, "x"), "", "INFO"),
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
    errors.Errors().error(made)
    assert [record.levelname for record in caplog.records] == [level]


def test_the_errors_of_other_flows_are_not_ours(caplog: pytest.LogCaptureFixture) -> None:
    errors.Errors().error(flow())
    assert caplog.text == ""


def test_a_client_that_went_away_is_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = flow()
    begun(made, settings(tmp_path)).failure = CLIENT_GONE
    made.error = mitmproxy_flow.Error("x")
    errors.Errors().error(made)
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain /path-ä-日本", "plain /path-ä-日本"),
        ("a\r\nb\x1b[31m\x00\x7f", r"a\r\nb\x1b[31m\x00\x7f"),
        ("\u2028\u2029\u202e\u200e\ufeff\x85\udcff", r"\u2028\u2029\u202e\u200e\ufeff\x85\udcff"),
        (r"\x1b", r"\\x1b"),
    ],
)
def test_control_and_format_characters_are_escaped(text: str, expected: str) -> None:
    assert printable(text) == expected


@given(st.text())
def test_printable_text_is_one_line_and_bounded(text: str) -> None:
    shown = printable(text, 50)
    assert len(shown) <= 51 * 10
    assert len(shown.splitlines()) <= 1, shown
    assert not any(ord(character) < 0x20 or 0x7F <= ord(character) <= 0xA0 for character in shown)
    shown.encode("utf-8")
