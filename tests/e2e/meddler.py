"""An addon as a user writes it: does to WebSocket messages what their text asks for, and counts what it sees."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from mitmproxy import http


class Meddler:
    def __init__(self) -> None:
        self.seen: list[str] = []

    def websocket_start(self, flow: http.HTTPFlow) -> None:
        self.seen.append("start")

    def websocket_control(self, flow: http.HTTPFlow, frame: Any) -> None:
        kind = "ping" if frame.is_ping else "pong"
        self.seen.append(f"{kind} {'from client' if frame.from_client else 'from server'} {frame.payload.decode()}")

    def websocket_message(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        assert flow.websocket
        message = flow.websocket.messages[-1]
        text = message.content.decode(errors="replace")
        if not message.from_client:
            self.seen.append(f"server {text[:60]}{' injected' if message.injected else ''}")
            return None
        self.seen.append(f"client {text[:60]}{' injected' if message.injected else ''}")
        verb, _, rest = text.partition(":")
        if verb == "change":
            message.text = rest
        elif verb == "drop":
            message.drop()
        elif verb == "boom":
            raise RuntimeError("the addon's own fault")
        elif verb == "kill":
            flow.kill()
        elif verb == "intercept":
            flow.intercept()
        elif verb == "later":
            return self.later(message, rest)
        elif verb == "nothing":
            return asyncio.sleep(0)
        return None

    async def later(self, message: Any, rest: str) -> None:
        await asyncio.sleep(0.3)
        message.text = rest

    def websocket_end(self, flow: http.HTTPFlow) -> None:
        assert flow.websocket
        websocket = flow.websocket
        self.seen.append(f"end {websocket.close_code} {websocket.close_reason or '-'} {websocket.closed_by_client}")


addons = [Meddler()]
