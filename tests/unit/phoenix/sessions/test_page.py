"""The page as the browser shows it: where views stand, what is kept of them, and for how long."""

import json
from typing import Any

import pytest

from livegate.phoenix.model import PageLoad, SessionLimits
from livegate.phoenix.rendered.tree import Tree, TreeError
from livegate.phoenix.sessions.page import MAX_NESTED, Page, current_page
from livegate.phoenix.sessions.tracker import Tracker

URL = "/live/websocket?vsn=2.0.0"


def place(id_: str) -> str:
    """An element for a view within another one, as LiveView renders it."""
    return f'<div id="{id_}" data-phx-session="token" data-phx-static=""></div>'


class Tab:
    """A browser tab and its server."""

    def __init__(self, tracker: Tracker | None = None) -> None:
        self.tracker = tracker or Tracker()
        self.channels = self.tracker.open(URL, 0.0)
        self.refs = iter(range(1, 1_000_000))

    def frame(self, *frame: Any, up: bool) -> None:
        data = json.dumps(frame).encode()
        self.channels.read_frame(data, text=True, from_client=up, at=float(next(self.refs)))

    def join(self, topic: str, *statics: str, **payload: Any) -> str:
        ref = str(next(self.refs))
        self.frame(ref, ref, topic, "phx_join", payload, up=True)
        rendered = {"s": list(statics), **{str(at): "0" for at in range(len(statics) - 1)}}
        reply = {"status": "ok", "response": {"rendered": rendered}}
        self.frame(ref, ref, topic, "phx_reply", reply, up=False)
        return ref

    def diff(self, ref: str, topic: str, diff: dict[str, Any]) -> None:
        self.frame(ref, None, topic, "diff", diff, up=False)

    @property
    def page(self) -> Page:
        assert self.channels.session is not None
        page = current_page(self.channels.session)
        assert page is not None
        return page

    @property
    def html(self) -> str:
        return self.page.html()


def test_nested_views_stand_in_their_elements() -> None:
    tab = Tab()
    tab.join("lv:phx-a", f"<p>{place('clock')}</p>", "", url="http://a.test/")
    assert tab.html == f"<p>{place('clock')}</p>0"
    clock = tab.join("lv:clock", f"<b>{place('hand')}", "</b>")
    tab.join("lv:hand", "tick")
    tab.diff(clock, "lv:clock", {"0": "1"})
    hand = place("hand").replace("></div>", ">tick</div>")
    assert tab.html == "<p>" + place("clock").replace("></div>", f"><b>{hand}1</b></div>") + "</p>0"


def test_the_page_of_an_earlier_moment_stays() -> None:
    tab = Tab()
    tab.join("lv:phx-a", place("clock"), url="http://a.test/")
    clock = tab.join("lv:clock", "<b>", "</b>")
    before = tab.page
    assert tab.channels.session is not None
    assert current_page(tab.channels.session, before) is before
    tab.diff(clock, "lv:clock", {"0": "1"})
    after = current_page(tab.channels.session, before)
    assert after is not None
    assert after.trees["lv:phx-a"] is before.trees["lv:phx-a"]
    assert ("<b>0</b>" in before.html(), "<b>1</b>" in after.html()) == (True, True)


def test_several_roots_stand_in_the_order_of_their_page() -> None:
    tracker = Tracker()
    html = "".join(f'<div id="phx-{name}" data-phx-session="t{name}"></div>' for name in "ab")
    tracker.add_page_load(html, PageLoad("/", 200, 0.0, 0.1))
    tab = Tab(tracker)
    tab.join("lv:phx-b", "B", url="http://a.test/", session="tb")
    tab.join("lv:phx-a", "A", url="http://a.test/", session="ta")
    assert tab.html == '<div id="phx-a">A</div><div id="phx-b">B</div>'


def test_the_page_before_stands_until_the_next_one_has_come_and_takes_its_children_along() -> None:
    tab = Tab()
    first = tab.join("lv:phx-a", place("clock"), place("player"), url="http://a.test/one")
    clock = tab.join("lv:clock", "tick")
    tab.join("lv:player", "song", sticky=True)
    before = tab.html
    assert "tick" in before
    tab.frame(clock, "900", "lv:clock", "phx_leave", {}, up=True)
    tab.frame(first, "901", "lv:phx-a", "phx_leave", {}, up=True)
    tab.frame("902", "902", "lv:phx-a", "phx_join", {"redirect": "http://a.test/two"}, up=True)
    assert tab.html == before
    rendered = {"s": [place("clock") + place("player")]}
    tab.frame("902", "902", "lv:phx-a", "phx_reply", {"status": "ok", "response": {"rendered": rendered}}, up=False)
    assert "tick" not in tab.html
    assert ">song</div>" in tab.html


@pytest.mark.parametrize(
    "parent",
    [
        '<p>&lt;div id="x" data-phx-session=""&gt;</p>',
        'data-phx-session="" id="x">',
        '<div data-phx-session=""></div>',
        '<div id="" data-phx-session=""></div>',
        '<div id="y" data-phx-session=""></div>',
        '<div id="x" data-phx-session="',
        '<div id="x" data-phx-session=""',
        '<div id="x" data-phx-session-of=""></div>',
        '<div id="x" title="data-phx-session="></div>',
        '<div id="y" data-phx-session="" title=\' id="x"\'></div>',
        '<div data-id="x" data-phx-session=""></div>',
        '<div id="y" id="x" data-phx-session=""></div>',
        '<p title=\'<div id="x" data-phx-session="">\'></p>',
        '<p title="<div id=x data-phx-session>"></p>',
        '<!-- <div id="x" data-phx-session=""></div> --><p></p>',
        '<!-- > <div id="x" data-phx-session="">',
        '<script>"<div id=x data-phx-session>"</script>',
        "<TEXTAREA><div id=x data-phx-session></div></textareas></Textarea >",
        '<title><div id="x" data-phx-session=""></div>',
        '</div id="x" data-phx-session="">',
        '< div id="x" data-phx-session="">',
    ],
)
def test_what_is_no_element_of_a_view_stays_as_it_is(parent: str) -> None:
    trees = {"lv:a": Tree.join({"s": [parent]}), "lv:x": Tree.join({"s": ["child"]})}
    assert Page(("lv:a",), trees).html() == parent


@pytest.mark.parametrize(
    ("id_", "tag"),
    [
        ("x", '<div data-x=\'a>b\' id="x" data-phx-session="t">'),
        ("x", "<DIV\nID = x\tDATA-x=1 data-phx-session>"),
        ("x", "<div data-phx-session='' title=' id=\"y\"' id=x>"),
        ('a"b&c', '<div id="a&quot;b&amp;c" data-phx-session="t">'),
        ("it's <b>", "<div id='it&#39;s <b>' data-phx-session=t>"),
        ("Grüße 世界", '<div id="Grüße 世界" data-phx-session="t">'),
        ("x", '<!--><div id="x" data-phx-session="">'),
        ("x", "<script>'<div id=x data-phx-session>'</script><div id=x data-phx-session>"),
        ("x", '<p>1 < 2 <<div id="x" data-phx-session="t">'),
    ],
)
def test_an_element_is_found_however_it_is_written(id_: str, tag: str) -> None:
    trees = {"lv:a": Tree.join({"s": [f"{tag}</div>"]}), f"lv:{id_}": Tree.join({"s": ["child"]})}
    assert Page(("lv:a",), trees).html() == f"{tag}child</div>"


def test_an_element_whose_view_is_not_known_is_empty() -> None:
    tab = Tab()
    tab.join("lv:phx-a", place("clock"), url="http://a.test/")
    ref = tab.join("lv:clock", "<b>", "</b>")
    tab.diff(ref, "lv:clock", {"9": {"s": 1}})
    assert tab.channels.session is not None
    assert tab.channels.session.views["lv:clock"].tree is None
    assert tab.html == place("clock")


@pytest.mark.parametrize(
    "part",
    [
        "data-phx-session= ",
        "<a data-phx-session=",
        "<a id=\"' data-phx-session",
        "<!-- data-phx-session ",
        "<script> data-phx-session",
        "<div id=x data-phx-session>",
        "<p title='<'>",
    ],
)
def test_a_text_of_any_shape_is_read_once(part: str) -> None:
    count = 2_000_000 // len(part)
    parent = part * count + " data-phx-session"
    shown = Page(("lv:a",), {"lv:a": Tree.join({"s": [parent]}), "lv:y": Tree.join({"s": ["child"]})}).html()
    assert shown == parent


def test_thousands_of_elements_have_one_view_each() -> None:
    names = [str(at) for at in range(5000)]
    trees = {f"lv:{name}": Tree.join({"s": [f"<i>{name}</i>"]}) for name in names}
    trees["lv:a"] = Tree.join({"s": ["".join(map(place, names))]})
    shown = Page(("lv:a",), trees).html()
    assert shown == "".join(place(name).replace("></div>", f"><i>{name}</i></div>") for name in names)


def test_a_root_that_stands_within_another_one_is_shown_there_only() -> None:
    trees = {"lv:a": Tree.join({"s": [place("b")]}), "lv:b": Tree.join({"s": ["B"]})}
    assert Page(("lv:a", "lv:b"), trees).html() == f'<div id="a">{place("b").replace("></div>", ">B</div>")}</div>'


def test_a_view_stands_in_one_place_only_and_nesting_is_bounded() -> None:
    twice = {"lv:a": Tree.join({"s": [place("b") * 2]}), "lv:b": Tree.join({"s": ["B" + place("a")]})}
    assert Page(("lv:a",), twice).html().count("B") == 1
    chain = {f"lv:{at}": Tree.join({"s": [f"<{at}>" + place(str(at + 1))]}) for at in range(MAX_NESTED + 5)}
    shown = Page(("lv:0",), chain).html()
    assert f"<{MAX_NESTED}>" in shown
    assert f"<{MAX_NESTED + 1}>" not in shown


def test_a_page_that_is_too_large_with_its_views_is_an_error() -> None:
    names = [str(at) for at in range(3)]
    trees = {f"lv:{name}": Tree.join({"s": ["x" * 3_000_000]}) for name in names}
    trees["lv:a"] = Tree.join({"s": ["".join(map(place, names))]})
    with pytest.raises(TreeError, match="more than"):
        Page(("lv:a",), trees).html()


def test_a_session_of_many_diffs_keeps_its_page() -> None:
    tab = Tab()
    ref = tab.join("lv:phx-a", "<p>", "</p>", url="http://a.test/")
    for number in range(16_572):
        tab.diff(ref, "lv:phx-a", {"0": f"{number:01024}"})
    assert tab.html == f"<p>{16_571:01024}</p>"
    assert 1024 < tab.tracker.tree_bytes < 8192


def test_what_pages_hold_is_counted_as_it_comes_and_goes() -> None:
    tab = Tab()
    ref = tab.join("lv:phx-a", "<p>", "</p>", url="http://a.test/")
    for number in range(100):
        tab.diff(ref, "lv:phx-a", {"0": {"s": ["a", "b"], "0": f"{number:0100000}"}})
    assert 100_000 < tab.tracker.tree_bytes < 430_000
    tab.diff(ref, "lv:phx-a", {"0": ""})
    for _ in range(30):
        tab.diff(ref, "lv:phx-a", {"0": "x" * 1000})
    assert tab.tracker.tree_bytes < 4096
    keyed = {"s": ["<i>", "</i>"], "k": {str(at): {"0": "y" * 100} for at in range(1000)} | {"kc": 1000}}
    for _ in range(20):
        tab.diff(ref, "lv:phx-a", {"0": keyed})
    assert 100_000 < tab.tracker.tree_bytes < 680_000
    tab.diff(ref, "lv:phx-a", {"1": "small"})
    assert 100_000 < tab.tracker.tree_bytes < 170_000


def test_pages_of_the_longest_idle_sessions_are_evicted_with_a_reason() -> None:
    tracker = Tracker(SessionLimits(tree_bytes=10_500))
    tabs = [Tab(tracker) for _ in range(4)]
    refs = [tab.join(f"lv:phx-{number}", "<p>", "</p>", url="http://a.test/") for number, tab in enumerate(tabs)]
    for number in (1, 0, 2, 3):
        tabs[number].diff(refs[number], f"lv:phx-{number}", {"0": "x" * 3000})
    views = [tab.channels.session.views[f"lv:phx-{at}"] for at, tab in enumerate(tabs) if tab.channels.session]
    assert [view.tree is not None for view in views] == [True, False, True, True]
    assert views[1].tree_problem is not None
    assert "idle longest" in views[1].tree_problem
    tabs[3].diff(refs[3], "lv:phx-3", {"0": "x" * 20_000})
    assert [view.tree for view in views] == [None] * 4
    assert views[3].tree_problem == "it exceeds 10.3 KiB alone"
    assert tracker.tree_bytes == 0


def test_views_that_are_dropped_or_navigated_away_from_are_counted_off() -> None:
    tracker = Tracker(SessionLimits(views=3))
    tab = Tab(tracker)
    tab.join("lv:phx-a", "a" * 1000, url="http://a.test/")
    for number in range(10):
        tab.join(f"lv:n{number}", "b" * 1000)
    assert 3000 < tracker.tree_bytes < 3300
    for number in range(10):
        tab.join("lv:phx-a", "c" * 1000, redirect=f"http://a.test/{number}")
    assert 3000 < tracker.tree_bytes < 3300
