"""The items of streams: as a plain list of them would be, whatever the orders; older ones stay; the cost is linear."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livegate.phoenix.rendered import stream_items, streams
from livegate.phoenix.rendered.nodes import TreeError
from livegate.phoenix.rendered.stream_items import EMPTY, StreamItems
from livegate.phoenix.rendered.streams import Insert, StreamEffect, StreamUpdate, first_dom_id
from livegate.phoenix.rendered.tree import Tree

type Plain = tuple[tuple[str, Any], ...]


def plain_after(kept: Plain, orders: StreamUpdate, entries: list[Any], html: Callable[[Any], str]) -> Plain:
    """What a stream becomes, as simply as it can be said: each order looks through the whole list."""
    found = [] if orders.reset else [item for item in kept if item[0] not in orders.deletes]
    inserts = {insert.id: insert for insert in orders.inserts}
    for number, entry in enumerate(entries):
        match = re.search(r"""\bid=["']?([^"'\s>]+)""", html(entry))
        insert = inserts.get(match.group(1) if match else "")
        insert = insert or (orders.inserts[number] if number < len(orders.inserts) else None)
        if insert is not None:
            plain_put(found, insert, entry)
    return tuple(found)


def plain_put(found: list[tuple[str, Any]], insert: Insert, entry: Any) -> None:
    for number, (id_, _) in enumerate(found):
        if id_ == insert.id:
            found[number] = (id_, entry)
            return
    if insert.update_only:
        return
    found.insert(insert.at if insert.at >= 0 else len(found), (insert.id, entry))
    if insert.limit is not None and len(found) > abs(insert.limit):
        found[:] = found[insert.limit :] if insert.limit < 0 else found[: insert.limit]


def html(entry: Any) -> str:
    return f'<li id="{entry[0]}">{entry[1]}</li>'


def id_of(entry: Any) -> str | None:
    return first_dom_id({"s": ['<li id="', '">', "</li>"], "0": entry[0], "1": entry[1]}, {})


def ids(count: int) -> st.SearchStrategy[str]:
    return st.integers(0, count).map(lambda number: f"m-{number}")


ORDERS = st.builds(
    StreamUpdate,
    ref=st.just("0"),
    inserts=st.lists(
        st.builds(
            Insert,
            ids(30),
            st.integers(-1, 12),
            st.sampled_from([None, None, None, -9, -3, 0, 4, 8]),
            update_only=st.booleans(),
        ),
        max_size=20,
        unique_by=lambda insert: insert.id,
    ).map(tuple),
    deletes=st.lists(ids(30), max_size=6).map(tuple),
    reset=st.integers(0, 9).map(lambda number: number == 0),
    ordered=st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(frames=st.lists(st.tuples(ORDERS, st.randoms(use_true_random=False), st.booleans()), max_size=12))
@pytest.mark.parametrize("piece", [1, 2, 64])
def test_a_stream_is_what_a_plain_list_would_be_and_older_ones_stay(piece: int, frames: list[Any]) -> None:
    size, stream_items.CHUNK = stream_items.CHUNK, piece
    try:
        kept, plain = EMPTY, ()
        older: list[tuple[StreamItems, Plain]] = []
        for number, (orders, random, shuffled) in enumerate(frames):
            entries = [[insert.id, f"text {number}"] for insert in orders.inserts]
            if shuffled and not orders.ordered:
                random.shuffle(entries)
            before, effect = len(plain), StreamEffect()
            plain = plain_after(plain, orders, entries, html)
            kept = streams.apply_update(kept, orders, entries, id_of, effect)
            gone = before if orders.reset else len(effect.deleted)
            assert before + len(effect.inserted) - gone - effect.limited == len(plain)
            older.append((kept, plain))
        for then, expected in older:
            assert tuple(then) == expected
            assert len(then) == len(expected)
    finally:
        stream_items.CHUNK = size


def test_a_stream_is_changed_from_an_older_state_as_well() -> None:
    def inserted(kept: StreamItems, id_: str) -> StreamItems:
        orders = StreamUpdate("0", (Insert(id_, -1, None, update_only=False),), (), reset=False)
        return streams.apply_update(kept, orders, [[id_, ""]], id_of, StreamEffect())

    first = inserted(EMPTY, "a")
    second, other = inserted(first, "b"), inserted(first, "c")
    third = inserted(second, "d")
    assert ["".join(id_ for id_, _ in each) for each in (first, second, other, third)] == ["a", "ab", "ac", "abd"]


def test_one_more_item_writes_only_its_piece_anew() -> None:
    many = tuple(Insert(f"m-{number}", -1, None, update_only=False) for number in range(10_000))
    before = streams.apply_update(
        EMPTY, StreamUpdate("0", many, (), reset=False), [[each.id, ""] for each in many], id_of, StreamEffect()
    )
    one = StreamUpdate("0", (Insert("new", 5000, None, update_only=False),), ("m-7",), reset=False)
    after = streams.apply_update(before, one, [["new", ""]], id_of, StreamEffect())
    assert len(set(map(id, after.chunks)) - set(map(id, before.chunks))) <= 3
    assert [id_ for id_, _ in after][5000] == "new"


def test_items_that_come_in_the_order_of_their_orders_are_not_rendered() -> None:
    read = []
    inserts = tuple(Insert(f"m-{number}", -1, None, update_only=False) for number in range(100))
    streams.apply_update(
        EMPTY,
        StreamUpdate("0", inserts, (), reset=False),
        [[each.id, ""] for each in inserts],
        read.append,
        StreamEffect(),
    )
    assert read == []


def test_a_stream_holds_only_so_many_items() -> None:
    inserts = tuple(Insert(str(at), -1, None, update_only=False) for at in range(streams.MAX_ITEMS))
    full = streams.apply_update(
        EMPTY, StreamUpdate("0", inserts, (), reset=False), [[each.id] for each in inserts], id_of, StreamEffect()
    )
    assert len(full) == streams.MAX_ITEMS
    more = StreamUpdate("0", (Insert("more", -1, None, update_only=False),), (), reset=False)
    with pytest.raises(TreeError, match="more than"):
        streams.apply_update(full, more, [["more"]], id_of, StreamEffect())
    assert len(tuple(full)) == streams.MAX_ITEMS


@pytest.mark.parametrize(
    ("node", "id_"),
    [
        ({"s": ['<li id="a">']}, "a"),
        ({"s": ["<li", ">", "</li>"], "0": ' class="b" id="c"', "1": '<b id="d">'}, "c"),
        ({"s": ["<li data-id='9' id=e>"]}, "e"),
        ({"s": ["", ""], "0": 1}, "of a component"),
        ({"s": ["", ""], "0": 2}, None),
        ({"s": ["", ""], "0": {"s": ["<p>", ""], "d": []}}, None),
        ({"s": ["<p ", *[" "] * 1000, "id='far'>"]}, None),
        ({"s": ["no tag at all"]}, None),
    ],
)
def test_the_id_of_an_item_is_that_of_its_first_tag(node: dict[str, Any], id_: str | None) -> None:
    assert first_dom_id(node, {1: {"s": ['<p id="', '">'], "0": "of a component"}}) == (
        id_ if id_ != "of a component" else "of"
    )


def test_items_without_texts_of_their_own_are_found_by_their_components() -> None:
    stream = {"s": ["", ""], "d": [[1], [2]], "stream": ["0", {"b": [-1, None], "a": [0, None]}, []]}
    components = {str(cid): {"s": ['<i id="', '">', "</i>"], "0": id_, "1": id_} for cid, id_ in ((1, "a"), (2, "b"))}
    tree = Tree.join({"s": ["", ""], "0": stream, "c": components})
    assert tree.html() == '<i id="a">a</i><i id="b">b</i>'
