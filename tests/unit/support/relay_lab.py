"""A session between two legs that only write down what they are told."""

from typing import Any

from mitmproxy import http
from mitmproxy.addonmanager import AddonManager
from mitmproxy.test import tflow

from livegate.mitm.hook_table import HookTable
from livegate.settings import MessageHistoryLimits, WebSocketLimits
from livegate.websocket import frames
from livegate.websocket.history import Shelf
from livegate.websocket.peer import Peer
from livegate.websocket.relay import Session


class Leg:
    """What a session did to one connection."""

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
    """A session, its flow and its two legs."""

    def __init__(
        self,
        limits: WebSocketLimits | None = None,
        keep: MessageHistoryLimits | None = None,
        shelf: Shelf | None = None,
        **hooks: Any,
    ) -> None:
        self.flow = make_flow()
        self.hooks = Hooks(**hooks)
        self.client, self.server = Leg(), Leg()
        self.ended: list[Session] = []
        self.session = Session(
            self.flow,
            self.hooks,
            limits or WebSocketLimits(),
            client=self.client,
            server=self.server,
            deflate=None,
            ended=self.ended.append,
            shelf=shelf or Shelf(64 * 1024 * 1024),
            keep_after_end=keep,
        )
        self.session.start()

    def from_client(self, opcode: int, payload: bytes = b"") -> bytes:
        data = frames.encode(opcode, payload, masked=True)
        self.session.client.receive(data)
        return data

    def from_server(self, opcode: int, payload: bytes = b"") -> bytes:
        data = frames.encode(opcode, payload, masked=False)
        self.session.server.receive(data)
        return data

    def lose(self, *peers: Peer) -> None:
        for peer in peers or (self.session.client, self.session.server):
            peer.lost()


def make_flow() -> http.HTTPFlow:
    flow = tflow.twebsocketflow()
    assert flow.websocket
    flow.websocket.messages.clear()
    flow.websocket.close_code = None
    flow.live = True
    return flow


__all__ = ["AddonManager", "Hooks", "Lab", "Leg", "make_flow"]
