"""The demo's long-poll transport: sessions begin, wait, end, and are bounded."""

import asyncio
import base64
import json
from typing import Any

import pytest
from starlette.applications import Starlette

from livegate.demo import longpoll
from livegate.demo.longpoll import LongPoll


class Handler:
    """Answers a join, and nothing else."""

    async def handle(self, socket: Any) -> None:
        frame = json.loads(await socket.receive_text())
        await socket.send_text(
            json.dumps([frame[0], frame[1], frame[2], "phx_reply", {"status": "ok", "response": {}}])
        )
        await socket.receive()


HEARTBEAT = json.dumps([None, "1", "phoenix", "heartbeat", {}])
JOIN = json.dumps(["2", "2", "lv:phx-1", "phx_join", {"url": "/count", "params": {}}])
ANSWER = [None, "1", "phoenix", "phx_reply", {"response": {}, "status": "ok"}]


class Client:
    """Asks the app as an ASGI server does."""

    def __init__(self) -> None:
        self.app = Starlette(routes=[LongPoll(Handler()).route])  # type: ignore[arg-type]

    async def ask(self, method: str, query: str, body: bytes = b"") -> tuple[int, bytes]:
        asked = iter([{"type": "http.request", "body": body, "more_body": False}])
        told: list[Any] = []

        async def receive() -> Any:
            return next(asked)

        async def send(message: Any) -> None:
            told.append(message)

        scope = {"type": "http", "method": method, "path": "/live/longpoll", "query_string": query.encode()}
        await self.app({**scope, "headers": [], "http_version": "1.1"}, receive, send)
        return told[0]["status"], b"".join(each.get("body", b"") for each in told[1:])

    async def polled(self, query: str = "") -> dict[str, Any]:
        answer: dict[str, Any] = json.loads((await self.ask("GET", query))[1])
        return answer

    async def opened(self) -> str:
        answer = await self.polled("vsn=2.0.0")
        assert (answer["status"], answer["messages"]) == (410, [])
        token: str = answer["token"]
        return token

    async def pushed(self, token: str, body: str) -> int:
        status, text = await self.ask("POST", f"vsn=2.0.0&token={token}", body.encode())
        return json.loads(text)["status"] if text else status


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr(longpoll, "WINDOW_S", 0.2)
    return Client()


async def test_what_was_pushed_is_answered_by_the_next_poll_and_then_there_is_nothing(client: Client) -> None:
    token = await client.opened()
    assert await client.pushed(token, f"{HEARTBEAT}\n{JOIN}") == 200
    messages: list[Any] = []
    while len(messages) < 2:
        messages += [
            json.loads(each) for each in (await client.polled(f"token=the-apps-own&token={token}"))["messages"]
        ]
    assert messages[0] == ANSWER
    assert messages[1][:3] == ["2", "2", "lv:phx-1"]
    assert await client.polled(f"token={token}") == {"messages": [], "status": 204, "token": token}


async def test_a_binary_push_is_base64(client: Client) -> None:
    token = await client.opened()
    head = bytes([0, 1, 1, 5, 5]) + b"34lvu:0chunk"
    assert await client.pushed(token, base64.b64encode(head + b"\x00\xff").decode()) == 200
    (message,) = (await client.polled(f"token=the-apps-own&token={token}"))["messages"]
    assert json.loads(message)[4]["response"] == {"reason": "unmatched topic"}


async def test_a_session_that_is_not_known_is_gone(client: Client) -> None:
    assert await client.pushed("unknown", HEARTBEAT) == 410
    assert await client.opened() != await client.opened()


@pytest.mark.parametrize("body", ["[", "no base64", "\ud7ff"])
async def test_what_is_no_frame_is_a_bad_request(client: Client, body: str) -> None:
    assert await client.pushed(await client.opened(), body) == 400


async def test_bodies_sessions_and_what_waits_are_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    token = await client.opened()
    monkeypatch.setattr(longpoll, "MAX_BODY_BYTES", 100)
    assert await client.pushed(token, "[" * 101) == 413
    monkeypatch.setattr(longpoll, "MAX_PENDING_FRAMES", 1)
    assert await client.pushed(token, f"{HEARTBEAT}\n{HEARTBEAT}") == 200
    assert await client.pushed(token, HEARTBEAT) == 410, "more waited than was fetched"
    await client.opened()
    monkeypatch.setattr(longpoll, "MAX_SESSIONS", 1)
    assert await client.polled() == {"status": 403}


async def test_a_session_that_is_not_polled_is_over(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(longpoll, "LIFETIME_S", 0.0)
    token = await client.opened()
    while (status := await client.pushed(token, HEARTBEAT)) == 200:
        await asyncio.sleep(0)
    assert status == 410
