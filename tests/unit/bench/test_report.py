"""Medians, ratios, targets and the tables of a benchmark run."""

import io

import pytest
from rich.console import Console

from bench.meter import LoadError, Usage
from bench.report import COLUMNS, TARGETS, Results, Row, as_json, print_report
from bench.wrk import parse

BUSY, WAITING = Usage(proxy=0.98, idle=0.01, others=0.0), Usage(proxy=0.5, idle=0.48, others=0.0)
ABOUT = {"cpu": "a processor", "python": "3.13.0", "versions": {"nginx": "1.22"}}
WRK = """\
Running 1s test @ http://127.0.0.1:1/
  1 threads and 32 connections
  Latency Distribution
     50%  310.00us
     99%    1.25ms
  51234 requests in 1.00s, 4.00MB read
Requests/sec:  51234.56
"""


def row(name: str, rounds: list[dict[str, float]], usage: Usage | None = BUSY) -> Row:
    result = Row(name, name.upper())
    for values in rounds:
        result.add(values, usage)
    return result


@pytest.fixture
def results() -> Results:
    return Results(
        [
            row("direct", [{"round_trips": 90_000.0}], None),
            row("nginx", [{"round_trips": value, "p50_ms": 0.1} for value in (50_000.0, 1.0, 60_000.0)], WAITING),
            row("mitmdump", [{"round_trips": 2000.0, "http": 900.0}]),
            row("livegate-run", [{"round_trips": 42_000.0, "p50_ms": 0.2, "http": 1800.0, "idle_kib": 45.0}]),
        ]
    )


def printed(results: Results) -> str:
    console = Console(file=io.StringIO(), width=120)
    print_report(console, results, COLUMNS, ABOUT)
    return console.file.getvalue()


def test_one_bad_round_does_not_count(results):
    assert results.value("nginx", "round_trips") == 50_000


def test_ratios_are_of_medians(results):
    assert results.ratio("livegate-run", "nginx", "round_trips") == pytest.approx(0.84)
    assert results.ratio("livegate-run", "mitmdump", "round_trips") == pytest.approx(21)


def test_no_ratio_without_both_values(results):
    assert results.ratio("livegate-run", "mitmdump", "p50_ms") is None
    assert results.ratio("haproxy", "nginx", "round_trips") is None


def test_targets_are_met_missed_or_not_measured(results):
    assert [target.met(results) for target in TARGETS] == [True, True, None, False, True, True]


def test_a_proxy_that_waited_is_marked_and_no_proxy_is_not(results):
    assert [results.rows[name].cells["round_trips"].load_bound for name in ("direct", "nginx", "mitmdump")] == [
        False,
        True,
        False,
    ]
    assert "50,000*" in printed(results)
    assert "2,000*" not in printed(results)


def test_report_has_values_ratios_problems_and_targets(results):
    results.rows["mitmdump"].problems.append("connects: a connection ended early [b'']")
    text = printed(results)
    for part in ("42,000", "21.00", "0.84", "mitmdump: connects: a connection ended early [b'']", "missed", "met", "–"):
        assert part in text


def test_other_programs_are_noticed(results):
    assert "quiet machine" not in printed(results)
    for one in results.rows.values():
        for cell in one.cells.values():
            cell.usage = [Usage(proxy=0.6, idle=0.0, others=0.9)]
    assert "Other programs took 90% of a core" in printed(results)


def test_json_has_every_round(results):
    found = as_json(results, ABOUT)
    assert found["subjects"]["nginx"]["values"]["round_trips"]["samples"] == [50_000.0, 1.0, 60_000.0]
    assert found["subjects"]["livegate-run"]["values"]["round_trips"]["times_mitmdump"] == pytest.approx(21)
    assert [target["met"] for target in found["targets"]] == [True, True, None, False, True, True]


def test_wrk_is_read_in_any_unit():
    assert (parse(WRK).requests_per_s, parse(WRK).p99_ms) == (51234.56, 1.25)
    assert parse(WRK.replace("1.25ms", "1.25s")).p99_ms == 1250
    assert parse(WRK.replace("1.25ms", "930.00us")).p99_ms == pytest.approx(0.93)


@pytest.mark.parametrize(
    "line", ["  Non-2xx or 3xx responses: 12", "  Socket errors: connect 0, read 7, write 0, timeout 0"]
)
def test_wrk_with_errors_is_no_result(line):
    with pytest.raises(LoadError, match=line.strip()[:12]):
        parse(WRK + line + "\n")
