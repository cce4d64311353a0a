"""The schedule of garbage collection: full collections while idle, and often enough under load."""

import asyncio
import gc
import weakref

import pytest

from livegate import garbage_collection
from livegate.garbage_collection import (
    GROWTH_TRIGGER,
    IDLE_FOR_S,
    MAX_BACKOFF,
    WORTHWHILE_OBJECTS,
    GarbageCollection,
    is_due,
    next_backoff,
)


@pytest.mark.parametrize(
    ("since_s", "idle_s", "growth", "backoff", "due"),
    [
        (30, IDLE_FOR_S, 1.0, 1, True),
        (9, IDLE_FOR_S, 2.0, 1, False),
        (30, IDLE_FOR_S, 1.0, 4, False),
        (30, 4, 2.0, 1, False),
        (60, 0, GROWTH_TRIGGER, 1, True),
        (6000, 4, 1.2, 1, False),
        (300, 0, 2.0, 8, False),
        (60 * MAX_BACKOFF, 0, 2.0, MAX_BACKOFF, True),
    ],
)
def test_a_full_collection_is_due_when_idle_or_after_memory_has_grown(
    since_s: float, idle_s: float, growth: float, backoff: int, due: bool
) -> None:
    assert is_due(since_s, idle_s, growth, backoff) is due


def test_collections_that_free_little_back_off() -> None:
    backoff = 1
    for _ in range(10):
        backoff = next_backoff(WORTHWHILE_OBJECTS - 1, backoff)
    assert backoff == MAX_BACKOFF
    assert next_backoff(WORTHWHILE_OBJECTS, backoff) == 1


class Cycle:
    def __init__(self) -> None:
        self.itself = self


async def until_freed(freed: "weakref.ref[Cycle]") -> None:
    async with asyncio.timeout(10):
        while freed() is not None:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("idle", [True, False])
@pytest.mark.parametrize("age", [0, 1, 2])
async def test_every_generation_is_collected_and_the_thresholds_are_restored(
    monkeypatch: pytest.MonkeyPatch, age: int, idle: bool
) -> None:
    monkeypatch.setattr(garbage_collection, "YOUNG_INTERVAL_S", 0.01)
    monkeypatch.setattr(garbage_collection, "MIDDLE_INTERVAL_S", 1e9 if age == 0 else 0.02)
    monkeypatch.setattr(garbage_collection, "IDLE_FULL_INTERVAL_S", 0.03 if age == 2 and idle else 1e9)
    monkeypatch.setattr(garbage_collection, "BUSY_FULL_INTERVAL_S", 0.03 if age == 2 and not idle else 1e9)
    monkeypatch.setattr(garbage_collection, "GROWTH_TRIGGER", 0.01)
    monkeypatch.setattr(garbage_collection, "IDLE_CPU_SHARE", 1e9 if idle else -1)
    monkeypatch.setattr(garbage_collection, "IDLE_FOR_S", 0.03)
    before = gc.get_threshold()
    collection = GarbageCollection()
    try:
        collection.running()
        assert gc.get_threshold() == (
            garbage_collection.GEN0_THRESHOLD,
            garbage_collection.DISABLED,
            garbage_collection.DISABLED,
        )
        cycle = Cycle()
        for generation in range(age):
            gc.collect(generation)
        freed = weakref.ref(cycle)
        del cycle
        assert freed() is not None
        await until_freed(freed)
    finally:
        collection.done()
        gc.unfreeze()
    assert gc.get_threshold() == before


def test_stopping_before_the_start_changes_nothing() -> None:
    before = gc.get_threshold()
    GarbageCollection().done()
    assert gc.get_threshold() == before
