"""The sliding window: what it lets through, when it says to come back, and how much it remembers."""

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from livegate.pipeline.budgets import BoundedMemoryStorage, Budget, Budgets, hashed, session_cookie, user_key
from livegate.settings import Rate


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def budgets(clock: Clock, max_keys: int = 100) -> Budgets:
    return Budgets(BoundedMemoryStorage(max_keys, clock))


def test_a_refused_request_takes_nothing_from_any_budget() -> None:
    checked = budgets(Clock())
    user, ip = Budget("user", Rate(2, 60), "u"), Budget("ip", Rate(10, 60), "i")
    assert [checked.check([user, ip]).violated for _ in range(4)] == [None, None, user, user]
    assert checked.check([Budget("user", Rate(2, 60), "v"), ip]).levels[1].remaining == 7


@hypothesis_settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 20),
    st.sampled_from([1, 10, 60]),
    st.lists(st.floats(0, 20, allow_nan=False), min_size=1, max_size=120),
)
def test_retry_after_is_the_truth_and_no_window_admits_twice_the_limit(
    limit: int, window_s: int, pauses: list[float]
) -> None:
    clock = Clock()
    checked = budgets(clock)
    budget = Budget("user", Rate(limit, window_s), "k")
    admitted: list[float] = []
    for pause in pauses:
        clock.now += pause
        decision = checked.check([budget])
        if decision.violated is None:
            admitted.append(clock.now)
            assert decision.retry_after_s == 0
            continue
        assert decision.retry_after_s >= 1
        clock.now += decision.retry_after_s
        assert checked.check([budget]).violated is None
        admitted.append(clock.now)
    for start in admitted:
        aligned = start - start % window_s
        assert sum(aligned <= moment < aligned + window_s for moment in admitted) <= limit


def test_a_burst_at_the_edge_of_a_window_is_not_doubled() -> None:
    clock = Clock()
    clock.now = 1019.0
    checked = budgets(clock)
    budget = Budget("user", Rate(100, 60), "k")
    first = sum(checked.check([budget]).violated is None for _ in range(200))
    clock.now = 1021.0
    second = sum(checked.check([budget]).violated is None for _ in range(200))
    assert first == 100
    assert second <= 3


def test_old_keys_go_first_and_memory_is_bounded() -> None:
    storage = BoundedMemoryStorage(10, Clock())
    checked = Budgets(storage)
    for number in range(1000):
        checked.check([Budget("user", Rate(1, 60), str(number))])
    assert storage.reset() == 10
    assert storage.check()


def test_a_key_can_be_forgotten() -> None:
    storage = BoundedMemoryStorage(clock=Clock())
    assert storage.acquire_sliding_window_entry("k", 1, 60)
    assert not storage.acquire_sliding_window_entry("k", 1, 60)
    storage.clear_sliding_window("k", 60)
    assert storage.acquire_sliding_window_entry("k", 1, 60)
    storage.clear("k")
    assert storage.acquire_sliding_window_entry("k", 1, 60)
    assert storage.base_exceptions is ValueError
    for call in (lambda: storage.incr("k", 1), lambda: storage.get("k"), lambda: storage.get_expiry("k")):
        with pytest.raises(NotImplementedError):
            call()


@pytest.mark.parametrize(
    ("cookies", "expected"),
    [
        ([], None),
        (["a=1; _app_key=x; b_session=y"], "_app_key=x"),
        (["a=1", "my_session=y"], "my_session=y"),
        (["_csrf=1; key=2; session=3"], None),
        (["_app_key="], None),
        (["x=" + "a" * 20_000 + "; my_session=y"], None),
    ],
)
def test_the_session_cookie_is_found_by_its_name(cookies: list[str], expected: str | None) -> None:
    assert session_cookie(cookies) == expected


def test_keys_of_different_kinds_never_meet_and_tell_nothing() -> None:
    same = "secret"
    keys = {
        user_key(user_id=same, authorization=same, cookies=[], address=same),
        user_key(user_id=None, authorization=same, cookies=[f"_app_key={same}"], address=same),
        user_key(user_id=None, authorization=None, cookies=[f"_app_key={same}"], address=same),
        user_key(user_id=None, authorization=None, cookies=[], address=same),
    }
    assert len(keys) == 4
    assert not any(same in key for key in keys)
    assert hashed("k", "\udcff")
