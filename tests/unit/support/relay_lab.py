"""A relay between two transports that record what it does."""

from typing import Any

from mitmproxy import http
from mitmproxy.addonmanager import AddonManager
from mitmproxy.test import tflow

from livegate.mitm.hook_table import HookTable
from livegate.settings import MessageHistoryLimits, WebSocketLimits
from livegate.websocket import frames
from livegate.websocket.deflate import Parameters
from livegate.websocket.history import HistoryBudget
from livegate.websocket.peer import Peer
from livegate.websocket.relay import WebSocketRelay


class TransportStub:
    """Records what the relay does to one connection."""

    def __init__(self) -> None:
        self.sent = b""
        self.done: list[str] = []

    def write(self, data: bytes) -> None:
        assert "eof" not in self.done
        assert "abort" not in self.done
        self.sent += data

    def write_eof(self) -> None:
        self.done.append("eof")

    def abort(self) -> None:
        self.done.append("abort")

    def pause_reading(self) -> None:
        self.done.append("pause")

    def resume_reading(self) -> None:
        self.done.append("resume")


class Hooks(HookTable):
    """Hooks that a test gives, by event name."""

    def __init__(self, **hooks: Any) -> None:
        self.given = hooks
        self.called: list[str] = []
        self.has_ui = True
        self.updates = 0

    def run(self, name: str, *args: Any) -> Any:
        self.called.append(name)
        hook = self.given.get(name)
        return hook(*args) if hook is not None else None

    def update(self, flow: Any) -> None:
        self.updates += 1


class Lab:
    """A relay, its flow and its two transports."""

    def __init__(
        self,
        limits: WebSocketLimits | None = None,
        keep: MessageHistoryLimits | None = None,
        budget: HistoryBudget | None = None,
        deflate: Parameters | None = None,
        **hooks: Any,
    ) -> None:
        self.flow = make_flow()
        self.hooks = Hooks(**hooks)
        self.client, self.backend = TransportStub(), TransportStub()
        self.ended: list[WebSocketRelay] = []
        self.relay = WebSocketRelay(
            self.flow,
            self.hooks,
            limits or WebSocketLimits(),
            client=self.client,
            backend=self.backend,
            deflate=deflate,
            on_closed=self.ended.append,
            budget=budget or HistoryBudget(64 * 1024 * 1024),
            kept_after_close=keep,
        )
        self.relay.start()

    def from_client(self, opcode: int, payload: bytes = b"") -> bytes:
        data = frames.encode(opcode, payload, masked=True)
        self.relay.client.data_received(data)
        return data

    def from_backend(self, opcode: int, payload: bytes = b"") -> bytes:
        data = frames.encode(opcode, payload, masked=False)
        self.relay.backend.data_received(data)
        return data

    def lose(self, *peers: Peer) -> None:
        for peer in peers or (self.relay.client, self.relay.backend):
            peer.connection_lost()


def make_flow() -> http.HTTPFlow:
    flow = tflow.twebsocketflow()
    assert flow.websocket
    flow.websocket.messages.clear()
    flow.websocket.close_code = None
    flow.live = True
    return flow


__all__ = ["AddonManager", "Hooks", "Lab", "TransportStub", "make_flow"]
