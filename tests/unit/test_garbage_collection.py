"""Python's garbage collector goes through everything at quiet moments, and not too seldom."""

import asyncio
import gc
import weakref

import pytest

from livegate import garbage_collection
from livegate.garbage_collection import (
    GROWN,
    MAX_PATIENCE,
    QUIET_FOR_S,
    WORTH,
    GarbageCollection,
    is_due,
    patience_after,
)


@pytest.mark.parametrize(
    ("since_s", "quiet_s", "growth", "patience", "due"),
    [
        (30, QUIET_FOR_S, 1.0, 1, True),
        (9, QUIET_FOR_S, 2.0, 1, False),
        (30, QUIET_FOR_S, 1.0, 4, False),
        (30, 4, 2.0, 1, False),
        (60, 0, GROWN, 1, True),
        (6000, 4, 1.2, 1, False),
        (300, 0, 2.0, 8, False),
        (60 * MAX_PATIENCE, 0, 2.0, MAX_PATIENCE, True),
    ],
)
def test_all_is_looked_at_when_it_is_quiet_or_when_there_is_more_of_it(
    since_s: float, quiet_s: float, growth: float, patience: int, due: bool
) -> None:
    assert is_due(since_s, quiet_s, growth, patience) is due


def test_what_finds_little_is_done_more_and_more_seldom_and_what_finds_much_as_usual() -> None:
    patience = 1
    for _ in range(10):
        patience = patience_after(WORTH - 1, patience)
    assert patience == MAX_PATIENCE
    assert patience_after(WORTH, patience) == 1


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
    monkeypatch.setattr(garbage_collection, "YOUNG_EVERY_S", 0.01)
    monkeypatch.setattr(garbage_collection, "MIDDLE_EVERY_S", 1e9 if age == 0 else 0.02)
    monkeypatch.setattr(garbage_collection, "LEAST_S", 0.03 if age == 2 and quiet else 1e9)
    monkeypatch.setattr(garbage_collection, "MOST_S", 0.03 if age == 2 and not quiet else 1e9)
    monkeypatch.setattr(garbage_collection, "GROWN", 0.01)
    monkeypatch.setattr(garbage_collection, "QUIET", 1e9 if quiet else -1)
    monkeypatch.setattr(garbage_collection, "QUIET_FOR_S", 0.03)
    before = gc.get_threshold()
    collection = GarbageCollection()
    try:
        collection.running()
        assert gc.get_threshold() == (garbage_collection.MANY_YOUNG, garbage_collection.NEVER, garbage_collection.NEVER)
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
