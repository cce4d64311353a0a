"""A flow of a LiveView's socket whose frames a test says, and the frames of a usual session."""

import json
from typing import Any

from mitmproxy.test import tflow
from mitmproxy.websocket import WebSocketMessage
from wsproto.frame_protocol import Opcode

CANARY = "CANARYcanary0123456789"
TOPIC = "lv:phx-1"
JOIN = [
    "4",
    "4",
    TOPIC,
    "phx_join",
    {"url": f"http://app.test/count?token={CANARY}", "params": {"_csrf_token": CANARY}},
]
JOINED = ["4", "4", TOPIC, "phx_reply", {"status": "ok", "response": {"rendered": {"s": ["<p>", "</p>"], "0": "0"}}}]
CLICK = ["4", "12", TOPIC, "event", {"type": "click", "event": "inc", "value": {"password": CANARY}}]
REPLY = [
    "4",
    "12",
    TOPIC,
    "phx_reply",
    {"status": "ok", "response": {"diff": {"0": "1", "e": [["toast", {"token": CANARY}]]}}},
]
PAGE = f'<div id="phx-1" data-phx-main data-phx-session="{CANARY}"></div>'


class Browser:
    """One flow of a LiveView's socket, with hooks called as mitmproxy calls them."""

    def __init__(self, *addons: Any, path: str = f"/live/websocket?_csrf_token={CANARY}&vsn=2.0.0") -> None:
        self.addons = addons
        self.flow = tflow.twebsocketflow(messages=False, close_code=None, close_reason="")
        assert self.flow.websocket
        self.flow.websocket.messages = []
        self.flow.request.path = path
        self.flow.request.host = "app.test"
        self.at = 1_700_000_000.0
        self.call("websocket_start")

    def call(self, hook: str) -> None:
        for addon in self.addons:
            if hasattr(addon, hook):
                getattr(addon, hook)(self.flow)

    def frame(self, frame: Any, *, up: bool = True, after: float = 0.003) -> WebSocketMessage:
        self.at += after
        kind = Opcode.BINARY if isinstance(frame, bytes) else Opcode.TEXT
        content = frame if isinstance(frame, bytes) else json.dumps(frame, separators=(",", ":")).encode()
        message = WebSocketMessage(kind, up, content, self.at)
        assert self.flow.websocket
        self.flow.websocket.messages.append(message)
        self.call("websocket_message")
        return message

    def session(self) -> list[WebSocketMessage]:
        return [self.frame(JOIN), self.frame(JOINED, up=False), self.frame(CLICK), self.frame(REPLY, up=False)]

    def close(self, code: int = 1006) -> None:
        assert self.flow.websocket
        self.flow.websocket.close_code = code
        self.flow.websocket.timestamp_end = self.at
        self.flow.websocket.closed_by_client = False
        self.call("websocket_end")
