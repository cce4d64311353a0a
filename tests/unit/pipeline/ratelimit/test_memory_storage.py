"""Which keys the storage keeps, and for how long."""

import pytest

from livegate.pipeline.ratelimit.memory_storage import BoundedMemoryStorage


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_keys_evicted_before_they_expired_are_counted() -> None:
    clock = Clock()
    storage = BoundedMemoryStorage(3, clock)
    for number in range(5):
        storage.acquire_sliding_window_entry(f"key-{number}", 5, 60)
    assert storage.evicted == 2
    clock.now += 120
    for number in range(3):
        storage.acquire_sliding_window_entry(f"new-{number}", 5, 60)
    assert storage.evicted == 2, "those had expired"


def test_expired_counters_are_removed_as_others_are_counted() -> None:
    clock = Clock()
    storage = BoundedMemoryStorage(100, clock)
    for number in range(10):
        storage.acquire_sliding_window_entry(f"old-{number}", 5, 60)
    clock.now += 60
    storage.acquire_sliding_window_entry("still the previous window", 5, 60)
    clock.now += 60
    for number in range(5):
        storage.acquire_sliding_window_entry(f"new-{number}", 5, 60)
    assert storage.reset() == 6


def test_a_key_can_be_removed() -> None:
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
