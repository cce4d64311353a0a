"""The app behind the gateway: LiveView pages, their sockets, and small HTTP answers, on one port.

Run as a process of its own. It prints its port as one line of JSON, and ends when its standard input does.
"""

import asyncio
import json
import sys

import uvloop
from aiohttp import WSMsgType, web
from tests.bench import liveview

ITEM = json.dumps({"items": [{"id": number, "name": f"item {number}"} for number in range(10)]}).encode()
SHEET = b"body { font: 16px sans-serif } h1 { color: #345 }" * 20


async def _socket(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(compress=False, max_msg_size=0)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(liveview.answer(message.data).decode())
    return socket


async def _page(request: web.Request) -> web.Response:
    return web.Response(body=liveview.page(request.path), content_type="text/html")


async def _item(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(body=ITEM, content_type="application/json")


async def _sheet(request: web.Request) -> web.Response:
    del request
    return web.Response(body=SHEET, content_type="text/css")


async def serve() -> None:
    """Serve until standard input ends."""
    app = web.Application()
    app.router.add_get(liveview.SOCKET_PATH, _socket)
    for path in liveview.MODULES:
        app.router.add_get(path, _page)
    app.router.add_get("/app.css", _sheet)
    app.router.add_route("*", "/{rest:.*}", _item)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, keepalive_timeout=3600)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096, shutdown_timeout=0.1)
    await site.start()
    print(json.dumps({"port": runner.addresses[0][1]}), flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()


if __name__ == "__main__":
    uvloop.run(serve())
