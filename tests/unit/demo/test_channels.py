"""The demo's channels: what Phoenix does between views, where PyView has one view on a socket."""

import asyncio
import json
from typing import Any

import pytest

from livegate.demo import channels, views
from livegate.demo.channels import PhoenixSocket

TOPIC = "lv:phx-1"


class Handler:
    """PyView's handler, reduced to what a test says: it answers joins, echoes events, and raises when told to."""

    def __init__(self) -> None:
        self.heard: list[list[Any]] = []
        self.ended = 0

    async def handle(self, socket: Any) -> None:
        await socket.accept()
        try:
            frame = json.loads(await socket.receive_text())
            self.heard.append(frame)
            if "refused" in frame[4]["url"]:
                socket.refusal = {"redirect": {"to": "/login"}}
            if "refused" in frame[4]["url"] or "stale" in frame[4]["url"]:
                return await socket.close()
            while True:
                if frame[4].get("event") == "crash" or "crash" in frame[4].get("url", ""):
                    raise RuntimeError
                answer = [None, frame[1], frame[2], "phx_reply", {"response": {}, "status": "ok"}]
                await socket.send_text(json.dumps(answer))
                frame = json.loads((await socket.receive())["text"])
                self.heard.append(frame)
        finally:
            self.ended += 1


class Tab:
    def __init__(self) -> None:
        self.handler = Handler()
        self.told: asyncio.Queue[list[Any]] = asyncio.Queue()
        self.socket = PhoenixSocket(self.handler, self.told.put)  # type: ignore[arg-type]

    async def say(self, *frame: Any) -> None:
        await self.socket.receive({"type": "websocket.receive", "text": json.dumps(frame)})

    async def join(
        self, ref: str = "4", topic: str = TOPIC, url: str = "http://a.test/count", key: str = "url"
    ) -> None:
        await self.say(ref, ref, topic, "phx_join", {key: url, "url": url, "params": {}, "session": "s"})

    async def hear(self) -> list[Any]:
        return await asyncio.wait_for(self.told.get(), 5)


def reply(join_ref: str | None, ref: str, response: Any = None, status: str = "ok", topic: str = TOPIC) -> list[Any]:
    return [join_ref, ref, topic, "phx_reply", {"response": response or {}, "status": status}]


async def test_a_crash_is_an_error_of_its_channel_and_leaves_the_others_alone() -> None:
    tab = Tab()
    await tab.join()
    await tab.join("5", "lv:phx-2")
    assert [await tab.hear(), await tab.hear()] == [reply("4", "4"), reply("5", "5", topic="lv:phx-2")]
    await tab.say("4", "6", TOPIC, "event", {"event": "crash"})
    assert await tab.hear() == ["4", "4", TOPIC, "phx_error", {"reason": "channel_crash"}]
    await tab.say("5", "7", "lv:phx-2", "event", {"event": "fine"})
    assert await tab.hear() == reply("5", "7", topic="lv:phx-2")
    await tab.say(None, "8", "phoenix", "heartbeat", {})
    assert await tab.hear() == reply(None, "8", topic="phoenix")
    await tab.join("9")
    assert await tab.hear() == reply("9", "9")
    await tab.socket.close()
    assert tab.handler.ended == 3


@pytest.mark.parametrize(
    ("path", "response"),
    [
        ("refused", {"redirect": {"to": "/login"}}),
        ("stale", {"reason": "stale"}),
        ("crash", {"reason": "join crashed"}),
    ],
)
async def test_a_join_is_refused_in_words(path: str, response: Any) -> None:
    tab = Tab()
    await tab.join(url=f"http://a.test/{path}")
    assert await tab.hear() == reply("4", "4", response, "error")
    await tab.say("4", "5", TOPIC, "phx_leave", {})
    assert await tab.hear() == reply("4", "5")


async def test_a_second_join_ends_the_first_whose_frames_are_dropped() -> None:
    tab = Tab()
    await tab.join()
    assert await tab.hear() == reply("4", "4")
    await tab.join("9")
    assert await tab.hear() == ["4", "4", TOPIC, "phx_close", {}]
    assert await tab.hear() == reply("9", "9")
    await tab.say("4", "10", TOPIC, "event", {"event": "late"})
    await tab.say("9", "11", TOPIC, "event", {"event": "fine"})
    assert await tab.hear() == reply("9", "11")
    await tab.say("9", "12", TOPIC, "phx_leave", {})
    assert [await tab.hear(), await tab.hear()] == [["9", "9", TOPIC, "phx_close", {}], reply("9", "12")]
    await tab.say("9", "13", TOPIC, "event", {"event": "late"})
    assert await tab.hear() == reply(None, "13", {"reason": "unmatched topic"}, "error")
    assert [frame[4].get("event") for frame in tab.handler.heard] == [None, None, "fine"]


async def test_navigation_to_another_live_session_is_unauthorized_and_a_load_is_not() -> None:
    tab = Tab()
    await tab.join()
    assert await tab.hear() == reply("4", "4")
    await tab.join("5", url="http://a.test/admin", key="redirect")
    assert (await tab.hear())[3] == "phx_close"
    assert await tab.hear() == reply("5", "5", {"reason": "unauthorized"}, "error")
    await tab.join("6", "lv:phx-2", url="http://a.test/admin")
    assert await tab.hear() == reply("6", "6", topic="lv:phx-2")
    await tab.socket.close()


async def test_a_nested_view_is_joined_at_the_address_that_only_the_socket_knows() -> None:
    tab = Tab()
    await tab.say("4", "4", "lv:clock", "phx_join", {"params": {"_csrf_token": "the page's"}, "session": "s"})
    assert await tab.hear() == reply("4", "4", topic="lv:clock")
    payload = tab.handler.heard[0][4]
    assert payload["url"] == views.CHILDREN["clock"]
    assert payload["params"]["_csrf_token"] != "the page's"
    await tab.socket.close()


async def test_an_upload_goes_to_its_view_and_ends_with_it() -> None:
    tab = Tab()
    await tab.join()
    await tab.say("4", "5", TOPIC, "allow_upload", {"entries": [{"ref": "0"}, {"ref": "1"}]})
    await tab.say("6", "6", "lvu:0", "phx_join", {"token": "t"})
    await tab.say("7", "7", "lvu:1", "phx_join", {"token": "t"})
    heard = [await tab.hear() for _ in range(4)]
    assert heard[2:] == [reply("4", "6", topic="lvu:0"), reply("4", "7", topic="lvu:1")]
    await tab.say("6", "8", "lvu:0", "phx_leave", {})
    assert await tab.hear() == reply("6", "8", topic="lvu:0")
    assert await tab.hear() == ["6", "6", "lvu:0", "phx_close", {}]
    await tab.say("4", "9", TOPIC, "event", {"event": "crash"})
    assert (await tab.hear())[3] == "phx_error"
    await tab.say("7", "10", "lvu:1", "chunk", {})
    assert await tab.hear() == reply(None, "10", {"reason": "unmatched topic"}, "error", "lvu:1")


async def test_a_socket_has_as_many_channels_as_phoenix_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "MAX_CHANNELS", 1)
    tab = Tab()
    await tab.join()
    assert await tab.hear() == reply("4", "4")
    await tab.join("5", "lv:phx-2")
    refused = reply("5", "5", {"reason": "too many channels joined"}, "error", "lv:phx-2")
    assert await tab.hear() == refused
    await tab.socket.close()


async def test_what_is_no_frame_is_an_error_of_the_socket() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        await Tab().socket.receive({"type": "websocket.receive", "text": "hello"})
