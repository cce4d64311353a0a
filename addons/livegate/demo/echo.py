"""The demo's echo app, which can also be told to misbehave: `python -m livegate.demo.echo --port 4001`."""

import argparse
import asyncio
import signal
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from livegate.demo import pages
from livegate.demo.lifeline import end_with_parent

SUBPROTOCOL = Subprotocol("echo.v1")
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
MAX_BURST = 1_000_000


async def echo(connection: ServerConnection) -> None:
    """Send every message back, unless it is a command."""
    try:
        async for message in connection:
            if not isinstance(message, str) or not await _obeyed(connection, message.split(" ")):
                await connection.send(message)
    except ConnectionClosed:
        pass


async def _obeyed(connection: ServerConnection, words: list[str]) -> bool:
    """Commands: `close CODE REASON…`, `drop` (cut TCP without a close frame), `burst N SIZE`."""
    match words:
        case ["close", code, *reason] if code.isdigit():
            await connection.close(int(code), " ".join(reason))
        case ["drop"]:
            connection.transport.abort()
        case ["burst", count, size] if count.isdigit() and size.isdigit():
            for _ in range(min(int(count), MAX_BURST)):
                await connection.send("x" * int(size))
        case _:
            return False
    return True


def page(connection: ServerConnection, request: Request) -> Response | None:
    """Answer everything but `/ws` with a page that talks to it."""
    if request.path.partition("?")[0] == "/ws":
        return None
    if request.path == "/healthz":
        return connection.respond(HTTPStatus.OK, "ok\n")
    body = pages.ECHO.encode()
    fields = Headers(
        {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(body)), "Connection": "close"}
    )
    return Response(HTTPStatus.OK, "OK", fields, body)


async def run(host: str, port: int) -> None:
    """Serve until told to end."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serve(
        echo, host, port, process_request=page, subprotocols=[SUBPROTOCOL], max_size=MAX_MESSAGE_BYTES, close_timeout=1
    ):
        await stop.wait()


def main() -> None:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4001)
    parser.add_argument("--exit-with-parent", action="store_true")
    arguments = parser.parse_args()
    if arguments.exit_with_parent:
        end_with_parent()
    asyncio.run(run(arguments.host, arguments.port))


if __name__ == "__main__":
    main()
