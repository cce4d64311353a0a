"""Python's garbage collector goes through everything at quiet moments, and not too seldom."""

import asyncio
import gc
import weakref

import pytest

from livegate import garbage
from livegate.garbage import MAX_PATIENCE, WORTH, GarbageCollection, is_due, patience_after


@pytest.mark.parametrize(
    ("since_s", "busy", "patience", "due"),
    [
        (30, 0.02, 1, True),
        (30, 0.5, 1, False),
        (60, 0.9, 1, True),
        (5, 0.02, 1, False),
        (30, 0.02, 4, False),
        (300, 0.9, 8, False),
        (60 * MAX_PATIENCE, 0.9, MAX_PATIENCE, True),
    ],
)
def test_it_is_due_when_it_is_quiet_or_late(since_s: float, busy: float, patience: int, due: bool) -> None:
    assert is_due(since_s, busy, patience) is due


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


@pytest.mark.parametrize("age", [0, 1, 2])
async def test_garbage_of_every_age_goes_and_the_end_leaves_no_trace(monkeypatch: pytest.MonkeyPatch, age: int) -> None:
    monkeypatch.setattr(garbage, "YOUNG_EVERY_S", 0.01)
    monkeypatch.setattr(garbage, "MIDDLE_EVERY_S", 0.02 if age == 1 else 1e9)
    monkeypatch.setattr(garbage, "LEAST_S", 0.03 if age == 2 else 1e9)
    monkeypatch.setattr(garbage, "QUIET", 1e9)
    before = gc.get_threshold()
    collection = GarbageCollection()
    try:
        collection.running()
        assert gc.get_threshold() == (garbage.MANY_YOUNG, garbage.NEVER, garbage.NEVER)
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
