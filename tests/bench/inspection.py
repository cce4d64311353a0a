"""`python -m tests.bench.inspection`: what understanding a LiveView frame costs, beside reading its JSON only."""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "addons"))

from mitmproxy.contentviews import Metadata
from mitmproxy.test import taddons, tflow
from mitmproxy.websocket import WebSocketMessage
from tests.bench.frame_shapes import print_shapes
from wsproto.frame_protocol import Opcode

from livegate.inspect.addon import LiveViewInspector
from livegate.inspect.contentview import LiveViewContentview
from livegate.inspect.frame_log.addon import FrameLogger
from livegate.inspect.frame_log.writer import FrameLogWriter
from livegate.inspect.recorder import Recorder
from livegate.observe.history.addon import History
from livegate.observe.metrics.addon import Metrics
from livegate.redaction.redactor import Redactor
from livegate.settings import CurrentSettings, FrameLog
from livegate.websocket.registry import SocketRegistry

FRAMES = 20_000
KEPT = 1000
ROUNDS = 3
TOPIC = "lv:phx-GOqaHTHhskxEawlB"
TARGET_US = 60
TARGET_LARGE_MS = 5
TARGET_VIEW_MS = 50


def frame(*parts: Any) -> bytes:
    return json.dumps(parts, separators=(",", ":")).encode()


JOIN = frame("4", "4", TOPIC, "phx_join", {"url": "http://app.test/count", "params": {"_mounts": 0}})
RENDERED = {
    "s": ["<div>", "", "", "", "", "</div>"],
    "0": "0",
    "1": {"s": ["<b>", "</b>"], "0": "0"},
    "2": "",
    "3": "",
    "4": "",
}
JOINED = frame("4", "4", TOPIC, "phx_reply", {"status": "ok", "response": {"rendered": RENDERED}})


def pair(number: int, size: int) -> tuple[bytes, bytes]:
    """A click and its answer; both of about `size` bytes."""
    ref = str(number)
    value = {"amount": "1", "text": "x" * (size - 120)}
    click = frame("4", ref, TOPIC, "event", {"type": "click", "event": "inc", "value": value})
    diff = {"0": ref, "1": {"0": ref}, "3": {"s": ["<p id=many>more: ", "</p>"], "0": ref}, "4": "y" * (size - 180)}
    return click, frame("4", ref, TOPIC, "phx_reply", {"status": "ok", "response": {"diff": diff}})


def timed(
    work: Callable[[bytes, bool], object],
    frames: list[tuple[bytes, bool]],
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Microseconds of this thread a frame: all that passed, or, with `time.thread_time`, its processor time."""
    began = clock()
    for data, up in frames:
        work(data, up)
    return (clock() - began) / len(frames) * 1e6


def cost_of(*, metrics: bool, watch: bool) -> float:
    """Microseconds of the event loop a frame of 300 bytes, with the session model and parts of `observe`."""
    recorder, redactor = Recorder(), Redactor()
    inspector = LiveViewInspector(recorder, redactor)
    _observe(recorder, redactor, metrics=metrics, watch=watch)
    with taddons.context(inspector):
        flow = tflow.twebsocketflow(close_code=None)
        flow.request.path = "/live/websocket?vsn=2.0.0"
        messages = flow.websocket.messages = []

        def hooks(data: bytes, up: bool) -> None:
            messages.append(WebSocketMessage(Opcode.TEXT, up, data))
            inspector.websocket_message(flow)
            if len(messages) > KEPT:
                del messages[:100]

        hooks(JOIN, True)
        hooks(JOINED, False)
        frames = [(data, at == 0) for number in range(FRAMES // 2) for at, data in enumerate(pair(number, 300))]
        return timed(hooks, frames, time.thread_time)


def _observe(recorder: Recorder, redactor: Redactor, *, metrics: bool, watch: bool) -> None:
    if metrics:
        recorder.on_frame.append(Metrics(CurrentSettings(), SocketRegistry(), recorder.tracker).on_frame)
    watching = History(recorder, redactor)
    watching.active = watch


def print_parts() -> None:
    """What the parts of `observe` add; they take turns, and the best of some rounds counts."""
    parts = {"neither": (False, False), "metrics": (True, False), "watch": (False, True), "both": (True, True)}
    found = {name: [cost_of(metrics=metrics, watch=watch)] for name, (metrics, watch) in parts.items()}
    for _ in range(ROUNDS - 1):
        for name, (metrics, watch) in parts.items():
            found[name].append(cost_of(metrics=metrics, watch=watch))
    best = {name: min(costs) for name, costs in found.items()}
    added = ", ".join(f"{name} {best[name] - best['neither']:+.1f} us" for name in ("metrics", "watch", "both"))
    print(f"session and page alone: {best['neither']:.1f} us a frame; for operators: {added}")


@dataclass
class Measured:
    """Of everything at once: microseconds a frame, milliseconds of the longest hold, lines that were lost."""

    loop_us: float
    all_threads_us: float
    large_ms: float
    dropped: int


def measure(small: list[tuple[bytes, bool]], *, operators: bool) -> Measured:
    """With session model, page, redaction and frame log, and what operators need besides."""
    recorder, redactor = Recorder(), Redactor()
    if operators:
        _observe(recorder, redactor, metrics=True, watch=True)
    inspector, logger = LiveViewInspector(recorder, redactor), FrameLogger(recorder, redactor)
    with taddons.context(inspector, logger), tempfile.TemporaryDirectory() as folder:
        logger.writer = FrameLogWriter(FrameLog(path=Path(folder) / "frames.jsonl"), redactor)
        flow = tflow.twebsocketflow(close_code=None)
        flow.request.path = "/live/websocket?vsn=2.0.0"
        messages = flow.websocket.messages = []

        def hooks(data: bytes, up: bool) -> None:
            messages.append(WebSocketMessage(Opcode.TEXT, up, data))
            inspector.websocket_message(flow)
            logger.websocket_message(flow)
            if len(messages) > KEPT:
                del messages[:100]

        hooks(JOIN, True)
        hooks(JOINED, False)
        cpu = time.process_time()
        cost = timed(hooks, small)
        logger.writer.close()
        dropped = logger.writer.dropped
        whole = (time.process_time() - cpu) / len(small) * 1e6
        logger.writer = FrameLogWriter(FrameLog(path=Path(folder) / "large.jsonl"), redactor)
        worst = 0.0
        for data, up in [(data, at == 0) for number in range(20) for at, data in enumerate(pair(number, 256 * 1024))]:
            began = time.perf_counter()
            hooks(data, up)
            worst = max(worst, time.perf_counter() - began)
        logger.writer.close()
    return Measured(cost, whole, worst * 1000, dropped)


def slowest_view_ms(small: list[tuple[bytes, bool]]) -> float:
    """Of frames on a flow with 50,000."""
    recorder, redactor = Recorder(), Redactor()
    inspector, view = LiveViewInspector(recorder, redactor), LiveViewContentview(redactor)
    with taddons.context(inspector):
        many = tflow.twebsocketflow(close_code=None)
        many.request.path = "/live/websocket?vsn=2.0.0"
        messages = many.websocket.messages = []
        for data, up in [(JOIN, True), (JOINED, False), *(small[at % len(small)] for at in range(50_000))]:
            messages.append(WebSocketMessage(Opcode.TEXT, up, data))
            inspector.websocket_message(many)
        slowest = 0.0
        for message in messages[::50]:
            began = time.perf_counter()
            view.prettify(message.content, Metadata(flow=many, websocket_message=message))
            slowest = max(slowest, time.perf_counter() - began)
    return slowest * 1000


def main() -> int:
    print_parts()
    small = [(data, at == 0) for number in range(FRAMES // 2) for at, data in enumerate(pair(number, 300))]
    plain = timed(lambda data, up: json.loads(data), small)
    rounds = {operators: [measure(small, operators=operators) for _ in range(ROUNDS)] for operators in (False, True)}
    alone, everything = (min(rounds[operators], key=lambda each: each.loop_us) for operators in (False, True))
    held = min(each.large_ms for each in rounds[False])
    slowest = slowest_view_ms(small)
    size = sum(len(data) for data, _ in small) // len(small)
    print(f"json.loads of {size} bytes: {plain:.1f} us")
    print(
        f"session, page, redaction and log: {alone.loop_us:.1f} us of the event loop a frame (target {TARGET_US}); "
        f"all threads {alone.all_threads_us:.1f} us; lines dropped: {alone.dropped}"
    )
    print(f"and with metrics and what the operators' page keeps: {everything.loop_us:.1f} us")
    print(f"a frame of 256 KiB holds the event loop for {held:.1f} ms at most (target {TARGET_LARGE_MS})")
    print("frames that are large, and how long each holds the event loop:")
    linear = print_shapes()
    print(f"the view of a frame, of a flow with 50,000: {slowest:.1f} ms at most (target {TARGET_VIEW_MS})")
    return 0 if linear and slowest <= TARGET_VIEW_MS and alone.loop_us <= TARGET_US and held <= TARGET_LARGE_MS else 1


if __name__ == "__main__":
    sys.exit(main())
