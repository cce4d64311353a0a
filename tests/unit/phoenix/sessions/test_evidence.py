"""Whose a socket is: one tab of one browser at one host, by what only one page load can know."""

import json
from typing import Any

import pytest

from livegate.phoenix.model import PageLoad, Session, SessionLimits
from livegate.phoenix.sessions.evidence import EvidenceIndex
from livegate.phoenix.sessions.frame_info import FrameInfo
from livegate.phoenix.sessions.socket import SocketTracker
from livegate.phoenix.sessions.tracker import Tracker

RENDERED = {"s": ["<p>", "</p>"], "0": "0"}


def page(
    tracker: Tracker, *views: tuple[str, str], csrf: str = "", host: str = "a.test", path: str = "/s1", at: float = 1.0
) -> PageLoad:
    meta = f'<meta content="{csrf}" name="csrf-token"/>' if csrf else ""
    markup = "".join(f'<div id="{id_}" data-phx-session="{token}"></div>' for id_, token in views)
    load = PageLoad(path, 200, at, 0.01, host=host)
    assert tracker.add_page_load(meta + markup, load) is bool(views)
    return load


class Socket:
    """A socket of a browser and what is said on it."""

    def __init__(self, tracker: Tracker, csrf: str = "", host: str = "a.test", path: str = "/live/websocket") -> None:
        query = f"_csrf_token={csrf}&vsn=2.0.0" if csrf else "vsn=2.0.0"
        self.channels: SocketTracker = tracker.open(f"{path}?{query}", 10.0, host=host)
        self.ref = 0

    def send(self, topic: str, event: str, payload: Any, join_ref: str | None = None, *, up: bool = True) -> FrameInfo:
        self.ref += 1
        frame = [join_ref or str(self.ref), str(self.ref), topic, event, payload]
        return self.channels.read_frame(json.dumps(frame).encode(), text=True, from_client=up, at=10.0 + self.ref)

    def join(self, topic: str, token: str = "", *, mounts: int | None = None, how: str = "url") -> Session:
        params = {} if mounts is None else {"_mounts": mounts}
        payload = {how: "http://a.test/s1", "params": params, "session": token}
        self.send(topic, "phx_join", payload)
        ref = str(self.ref)
        frame = [ref, ref, topic, "phx_reply", {"status": "ok", "response": {"rendered": RENDERED}}]
        self.channels.read_frame(json.dumps(frame).encode(), text=True, from_client=False, at=10.0 + self.ref)
        assert self.channels.session is not None
        return self.channels.session

    def close(self, code: int = 1006) -> None:
        self.channels.close(code, "", "server", 50.0)


def test_a_sticky_child_that_joins_first_is_of_the_tab_whose_page_has_its_token() -> None:
    tracker = Tracker()
    for user in "AB":
        page(tracker, (f"phx-{user}", f"SFMyNTY.root{user}"), ("player", f"SFMyNTY.sticky{user}"))
    sockets = {user: Socket(tracker) for user in "AB"}
    sessions = {user: sockets[user].join(f"lv:phx-{user}", f"SFMyNTY.root{user}") for user in "AB"}
    for user in "AB":
        sockets[user].join("lv:player", f"SFMyNTY.sticky{user}")
        sockets[user].close()
        again = Socket(tracker)
        assert again.join("lv:player", f"SFMyNTY.sticky{user}", mounts=1) is sessions[user]
        assert again.join(f"lv:phx-{user}", f"SFMyNTY.root{user}", mounts=1) is sessions[user]
    assert len(tracker.sessions) == 2
    assert [len(session.sockets) for session in sessions.values()] == [2, 2]


def test_a_child_that_no_page_has_shown_is_of_the_tab_whose_csrf_token_the_socket_has() -> None:
    tracker = Tracker()
    load = page(tracker, ("phx-A", "SFMyNTY.root"), csrf="csrfA")
    session = Socket(tracker, "csrfA").join("lv:player", "SFMyNTY.later")
    assert (session.number, session.page_load) == (load.number, load)


def test_the_same_names_at_two_hosts_are_two_sessions() -> None:
    tracker = Tracker()
    first = Socket(tracker, "same", host="a.test").join("lv:phx-1", "SFMyNTY.same")
    second = Socket(tracker, "same", host="b.test").join("lv:phx-1", "SFMyNTY.same")
    assert first is not second
    assert (first.host, second.host) == ("a.test", "b.test")


def test_a_page_that_comes_twice_from_a_cache_is_two_tabs() -> None:
    """Its ids and tokens are the same in both; what the second then shows proves nothing any more."""
    tracker = Tracker()
    page(tracker, ("phx-1", "SFMyNTY.t"), csrf="c")
    first, second = Socket(tracker, "c"), Socket(tracker, "c")
    one, other = first.join("lv:phx-1", "SFMyNTY.t", mounts=0), second.join("lv:phx-1", "SFMyNTY.t", mounts=0)
    assert one is not other
    second.close()
    third = Socket(tracker, "c").join("lv:phx-1", "SFMyNTY.t", mounts=1)
    assert third not in (one, other), "which of the two it is cannot be known"


@pytest.mark.parametrize(
    ("mounts", "how", "closed"), [(1, "url", False), (0, "url", True), (0, "redirect", False), (None, "url", False)]
)
def test_a_second_socket_of_one_tab_is_no_other_tab(*, mounts: int | None, how: str, closed: bool) -> None:
    tracker = Tracker()
    first = Socket(tracker)
    session = first.join("lv:phx-1", mounts=0)
    if closed:
        first.close()
    assert Socket(tracker).join("lv:phx-1", mounts=mounts, how=how) is session


def test_a_csrf_token_that_two_pages_have_joins_nothing() -> None:
    """As with frameworks that keep one token for a user's session."""
    tracker = Tracker()
    for number in range(2):
        page(tracker, (f"cart-{number}", "unsigned"), csrf="shared")
    assert tracker.number_by_csrf("/live/websocket?_csrf_token=shared&vsn=2.0.0", "a.test") is None
    sessions = [Socket(tracker, "shared").join(f"lv:cart-{number}", "unsigned") for number in range(2)]
    assert sessions[0] is not sessions[1]


def test_a_random_topic_is_not_of_a_tab_that_has_shown_another() -> None:
    tracker = Tracker()
    first = Socket(tracker, "shared").join("lv:phx-1")
    second = Socket(tracker, "shared").join("lv:phx-2")
    assert first is not second


def test_two_root_views_of_a_page_are_one_session() -> None:
    tracker = Tracker()
    page(tracker, ("phx-1", "SFMyNTY.a"), ("phx-2", "SFMyNTY.b"), csrf="c")
    socket = Socket(tracker, "c")
    session = socket.join("lv:phx-2", "SFMyNTY.b")
    assert socket.join("lv:phx-1", "SFMyNTY.a") is session
    assert Socket(tracker, "c").join("lv:phx-1", "SFMyNTY.a", mounts=1) is session


def test_a_socket_with_channels_only_is_a_session_of_its_own() -> None:
    tracker = Tracker()
    page(tracker, ("phx-1", "SFMyNTY.a"), csrf="c")
    tab = Socket(tracker, "c").join("lv:phx-1", "SFMyNTY.a")
    lobbies = [
        Socket(tracker, csrf, host=host, path="/socket/websocket").join("room:lobby")
        for csrf, host in (("c", "a.test"), ("c", "a.test"), ("", "b.test"))
    ]
    assert len({id(session) for session in (tab, *lobbies)}) == 4
    assert {session.kind for session in lobbies} == {"channels"}
    assert tab.kind == "tab"
    assert (lobbies[0].label, lobbies[0].main, lobbies[0].id) == ("room:lobby", None, "room:lobby")


def test_a_plain_channel_before_the_first_view_goes_to_the_tab_with_it() -> None:
    tracker = Tracker()
    merged: list[tuple[int, int]] = []
    tracker.on_merged.append(lambda guessed, found: merged.append((guessed.number, found.number)))
    page(tracker, ("phx-1", "SFMyNTY.a"), csrf="c")
    socket = Socket(tracker, "c")
    guess = socket.join("room:lobby")
    assert guess.kind == "channels"
    session = socket.join("lv:phx-1", "SFMyNTY.a")
    assert list(tracker.sessions.values()) == [session]
    assert merged == [(guess.number, session.number)]
    assert set(session.views) == {"room:lobby", "lv:phx-1"}
    assert len(session.sockets) == 1
    assert not guess.is_stored


def test_views_of_a_tab_that_is_not_known_yet_stay_together() -> None:
    tracker = Tracker()
    socket = Socket(tracker)
    first = socket.join("lv:menu", "unsigned")
    assert socket.join("lv:player", "unsigned") is first
    root = socket.join("lv:phx-1", "SFMyNTY.a")
    assert set(root.views) == {"lv:menu", "lv:player", "lv:phx-1"}
    assert list(tracker.sessions.values()) == [root]


def test_the_end_of_an_upload_is_of_the_tab_whose_csrf_token_the_socket_has() -> None:
    tracker = Tracker()
    page(tracker, ("phx-1", "SFMyNTY.a"), csrf="c")
    first = Socket(tracker, "c")
    session = first.join("lv:phx-1", "SFMyNTY.a")
    first.close()
    again = Socket(tracker, "c")
    assert again.send("lvu:0", "phx_leave", {}, "9").session is session
    assert again.join("lv:phx-1", "SFMyNTY.a", mounts=1) is session
    assert (len(tracker.sessions), len(session.sockets)) == (1, 2)
    nobody = Socket(tracker)
    assert nobody.send("lvu:0", "phx_leave", {}, "9").session is None


def test_a_random_topic_is_better_evidence_than_the_csrf_token_of_the_socket() -> None:
    """A socket that was opened for one tab and then carries another's view, as no client does, is the view's."""
    tracker = Tracker()
    loads = [page(tracker, (f"phx-{tab}", f"SFMyNTY.{tab}"), csrf=f"csrf{tab}") for tab in "AB"]
    first = Socket(tracker, "csrfA")
    first.send("lvu:0", "phx_leave", {}, "9")
    assert first.join("lv:phx-B", "SFMyNTY.B").number == loads[1].number
    assert [len(session.sockets) for session in tracker.sessions.values()] == [1]


def test_a_wrong_guess_leaves_a_tab_that_has_other_sockets_as_it_was() -> None:
    tracker = Tracker()
    loads = [page(tracker, (f"phx-{tab}", f"SFMyNTY.{tab}"), csrf=f"csrf{tab}") for tab in "AB"]
    right = Socket(tracker, "csrfA").join("lv:phx-A", "SFMyNTY.A")
    wrong = Socket(tracker, "csrfA")
    wrong.send("lvu:0", "phx_leave", {}, "9")
    assert wrong.join("lv:phx-B", "SFMyNTY.B").number == loads[1].number
    assert right in tracker.sessions.values()
    assert [len(session.sockets) for session in tracker.sessions.values()] == [1, 1]


def test_a_session_without_a_seen_join_begins_with_its_first_frame() -> None:
    tracker = Tracker()
    socket = Socket(tracker)
    info = socket.send("lv:phx-1", "event", {"type": "click", "event": "inc"}, "4")
    assert info.session is not None
    assert (info.session.kind, info.view is not None and info.view.state) == ("tab", "up")


def test_what_a_forgotten_session_has_shown_is_free_again() -> None:
    tracker = Tracker(SessionLimits(sessions=1))
    first = Socket(tracker).join("lv:phx-1", "SFMyNTY.a")
    Socket(tracker).join("lv:phx-2", "SFMyNTY.b")
    assert not first.is_stored
    again = Socket(tracker).join("lv:phx-1", "SFMyNTY.a")
    assert Socket(tracker).join("lv:phx-1", "SFMyNTY.a", mounts=1) is again


def test_evidence_is_bounded_and_cannot_be_read_back() -> None:
    known = {1, 2, 3}
    identities = EvidenceIndex(2, known.__contains__)
    keys = [identities.key("H.test", "token", text) for text in ("secret", "b", "c")]
    assert keys[0] == identities.key("h.TEST", "token", "secret")
    assert keys[0] != identities.key("h.test", "csrf", "secret")
    assert b"secret" not in keys[0]
    assert EvidenceIndex(2, known.__contains__).key("h.test", "token", "secret") != keys[0]
    for number, key in enumerate(keys, 1):
        identities.claim(number, [key])
    assert [identities.owner(key) for key in keys] == [None, 2, 3]
    known.discard(2)
    assert identities.owner(keys[1]) is None
    identities.claim(3, [keys[1]])
    assert identities.owner(keys[1]) == 3


@pytest.mark.parametrize("csrf", ["", "another"])
def test_who_has_only_seen_a_topic_or_a_token_of_a_tab_is_not_in_its_session(csrf: str) -> None:
    tracker = Tracker()
    page(tracker, ("phx-1", "SFMyNTY.a"), ("player", "SFMyNTY.p"), csrf="c")
    first = Socket(tracker, "c")
    session = first.join("lv:phx-1", "SFMyNTY.a", mounts=0)
    for topic, token, mounts in (("lv:phx-1", "", 1), ("lv:phx-1", "", 0), ("lv:player", "SFMyNTY.p", 1)):
        assert Socket(tracker, csrf).join(topic, token, mounts=mounts) is not session
    first.close()
    assert Socket(tracker, "c").join("lv:phx-1", "SFMyNTY.a", mounts=1) is session, "nor can they keep it from its own"


def test_a_page_that_shows_the_ids_of_another_does_not_take_its_tab() -> None:
    tracker = Tracker()
    page(tracker, ("phx-1", "SFMyNTY.a"), csrf="c")
    first = Socket(tracker, "c")
    session = first.join("lv:phx-1", "SFMyNTY.a", mounts=0)
    page(tracker, ("phx-1", "SFMyNTY.a"), csrf="other")
    first.close()
    assert Socket(tracker, "c").join("lv:phx-1", "SFMyNTY.a", mounts=1) is session


def test_a_sticky_view_is_not_the_page_though_old_clients_give_its_url() -> None:
    tracker = Tracker()
    socket = Socket(tracker)
    session = socket.join("lv:phx-1")
    socket.join("lv:player")
    assert [view.label for view in session.views.values()] == ["/s1", "lv:player"]
