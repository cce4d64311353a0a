"""Which bodies are streamed, and which are refused."""

from pathlib import Path

import pytest
from flows import begun, flow, settings
from mitmproxy import http

from livegate.pipeline.streaming import Streaming


@pytest.mark.parametrize(
    ("fields", "streams", "status"),
    [
        ([], False, 200),
        ([("Content-Length", "100")], False, 200),
        ([("Content-Length", "2000000")], True, 200),
        ([("Content-Length", "200000000")], False, 413),
        ([("Transfer-Encoding", "chunked")], True, 200),
    ],
)
def test_long_and_unbounded_request_bodies_are_streamed(
    tmp_path: Path, fields: list, streams: bool, status: int
) -> None:
    made = flow(*fields, method="POST")
    exchange = begun(made, settings(tmp_path))
    Streaming().requestheaders(made)
    assert exchange.streams_request is streams
    assert bool(made.request.stream) is streams
    assert (made.response.status_code if made.response else 200) == status


@pytest.mark.parametrize(
    ("fields", "streams"),
    [
        ({"Content-Type": "text/event-stream; charset=utf-8"}, True),
        ({"Content-Length": "2000000"}, True),
        ({"Content-Length": "20"}, False),
        ({"Content-Length": "nonsense"}, False),
        ({}, False),
    ],
)
def test_long_and_endless_responses_are_streamed(tmp_path: Path, fields: dict, streams: bool) -> None:
    made = flow()
    begun(made, settings(tmp_path))
    made.response = http.Response.make(200, b"", fields)
    if "Content-Length" in fields:
        made.response.headers["Content-Length"] = fields["Content-Length"]
    else:
        del made.response.headers["Content-Length"]
    addon = Streaming()
    addon.responseheaders(made)
    assert bool(made.response.stream) is streams
    if streams:
        made.response.stream(b"piece")
        addon.response(made)
        assert made.response.content == b"piece"


def test_streaming_leaves_other_flows_alone() -> None:
    made = flow()
    addon = Streaming()
    for hook in (addon.requestheaders, addon.request, addon.responseheaders, addon.response):
        hook(made)
    assert made.request.stream is False
