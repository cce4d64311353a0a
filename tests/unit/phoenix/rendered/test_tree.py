"""The rendered tree: what LiveView's own tests ask of it, streams over time, and everything that is wrong."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livegate.phoenix.rendered.changes import MAX_PATHS, Change, Changes, value_text
from livegate.phoenix.rendered.tree import Tree, TreeError

PAGE = {"s": ["<p>", "</p>", ""], "0": "a", "1": {"s": ["<b>", "</b>"], "0": "x"}}


def places(changes: Changes) -> list[str]:
    return [change.path_text for change in changes.paths]


def test_a_diff_changes_the_paths_it_names_and_lists_their_old_values() -> None:
    tree = Tree.join(PAGE)
    before = tree.snapshot()
    changes = tree.merge({"0": "b", "1": {"0": "y"}})
    assert tree.html() == "<p>b</p><b>y</b>"
    assert before.html() == "<p>a</p><b>x</b>"
    assert changes.paths == [Change(("0",), "a", "b"), Change(("1", "0"), "x", "y")]
    assert changes.paths[0].size == 3
    assert places(changes) == ["0", "1.0"]


def test_statics_replace_a_part_and_a_text_replaces_a_part() -> None:
    tree = Tree.join(PAGE)
    tree.merge({"1": {"s": ["<i>", "</i>"], "0": "z"}})
    assert tree.html() == "<p>a</p><i>z</i>"
    tree.merge({"1": ""})
    assert tree.html() == "<p>a</p>"
    tree.merge({"s": ["new"]})
    assert tree.html() == "new"


def test_what_stands_beside_the_tree_is_taken_off() -> None:
    tree = Tree.join(PAGE)
    changes = tree.merge({"t": "Title", "e": [["toast", {"a": 1}], ["bare"], 7], "r": {"ok": True}})
    assert (changes.title, tree.title, changes.reply) == ("Title", "Title", {"ok": True})
    assert changes.events == (("toast", {"a": 1}), ("bare", None))
    assert changes.paths == []
    assert tree.html() == "<p>a</p><b>x</b>"
    assert Tree.join({**PAGE, "r": 1}).root["r"] == 1, "of a node it is a flag"


def test_templates_are_those_of_their_own_diff() -> None:
    tree = Tree.join({"p": {"0": ["<a>", "</a>"], "1": ["", ""]}, "s": 1, "0": {"s": 0, "0": "x"}})
    assert tree.html() == "<a>x</a>"
    tree.merge({"p": {"0": ["<u>", "</u>"]}, "0": {"s": 0, "0": "y"}})
    assert tree.html() == "<u>y</u>"
    tree.merge({"0": {"0": "z"}})
    assert tree.html() == "<u>z</u>"


def test_components_are_linked_before_and_after_this_diff() -> None:
    tree = Tree.join(
        {"s": ["", "", "", ""], "0": 1, "1": "", "2": "", "c": {"1": {"s": ["<i>", "-", "</i>"], "0": "a", "1": "b"}}}
    )
    changes = tree.merge({"1": 2, "2": 3, "c": {"1": {"0": "A"}, "2": {"s": -1, "1": "c"}, "3": {"s": 2, "0": "d"}}})
    assert tree.html() == "<i>A-b</i><i>a-c</i><i>d-c</i>"
    assert changes.components == {1, 2, 3}
    assert "c1.0" in places(changes)
    tree.delete_components([3])
    with pytest.raises(TreeError, match="component 3 does not exist"):
        tree.html()


def keyed(*entries: dict[str, str], **more: object) -> dict[str, object]:
    return {
        "s": ["<li>", "</li>"],
        "k": {str(at): entry for at, entry in enumerate(entries)} | {"kc": len(entries)},
        **more,
    }


def test_entries_move_change_and_go() -> None:
    tree = Tree.join({"s": ["", ""], "0": keyed({"0": "a"}, {"0": "b"}, {"0": "c"})})
    changes = tree.merge({"0": {"k": {"0": 2, "2": [0, {"0": "A"}], "kc": 3, "km": True}}})
    assert tree.html() == "<li>c</li><li>b</li><li>A</li>"
    assert places(changes) == ["0.k.0", "0.k.2", "0.k.2.0"]
    changes = tree.merge({"0": {"k": {"kc": 1}}})
    assert tree.html() == "<li>c</li>"
    assert sorted(places(changes)) == ["0.k.1", "0.k.2"]
    tree.merge({"0": {"k": {"1": {"0": "new"}, "kc": 2}}})
    assert tree.html() == "<li>c</li><li>new</li>"


def test_entries_of_a_keyed_stream_are_not_merged_onto_those_that_the_client_forgot() -> None:
    stream = {
        "s": ["<i>", "", "</i>"],
        "k": {"0": {"0": "a", "1": "A"}, "kc": 1},
        "stream": ["0", [["x", -1, None, False]], []],
    }
    tree = Tree.join({"s": ["", ""], "0": stream})
    tree.merge({"0": {"k": {"0": {"0": "b"}, "kc": 1}, "stream": ["0", [["y", -1, None, False]], []]}})
    assert tree.html(streams=False) == "<i>b</i>"


FORMS = {
    "0.18": lambda inserts, deletes, reset: [{id_: at for id_, at, _, _ in inserts}, deletes],
    "0.20.1": lambda inserts, deletes, reset: [
        "0",
        {id_: [at, limit] for id_, at, limit, _ in inserts},
        deletes,
        *reset,
    ],
    "1.0": lambda inserts, deletes, reset: ["0", [[id_, at, limit] for id_, at, limit, _ in inserts], deletes, *reset],
    "1.1": lambda inserts, deletes, reset: ["0", [list(insert) for insert in inserts], deletes, *reset],
}


class Feed:
    """A page of one stream, in the form of a version."""

    def __init__(self, form: str) -> None:
        self.form = FORMS[form]
        self.is_keyed = form == "1.1"
        first = self.node([("a", -1, None, False), ("b", -1, None, False)])
        self.tree = Tree.join({"s": ["<ul>", "</ul>"], "0": {"s": ['<li id="', '">', "</li>"], **first}})

    def node(self, inserts, deletes=(), reset=(), texts=None) -> dict[str, object]:
        rows = [[insert[0], (texts or {}).get(insert[0], insert[0].upper())] for insert in inserts]
        content = (
            {"k": {str(at): {"0": row[0], "1": row[1]} for at, row in enumerate(rows)} | {"kc": len(rows)}}
            if self.is_keyed
            else {"d": rows}
        )
        return {**content, "stream": self.form(inserts, list(deletes), list(reset))}

    def change(self, inserts=(), **more) -> str:
        self.tree.merge({"0": self.node(list(inserts), **more)})
        return self.tree.html().replace("<li id=", "").replace("</li>", " ").replace('"', "")


@pytest.mark.parametrize("form", FORMS)
def test_a_stream_keeps_what_the_server_has_forgotten(form: str) -> None:
    feed = Feed(form)
    assert feed.change([("c", 0, None, False)]) == "<ul>c>C a>A b>B </ul>"
    assert feed.change([("d", -1, None, False)]) == "<ul>c>C a>A b>B d>D </ul>"
    assert feed.change([], deletes=["a"]) == "<ul>c>C b>B d>D </ul>"
    assert feed.change([("b", -1, None, False)], texts={"b": "new"}) == "<ul>c>C b>new d>D </ul>", (
        "updated in its place"
    )
    assert feed.tree.html(streams=False) == '<ul><li id="b">new</li></ul>'
    feed.tree.merge({"t": "title"})
    assert feed.tree.html(streams=False) == "<ul></ul>", "the client forgets them once they are shown"


@pytest.mark.parametrize("form", ["0.20.1", "1.0", "1.1"])
def test_a_stream_is_limited_and_reset(form: str) -> None:
    feed = Feed(form)
    assert feed.change([("c", 0, 2, False)]) == "<ul>c>C a>A </ul>"
    assert feed.change([("d", -1, -2, False)]) == "<ul>a>A d>D </ul>"
    assert feed.change([("x", -1, None, False)], reset=[True]) == "<ul>x>X </ul>"


def test_what_is_only_an_update_inserts_nothing() -> None:
    feed = Feed("1.1")
    assert feed.change([("a", -1, None, True), ("new", -1, None, True)], texts={"a": "!"}) == "<ul>a>! b>B </ul>"


def test_a_stream_with_another_ref_starts_anew_and_items_without_ids_go_by_their_order() -> None:
    tree = Tree.join({"s": ["", ""], "0": {"s": ["", ""], "d": [["x"]], "stream": ["0", [["a", -1, None]], []]}})
    assert tree.html() == "x"
    tree.merge({"0": {"s": ["", ""], "d": [["y"]], "stream": ["1", [["b", -1, None]], []]}})
    assert tree.html() == "y"


@pytest.mark.parametrize(
    ("rendered", "reason"),
    [
        (None, "a diff is not an object"),
        ([], "a diff is not an object"),
        ({}, "has no statics"),
        ({"s": "text"}, "not a list of texts"),
        ({"s": [1]}, "not a list of texts"),
        ({"s": 0}, "not in the table"),
        ({"s": [], "p": []}, "not a table"),
        ({"s": ["", ""], "0": [1]}, "a list instead of"),
        ({"s": ["", ""], "0": {"s": [""], "d": 1}}, "the d of a comprehension is not a list"),
        ({"s": ["", ""], "0": {"s": [""], "d": [1]}}, "neither list nor object"),
        ({"s": ["", ""], "0": {"s": [""], "k": 1}}, "the k of a comprehension is not an object"),
        ({"s": [""], "c": 1}, "components are not an object"),
        ({"s": [""], "c": {"x": {}}}, "no number"),
        ({"s": [""], "c": {"1": {"s": -2}}}, "component 2, which does not exist"),
        ({"s": [""], "c": {"1": {"s": 2}, "2": {"s": 1}}}, "links to itself"),
        ({"s": [""], "c": {str(at): {"s": [""]} for at in range(20_001)}}, "more than 20000"),
        ({"s": ["", ""], "0": {"s": [""], "d": [], "stream": 1}}, "a stream is not a list"),
        ({"s": ["", ""], "0": {"s": [""], "d": [], "stream": [1, 2, 3]}}, "neither list nor object"),
        ({"s": ["", ""], "0": {"s": [""], "d": [], "stream": [1, [[1, 2]], []]}}, "no id or no index"),
        ({"s": ["", ""], "0": {"s": [""], "d": [], "stream": [1, [], 3]}}, "list of ids"),
    ],
)  # fmt: skip
def test_what_is_no_tree_is_an_error(rendered: object, reason: str) -> None:
    with pytest.raises(TreeError, match=reason):
        Tree.join(rendered)


@pytest.mark.parametrize(
    ("diff", "reason"),
    [
        ("x", "a diff is not an object"),
        ({"0": {"k": 1}}, "the k of a comprehension is not an object"),
        ({"0": {"k": {}}}, "has no count"),
        ({"0": {"k": {"kc": True}}}, "has no count"),
        ({"0": {"k": {"0": 9, "kc": 1}}}, "from an index without an entry"),
        ({"0": {"k": {"0": "x", "kc": 1}}}, "from an index without an entry"),
        ({"0": {"k": {"0": [0, 1], "kc": 1}}}, "the change of a moved entry"),
        ({"1": [1]}, "a list instead of"),
    ],
)
def test_a_bad_diff_is_an_error_and_changes_nothing(diff: object, reason: str) -> None:
    tree = Tree.join({"s": ["", "", ""], "0": keyed({"0": "a"}), "1": "b"})
    with pytest.raises(TreeError, match=reason):
        tree.merge(diff)
    assert tree.html() == "<li>a</li>b"


def test_what_cannot_be_shown_is_an_error() -> None:
    within = Tree.join({"s": ["", ""], "0": 1, "c": {"1": {"s": ["", ""], "0": 1}}})
    with pytest.raises(TreeError, match="contains itself"):
        within.html()
    missing = Tree.join({"s": ["", ""], "0": keyed({"0": "a"})})
    with pytest.raises(TreeError, match="count"):
        missing.merge({"0": {"k": {"kc": 5}}})
    with pytest.raises(TreeError, match="entry 1 of a comprehension is missing"):
        missing.merge({"0": {"k": {"2": {"0": "c"}, "0": {"0": "b"}, "kc": 3}}})
    assert missing.html() == Tree.join({"s": ["", ""], "0": keyed({"0": "a"})}).html()
    bare = Tree.join({"s": ["", ""], "0": {"0": "x"}})
    with pytest.raises(TreeError, match="has no statics"):
        bare.html()
    large = Tree.join({"s": ["", ""], "0": "x" * 9_000_000})
    with pytest.raises(TreeError, match="more than"):
        large.html()


def test_nesting_is_bounded_wherever_it_is() -> None:
    deep: object = "x"
    for _ in range(400):
        deep = {"s": ["", ""], "0": deep}
    for rendered in (deep, {"s": [""], "c": {"1": deep}}):
        with pytest.raises(TreeError, match="nested"):
            Tree.join(rendered)
    tree = Tree.join({"s": ["", ""], "0": {"s": ["", ""], "0": "x"}})
    change: object = "y"
    for _ in range(400):
        change = {"0": change}
    with pytest.raises(TreeError, match="nested"):
        tree.merge(change)


def test_values_of_every_kind_are_shown_as_the_client_shows_them() -> None:
    assert Tree.join({"s": ["", ",", ",", ""], "0": None, "1": True, "2": 1.5}).html() == ",True,1.5"
    assert Tree.join({"s": []}).html() == ""


def test_only_so_many_paths_are_listed() -> None:
    tree = Tree.join({"s": [""] * 1001, **{str(at): "a" for at in range(1000)}})
    changes = tree.merge({str(at): "b" for at in range(1000)})
    assert (len(changes.paths), changes.paths_omitted) == (MAX_PATHS, 1000 - MAX_PATHS)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"),
        ("a", '"a"'),
        ("x" * 300, '"' + "x" * 199 + "…"),
        (3, "component 3"),
        (True, "true"),
        ([1], "[1]"),
        ({"s": ["<p>", "-", "</p>"], "0": "a", "1": {}}, "<p>a-…</p>"),
        ({}, "{}"),
    ],
)
def test_values_in_a_few_words(value: object, text: str) -> None:
    assert value_text(value) == text


parts = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 5) | st.text(max_size=3),
    lambda part: (
        st.lists(part, max_size=4)
        | st.dictionaries(
            st.sampled_from(["s", "0", "1", "2", "d", "k", "kc", "p", "c", "stream", "e", "t", "r", "km"]),
            part,
            max_size=6,
        )
    ),
    max_leaves=30,
)


@settings(max_examples=400)
@given(parts, st.lists(parts, max_size=4))
def test_no_input_raises_anything_but_a_tree_error(rendered: object, diffs: list[object]) -> None:
    tree = Tree.join(PAGE)
    for diff in [rendered, *diffs]:
        with contextlib.suppress(TreeError):
            tree.merge(diff)
        try:
            tree.html()
            tree.html(streams=False)
        except TreeError:
            pass
