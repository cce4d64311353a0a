"""Python's garbage collector goes through everything at quiet moments, and not too seldom."""

import asyncio
import gc
import weakref

import pytest

from livegate import garbage
from livegate.garbage import GarbageCollection, is_due


@pytest.mark.parametrize(
    ("since_s", "busy", "young", "due"),
    [
        (30, 0.02, 50, True),
        (30, 0.5, 50, False),
        (60, 0.9, 50, True),
        (5, 0.02, 50, False),
        (300, 0.02, 3, False),
    ],
)
def test_it_is_due_when_it_is_quiet_or_late_and_worth_it(since_s: float, busy: float, young: int, due: bool) -> None:
    assert is_due(since_s, busy, young) is due


class Knot:
    def __init__(self) -> None:
        self.me = self


async def test_old_garbage_goes_at_the_next_quiet_moment_and_the_end_leaves_no_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(garbage, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(garbage, "LEAST_S", 0.0)
    monkeypatch.setattr(garbage, "QUIET", 1e9)
    before = gc.get_threshold()
    collection = GarbageCollection()
    try:
        collection.running()
        assert gc.get_threshold() == (*before[:2], garbage.NEVER)
        knot = Knot()
        gc.collect(1)
        gone = weakref.ref(knot)
        del knot
        gc.collect(1)
        assert gone() is not None, "it is old by now: young collections do not see it"
        for _ in range(garbage.WORTH):
            gc.collect(1)
        async with asyncio.timeout(10):
            while gone() is not None:
                await asyncio.sleep(0.01)
    finally:
        collection.done()
        gc.unfreeze()
    assert gc.get_threshold() == before


def test_an_end_before_the_beginning_changes_nothing() -> None:
    before = gc.get_threshold()
    GarbageCollection().done()
    assert gc.get_threshold() == before
