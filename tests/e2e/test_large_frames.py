"""Large LiveView frames through the real process: all is told, in its order, also when the socket ends right after them."""

import asyncio
import json
from typing import Any

import aiohttp
from aiohttp import web
from gateway_process import Gateway, free_port

TOPIC = "lv:phx-large"
ROWS = 30_000
TIMEOUT_S = 60


def reply(ref: str, response: Any) -> str:
    return json.dumps(["4", ref, TOPIC, "phx_reply", {"status": "ok", "response": response}], separators=(",", ":"))


def rows(text: str) -> dict[str, Any]:
    return {**{str(number): {"0": f"{text} {number}"} for number in range(ROWS)}, "kc": ROWS}


async def socket(request: web.Request) -> web.WebSocketResponse:
    """A join with a list of a megabyte, a diff of another for each event, and the end of the socket right behind it."""
    found = web.WebSocketResponse(max_msg_size=0)
    await found.prepare(request)
    async for message in found:
        frame = json.loads(message.data)
        if frame[3] == "phx_join":
            page = {"s": ["<ul>", "</ul>"], "0": {"s": ["<li>", "</li>"], "k": rows("first")}}
            await found.send_str(reply(frame[1], {"rendered": page}))
        elif frame[3] == "event":
            await found.send_str(reply(frame[1], {"diff": {"0": {"k": rows("second")}}}))
            await found.send_str(json.dumps(["4", None, TOPIC, "diff", {"0": {"k": {"0": {"0": "last"}, "kc": ROWS}}}]))
            await found.close(code=1012)
    return found


async def test_what_is_large_is_told_whole_when_the_socket_ends_right_behind_it(folder: Any) -> None:
    app = web.Application()
    app.router.add_get("/live/websocket", socket)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    backend, admin = runner.addresses[0][1], free_port()
    settings = {
        "services": {"app.test": f"http://127.0.0.1:{backend}"},
        "admin": {"listen": f"127.0.0.1:{admin}"},
    }
    with Gateway(folder, settings) as gateway:
        gateway.output.wait_for("admin listener on")
        async with asyncio.timeout(TIMEOUT_S), aiohttp.ClientSession() as client:
            url = f"http://127.0.0.1:{gateway.port}/live/websocket?vsn=2.0.0"
            async with client.ws_connect(url, headers={"Host": "app.test"}, max_msg_size=0) as ws:
                join = {"url": "http://app.test/rows", "params": {"_mounts": 0}, "session": "", "static": None}
                await ws.send_str(json.dumps(["4", "4", TOPIC, "phx_join", join]))
                await ws.receive_str()
                await ws.send_str(
                    json.dumps(["4", "5", TOPIC, "event", {"type": "click", "event": "again", "value": {}}])
                )
                for _ in range(2):
                    await ws.receive_str()
                assert (await ws.receive()).type is aiohttp.WSMsgType.CLOSE
            detail = await closed(client, f"http://127.0.0.1:{admin}/api/v1/sessions")
            frames = f"http://127.0.0.1:{admin}/api/v1/sessions/{detail['number']}/frames"
            async with client.get(frames) as answer:
                told = [line["what"] for line in (await answer.json())["frames"]]
    await runner.cleanup()
    assert told == ["join", "joined", "event", "reply", "diff"]
    assert (detail["connections"][0]["close_code"], detail["unanswered"]) == (1012, 0)
    assert [event["outcome"] for event in detail["list"]] == ["ok", "ok"]


async def closed(client: aiohttp.ClientSession, sessions: str) -> dict[str, Any]:
    """The one session, once its socket has ended."""
    while True:
        async with client.get(sessions) as answer:
            found = (await answer.json())["sessions"]
        if found and found[0]["state"] == "closed":
            async with client.get(f"{sessions}/{found[0]['number']}") as answer:
                detail: dict[str, Any] = await answer.json()
                return detail
        await asyncio.sleep(0.05)
