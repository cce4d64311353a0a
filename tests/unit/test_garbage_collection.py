"""Python's garbage collector goes through everything at quiet moments, and not too seldom."""

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
    ("since_s", "quiet_s", "growth", "patience", "due"),
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
def test_all_is_looked_at_when_it_is_quiet_or_when_there_is_more_of_it(
    since_s: float, quiet_s: float, growth: float, patience: int, due: bool
) -> None:
    assert is_due(since_s, quiet_s, growth, patience) is due


def test_what_finds_little_is_done_more_and_more_seldom_and_what_finds_much_as_usual() -> None:
    patience = 1
    for _ in range(10):
        patience = next_backoff(WORTHWHILE_OBJECTS - 1, patience)
    assert patience == MAX_BACKOFF
    assert next_backoff(WORTHWHILE_OBJECTS, patience) == 1


class Knot:
    def __init__(self) -> None:
        self.me = self


async def until_gone(gone: "weakref.ref[Knot]") -> None:
    async with asyncio.timeout(10):
        while gone() is not None:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("quiet", [True, False])
@pytest.mark.parametrize("age", [0, 1, 2])
async def test_garbage_of_every_age_goes_and_the_end_leaves_no_trace(
    monkeypatch: pytest.MonkeyPatch, age: int, quiet: bool
) -> None:
    monkeypatch.setattr(garbage_collection, "YOUNG_INTERVAL_S", 0.01)
    monkeypatch.setattr(garbage_collection, "MIDDLE_INTERVAL_S", 1e9 if age == 0 else 0.02)
    monkeypatch.setattr(garbage_collection, "IDLE_FULL_INTERVAL_S", 0.03 if age == 2 and quiet else 1e9)
    monkeypatch.setattr(garbage_collection, "BUSY_FULL_INTERVAL_S", 0.03 if age == 2 and not quiet else 1e9)
    monkeypatch.setattr(garbage_collection, "GROWTH_TRIGGER", 0.01)
    monkeypatch.setattr(garbage_collection, "IDLE_CPU_SHARE", 1e9 if quiet else -1)
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
        knot = Knot()
        for generation in range(age):
            gc.collect(generation)
        gone = weakref.ref(knot)
        del knot
        assert gone() is not None
        await until_gone(gone)
    finally:
        collection.done()
        gc.unfreeze()
    assert gc.get_threshold() == before


def test_an_end_before_the_beginning_changes_nothing() -> None:
    before = gc.get_threshold()
    GarbageCollection().done()
    assert gc.get_threshold() == before
