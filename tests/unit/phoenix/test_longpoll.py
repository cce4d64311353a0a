"""Long-poll exchanges, as phoenix.js and Phoenix write them."""

import base64
import json

import pytest

from livegate.phoenix.frames import Frame, NotPhoenix
from livegate.phoenix.longpoll import PolledFrame, PollRequest, PollResponse, parse_request, parse_response

TEXT = b'["1","1","room:a","phx_join",{}]'
JOIN = Frame("1", "1", "room:a", "phx_join", {})
BINARY = b"\0\x01\x02\x06\x03112room:abin\0\xff"
PUSH = Frame("1", "12", "room:a", "bin", b"\0\xff")


def test_a_poll_has_no_frames() -> None:
    assert parse_request("GET", "vsn=2.0.0", b"", None) == PollRequest("poll", False, "2")
    assert parse_request("GET", "vsn=2.0.0&token=SFMy", b"", None) == PollRequest("poll", True, "2")
    assert parse_request("GET", "vsn=9", b"", None) == PollRequest("poll", False, None)


def test_lines_are_text_or_the_base64_of_binary() -> None:
    body = TEXT + b"\n" + base64.b64encode(BINARY) + b"\n\n!!"
    found = parse_request("POST", "vsn=2.0.0&token=x", body, "application/x-ndjson; charset=utf-8")
    assert isinstance(found, PollRequest)
    assert found.frames == (
        PolledFrame(JOIN, TEXT),
        PolledFrame(PUSH, BINARY, text=False),
        PolledFrame(NotPhoenix("neither JSON nor base64"), b"!!"),
    )


def test_the_older_clients_send_one_message() -> None:
    found = parse_request("POST", "token=x", b'{"topic":"t","event":"e","payload":{},"ref":"1"}', "application/json")
    assert isinstance(found, PollRequest)
    assert found.vsn == "1"
    assert [each.frame for each in found.frames] == [Frame(None, "1", "t", "e", {})]


def test_more_lines_than_phoenix_takes_are_not_read() -> None:
    found = parse_request("POST", "vsn=2.0.0", (TEXT + b"\n") * 500, "application/x-ndjson")
    assert isinstance(found, PollRequest)
    assert len(found.frames) == 100


@pytest.mark.parametrize("method", ["OPTIONS", "PUT"])
def test_other_verbs_are_none_of_it(method: str) -> None:
    assert isinstance(parse_request(method, "", b"", None), NotPhoenix)


def test_a_query_of_too_many_fields_is_none_of_it() -> None:
    assert isinstance(parse_request("GET", "a=1&" * 500, b"", None), NotPhoenix)


@pytest.mark.parametrize(
    ("body", "response"),
    [
        ({"messages": [], "status": 410, "token": "SFMy.x"}, PollResponse(410, "SFMy.x")),
        (
            {"status": 200, "token": None, "messages": [TEXT.decode(), 7]},
            PollResponse(200, None, (PolledFrame(JOIN, TEXT),)),
        ),
        ({"status": 204}, PollResponse(204, None)),
        ({"status": 200, "messages": "x"}, PollResponse(200, None)),
    ],
)
def test_a_response_has_its_status_in_its_body(body: object, response: PollResponse) -> None:
    assert parse_response(json.dumps(body).encode()) == response


def test_a_lone_surrogate_in_a_response_is_no_exception() -> None:
    found = parse_response(b'{"status":200,"messages":["\\ud800"]}')
    assert isinstance(found, PollResponse)
    assert isinstance(found.frames[0].frame, NotPhoenix)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"status":true}', b"[" * 100_000, b"\xff"])
def test_anything_else_is_none(body: bytes) -> None:
    assert isinstance(parse_response(body), NotPhoenix)
