"""The lines of level debug: where a request goes, and which of its fields are not as they came."""

import logging
from pathlib import Path

import pytest
from flows import begun, flow, settings
from mitmproxy import http

from livegate.logs.context import FLOW, set_session
from livegate.pipeline.access_log import AccessLog
from livegate.pipeline.fields.diff import describe
from livegate.pipeline.headers import Headers
from livegate.pipeline.policy import RequestPolicy
from livegate.redaction.redactor import Redactor
from livegate.settings import CurrentSettings
from livegate.websocket.registry import Sockets


def test_names_are_told_and_values_only_of_host_origin_and_x_forwarded() -> None:
    before = [(b"Host", b"a.test"), (b"Cookie", b"CANARY"), (b"TE", b"CANARY"), (b"Accept", b"1"), (b"Accept", b"2")]
    after = [
        (b"host", b"b:1"),
        (b"Cookie", b"CANARY2"),
        (b"Accept", b"1"),
        (b"X-Forwarded-For", b"::1"),
        (b"X-Key", b"CANARY"),
    ]
    told = describe(before, after)
    assert told == "removed te; added x-forwarded-for: ::1, x-key; changed host: b:1, cookie, accept"
    assert describe(before, before) == ""


def test_names_and_values_from_outside_are_printable_and_bounded() -> None:
    told = describe([(b"\x1b[2J\xff", b"")], [(b"Origin", b"x\n" + b"y" * 1000)])
    assert told.startswith("removed \\x1b[2jÿ; added origin: x\\n")
    assert len(told) < 400
    many = describe([(b"n%d" % index, b"") for index in range(1000)], [])
    assert many.count(",") == 99


def test_both_heads_and_the_way_are_told_at_level_debug_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    current = CurrentSettings(settings(tmp_path))
    policy = RequestPolicy(current, Sockets(), lambda client: None, lambda client, refusal, size: None)
    headers = Headers()

    def pass_through() -> http.HTTPFlow:
        made = flow(("Origin", "http://app.test"), ("Cookie", "CANARY"), path="/x?token=CANARY")
        begun(made, current.value)
        made.request.data.host, made.request.data.port = "127.0.0.1", 4000
        headers.requestheaders(made)
        assert policy.plan(made) is not None
        made.response = http.Response.make(200, b"", {"Connection": "close", "Set-Cookie": "CANARY"})
        headers.responseheaders(made)
        return made

    caplog.set_level(logging.INFO)
    pass_through()
    assert caplog.messages == []
    caplog.set_level(logging.DEBUG)
    made = pass_through()
    request, where, answer = caplog.messages
    assert request.startswith("header fields of the request: added x-forwarded-for: 192.0.2.1, ")
    assert request.endswith("; changed host: 127.0.0.1:4000")
    expected = "forwarded to http://127.0.0.1:4000 for service app.test, Host 127.0.0.1:4000, Origin http://app.test"
    assert where == expected
    assert answer == "header fields of the response: removed connection; added x-request-id"
    assert all(vars(record)[FLOW] is made for record in caplog.records)


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
