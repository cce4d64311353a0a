"""What is measured of every subject, how long, and the columns that come of it."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from . import load
from .handshakes import connects
from .meter import LoadError, Meter, Usage
from .report import COLUMNS
from .subjects import Bench, Target, find_program
from .wrk import run_wrk

KIB = 1024


@dataclass(frozen=True)
class Plan:
    """The size of a run. Times in seconds, sizes in bytes."""

    rounds: int = 3
    sockets: int = 50
    message: int = 100
    round_trip_s: float = 1.0
    latency_s: float = 1.0
    burst_frames: int = 2000
    burst_frame: int = KIB
    burst_s: float = 0.8
    large_message: int = KIB * KIB
    large_s: float = 0.8
    large_most: int = 150
    connects_at_once: int = 16
    connects_s: float = 1.0
    idle_sockets: int = 1000
    idle_warm_up: int = 20
    idle_settle_s: float = 0.5
    http_connections: int = 32
    http_s: float = 2.0


QUICK = Plan(
    rounds=1,
    round_trip_s=0.5,
    latency_s=0.4,
    burst_s=0.3,
    large_s=0.3,
    large_most=50,
    connects_s=0.4,
    idle_sockets=200,
    idle_settle_s=0.3,
    http_s=1.0,
)


@dataclass(frozen=True)
class Sample:
    """One measurement of one subject: a value for each of its columns, and what the proxy's core did."""

    values: dict[str, float]
    usage: Usage | None


@dataclass(frozen=True)
class Measurement:
    """Something that is measured in one go."""

    columns: tuple[str, ...]
    take: Callable[[Target, Plan, Meter], tuple[float | None, ...]]
    of_new_process: bool = False
    """Whether it needs a process that has not done anything yet."""
    needs_proxy: bool = False
    program: str = ""

    def sample(self, target: Target, plan: Plan, bench: Bench) -> Sample:
        """Measure once. Raises LoadError."""
        meter = Meter(target.process, bench.backend, bench.cores)
        values = self.take(target, plan, meter)
        named = zip(self.columns, values, strict=True)
        return Sample({name: value for name, value in named if value is not None}, meter.usage)


def _round_trips(target: Target, plan: Plan, meter: Meter) -> tuple[float | None, ...]:
    work = partial(load.round_trips, count=plan.sockets, seconds=plan.round_trip_s)
    rate = load.run(lambda: work(target.websocket_port, meter, lambda: load.PingPong(bytes(plan.message))))
    return rate, 1e6 * meter.cpu_s / (rate * meter.seconds) if target.process else None


def _latency(target: Target, plan: Plan, meter: Meter) -> tuple[float | None, ...]:
    work = partial(load.latencies_ms, message=bytes(plan.message), seconds=plan.latency_s)
    percentiles = statistics.quantiles(load.run(lambda: work(target.websocket_port, meter)), n=100)
    return percentiles[49], percentiles[98]


def _burst(target: Target, plan: Plan, meter: Meter) -> tuple[float | None, ...]:
    work = partial(load.burst, count=plan.burst_frames, size=plan.burst_frame, seconds=plan.burst_s)
    return (load.run(lambda: work(target.websocket_port, meter)),)


def _large(target: Target, plan: Plan, meter: Meter) -> tuple[float | None, ...]:
    work = partial(load.large_messages, size=plan.large_message, seconds=plan.large_s, most=plan.large_most)
    return (load.run(lambda: work(target.websocket_port, meter)),)


def _connects(target: Target, plan: Plan, meter: Meter) -> tuple[float | None, ...]:
    work = partial(connects, at_once=plan.connects_at_once, seconds=plan.connects_s)
    return (load.run(lambda: work(target.websocket_port, meter)),)


def _idle(target: Target, plan: Plan, meter: Meter) -> tuple[float | None, ...]:
    work = partial(load.idle_growth, count=plan.idle_sockets, warm_up=plan.idle_warm_up, settle_s=plan.idle_settle_s)
    return (load.run(lambda: work(target.websocket_port, meter)) / KIB,)


def _http(target: Target, plan: Plan, meter: Meter) -> tuple[float | None, ...]:
    program = find_program("wrk")
    if program is None:
        raise LoadError("wrk is not installed")
    result = run_wrk(program, target.http_port, meter, connections=plan.http_connections, seconds=plan.http_s)
    return result.requests_per_s, result.p99_ms


MEASUREMENTS = (
    Measurement(("idle_kib",), _idle, of_new_process=True, needs_proxy=True),
    Measurement(("round_trips", "cpu_us"), _round_trips),
    Measurement(("p50_ms", "p99_ms"), _latency),
    Measurement(("burst",), _burst),
    Measurement(("large",), _large),
    Measurement(("connects",), _connects),
    Measurement(("http", "http_p99_ms"), _http, program="wrk"),
)
assert {name for one in MEASUREMENTS for name in one.columns} == {column.name for column in COLUMNS}
