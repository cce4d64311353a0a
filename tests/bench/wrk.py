"""The HTTP load: wrk, one thread, connections kept alive."""

import re
import subprocess
from dataclasses import dataclass

from .meter import LoadError, Meter

UNITS_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4, "h": 3.6e6}
WRK_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class HttpResult:
    """What wrk said."""

    requests_per_s: float
    p99_ms: float


def run_wrk(program: str, port: int, meter: Meter, *, connections: int, seconds: float) -> HttpResult:
    """Send GET requests to a port of 127.0.0.1 for that many whole seconds. Raises LoadError."""
    duration = f"-d{max(1, round(seconds))}s"
    command = [program, "-t1", f"-c{connections}", duration, "--latency", f"http://127.0.0.1:{port}/"]
    with meter:
        try:
            ended = subprocess.run(
                command, capture_output=True, text=True, timeout=seconds + WRK_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise LoadError("wrk did not end") from error
    return parse(ended.stdout + ended.stderr)


def parse(output: str) -> HttpResult:
    """Read wrk's report. Raises LoadError when it has answers other than 2xx, or lost connections."""
    for problem in (r"Non-2xx or 3xx responses: \d+", r"Socket errors: .*"):
        found = re.search(problem, output)
        if found:
            raise LoadError(f"wrk: {found[0]}")
    rate = re.search(r"Requests/sec:\s*([\d.]+)", output)
    p99 = re.search(r"\b99%\s+([\d.]+)(us|ms|s|m|h)\b", output)
    if not rate or not p99:
        raise LoadError(f"wrk: {output.strip()[-300:]}")
    return HttpResult(float(rate[1]), float(p99[1]) * UNITS_MS[p99[2]])
