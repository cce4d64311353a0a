"""The server behind every proxy that is measured: a WebSocket echo, LiveViews, and a fixed HTTP answer, on a port each.

Run as a process of its own. It prints its two ports as one line of JSON, and ends when its standard input does.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import cast

import picows
import uvloop

sys.path.insert(0, str(Path(__file__).parent))

import liveview

BODY = b"fixed answer\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
HEAD_END = b"\r\n\r\n"
BURST_COMMAND = b"burst "


class Echo(picows.WSListener):
    """Sends every frame back as it came, except for the text `burst COUNT SIZE`: COUNT messages of SIZE bytes."""

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        kind = frame.msg_type
        if kind is picows.WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif kind is picows.WSMsgType.TEXT and frame.get_payload_as_bytes().startswith(BURST_COMMAND):
            _, count, size = frame.get_payload_as_bytes().split()
            message = b"b" * int(size)
            for _ in range(int(count)):
                transport.send(picows.WSMsgType.BINARY, message)
        elif kind not in (picows.WSMsgType.PING, picows.WSMsgType.PONG):
            transport.send(kind, frame.get_payload_as_memoryview(), frame.fin)


class LiveViews(picows.WSListener):
    """Answers what LiveView clients say."""

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type is picows.WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type is picows.WSMsgType.TEXT:
            transport.send(picows.WSMsgType.TEXT, liveview.answer(frame.get_payload_as_bytes()))


class FixedAnswer(asyncio.Protocol):
    """HTTP/1.1 with keep-alive and pipelining for requests without a body: the same small 200 to each."""

    def __init__(self) -> None:
        self._tail = b""
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's are no subclasses

    def data_received(self, data: bytes) -> None:
        data = self._tail + data
        requests = data.count(HEAD_END)
        self._tail = b"" if data.endswith(HEAD_END) else data[-(len(HEAD_END) - 1) :]
        if requests:
            self._transport.write(ANSWER * requests)


async def serve() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    websocket = await picows.ws_create_server(lambda _request: Echo(), "127.0.0.1", 0, backlog=4096)
    live = await picows.ws_create_server(lambda _request: LiveViews(), "127.0.0.1", 0, backlog=4096)
    http = await loop.create_server(FixedAnswer, "127.0.0.1", 0, backlog=4096)
    servers = {"websocket": websocket, "liveview": live, "http": http}
    ports = {name: server.sockets[0].getsockname()[1] for name, server in servers.items()}
    print(json.dumps(ports), flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()


if __name__ == "__main__":
    uvloop.run(serve())
