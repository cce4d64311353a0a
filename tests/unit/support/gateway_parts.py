"""Gateway state over real parts, without a gateway: nothing listens."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from mitmproxy.test import taddons

from livegate.admin.state import GatewayState
from livegate.inspect.recorder import Recorder
from livegate.observe.history.addon import History
from livegate.observe.history.recordings import RecordedFrame
from livegate.observe.metrics.addon import Metrics
from livegate.phoenix.model import Session, SocketInfo, View
from livegate.phoenix.rendered.tree import Tree
from livegate.phoenix.sessions.frame_info import FrameInfo
from livegate.pipeline.drain import Drain
from livegate.redaction.redactor import Redactor
from livegate.settings import CurrentSettings, Settings, load_settings
from livegate.websocket.registry import SocketRegistry


@dataclass
class Parts:
    """Gateway state, and the parts that it reads."""

    state: GatewayState
    history: History
    sockets: SocketRegistry
    drain: Drain
    current: CurrentSettings
    folder: Path
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    """Stands for the event loop of the gateway."""

    def settings(self, **sections: Any) -> Settings:
        path = self.folder / "gateway.yaml"
        path.write_text(yaml.safe_dump({"services": {"a.test": "http://10.0.0.1:1"}, **sections}))
        return load_settings(path, {})

    def know(self, *sessions: Session) -> None:
        """Add sessions, as if frames of them had passed."""
        for each in sessions:
            self.history._sessions[each.number] = (each, "a.test")
            self.history._changed(each.number)

    def record(self, number: int, *frames: RecordedFrame) -> None:
        """Record frames of a session, as if they had passed."""
        for each in frames:
            self.history.recordings.add_bytes(self.history.recordings.get_or_create(number).add(each))


def session(number: int, **values: Any) -> Session:
    made = Session(number, f"phx-{number}", 100.0, 110.0)
    made.views["lv:a"] = View("lv:a", module="Demo.CountLive", path="/count", state="up")
    made.sockets.append(SocketInfo("websocket", "2.0.0", 100.0, id="flow"))
    for name, value in values.items():
        setattr(made, name, value)
    return made


def kept(place: int = 0, data: bytes = b"{}", page: Tree | None = None, *, text: bool = True) -> RecordedFrame:
    note = FrameInfo("event", float(place), from_client=True, size=len(data), frame=None)
    return RecordedFrame(note, "ok", "View", None, page, data, text, "flow", "socket")


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    current, sockets = CurrentSettings(), SocketRegistry()
    recorder, redactor = Recorder(), Redactor()
    history, drain = History(recorder, redactor), Drain(current, sockets)
    history.active = True
    state = GatewayState(
        current,
        sockets,
        drain=drain,
        history=history,
        metrics=Metrics(current, sockets, recorder.tracker),
        redactor=redactor,
    )
    made = Parts(state, history, sockets, drain, current, tmp_path)
    current.value = made.settings()
    thread = threading.Thread(target=made.loop.run_forever, daemon=True)
    thread.start()
    state.bridge.loop = made.loop
    with taddons.context():
        yield made
    if not made.loop.is_closed():
        made.loop.call_soon_threadsafe(made.loop.stop)
        thread.join(5)
        made.loop.close()
