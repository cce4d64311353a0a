"""The fast path of a peer and its general path give the same results."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import http
from relay_lab import Lab

from livegate.settings import MessageHistoryLimits, WebSocketLimits
from livegate.websocket import frames
from livegate.websocket.close_codes import close_payload
from livegate.websocket.deflate import Parameters

LIMITS = WebSocketLimits(max_message="300B", history=MessageHistoryLimits(messages=4, bytes="400B"))
KEY = b"\x01\x02\x03\x04"
CONTENTS = st.one_of(
    st.binary(max_size=10),
    st.text(max_size=10).map(str.encode),
    st.sampled_from([b"drop it", b"edit it", b"hold it", b"x" * 125, b"x" * 126, b"x" * 300, b"x" * 301, b"\xff"]),
)


def frame(first: int, payload: bytes, *, masked: bool) -> bytes:
    """One frame with any first byte, which `frames.encode` would not make."""
    encoded = frames.encode(frames.TEXT, payload, masked=masked)
    return bytes([first]) + encoded[1:]


def deflated(payload: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-15)
    return (engine.compress(payload) + engine.flush(zlib.Z_SYNC_FLUSH))[:-4]


@st.composite
def messages(draw: st.DrawFn, *, masked: bool) -> list[bytes]:
    """The frames of one message or control frame; rarely of a violation."""
    opcode, content = draw(st.sampled_from([frames.TEXT, frames.BINARY])), draw(CONTENTS)
    match draw(st.sampled_from(["whole"] * 4 + ["fragments", "deflated", "ping", "pong", "close", "violation"])):
        case "whole":
            return [frame(frames.FIN | opcode, content, masked=masked)]
        case "fragments":
            cut = draw(st.integers(0, len(content)))
            first, last = frame(opcode, content[:cut], masked=masked), content[cut:]
            between = frame(frames.FIN | frames.PING, b"between", masked=masked)
            return [first, between, frame(frames.FIN | frames.CONTINUATION, last, masked=masked)]
        case "deflated":
            return [frame(frames.FIN | frames.RSV1 | opcode, deflated(content), masked=masked)]
        case "ping":
            return [frame(frames.FIN | frames.PING, content[:125], masked=masked)]
        case "pong":
            return [frame(frames.FIN | frames.PONG, content[:125], masked=masked)]
        case "close":
            return [frame(frames.FIN | frames.CLOSE, close_payload(1000, "bye"), masked=masked)]
        case _:
            first = draw(
                st.sampled_from([frames.FIN | 0x3, frames.FIN | 0x20 | opcode, frames.FIN | frames.CONTINUATION])
            )
            return [frame(first, content, masked=masked)]


def hook(flow: http.HTTPFlow) -> Awaitable[None] | None:
    """An addon that drops, edits or holds messages by their content."""
    assert flow.websocket is not None
    message = flow.websocket.messages[-1]
    if message.content == b"drop it":
        message.drop()
    elif message.content == b"edit it":
        message.content = b"edited"
    elif message.content == b"hold it":
        return asyncio.sleep(0)
    return None


async def relayed(chunks: list[bytes], *, from_client: bool) -> dict[str, Any]:
    """All that is visible after a peer has sent these chunks."""
    lab = Lab(LIMITS, deflate=Parameters(), websocket_message=hook)
    peer = lab.relay.client if from_client else lab.relay.backend
    for chunk in chunks:
        peer.data_received(chunk)
    async with asyncio.timeout(10):
        while peer.held_by_hook:
            await asyncio.sleep(0)
    peer.eof_received()
    assert lab.flow.websocket is not None
    return {
        "to client": lab.client.sent,
        "to backend": lab.backend.sent,
        "done": [[each for each in end.done if each in ("eof", "abort")] for end in (lab.client, lab.backend)],
        "history": [(each.type, each.content, each.dropped) for each in lab.flow.websocket.messages],
        "evicted": lab.relay.history.evicted,
        "counters": (peer.messages, peer.bytes, peer.pings, peer.pongs),
        "close": lab.relay.close_info,
        "hooks": [name for name in lab.hooks.called if name != "update"],
    }


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


SPLITS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "whole": lambda sent: [b"".join(sent)],
    "byte by byte": lambda sent: list(pieces(b"".join(sent), 1)),
    "sevens": lambda sent: list(pieces(b"".join(sent), 7)),
}


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("from_client", [True, False])
@given(data=st.data())
def test_frames_are_relayed_alike_however_their_bytes_arrive(
    split: str, from_client: bool, data: st.DataObject
) -> None:
    drawn = data.draw(st.lists(messages(masked=from_client), min_size=1, max_size=8))
    sent = [each for message in drawn for each in message]
    with patch("livegate.websocket.frames.os", SimpleNamespace(urandom=lambda size: KEY)):
        by_frame = asyncio.run(relayed(sent, from_client=from_client))
        assert asyncio.run(relayed(SPLITS[split](sent), from_client=from_client)) == by_frame
