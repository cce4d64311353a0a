"""How many lines of a kind are written: exactly, with the clock in the test's hand."""

import logging

from livegate.logs.throttle import Summary, Throttle

A = ("livegate.a", logging.WARNING, "a %s")
B = ("livegate.b", logging.ERROR, "b")


def written(throttle: Throttle, kind: tuple[str, int, str], times: list[float]) -> list[bool]:
    return [throttle.admit(kind, now) is not None for now in times]


def test_the_first_ten_of_a_window_are_written_and_the_others_counted() -> None:
    throttle = Throttle()
    assert written(throttle, A, [100 + index / 10 for index in range(13)]) == [True] * 10 + [False] * 3
    assert throttle.suppressed == 3
    assert throttle.expire(109.9) == []
    assert throttle.expire(110.0) == [Summary(A, 3, 10.0, "")]
    assert throttle.expire(110.0) == []
    assert throttle.suppressed == 3


def test_kinds_are_counted_apart_by_logger_level_and_template() -> None:
    throttle = Throttle(lines=1)
    kinds = [A, B, (A[0], logging.ERROR, A[2]), ("livegate.c", A[1], A[2]), (A[0], A[1], "other")]
    for kind in kinds:
        assert written(throttle, kind, [0, 0]) == [True, False]
    assert [summary.kind for summary in throttle.expire_all(1)] == kinds


def test_a_new_window_begins_with_the_next_line() -> None:
    throttle = Throttle(lines=2)
    assert written(throttle, A, [0, 0, 0]) == [True, True, False]
    assert throttle.expire(50) == [Summary(A, 1, 50, "")]
    assert written(throttle, A, [50, 51, 52]) == [True, True, False]
    assert throttle.expire(59) == []
    assert throttle.expire(60) == [Summary(A, 1, 10, "")]


def test_windows_without_a_held_line_end_in_silence() -> None:
    throttle = Throttle()
    assert written(throttle, A, [0, 1]) == [True, True]
    assert throttle.next_expiry is None
    assert throttle.expire(10) == []
    assert throttle.expire_all(10) == []


def test_the_next_expiry_is_that_of_the_first_suppressed_line() -> None:
    throttle = Throttle(lines=1)
    throttle.admit(A, 1)
    written(throttle, B, [2, 3])
    assert throttle.next_expiry == 12
    throttle.admit(A, 4)
    assert throttle.next_expiry == 11


def test_a_summary_has_the_example_that_was_set() -> None:
    throttle = Throttle(lines=1)
    window = throttle.admit(A, 0)
    assert window is not None
    window.example = "a 1"
    throttle.admit(A, 0)
    assert throttle.expire_all(2) == [Summary(A, 1, 2, "a 1")]
    assert throttle.expire_all(2) == []


def test_the_table_of_kinds_is_bounded_and_loses_no_count() -> None:
    throttle = Throttle(lines=1, max_kinds=100)
    summarized = 0
    for index in range(1000):
        kind = ("x", logging.WARNING, str(index))
        summarized += sum(summary.count for summary in throttle.expire(0))
        assert written(throttle, kind, [0, 0, 0]) == [True, False, False]
        assert len(throttle._windows) <= 101
    summarized += sum(summary.count for summary in throttle.expire_all(1))
    assert summarized == throttle.suppressed == 2000
