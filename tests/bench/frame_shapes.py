"""What large frames of each shape cost on the event loop: `make bench-frames` prints it with everything else.

Each frame goes the whole way: session, page, sentence, frame log, metrics and what the operators' page keeps.
"""

import asyncio
import gc
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mitmproxy.test import taddons, tflow
from mitmproxy.websocket import WebSocketMessage
from wsproto.frame_protocol import Opcode

from livegate.garbage_collection import DISABLED, GEN0_THRESHOLD
from livegate.inspect.addon import LiveViewInspector
from livegate.inspect.frame_log.addon import FrameLogger
from livegate.inspect.frame_log.writer import FrameLogWriter
from livegate.inspect.recorder import Recorder
from livegate.observe.history.addon import History
from livegate.observe.metrics.addon import Metrics
from livegate.redaction.redactor import Redactor
from livegate.settings import CurrentSettings, FrameLog
from livegate.websocket.registry import SocketRegistry

TOPIC = "lv:phx-GOqaHTHhskxEawlB"
ROUNDS = 5
KIB = 1024
LIMITS_MS = ((256 * KIB, 10.0), (KIB * KIB, 50.0))
"""A frame of so many bytes holds the loop so long at most."""

type Diff = dict[str, Any]


def frame(*parts: Any) -> bytes:
    return json.dumps(parts, separators=(",", ":")).encode()


def items(count: int, start: int = 0, *, at: int = -1, reset: bool = False) -> Diff:
    """New items of a stream, as LiveView 1.2 sends them."""
    ids = [f"messages-{number}" for number in range(start, start + count)]
    entries = {str(place): {"0": f' id="{id_}"', "1": "m" * 20} for place, id_ in enumerate(ids)}
    orders: list[Any] = ["0", [[id_, at, None, False] for id_ in ids], []]
    return {"0": {"k": entries | {"kc": count}, "stream": [*orders, True] if reset else orders}}


def deletes(count: int) -> Diff:
    return {"0": {"k": {"kc": 0}, "stream": ["0", [], [f"messages-{number}" for number in range(count)]]}}


def rows(count: int, text: str = "a row of a table") -> Diff:
    entries = {str(at): {"0": str(at), "1": {"s": 0, "0": text}} for at in range(count)}
    return {"1": {"s": 1, "k": entries | {"kc": count}}, "p": {"0": ["<b>", "</b>"], "1": ["<li>", "", "</li>"]}}


def moves(count: int, *, changed: bool = False) -> Diff:
    entries: Diff = {str(at): [count - 1 - at, {"0": "new"}] if changed else count - 1 - at for at in range(count)}
    return {"1": {"k": entries | {"kc": count, "km": True}}}


def deep(branches: int) -> Diff:
    """Branches of a depth of 100."""
    found: Diff = {"s": [""] * (branches + 1)}
    for branch in range(branches):
        node: Diff = {"s": ["<b>", "</b>"], "0": "x"}
        for _ in range(99):
            node = {"s": ["<b>", "</b>"], "0": node}
        found[str(branch)] = node
    return {"2": found}


SHAPES: dict[str, tuple[list[Diff], Diff]] = {
    "stream: 3,000 inserts": ([], items(3000)),
    "stream: 3,000 at the start": ([], items(3000, at=0)),
    "stream: 3,000 deletes of 10,000": ([items(10_000)], deletes(3000)),
    "stream: reset, 3,000 inserts": ([items(10_000)], items(3000, start=5000, reset=True)),
    "stream: 1 insert into 10,000": ([items(10_000)], items(1, start=10_000, at=5000)),
    "list: 5,000 new rows": ([], rows(5000)),
    "list: 5,000 rows move": ([rows(5000)], moves(5000)),
    "list: 5,000 move and change": ([rows(5000)], moves(5000, changed=True)),
    "list: 1 row of 5,000": ([rows(5000)], {"1": {"k": {"7": {"0": "new"}, "kc": 5000}}}),
    "deep trees, 256 KiB": ([], deep(85)),
    "deep trees, 1 MiB": ([], deep(340)),
    "list: 20,000 rows, 1 MiB": ([], rows(20_000)),
    "a text of 2 MiB": ([], {"2": "x" * 2 * KIB * KIB}),
    "rows of 2 MiB": ([], rows(10_000, "r" * 170)),
}
"""By name: diffs that come before, and the one that is measured."""


class Hooks:
    """The gateway's addons that follow frames, and a socket whose page has a stream and room for more."""

    def __init__(self, folder: Path) -> None:
        self.recorder, redactor = Recorder(), Redactor()
        self.recorder.on_frame.append(Metrics(CurrentSettings(), SocketRegistry(), self.recorder.tracker).on_frame)
        watch = History(self.recorder, redactor)
        watch.active = True
        self.inspector, self.logger = LiveViewInspector(self.recorder, redactor), FrameLogger(self.recorder, redactor)
        self.logger.writer = FrameLogWriter(FrameLog(path=folder / "frames.jsonl"), redactor)
        self.flow = tflow.twebsocketflow(close_code=None)
        self.flow.request.path = "/live/websocket?vsn=2.0.0"
        assert self.flow.websocket is not None
        self.messages = self.flow.websocket.messages = []

    def begin(self, before: list[Diff]) -> None:
        self.say(frame("4", "4", TOPIC, "phx_join", {"url": "http://app.test/", "params": {"_mounts": 0}}), up=True)
        first = items(1, start=99_999)["0"] | {"s": ["<li", ">", "</li>"]}
        rendered = {"s": ["<ul>", "</ul><ol>", "</ol>", ""], "0": first, "1": "", "2": ""}
        self.say(frame("4", "4", TOPIC, "phx_reply", {"status": "ok", "response": {"rendered": rendered}}))
        for each in before:
            self.say(frame("4", None, TOPIC, "diff", each))

    def say(self, data: bytes, *, up: bool = False) -> None:
        self.messages.append(WebSocketMessage(Opcode.TEXT, up, data))
        self.inspector.websocket_message(self.flow)
        self.logger.websocket_message(self.flow)

    def end(self) -> None:
        if self.logger.writer is not None:
            self.logger.writer.close()
        self.recorder.close()
        main = self.recorder.tracker.sessions[next(iter(self.recorder.tracker.sessions))].main
        if main is None or main.tree is None:
            raise RuntimeError("the frame was not understood, so that its cost says nothing")


def cost_of(before: list[Diff], diff: Diff) -> tuple[int, float, float]:
    """Bytes of a frame, milliseconds of the processor for it, and how long it held the loop; the best of some rounds."""
    took, held, size = float("inf"), float("inf"), 0
    thresholds = gc.get_threshold()
    gc.set_threshold(GEN0_THRESHOLD, DISABLED, DISABLED)  # as in the gateway
    try:
        for _ in range(ROUNDS):
            with tempfile.TemporaryDirectory() as folder:
                size, each = _all_of_it(before, diff, Path(folder))
                took = min(took, each)
            with tempfile.TemporaryDirectory() as folder:
                held = min(held, asyncio.run(_held(before, diff, Path(folder))))
    finally:
        gc.set_threshold(*thresholds)
    return size, took, held


def _all_of_it(before: list[Diff], diff: Diff, folder: Path) -> tuple[int, float]:
    """Without an event loop, where the frame is read at once."""
    hooks = Hooks(folder)
    with taddons.context(hooks.inspector, hooks.logger):
        hooks.begin(before)
        data = frame("4", None, TOPIC, "diff", diff)
        began = time.thread_time()
        hooks.say(data)
        took = time.thread_time() - began
        hooks.end()
    return len(data), took * 1000


async def _held(before: list[Diff], diff: Diff, folder: Path) -> float:
    """The longest time in which nobody else had the loop while the frame came and was read, in ms."""
    hooks = Hooks(folder)
    with taddons.context(hooks.inspector, hooks.logger):
        hooks.begin(before)
        await _read(hooks)
        gaps: list[float] = []
        ticking = asyncio.ensure_future(_tick(gaps))
        await asyncio.sleep(0.02)
        gaps.clear()
        hooks.say(frame("4", None, TOPIC, "diff", diff))
        await asyncio.sleep(0)
        await _read(hooks)
        await asyncio.sleep(0.005)
        ticking.cancel()
        hooks.end()
    return max(gaps) * 1000


async def _tick(gaps: list[float]) -> None:
    last = time.perf_counter()
    while True:
        await asyncio.sleep(0)
        now = time.perf_counter()
        gaps.append(now - last)
        last = now


async def _read(hooks: Hooks) -> None:
    unread = hooks.recorder.pending_reads(hooks.flow)
    if unread is not None:
        await unread


def print_shapes(write: Callable[[str], object] = print) -> bool:
    """Print a line for each shape; returns whether none holds the loop longer than LIMITS_MS allow."""
    good = True
    for name, (before, diff) in SHAPES.items():
        size, took, held = cost_of(before, diff)
        most = next((limit for bound, limit in LIMITS_MS if size <= bound * 1.1), None)
        good = good and (most is None or held <= most)
        target = f" (at most {most:.0f})" if most is not None else ""
        cost = f"{took:8.2f} ms, {took * 1e6 / size:7.1f} ns a byte"
        write(f"{name:34} {size / KIB:7.0f} KiB {cost}; holds the loop for {held:5.1f} ms{target}")
    return good
