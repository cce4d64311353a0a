"""The comment and the mark of a socket's flow: the essential first, and of this socket only."""

from collections.abc import Iterator

import pytest
from mitmproxy.test import taddons
from socket_flow import CLICK, JOIN, JOINED, TOPIC, Browser

from livegate.inspect.addon import LiveViewInspector
from livegate.logs.context import EVICTED_MESSAGES

CRASH = ["4", "4", TOPIC, "phx_error", {}]
REFUSED = ["4", "4", TOPIC, "phx_reply", {"status": "error", "response": {"reason": "stale"}}]


@pytest.fixture
def inspector() -> Iterator[LiveViewInspector]:
    made = LiveViewInspector()
    with taddons.context(made):
        yield made


def test_a_socket_speaks_for_itself_and_not_for_its_session(inspector: LiveViewInspector) -> None:
    first = Browser(inspector)
    first.session()
    first.frame(["4", "13", TOPIC, "event", {"type": "click", "event": "crash"}])
    first.frame(CRASH, up=False)
    first.close()
    second = Browser(inspector)
    second.frame(JOIN)
    second.frame(JOINED, up=False)
    second.close()
    assert first.flow.comment.startswith("💥 1006 · 2 ev · p95 3.0 ms · ")
    assert second.flow.comment == "1006 · 0 ev · /count · session 1", "without its session's crash and events"
    assert (first.flow.marked, second.flow.marked) == (":boom:", "")


def test_the_close_code_stands_at_the_front_once_it_has_closed(inspector: LiveViewInspector) -> None:
    browser = Browser(inspector)
    browser.session()
    browser.close(1001)
    assert browser.flow.comment == "1001 · 1 ev · p95 3.0 ms · /count · session 1"


def test_what_went_wrong_stands_before_all_else(inspector: LiveViewInspector) -> None:
    refused = Browser(inspector)
    for frame, up in ((JOIN, True), (REFUSED, False)):
        refused.frame(frame, up=up)
    refused.close()
    assert refused.flow.comment == "⛔ 1006 · 0 ev · refused: stale · /count · session 1"
    again = Browser(inspector)
    for frame, up in ((JOIN, True), (REFUSED, False), (JOIN, True), (REFUSED, False)):
        again.frame(frame, up=up)
    again.close()
    assert "2 joins refused" in again.flow.comment
    twice = Browser(inspector)
    twice.frame(JOIN)
    for frame, up in ((JOINED, False), (CRASH, False), (JOIN, True), (JOINED, False), (CRASH, False)):
        twice.frame(frame, up=up)
    twice.close()
    assert twice.flow.comment.startswith("💥 1006 · 0 ev · 2 crashes · ")


def test_a_mark_of_ours_gives_way_to_a_worse_one(inspector: LiveViewInspector) -> None:
    browser = Browser(inspector)
    browser.session()
    browser.flow.marked = ":question:"
    browser.frame(CRASH, up=False)
    assert browser.flow.marked == ":boom:"


def test_a_users_own_comment_stays_and_evicted_messages_are_in_the_comment(inspector: LiveViewInspector) -> None:
    mine, kept = Browser(inspector), Browser(inspector)
    mine.session()
    mine.flow.comment = "look at this"
    mine.frame(CLICK)
    mine.close()
    assert mine.flow.comment == "look at this"
    kept.flow.metadata[EVICTED_MESSAGES] = 1234
    kept.flow.comment = "1,234 earlier messages not kept"  # as the history says before anything is understood
    kept.session()
    kept.close()
    assert kept.flow.comment.startswith("1006 · 1 ev")
    assert kept.flow.comment.endswith(" · 1,234 earlier messages not kept")
