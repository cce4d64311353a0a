"""Echo app: a plain WebSocket with commands for faults. Run as `python -m livegate.demo.echo --port 4001`."""

import asyncio
import re
import signal
import socket
from collections.abc import Sequence
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from livegate.demo import pages
from livegate.demo.app_main import listen, parser

SUBPROTOCOL = Subprotocol("echo.v1")
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
MAX_BURST_MESSAGES = 100_000
MAX_BURST_BYTES = 1024 * 1024
MAX_REASON_BYTES = 123  # RFC 6455 section 5.5: a control frame holds 125 bytes, and the code is two of them
CLOSE_TIMEOUT_S = 1

CLOSE = re.compile(r"close (\d{4})(?: (.*))?", re.ASCII)
BURST = re.compile(r"burst (\d{1,6}) (\d{1,7})", re.ASCII)
FILES = {
    "/": ("echo.html", "text/html; charset=utf-8"),
    "/assets/echo.js": ("echo.js", "text/javascript; charset=utf-8"),
    "/assets/demo.css": ("demo.css", "text/css; charset=utf-8"),
    "/assets/icon.svg": ("icon.svg", "image/svg+xml"),
}


async def echo(connection: ServerConnection) -> None:
    """Echo every message that is not a command."""
    try:
        async for message in connection:
            if not isinstance(message, str) or not await _run_command(connection, message):
                await connection.send(message)
    except ConnectionClosed:
        return  # lost or closed under our hands: nobody is left to answer


async def _run_command(connection: ServerConnection, text: str) -> bool:
    """Run a command; return False for other text, and for a close that the protocol forbids.

    `close CODE [REASON]` closes, `drop` aborts TCP without a close frame, `burst N SIZE` sends N messages of SIZE.
    """
    if text == "drop":
        connection.transport.abort()
        return True
    if closing := CLOSE.fullmatch(text):
        code, reason = int(closing[1]), closing[2] or ""
        if not _sendable(code) or len(reason.encode()) > MAX_REASON_BYTES:
            return False
        await connection.close(code, reason)
        return True
    if burst := BURST.fullmatch(text):
        count, size = int(burst[1]), int(burst[2])
        if count > MAX_BURST_MESSAGES or size > MAX_BURST_BYTES:
            return False
        for _ in range(count):
            await connection.send("x" * size)
        return True
    return False


def _sendable(code: int) -> bool:
    """Return whether a close frame may carry this code (RFC 6455 section 7.4, and IANA's registry up to 1014)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999  # noqa: PLR2004 - the RFC's own ranges


def choose_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Return `echo.v1` if the client offers it, otherwise none."""
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


def respond(connection: ServerConnection, request: Request) -> Response | None:
    """Serve the echo page; return None for `/ws`, which becomes a WebSocket."""
    path = request.path.partition("?")[0]
    if path == "/ws":
        return None
    if path == "/healthz":
        return connection.respond(HTTPStatus.OK, "ok\n")
    if path not in FILES:
        return connection.respond(HTTPStatus.NOT_FOUND, f"{path} is not here; / is a page and /ws the WebSocket\n")
    name, kind = FILES[path]
    body = (pages.STATIC / name).read_bytes()
    fields = Headers({"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"})
    return Response(HTTPStatus.OK, "OK", fields, body)


async def run(listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serve(
        echo,
        sock=listener,
        process_request=respond,
        select_subprotocol=choose_subprotocol,
        max_size=MAX_MESSAGE_BYTES,
        close_timeout=CLOSE_TIMEOUT_S,
    ):
        await stop.wait()


def main() -> None:
    """Entry point of the process."""
    arguments = parser(__doc__, 4001).parse_args()
    asyncio.run(run(listen(arguments)))


if __name__ == "__main__":
    main()
