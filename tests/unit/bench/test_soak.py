"""The soak's judgement, without a soak; and its app speaks so that the gateway understands it."""

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from tests.bench import liveview
from tests.bench.soak.clients import Times
from tests.bench.soak.record import LAG
from tests.bench.soak.report import judged, slope, warm

from livegate.phoenix.model import PageLoad
from livegate.phoenix.sessions.tracker import Tracker


def record(**changes: Any) -> Any:
    """A run in which everything was kept."""
    lag = {f'{LAG}_bucket{{le="0.05"}}': 995.0, f"{LAG}_count": 1000.0}
    fields: dict[str, Any] = {
        "counts": {"errors": {}, "events": 100},
        "complaints": Counter(),
        "memory": [(float(second), 300 + max(0, 300 - second) / 10) for second in range(900)],
        "reloads": 90,
        "gateway": SimpleNamespace(written=90),
        "page": SimpleNamespace(shown=80, problems=[]),
        "after": lag,
        "grown": lambda name: lag.get(name, 0.0),
        "lags": lambda: [(0.05, 0.995), (0.1, 1.0)],
    }
    return SimpleNamespace(**fields | changes)


def failed(**changes: Any) -> list[str]:
    return [each.text for each in judged(record(**changes)) if not each.kept]


def test_a_good_run_keeps_every_promise() -> None:
    assert failed() == []
    assert failed(page=None) == []


@pytest.mark.parametrize(
    ("changes", "promise"),
    [
        ({"counts": {"errors": {"a socket was lost": 1}, "events": 100}}, "clients: no error"),
        ({"counts": {}}, "clients: no error"),
        ({"complaints": Counter({"error: x": 1})}, "log: no warning, no error"),
        (
            {"grown": lambda _: 1.0, "after": {'gateway_hook_errors_total{hook="request"}': 1.0}},
            "no exception in a hook",
        ),
        ({"reloads": 60}, "settings reloaded each time"),
        ({"memory": [(float(second), second / 59) for second in range(900)]}, "memory grows < 1 MiB/min"),
        ({"lags": lambda: [(0.05, 0.985), (0.1, 1.0)]}, "loop lag p99 < 50 ms"),
        ({"page": SimpleNamespace(shown=80, problems=["TypeError"])}, "page: no console error"),
        ({"page": SimpleNamespace(shown=0, problems=[])}, "page: no console error"),
    ],
)
def test_a_promise_that_was_not_kept_is_named(changes: dict[str, Any], promise: str) -> None:
    assert failed(**changes) == [promise]


def test_the_slope_is_of_what_comes_after_the_warm_up() -> None:
    assert slope([(0.0, 1.0), (60.0, 3.0), (120.0, 5.0)]) == pytest.approx(2.0)
    assert slope([]) == slope([(1.0, 5.0)]) == 0.0
    assert warm([(0.0, 9.0), (100.0, 2.0), (150.0, 1.0), (300.0, 1.0)]) == [(100.0, 2.0), (150.0, 1.0), (300.0, 1.0)]


def test_the_app_is_a_liveview_for_the_tracker() -> None:
    tracker = Tracker()
    html = liveview.page("/count").decode()
    load = PageLoad("/count", 200, 1.0, 0.1)
    assert tracker.add_page_load(html, load)
    (topic,) = load.topics
    channels = tracker.open(f"{liveview.SOCKET_PATH}?vsn=2.0.0", 2.0)
    token = liveview.session_token(topic.removeprefix("lv:"), "BenchWeb.CountLive")
    for said in (liveview.join(topic, "/count", token), liveview.click(topic, 5), liveview.heartbeat(6)):
        channels.read_frame(said, text=True, from_client=True, at=3.0)
        note = channels.read_frame(liveview.answer(said), text=True, from_client=False, at=3.5)
        assert note.push is not None
        assert note.push.outcome == "ok"
    session = channels.session
    assert session is not None
    assert (session.number, session.event_count, session.unanswered) == (load.number, 1, 0)
    assert session.main is not None
    assert (session.main.module, session.main.version) == ("BenchWeb.CountLive", "1.1.0")
    assert session.main.tree is not None
    assert "<b>5</b>" in session.main.tree.html()


def test_percentiles_of_durations_are_told_whatever_their_number() -> None:
    times = Times()
    assert times.percentiles() == {}
    for number in range(1, 1001):
        times.add(number / 1000)
    assert times.percentiles() == {"p50": 500.0, "p99": 990.0, "p999": 999.0, "max": 1000.0}
    for _ in range(100_000):
        times.add(0.002)
    assert times.percentiles() == {"p50": 2.0, "p99": 2.0, "p999": 899.0, "max": 1000.0}
    assert len(times.counts) == 1000
