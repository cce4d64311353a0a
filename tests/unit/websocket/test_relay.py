"""The relay as a dialogue: what one end sends, what the other receives, and how it closes."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from unittest.mock import patch

import pytest
from mitmproxy import exceptions
from mitmproxy.websocket import WebSocketMessage
from relay_lab import Lab, make_flow
from wsproto.frame_protocol import Opcode

from livegate.logs.context import FLOW
from livegate.settings import FrameRateLimit, MessageHistoryLimits, WebSocketLimits
from livegate.websocket import relay as relay_module
from livegate.websocket.close_codes import close_payload
from livegate.websocket.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, encode
from livegate.websocket.history import MESSAGE_OVERHEAD_BYTES, HistoryBudget


def close_frame(code: int, reason: str = "", *, masked: bool) -> bytes:
    return encode(CLOSE, close_payload(code, reason), masked=masked)


@contextlib.contextmanager
def quick() -> Iterator[None]:
    with patch.object(relay_module, "CLOSE_TIMEOUT_S", 0.05), patch.object(relay_module, "PONG_TIMEOUT_S", 0.05):
        yield


async def turn(seconds: float = 0.0) -> None:
    await asyncio.sleep(seconds)


async def until(condition: object) -> None:
    async with asyncio.timeout(10):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.005)


async def test_messages_are_forwarded_unchanged_and_counted() -> None:
    lab = Lab()
    sent = lab.from_client(TEXT, b"one") + lab.from_client(BINARY, b"") + lab.from_client(TEXT, "drei ü".encode())
    back = lab.from_backend(TEXT, b"reply")
    assert (lab.backend.sent, lab.client.sent) == (sent, back)
    assert (lab.relay.client.messages, lab.relay.client.bytes) == (3, 10)
    assert [message.content for message in lab.flow.websocket.messages] == [b"one", b"", "drei ü".encode(), b"reply"]
    assert lab.hooks.updates >= 4


async def test_many_frames_in_one_read_are_forwarded_in_one_write() -> None:
    writes: list[bytes] = []
    lab = Lab()
    lab.backend.write = writes.append  # type: ignore[method-assign]
    data = b"".join(encode(TEXT, b"x%d" % index, masked=True) for index in range(50))
    lab.relay.client.data_received(data)
    assert writes == [data]


async def test_hooks_change_and_drop() -> None:
    def hook(flow):
        message = flow.websocket.messages[-1]
        if message.content == b"drop":
            message.drop()
        elif message.content == b"change":
            message.content = b"changed"

    lab = Lab(websocket_message=hook)
    lab.from_backend(TEXT, b"drop")
    lab.from_backend(TEXT, b"change")
    assert lab.client.sent == encode(TEXT, b"changed", masked=False)
    # The same among several frames at once.
    lab.relay.backend.data_received(encode(TEXT, b"change", masked=False) + encode(TEXT, b"drop", masked=False))
    assert lab.client.sent == encode(TEXT, b"changed", masked=False) * 2


@pytest.mark.parametrize("at_once", [True, False])
async def test_an_async_hook_holds_back_its_own_direction_only(at_once: bool) -> None:
    gate = asyncio.Event()

    def hook(flow):
        message = flow.websocket.messages[-1]
        if message.from_client and message.content.startswith(b"slow"):
            return gate.wait()
        return None

    lab = Lab(websocket_message=hook)
    parts = [encode(TEXT, text, masked=True) for text in (b"first", b"slow 1", b"second", b"slow 2", b"third")]
    for part in [b"".join(parts)] if at_once else parts:
        lab.relay.client.data_received(part)
    await turn()
    assert lab.backend.sent == parts[0]
    assert lab.client.done == ["pause"]
    reply = lab.from_backend(TEXT, b"meanwhile")
    assert lab.client.sent == reply
    lab.relay.client.eof_received()
    gate.set()
    await until(lambda: lab.backend.done)
    assert lab.backend.sent == b"".join(parts)
    assert lab.client.done[1] == "resume"
    assert lab.backend.done == ["eof"]


async def test_an_intercepted_message_waits_and_one_of_the_other_direction_does_not() -> None:
    def hook(flow):
        if flow.websocket.messages[-1].content == b"hold":
            flow.intercept()

    lab = Lab(websocket_message=hook)
    held = lab.from_client(TEXT, b"hold")
    assert lab.backend.sent == b""
    assert lab.from_backend(TEXT, b"free") == lab.client.sent
    assert lab.flow.intercepted
    lab.from_backend(TEXT, b"hold")
    assert lab.client.sent == encode(TEXT, b"free", masked=False)
    lab.flow.resume()
    await until(lambda: lab.backend.sent)
    assert lab.backend.sent == held
    assert lab.client.sent.endswith(encode(TEXT, b"hold", masked=False))


async def test_a_hook_whose_message_cannot_be_sent_closes_the_socket_and_is_logged(caplog) -> None:
    def hook(flow):
        flow.websocket.messages[-1].content = 17

    lab = Lab(websocket_message=hook)
    lab.from_client(TEXT, b"x")
    assert lab.client.sent == close_frame(1011, "the gateway failed", masked=False)
    assert lab.backend.sent
    assert "a WebSocket is closed because the gateway failed" in caplog.text


async def test_a_held_message_that_cannot_be_sent_closes_the_socket_too(caplog) -> None:
    async def hook(flow):
        await asyncio.sleep(0)
        flow.websocket.messages[-1].content = 17

    lab = Lab(websocket_message=hook)
    lab.from_client(TEXT, b"x")
    await until(lambda: lab.client.sent)
    assert lab.client.sent == close_frame(1011, "the gateway failed", masked=False)
    assert "the gateway failed" in caplog.text


async def test_injected_messages_are_sent_between_whole_ones_and_run_the_hooks() -> None:
    lab = Lab()
    half = encode(TEXT, b"ha", masked=False)
    lab.relay.backend.data_received(bytes([TEXT]) + half[1:])
    lab.relay.inject(WebSocketMessage(Opcode.TEXT, False, b"injected"))
    assert lab.client.sent == encode(TEXT, b"injected", masked=False)
    rest = bytes([0x80 | CONTINUATION]) + half[1:]
    lab.relay.backend.data_received(rest)
    assert lab.client.sent.endswith(bytes([TEXT]) + half[1:] + rest)
    assert lab.flow.websocket.messages[0].injected


async def test_a_hook_may_inject_and_drop() -> None:
    def hook(flow):
        message = flow.websocket.messages[-1]
        if message.injected and message.content == b"no":
            message.drop()
        elif not message.injected:
            lab.relay.inject(WebSocketMessage(Opcode.BINARY, True, b"after"))
            lab.relay.inject(WebSocketMessage(Opcode.TEXT, True, b"no"))

    lab = Lab(websocket_message=hook)
    lab.from_client(TEXT, b"x")
    assert [message.content for message in lab.flow.websocket.messages] == [b"x", b"after", b"no"]
    assert len(lab.backend.sent) == len(encode(TEXT, b"x", masked=True)) + len(encode(BINARY, b"after", masked=True))


async def test_nothing_is_injected_into_a_closing_socket(caplog) -> None:
    lab = Lab()
    lab.from_client(CLOSE)
    lab.relay.inject(WebSocketMessage(Opcode.TEXT, True, b"late"))
    assert "an injected message was not sent" in caplog.text


@pytest.mark.parametrize("by_client", [True, False])
@pytest.mark.parametrize("payload", [b"", close_payload(1001, "bye"), close_payload(4004, "ü")])
async def test_a_close_handshake_is_forwarded_unchanged_and_ends_once(by_client: bool, payload: bytes) -> None:
    lab = Lab()
    ends = [lab.from_client, lab.from_backend]
    one, other = ends if by_client else reversed(ends)
    first, second = one(CLOSE, payload), other(CLOSE, payload)
    sent = (lab.backend.sent, lab.client.sent) if by_client else (lab.client.sent, lab.backend.sent)
    assert sent == (first, second)
    one(TEXT, b"ignored after a close frame")
    lab.relay.backend.eof_received()
    assert lab.client.done == lab.backend.done == ["eof"]
    lab.lose()
    websocket = lab.flow.websocket
    assert websocket.close_code == (int.from_bytes(payload[:2]) if payload else 1005)
    assert websocket.close_reason == payload[2:].decode()
    assert websocket.closed_by_client is by_client
    assert websocket.timestamp_end
    assert not lab.flow.live
    assert lab.hooks.called.count("websocket_end") == 1
    assert lab.ended == [lab.relay]


async def test_data_still_reaches_the_end_that_has_asked_to_close() -> None:
    lab = Lab()
    lab.from_client(CLOSE)
    last = lab.from_backend(TEXT, b"last words")
    assert lab.client.sent == last


async def test_an_end_that_closes_after_its_close_frame_still_gets_the_reply() -> None:
    lab = Lab()
    lab.from_client(CLOSE)
    lab.relay.client.eof_received()
    assert lab.client.done == lab.backend.done == []
    lab.from_backend(CLOSE)
    assert lab.client.sent
    assert lab.client.done == lab.backend.done == ["eof"]


@pytest.mark.parametrize("by_client", [True, False])
async def test_a_lost_connection_ends_the_other_one_without_a_close_frame(by_client: bool) -> None:
    lab = Lab()
    gone = lab.relay.client if by_client else lab.relay.backend
    gone.connection_lost()
    assert (lab.client.sent, lab.backend.sent) == (b"", b"")
    gone.other.connection_lost()
    assert (lab.flow.websocket.close_code, lab.flow.websocket.closed_by_client) == (1006, by_client)
    lab.relay.peer_disconnected()
    assert lab.hooks.called.count("websocket_end") == 1


async def test_a_close_without_a_reply_is_aborted_after_its_timeout() -> None:
    with quick():
        lab = Lab()
        lab.from_client(CLOSE, close_payload(1000, ""))
        await until(lambda: "abort" in lab.client.done and "abort" in lab.backend.done)
        lab.lose()
        assert lab.flow.websocket.close_code == 1000


async def test_a_violation_closes_both_ends_with_its_code() -> None:
    lab = Lab()
    good = encode(TEXT, b"good", masked=True)
    lab.relay.client.data_received(good + b"\x83\x80abcd")
    assert lab.backend.sent.startswith(good)
    assert lab.client.sent == close_frame(1002, "unknown opcode", masked=False)
    assert lab.client.done == ["eof"]
    lab.from_backend(TEXT, b"too late")
    lab.from_backend(PING)
    lab.from_backend(CLOSE, close_payload(1002, ""))
    assert lab.backend.done == ["eof"]
    assert lab.client.sent == close_frame(1002, "unknown opcode", masked=False)
    lab.lose()
    assert (lab.flow.websocket.close_code, lab.flow.websocket.closed_by_client) == (1002, False)


async def test_the_gateways_own_close_goes_to_both_and_only_once() -> None:
    lab = Lab()
    lab.relay.close(1012, "restart")
    lab.relay.close(1011, "again")
    assert lab.client.sent == close_frame(1012, "restart", masked=False)
    assert len(lab.backend.sent) == len(close_frame(1012, "restart", masked=True))
    lab.relay.client.eof_received()
    lab.from_backend(CLOSE, close_payload(1012, ""))
    assert lab.client.done == lab.backend.done == ["eof"]
    lab.lose()
    lab.relay.close(1011, "after the end")
    assert lab.ended[0].close_info.by == "gateway"


async def test_kill_ends_both_and_a_second_kill_is_refused() -> None:
    lab = Lab()
    lab.flow.kill()
    assert lab.client.done == lab.backend.done == ["abort"]
    lab.lose()
    assert lab.flow.error.msg == "Connection killed."
    assert lab.flow.websocket.close_code == 1006
    with pytest.raises(exceptions.ControlException):
        lab.flow.kill()


async def test_a_message_whose_hook_killed_the_flow_is_not_forwarded() -> None:
    lab = Lab(websocket_message=lambda flow: flow.kill())
    lab.from_client(TEXT, b"x")
    assert lab.backend.sent == b""


async def test_pings_and_pongs_are_forwarded_and_run_the_hook() -> None:
    shown = []
    lab = Lab(websocket_control=lambda flow, frame: shown.append((frame.from_client, frame.is_ping, frame.payload)))
    ping, pong = lab.from_client(PING, b"a"), lab.from_backend(PONG, b"a")
    assert (lab.backend.sent, lab.client.sent) == (ping, pong)
    assert shown == [(True, True, b"a"), (False, False, b"a")]
    assert (lab.relay.client.pings, lab.relay.backend.pongs) == (1, 1)


async def test_an_async_control_hook_does_not_hold_anything_back() -> None:
    lab = Lab(websocket_control=lambda flow, frame: asyncio.sleep(0))
    assert lab.from_client(PING) == lab.backend.sent
    await turn(0.01)


async def test_the_gateways_pings_and_a_missing_pong() -> None:
    with quick():
        lab = Lab(WebSocketLimits(ping_every="50ms"))
        await until(lambda: lab.client.sent and lab.backend.sent)
        key = lab.client.sent[2:18]
        assert key.startswith(b"livegate")
        before = lab.backend.sent
        lab.from_client(PONG, key)
        assert lab.backend.sent == before
        assert lab.relay.client.pong_due is None
        await until(lambda: "abort" in lab.client.done)
        lab.lose()
        assert lab.ended[0].close_info.reason == "no pong"


async def test_idle_timeout_and_maximum_age_while_a_held_message_is_not_idle(caplog: pytest.LogCaptureFixture) -> None:
    gate = asyncio.Event()
    lab = Lab(WebSocketLimits(idle="50ms"), websocket_message=lambda flow: gate.wait())
    lab.from_client(TEXT, b"x")
    await turn(0.2)
    assert "abort" not in lab.client.done
    gate.set()
    await until(lambda: "abort" in lab.client.done)
    assert lab.relay.close_info.reason == "idle"
    (record,) = [each for each in caplog.records if each.name == "livegate.websocket.relay"]
    assert (record.levelname, vars(record)[FLOW]) == ("WARNING", lab.flow)
    assert record.getMessage() == "WebSocket aborted: no data for 0.05 s"
    old = Lab(WebSocketLimits(max_age="50ms", idle=None))
    await until(lambda: old.client.sent)
    assert old.client.sent == close_frame(1012, "open for as long as allowed", masked=False)


@pytest.mark.parametrize("limit", [FrameRateLimit(messages=3), FrameRateLimit(bytes="40B")])
async def test_the_frame_rate_of_a_client_is_bounded_and_that_of_a_server_is_not(limit: FrameRateLimit) -> None:
    lab = Lab(WebSocketLimits(frame_rate=limit))
    for _ in range(10):
        lab.from_backend(TEXT, b"x" * 100)
    assert not lab.backend.sent
    for _ in range(4):
        lab.from_client(TEXT, b"x" * 5)
    assert lab.relay.close_info.code == 1008
    with patch("livegate.websocket.peer.time.monotonic", side_effect=[float(n) for n in range(1000, 1100)]):
        slow = Lab(WebSocketLimits(frame_rate=limit))
        for _ in range(10):
            slow.from_client(TEXT, b"x" * 5)
        assert slow.relay.close_info is None


async def test_an_async_start_holds_back_both_directions() -> None:
    gate = asyncio.Event()
    lab = Lab(websocket_start=lambda flow: gate.wait())
    lab.from_client(TEXT, b"a")
    lab.from_backend(TEXT, b"b")
    assert (lab.client.sent, lab.backend.sent) == (b"", b"")
    assert lab.client.done == lab.backend.done == ["pause"]
    gate.set()
    await until(lambda: lab.client.sent and lab.backend.sent)


async def test_an_async_websocket_end_hook_is_awaited_before_the_flow_ends() -> None:
    gate = asyncio.Event()
    lab = Lab(websocket_end=lambda flow: gate.wait())
    lab.lose()
    await turn()
    assert lab.flow.live
    gate.set()
    await until(lambda: not lab.flow.live)


async def test_a_full_write_buffer_pauses_reading_from_the_other_end() -> None:
    lab = Lab()
    lab.relay.client.pause_writing()
    assert (lab.client.done, lab.backend.done) == ([], ["pause"])
    lab.relay.client.resume_writing()
    assert lab.backend.done == ["pause", "resume"]


async def test_the_history_is_bounded_and_remains_after_the_close() -> None:
    lab = Lab(WebSocketLimits(history=MessageHistoryLimits(messages=32, bytes="1000B")))
    for index in range(100):
        lab.from_client(TEXT, b"%d" % index)
        assert len(lab.flow.websocket.messages) <= 32
    kept = [message.content for message in lab.flow.websocket.messages]
    assert kept[-1] == b"99"
    assert lab.relay.history.evicted + len(kept) == 100
    lab.lose()
    await turn()
    assert [message.content for message in lab.flow.websocket.messages] == kept


async def test_without_a_reader_no_message_is_kept_after_the_close() -> None:
    lab = Lab(keep=MessageHistoryLimits.model_construct(messages=0, bytes=0))
    lab.from_client(TEXT, b"x" * 2000)
    lab.lose()
    await turn()
    assert lab.flow.websocket.messages == []


def upload_chunk(size: int) -> bytes:
    """A binary push of Phoenix's serializer V2 on an upload's channel."""
    return bytes((0, 1, 2, 5, 5)) + b"412lvu:0chunk" + b"x" * size


async def test_an_upload_does_not_evict_the_events_before_it() -> None:
    lab = Lab(WebSocketLimits(history=MessageHistoryLimits(messages=1000, bytes="64000B")))
    for index in range(200):
        lab.from_client(TEXT, b"event %d" % index)
    for index in range(50):
        lab.from_client(BINARY, upload_chunk(60_000))
        lab.from_backend(TEXT, b"ack %d" % index)
    kept = [message.content for message in lab.flow.websocket.messages if message.is_text]
    assert kept == [b"event %d" % index for index in range(200)] + [b"ack %d" % index for index in range(50)]
    gone = lab.relay.history.evicted
    assert 48 <= gone <= 50
    assert lab.flow.comment == f"{gone} upload chunks not kept"


async def test_large_messages_go_before_small_ones_and_the_comment_counts_all() -> None:
    lab = Lab(WebSocketLimits(history=MessageHistoryLimits(messages=1000, bytes="64000B")))
    lab.from_client(TEXT, b"event")
    lab.from_client(BINARY, upload_chunk(3000))
    for _ in range(20):
        lab.from_backend(TEXT, b"y" * 10_000)
    lab.from_backend(BINARY, b"\x00\x01")  # is no push, whatever it is
    kept = [message.content for message in lab.flow.websocket.messages]
    assert kept[0] == b"event"
    assert {len(content) for content in kept[1:-1]} == {10_000}
    large = lab.relay.history.evicted - 1
    assert lab.flow.comment == f"1 upload chunks, {large} earlier messages not kept"


async def test_the_shared_budget_trims_every_socket_to_an_equal_share() -> None:
    budget = HistoryBudget(100 * MESSAGE_OVERHEAD_BYTES)
    quiet, busy = Lab(budget=budget), Lab(budget=budget)
    quiet.from_client(TEXT, b"early")
    for index in range(1000):
        busy.from_client(TEXT, b"%d" % index)
        assert budget.used_bytes <= budget.max_bytes
    kept = busy.flow.websocket.messages
    assert 40 <= len(kept) < 100
    assert kept[-1].content == b"999"
    assert busy.flow.comment == f"{1000 - len(kept):,} earlier messages not kept"
    assert [message.content for message in quiet.flow.websocket.messages] == [b"early"]


async def test_a_closed_socket_leaves_its_share_of_the_budget_to_the_others() -> None:
    budget = HistoryBudget(100 * MESSAGE_OVERHEAD_BYTES)
    ended, other = Lab(budget=budget), Lab(budget=budget)
    for lab in (ended, other):
        for _ in range(30):
            lab.from_client(TEXT, b"x")
    ended.lose()
    await turn()
    assert budget.used_bytes == other.relay.history.estimated_bytes == 30 * (MESSAGE_OVERHEAD_BYTES + 1)
    assert len(ended.flow.websocket.messages) == 30, "whoever keeps the flow has its messages"


async def test_messages_that_an_addon_removed_do_not_break_the_history() -> None:
    lab = Lab(WebSocketLimits(history=MessageHistoryLimits(messages=10, bytes="100B")))
    for _ in range(8):
        lab.from_client(TEXT, b"x" * 10)
        lab.flow.websocket.messages.clear()
    for _ in range(20):
        lab.from_client(TEXT, b"y" * 9)
    assert 0 < len(lab.flow.websocket.messages) <= 10


async def test_a_flow_without_a_websocket_cannot_be_relayed() -> None:
    flow = make_flow()
    flow.websocket = None
    with pytest.raises(ValueError, match="the flow has no WebSocket"):
        relay_module._websocket_of(flow)


def test_logging_of_this_module_is_the_packages() -> None:
    assert relay_module.logger is logging.getLogger("livegate.websocket.relay")
