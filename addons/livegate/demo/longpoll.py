"""Phoenix's long-poll transport for the demo, for clients without a WebSocket.

Every response is 200 with the real status in its JSON; 410 with a token starts a session (`Phoenix.Transports.LongPoll`
of Phoenix 1.8).
"""

import asyncio
import base64
import binascii
import json
import secrets
from collections import deque
from http import HTTPStatus

from pyview.ws_handler import LiveSocketHandler
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from livegate.demo.channels import Frame, PhoenixSocket

WINDOW_S = 10.0
"""Seconds that a poll waits for a frame."""
LIFETIME_S = 1.5 * WINDOW_S
"""Seconds without a poll after which a session ends."""
MAX_SESSIONS = 200
MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_LINES = 100
"""Frames per POST; further ones are ignored."""
MAX_PENDING_FRAMES = 1000
"""Unpolled frames per session; beyond it the session ends."""


class Session:
    """Session of one client: its channels, and the frames that it has not polled."""

    def __init__(self, handler: LiveSocketHandler) -> None:
        self.socket = PhoenixSocket(handler, self._send)
        self.overflowed = False
        """Whether the client left too many frames unpolled."""
        self.expiry: asyncio.TimerHandle | None = None
        self._pending: deque[str] = deque()
        self._has_frames = asyncio.Event()

    async def _send(self, frame: Frame) -> None:
        if len(self._pending) >= MAX_PENDING_FRAMES:
            self.overflowed = True
            return
        self._pending.append(json.dumps(frame))
        self._has_frames.set()

    async def poll(self) -> list[str]:
        """Return the pending frames, at the latest after WINDOW_S; then possibly none."""
        try:
            async with asyncio.timeout(WINDOW_S):
                await self._has_frames.wait()
        except TimeoutError:
            return []
        found = list(self._pending)
        self._pending.clear()
        self._has_frames.clear()
        return found


class LongPoll:
    """Sessions of all clients, by token."""

    def __init__(self, handler: LiveSocketHandler) -> None:
        self._handler = handler
        self._sessions: dict[str, Session] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self.route = Route("/live/longpoll", self._respond, methods=["GET", "POST"])

    async def _respond(self, request: Request) -> Response:
        tokens = request.query_params.getlist("token")
        token = request.headers.get("x-phoenix-longpoll-token") or (tokens[-1] if tokens else "")
        session = self._sessions.get(token)
        if session is not None and session.overflowed:
            self._end_session(token)
            session = None
        if request.method == "POST":
            return await self._receive(request, session)
        if session is None:
            return self._create_session()
        self._renew(token, session)
        messages = await session.poll()
        status = HTTPStatus.OK if messages else HTTPStatus.NO_CONTENT
        return JSONResponse({"messages": messages, "status": status, "token": token})

    def _create_session(self) -> Response:
        if len(self._sessions) >= MAX_SESSIONS:
            return JSONResponse({"status": HTTPStatus.FORBIDDEN})
        token = f"SFMyNTY.{secrets.token_urlsafe(24)}.{secrets.token_urlsafe(24)}"
        session = self._sessions[token] = Session(self._handler)
        self._renew(token, session)
        return JSONResponse({"messages": [], "status": HTTPStatus.GONE, "token": token})

    async def _receive(self, request: Request, session: Session | None) -> Response:
        if session is None:
            return JSONResponse({"status": HTTPStatus.GONE})
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                return Response(status_code=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        try:
            for line in bytes(body).decode().split("\n")[:MAX_LINES]:
                await session.socket.receive(_message(line))
        except (ValueError, binascii.Error):
            return Response(status_code=HTTPStatus.BAD_REQUEST)
        return JSONResponse({"status": HTTPStatus.OK})

    def _renew(self, token: str, session: Session) -> None:
        """Renew the lifetime of a session."""
        if session.expiry is not None:
            session.expiry.cancel()
        session.expiry = asyncio.get_running_loop().call_later(LIFETIME_S, self._end_session, token)

    def _end_session(self, token: str) -> None:
        session = self._sessions.pop(token, None)
        if session is None:
            return
        if session.expiry is not None:
            session.expiry.cancel()
        task = asyncio.ensure_future(session.socket.close())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


def _message(line: str) -> dict[str, object]:
    """Convert a line of a POST to an ASGI message: text, or the base64 of a binary frame."""
    if line.startswith("["):
        return {"type": "websocket.receive", "text": line}
    return {"type": "websocket.receive", "bytes": base64.b64decode(line, validate=True)}
