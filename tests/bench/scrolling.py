"""`python -m tests.bench.scrolling`: how smoothly the sessions' table scrolls with 5,000 sessions and 50 events/s arriving.

Measured with Chromium's own tracing while a synthetic gesture scrolls: frames that were drawn and dropped.
"""

import asyncio
import contextlib
import itertools
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

for place in (Path(__file__).parents[1] / "e2e", Path(__file__).parents[1], Path(__file__).parents[2] / "addons"):
    sys.path.insert(0, str(place))

from aiohttp import ClientSession, ClientWebSocketResponse, TCPConnector, WSMsgType, web  # noqa: E402
from browser import CHROMIUM_ARGUMENTS  # noqa: E402
from gateway_process import MITMDUMP, Gateway, free_port  # noqa: E402
from playwright.async_api import async_playwright  # noqa: E402

SESSIONS, EVENTS_PER_S, LIVE = 5000, 50, 200
SECONDS = 10
CATEGORIES = "devtools.timeline,disabled-by-default-devtools.timeline.frame"
RENDERED = {"s": ["<p>", "</p>"], "0": "0"}


async def backend(port: int) -> web.AppRunner:
    """Answers joins and events as a small LiveView does."""

    async def talk(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            join_ref, ref, topic, event, _ = json.loads(message.data)
            response = {"rendered": RENDERED} if event == "phx_join" else {"diff": {"0": ref}}
            await socket.send_str(
                json.dumps([join_ref, ref, topic, "phx_reply", {"status": "ok", "response": response}])
            )
        return socket

    app = web.Application()
    app.router.add_get("/live/websocket", talk)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner


async def joined(client: ClientSession, port: int, number: int) -> ClientWebSocketResponse:
    socket = await client.ws_connect(f"http://127.0.0.1:{port}/live/websocket?vsn=2.0.0")
    join = {"url": f"http://app.test/page/{number % 40}", "params": {}, "session": "x"}
    await socket.send_str(json.dumps(["1", "1", f"lv:phx-{number:05}", "phx_join", join]))
    await socket.receive()
    return socket


async def fill(client: ClientSession, port: int) -> list[ClientWebSocketResponse]:
    """All sessions, of which the last ones stay open."""
    numbers, live = iter(range(SESSIONS)), []

    async def work() -> None:
        for number in numbers:
            socket = await joined(client, port, number)
            if number >= SESSIONS - LIVE:
                live.append(socket)
            else:
                await socket.close()

    await asyncio.gather(*(work() for _ in range(20)))
    return live


async def press(sockets: list[ClientWebSocketResponse]) -> None:
    refs = itertools.count(2)
    for place in itertools.cycle(range(len(sockets))):
        payload = {"type": "click", "event": "inc", "value": {}}
        frame = ["1", str(next(refs)), f"lv:phx-{SESSIONS - LIVE + place:05}", "event", payload]
        await sockets[place].send_str(json.dumps(frame))
        await asyncio.sleep(1 / EVENTS_PER_S)


async def scrolled(admin: str) -> list[dict[str, Any]]:
    """The events of a trace that was made while the table scrolled."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_ARGUMENTS)
        page = await chromium.new_page(viewport={"width": 1280, "height": 800})
        await page.goto(f"{admin}#/sessions")
        await page.get_by_text(f"{SESSIONS:,} of {SESSIONS:,}").wait_for(timeout=60_000)
        box = await page.locator(".rows").bounding_box()
        assert box
        cdp = await page.context.new_cdp_session(page)
        events: list[dict[str, Any]] = []
        ended = asyncio.get_running_loop().create_future()
        cdp.on("Tracing.dataCollected", lambda data: events.extend(data["value"]))
        cdp.on("Tracing.tracingComplete", lambda _: ended.set_result(None))
        await cdp.send("Tracing.start", {"categories": CATEGORIES, "transferMode": "ReportEvents"})
        gesture = {"x": box["x"] + 200, "y": box["y"] + 200, "gestureSourceType": "mouse"}
        for distance in (-15_000, 15_000):
            await cdp.send(
                "Input.synthesizeScrollGesture", {**gesture, "yDistance": distance, "speed": 15_000 * 2 // SECONDS}
            )
        await cdp.send("Tracing.end")
        await ended
        await chromium.close()
        return events


def told(events: list[dict[str, Any]]) -> dict[str, float]:
    """Frames a second, how many were dropped, and the time between them."""
    drawn = sorted(event["ts"] for event in events if event["name"] == "DrawFrame")
    dropped = sum(event["name"] == "DroppedFrame" for event in events)
    between = sorted((b - a) / 1000 for a, b in itertools.pairwise(drawn))
    seconds = (drawn[-1] - drawn[0]) / 1e6
    return {
        "frames/s": round((len(drawn) - 1) / seconds, 1),
        "dropped": dropped,
        "median ms between frames": round(between[len(between) // 2], 1),
        "p99 ms between frames": round(between[int(len(between) * 0.99)], 1),
    }


async def main() -> None:
    port, admin = free_port(), free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = {
            "services": {"default": f"http://127.0.0.1:{port}"},
            "rate_limit": {"user": None, "ip": None},
            "websocket": {"max_connections": {"per_client": None}},
            "inspect": {"sessions": 2 * SESSIONS},
            "admin": {"listen": f"127.0.0.1:{admin}"},
        }
        livegate = str(MITMDUMP.with_name("livegate"))
        gateway = Gateway(folder, settings, command=[livegate, "run", "--config", str(folder / "gateway.yaml")])
        runner = await backend(port)
        await asyncio.to_thread(gateway.__enter__)
        try:
            async with ClientSession(connector=TCPConnector(limit=0)) as client:
                sockets = await fill(client, gateway.port)
                pressing = asyncio.ensure_future(press(sockets))
                for what, value in told(await scrolled(f"http://127.0.0.1:{admin}/")).items():
                    print(f"{what:>26}  {value}")
                pressing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await pressing
        finally:
            await asyncio.to_thread(gateway.__exit__, None, None, None)
            await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
