"""The echo app sends back what it gets, and misbehaves only as it is told."""

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegate.demo import echo
from livegate.demo.processes import App

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    started = App("livegate.demo.echo", 0)
    started.start()
    try:
        started.wait()
        yield started
    finally:
        started.stop()


@pytest.fixture
async def client(app: App) -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{app.port}", timeout=timeout) as session:
        yield session


async def test_text_and_binary_come_back_as_they_were(client: aiohttp.ClientSession) -> None:
    async with client.ws_connect("/ws") as socket:
        await socket.send_str("Grüße")
        assert await socket.receive_str() == "Grüße"
        await socket.send_bytes(b"\x00\xff")
        assert await socket.receive_bytes() == b"\x00\xff"


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [((), None), (("echo.v1",), "echo.v1"), (("other", "echo.v1"), "echo.v1"), (("other",), None)],
)
async def test_echo_v1_is_chosen_when_it_is_offered_and_nobody_is_turned_away(
    client: aiohttp.ClientSession, offered: tuple[str, ...], chosen: str | None
) -> None:
    async with client.ws_connect("/ws", protocols=offered) as socket:
        assert socket.protocol == chosen


@pytest.mark.parametrize(
    ("command", "code", "reason"), [("close 4001 see you", 4001, "see you"), ("close 1000", 1000, "")]
)
async def test_it_closes_with_the_code_and_reason_it_is_told(
    client: aiohttp.ClientSession, command: str, code: int, reason: str
) -> None:
    async with client.ws_connect("/ws") as socket:
        await socket.send_str(command)
        closed = await socket.receive()
    assert (closed.type, closed.data, closed.extra or "") == (aiohttp.WSMsgType.CLOSE, code, reason)


@pytest.mark.parametrize(
    "text",
    [
        "close 1006",
        "close 9999",
        "close ²²²²",
        "close 4001 " + "x" * 124,
        "burst 999999 1",
        "burst 1 9999999",
        "burst x 1",
        "drop it",
    ],
)
async def test_a_command_that_cannot_be_obeyed_is_echoed(client: aiohttp.ClientSession, text: str) -> None:
    async with client.ws_connect("/ws") as socket:
        await socket.send_str(text)
        assert await socket.receive_str() == text


async def test_drop_cuts_tcp_without_a_close_frame(client: aiohttp.ClientSession) -> None:
    async with client.ws_connect("/ws") as socket:
        await socket.send_str("drop")
        ended = await socket.receive()
        assert ended.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        assert socket.close_code == 1006


async def test_a_burst_is_as_many_messages_of_the_size(client: aiohttp.ClientSession) -> None:
    async with client.ws_connect("/ws") as socket:
        await socket.send_str("burst 3 70000")
        assert [len(await socket.receive_str()) for _ in range(3)] == [70000] * 3
        await socket.send_str("after")
        assert await socket.receive_str() == "after"


@pytest.mark.parametrize("path", list(echo.FILES))
async def test_the_page_and_what_it_needs_are_served(client: aiohttp.ClientSession, path: str) -> None:
    async with client.get(path) as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, echo.FILES[path][1])
        assert await answer.read()


async def test_an_unknown_path_is_404_and_a_plain_get_of_the_socket_426(client: aiohttp.ClientSession) -> None:
    async with client.get("/nothing") as answer:
        assert answer.status == 404
    async with client.get("/ws") as answer:
        assert answer.status == 426


@given(st.integers(min_value=0, max_value=9999))
def test_only_codes_that_a_close_frame_may_carry_are_sent(code: int) -> None:
    assert not (echo._sendable(code) and code in {1004, 1005, 1006, 1015})
    assert echo._sendable(code) or code < 3000 or code > 4999
