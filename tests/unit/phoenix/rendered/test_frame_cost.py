"""A frame costs what its bytes cost, whatever its shape and however long the lists are that it touches."""

import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegate.phoenix.rendered.changes import wire_value
from livegate.phoenix.rendered.persistent_vector import CHUNK, PersistentVector
from livegate.phoenix.rendered.tree import Tree


@given(st.integers(0, 200), st.dictionaries(st.integers(0, 210), st.integers()), st.integers(0, 220))
def test_entries_are_those_of_a_list(length: int, changed: dict[int, int], count: int) -> None:
    before = PersistentVector.from_list([-number for number in range(length)])
    wanted: dict[int, int] = {**dict(enumerate(before)), **changed}
    changed = {at: value for at, value in changed.items() if at < count}
    if any(at not in wanted for at in range(count)):
        with pytest.raises(KeyError):
            before.updated(changed, count)
        return
    after = before.updated(changed, count)
    assert list(after) == [changed.get(at, wanted[at]) for at in range(count)]
    assert [after[at] for at in range(len(after))] == list(after)
    assert list(before) == [-number for number in range(length)]
    with pytest.raises(IndexError):
        after[count]


def test_a_change_shares_all_but_its_own_chunk() -> None:
    before = PersistentVector.from_list([[number] for number in range(10 * CHUNK)])
    after = before.updated({5: "new"}, len(before))
    assert sum(one is not other for one, other in zip(before._chunks, after._chunks, strict=True)) == 1


# What a frame costs, counted in lines of Python that run


def lines_run(function: Any) -> int:
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count


def stream(*inserts: Any, deletes: Any = (), reset: bool = False) -> dict[str, Any]:
    rows = {str(number): {"0": f' id="{insert[0]}"', "1": "text"} for number, insert in enumerate(inserts)}
    return {"k": {**rows, "kc": len(rows)}, "stream": ["0", [list(insert) for insert in inserts], list(deletes), reset]}


def streaming() -> Tree:
    return Tree.join({"s": ["<ul>", "</ul>"], "0": {"s": ["<li", ">", "</li>"], **stream()}})


def with_items(count: int) -> Tree:
    tree = streaming()
    tree.merge({"0": stream(*[(f"i{number}", -1, None, False) for number in range(count)])})
    return tree


def rows(count: int) -> dict[str, Any]:
    return {**{str(number): {"0": str(number)} for number in range(count)}, "kc": count}


def table(count: int) -> Tree:
    return Tree.join({"s": ["<ul>", "</ul>"], "0": {"s": ["<li>", "</li>"], "k": rows(count)}})


def deep(count: int) -> dict[str, Any]:
    """Many branches of a depth of 100, which have `count` texts together."""
    found: dict[str, Any] = {"s": [""] * (count // 100 + 1)}
    for branch in range(count // 100):
        node: dict[str, Any] = {"s": ["<b>", "</b>"], "0": "x"}
        for _ in range(99):
            node = {"s": ["<b>", "</b>"], "0": node}
        found[str(branch)] = node
    return found


SHAPES = {
    "inserts at the end": lambda n: (streaming(), {"0": stream(*[(f"i{at}", -1, None, False) for at in range(n)])}),
    "inserts at the start": lambda n: (streaming(), {"0": stream(*[(f"i{at}", 0, None, False) for at in range(n)])}),
    "inserts with a limit": lambda n: (streaming(), {"0": stream(*[(f"i{at}", 0, 50, False) for at in range(n)])}),
    "updates": lambda n: (with_items(n), {"0": stream(*[(f"i{at}", -1, None, True) for at in range(n)])}),
    "deletes": lambda n: (with_items(n), {"0": stream(deletes=[f"i{at}" for at in range(n)])}),
    "a reset": lambda n: (with_items(n), {"0": stream(*[(f"j{at}", -1, None, False) for at in range(n)], reset=True)}),
    "a new list": lambda n: (table(0), {"0": {"k": rows(n)}}),
    "moves": lambda n: (table(n), {"0": {"k": {**{str(at): n - 1 - at for at in range(n)}, "kc": n}}}),
    "moves and changes": lambda n: (
        table(n),
        {"0": {"k": {**{str(at): [n - 1 - at, {"0": "new"}] for at in range(n)}, "kc": n}}},
    ),
    "deep trees": lambda n: (streaming(), deep(n)),
    "components": lambda n: (
        Tree.join({"s": [""], "c": {"1": {"s": ["<i>", "</i>"], "0": "x"}}}),
        {"c": {str(at): {"s": at - 1, "0": str(at)} for at in range(2, 100)}}
        | {"0": "x"}
        | {str(at): "y" for at in range(n)},
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_frame_costs_in_proportion_to_its_size(shape: str) -> None:
    costs = []
    for size in (1000, 4000):
        tree, diff = SHAPES[shape](size)
        costs.append(lines_run(lambda tree=tree, diff=diff: tree.merge(diff)))
    assert costs[1] < 5 * costs[0]


@pytest.mark.parametrize(
    ("made", "diff"),
    [
        (with_items, {"0": stream(("new", -1, None, False))}),
        (with_items, {"0": stream(("new", 0, None, False), deletes=["i3"])}),
        (table, {"0": {"k": {"3": {"0": "new"}, "kc": 4000}}}),
    ],
    ids=["a stream's insert", "an insert and a delete", "an entry of a list"],
)
def test_a_small_frame_costs_little_however_long_the_list_is(made: Any, diff: Any) -> None:
    tree = made(4000)
    kept = [tree.snapshot()]
    assert lines_run(lambda: tree.merge(diff)) < 400
    kept.append(tree.snapshot())
    assert kept[0].html() != kept[1].html()


def test_a_part_of_a_tree_is_serialized_as_on_the_wire() -> None:
    tree = Tree.join({"s": ["<ul>", "</ul>", ""], "0": "", "1": ""})
    rows_of = {"s": ["<li>", "</li>"], "k": {"0": {"0": "a"}, "kc": 1}}
    streamed_of = {"s": ["<li", ">", "</li>"], **stream(("i0", -1, None, False))}
    changes = tree.merge({"0": rows_of, "1": streamed_of})
    assert [wire_value(change.new) for change in changes.paths] == [rows_of, streamed_of]
    assert [change.size for change in changes.paths] == [49, 119]
