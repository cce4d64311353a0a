"""`livegate read --html` of a tab with several views: each stands in its element, at each line."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from livegate.inspect.recording_formats.reader import page_at

CLOCK = '<div id="clock" data-phx-session="" data-phx-static=""></div>'
PLAYER = '<div id="player" data-phx-session="" data-phx-static="" data-phx-sticky></div>'


def lines(*events: Any) -> Iterator[dict[str, Any]]:
    """Lines of a frame log: the opening of a socket, by its name, or a frame on the last one that was opened."""
    flow = ""
    for number, event in enumerate(events, 1):
        if isinstance(event, str):
            flow = event
            yield {"n": number, "kind": "open", "flow": flow, "url": "/live/websocket?vsn=2.0.0", "at": float(number)}
            continue
        up = event[3] not in ("phx_reply", "diff", "phx_close", "phx_error")
        yield {
            "n": number, "kind": "frame", "flow": flow, "dir": "up" if up else "down", "at": float(number),
            "data": json.dumps(event),
        }  # fmt: skip


def join(ref: str, topic: str, *statics: str, **payload: Any) -> list[Any]:
    rendered = {"s": list(statics), **{str(at): "0" for at in range(len(statics) - 1)}}
    return [
        [ref, ref, topic, "phx_join", payload],
        [ref, ref, topic, "phx_reply", {"status": "ok", "response": {"rendered": rendered}}],
    ]


def filled(element: str, content: str) -> str:
    return element.replace("></div>", f">{content}</div>")


TAB = [
    "first",
    *join("1", "lv:phx-a", f"<p>{CLOCK}{PLAYER}", "</p>", url="http://a.test/one"),
    *join("2", "lv:clock", "tick ", ""),
    *join("3", "lv:player", "song ", "", sticky=True),
    ["2", None, "lv:clock", "diff", {"0": "1"}],
    ["3", None, "lv:player", "diff", {"0": "1"}],
]


@pytest.mark.parametrize(
    ("line", "page"),
    [
        (3, f"<p>{CLOCK}{PLAYER}0</p>"),
        (4, f"<p>{CLOCK}{PLAYER}0</p>"),
        (5, f"<p>{filled(CLOCK, 'tick 0')}{PLAYER}0</p>"),
        (7, f"<p>{filled(CLOCK, 'tick 0')}{filled(PLAYER, 'song 0')}0</p>"),
        (9, f"<p>{filled(CLOCK, 'tick 1')}{filled(PLAYER, 'song 1')}0</p>"),
    ],
)
def test_each_view_stands_in_its_element_as_it_was_at_the_line(line: int, page: str) -> None:
    assert page_at(lines(*TAB), line) == page


def test_a_sticky_view_stays_over_navigation_and_a_nested_one_does_not() -> None:
    away = [
        ["2", "10", "lv:clock", "phx_leave", {}],
        ["1", "11", "lv:phx-a", "phx_leave", {}],
        *join("12", "lv:phx-a", f"<h1>{CLOCK}{PLAYER}</h1>", redirect="http://a.test/two"),
    ]
    assert page_at(lines(*TAB, *away), len(TAB) + len(away)) == f"<h1>{CLOCK}{filled(PLAYER, 'song 1')}</h1>"


def test_several_roots_are_all_shown_in_the_order_in_which_they_joined() -> None:
    dead = ["first", *join("1", "lv:one", "A", url="http://a.test/"), *join("2", "lv:two", "B", url="http://a.test/")]
    assert page_at(lines(*dead), len(dead)) == '<div id="one">A</div><div id="two">B</div>'


def test_views_that_join_again_on_another_socket_take_their_places() -> None:
    again = [
        "second",
        *join("1", "lv:phx-a", f"<p>{CLOCK}{PLAYER}", "</p>", url="http://a.test/one", params={"_mounts": 1}),
        *join("2", "lv:clock", "tock ", "", params={"_mounts": 1}),
    ]
    shown = page_at(lines(*TAB, *again), len(TAB) + len(again))
    assert shown == f"<p>{filled(CLOCK, 'tock 0')}{filled(PLAYER, 'song 1')}0</p>"
