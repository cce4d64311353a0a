"""Incidents found in frames: what each says, when it heals, and that memory has a bound."""

import json
from typing import Any

import pytest

from livegate.phoenix.incidents.log import MAX_INCIDENTS
from livegate.phoenix.model import MAX_EVENTS_NAMED, Incident, PageLoad, Session
from livegate.phoenix.sessions.socket import SocketTracker
from livegate.phoenix.sessions.tracker import Tracker

TOPIC = "lv:phx-1"
URL = "/live/websocket?vsn=2.0.0&_csrf_token=abc"
OK = {"rendered": {"s": ["x"]}}


class Tab:
    """A tab and its app; `now` is their clock."""

    def __init__(self, tracker: Tracker | None = None) -> None:
        self.tracker = tracker or Tracker()
        self.now = 1000.0
        self.ref = 3
        self.channels = self.open()

    def open(self, id_: str = "flow-1") -> SocketTracker:
        self.channels = self.tracker.open(URL, self.now, id_=id_, cookie=True)
        return self.channels

    def send(self, *frame: Any, up: bool) -> None:
        self.channels.read_frame(json.dumps(frame).encode(), text=True, from_client=up, at=self.now)

    def ask(self, topic: str = TOPIC, **payload: Any) -> str:
        self.ref += 1
        given = {"params": {"_mounts": 0}, **({"url": "http://h/cart"} if topic == TOPIC else {}), **payload}
        self.send(str(self.ref), str(self.ref), topic, "phx_join", given, up=True)
        return str(self.ref)

    def join(self, topic: str = TOPIC) -> str:
        ref = self.ask(topic)
        self.reply(ref, "ok", OK, topic)
        return ref

    def reply(self, ref: str, status: str, response: Any, topic: str = TOPIC) -> None:
        self.send(ref, ref, topic, "phx_reply", {"status": status, "response": response}, up=False)

    def click(self, join_ref: str, name: str, topic: str = TOPIC) -> None:
        self.ref += 1
        self.send(join_ref, str(self.ref), topic, "event", {"type": "click", "event": name, "value": {}}, up=True)

    def crash(self, join_ref: str, topic: str = TOPIC) -> None:
        self.send(join_ref, join_ref, topic, "phx_error", {"reason": "channel_crash"}, up=False)

    @property
    def session(self) -> Session:
        assert self.channels.session is not None
        return self.channels.session

    @property
    def only(self) -> Incident:
        (incident,) = self.session.incidents
        return incident


def test_a_crash_names_its_view_the_lost_events_and_how_long_the_user_waited() -> None:
    tab = Tab()
    ref = tab.join()
    tab.session.views[TOPIC].module = "DemoWeb.CartLive"
    tab.click(ref, "save")
    tab.crash(ref)
    incident = tab.only
    assert (incident.slug, incident.at, incident.session, incident.socket) == (
        "view-crashed",
        1000.0,
        tab.session.number,
        "flow-1",
    )
    assert (incident.view, incident.module, incident.path, incident.topic) == (
        "CartLive",
        "DemoWeb.CartLive",
        "/cart",
        TOPIC,
    )
    assert (incident.events, incident.parent, incident.healed, incident.cost_s) == (("save",), "", "", None)
    assert incident.why == (
        'The process of CartLive ended abnormally (`phx_error`). State kept only in assigns is lost. There was no reply to "save".'
    )
    assert incident.text == f"LiveView crashed · CartLive: {incident.why}"
    tab.now += 1.25
    tab.join()
    assert (incident.healed, incident.healed_at, incident.cost_s) == ("rejoined", 1001.25, 1.25)
    assert len(tab.session.incidents) == 1


def test_a_crash_without_pending_events_states_that_none_was_pending() -> None:
    tab = Tab()
    tab.crash(tab.join())
    assert tab.only.why.endswith("No event was pending.")


def test_a_nested_view_is_reported_with_its_parent_and_healed_by_its_own_rejoin() -> None:
    tab = Tab()
    tab.join()
    ref = tab.join("lv:clock")
    tab.click(ref, "tick", "lv:clock")
    tab.crash(ref, "lv:clock")
    incident = tab.only
    assert (incident.view, incident.parent, incident.events) == ("lv:clock", "/cart", ("tick",))
    assert "The process of lv:clock, a nested LiveView of /cart, ended abnormally" in incident.why
    tab.join("lv:other")
    assert incident.healed == "", "another view's join is not its own"
    tab.join("lv:clock")
    assert incident.healed == "rejoined"


def test_a_plain_channel_is_reported_with_the_reason_that_it_gave() -> None:
    tab = Tab()
    tab.channels = tab.tracker.open("/socket/websocket?vsn=2.0.0", tab.now)
    ref = tab.ask("room:a")
    tab.reply(ref, "error", {"reason": "unauthorized"}, "room:a")
    assert (tab.only.slug, tab.only.why) == (
        "channel-refused",
        "The channel `room:a` refused the join: `unauthorized`.",
    )
    tab.reply(tab.ask("room:a"), "ok", {}, "room:a")
    assert tab.only.healed == "rejoined"
    tab.crash(str(tab.ref), "room:a")
    incident = tab.session.incidents[-1]
    assert (incident.slug, incident.events) == ("channel-crashed", ())
    assert "LiveView" not in incident.why + incident.todo + incident.title


def test_a_join_that_is_refused_again_and_again_is_one_incident_that_counts() -> None:
    tab = Tab()
    changed: list[Incident] = []
    tab.tracker.incidents.on_changed.append(lambda incident, _: changed.append(incident))
    for count in range(3):
        tab.reply(tab.ask("lv:child"), "error", {"reason": "join crashed"}, "lv:child")
        assert tab.only.times == count + 1
    tab.join("lv:child")
    assert (tab.only.healed, len(changed)) == ("rejoined", 3)
    tab.reply(tab.ask("lv:child"), "error", {"reason": "join crashed"}, "lv:child")
    assert len(tab.session.incidents) == 2, "after it had healed it is another one"


@pytest.mark.parametrize(
    ("reason", "quoted"),
    [
        ({"reason": "reload", "status": 404}, "HTTP status 404"),
        ({"reason": "reload"}, "an HTTP status"),
        ({}, "no reason was given"),
        ({"reason": "od`d"}, "`od'd`"),
    ],
)
def test_a_refusal_quotes_the_reason_of_the_app_and_nothing_else(reason: dict[str, Any], quoted: str) -> None:
    tab = Tab()
    tab.reply(tab.ask(), "error", reason)
    assert quoted in tab.only.why


def test_unauthorized_speaks_of_a_navigation_only_after_one() -> None:
    tab = Tab()
    tab.reply(tab.ask(), "error", {"reason": "unauthorized"})
    assert "navigat" not in tab.only.why
    tab = Tab()
    tab.join()
    tab.reply(tab.ask(redirect="http://h/admin", url=None), "error", {"reason": "unauthorized"})
    assert (
        tab.only.why
        == "LiveView refused a live navigation as `unauthorized`, as it does for one into another `live_session`."
    )


def test_a_page_that_is_loaded_again_heals_what_refused_the_one_before() -> None:
    tab = Tab()
    tab.reply(tab.ask(), "error", {"reason": "stale"})
    incident, before = tab.only, tab.session
    tab.channels.close(1001, "", "client", tab.now)
    tab.now += 5
    load = PageLoad("/cart", 200, tab.now, 0.1)
    load.earlier_sessions = (before,)
    tab.open("flow-2")
    tab.ask("lv:phx-2", url="http://h/cart")
    tab.session.page_load = load
    tab.reply(str(tab.ref), "ok", OK, "lv:phx-2")
    assert (incident.healed, incident.cost_s) == ("page reloaded", 5.0)
    assert load.earlier_sessions == ()


def test_another_tab_that_loads_the_page_heals_nothing() -> None:
    tab = Tab()
    ref = tab.join()
    tab.crash(ref)
    incident, before = tab.only, tab.session
    load = PageLoad("/cart", 200, tab.now, 0.1)
    load.earlier_sessions = (before,)
    tab.open("flow-2")
    tab.ask("lv:phx-2", url="http://h/cart")
    tab.session.page_load = load
    tab.reply(str(tab.ref), "ok", OK, "lv:phx-2")
    assert incident.healed == ""


def test_what_comes_much_later_is_no_recovery() -> None:
    tab = Tab()
    tab.crash(tab.join())
    tab.now += 3600
    tab.join()
    assert (tab.only.healed, tab.only.cost_s) == ("", None)


def test_a_socket_that_was_lost_heals_when_the_next_one_joins() -> None:
    tab = Tab()
    tab.join()
    lost = Incident("backend-lost", "t", "w", "d", tab.now, kind="closed", socket="flow-1")
    tab.tracker.incidents.report(lost, tab.session)
    tab.channels.close(1006, "", "backend", tab.now)
    tab.now += 2
    tab.open("flow-2")
    tab.join()
    assert (lost.healed, lost.cost_s) == ("reconnected", 2.0)


def test_a_socket_that_was_open_before_another_was_lost_does_not_heal_that() -> None:
    tab = Tab()
    tab.join()
    tab.now += 5
    lost = Incident("backend-lost", "t", "w", "d", tab.now, kind="closed", socket="flow-2")
    tab.tracker.incidents.report(lost, tab.session)
    tab.join("lv:child")
    assert lost.healed == ""


def test_of_many_lost_events_some_are_named_and_the_rest_counted() -> None:
    tab = Tab()
    ref = tab.join()
    for count in range(MAX_EVENTS_NAMED + 5):
        tab.click(ref, f"e{count}")
    tab.crash(ref)
    assert (len(tab.only.events), tab.only.more_events) == (MAX_EVENTS_NAMED, 5)
    assert '"e14", "e13", "e12" and 12 more.' in tab.only.why


def test_a_session_keeps_its_last_incidents() -> None:
    tab = Tab()
    for _ in range(MAX_INCIDENTS + 7):
        tab.crash(tab.join())
        tab.now += 61
    assert (len(tab.session.incidents), tab.session.incidents_dropped) == (MAX_INCIDENTS, 7)


def test_a_crash_of_an_earlier_join_is_dropped_as_the_client_does() -> None:
    tab = Tab()
    ref = tab.join()
    tab.join()
    tab.crash(ref)
    assert not tab.session.incidents


def test_an_event_with_a_late_reply_is_reported_once() -> None:
    tab = Tab()
    ref = tab.join()
    tab.click(ref, "report")
    for _ in range(3):
        tab.now += 30
        tab.ref += 1
        tab.send(None, str(tab.ref), "phoenix", "heartbeat", {}, up=True)
    tab.channels.close(1001, "", "client", tab.now)
    assert (tab.only.slug, tab.only.events, tab.only.at) == ("event-late", ("report",), 1030.0)
    assert '"report" got no reply for 30 s' in tab.only.why


def test_posts_without_an_origin_are_not_put_down_to_check_origin() -> None:
    tab = Tab()
    tab.ask()
    tab.channels.detector.posts_refused(tab.session, "", tab.now)
    assert "It is not Phoenix's `check_origin`" in tab.only.todo
    assert "check_origin" not in tab.only.why


def test_a_session_that_is_found_to_be_part_of_another_brings_its_incidents() -> None:
    tab = Tab()
    ref = tab.ask("room:a")
    tab.reply(ref, "error", {"reason": "no"}, "room:a")
    guessed = tab.session
    tab.join()
    assert tab.session is not guessed
    assert tab.only.session == tab.session.number


def test_a_page_load_heals_only_what_it_can_have_been_made_for() -> None:
    tab = Tab()
    ref = tab.join()
    tab.crash(ref)
    tab.now += 300
    tab.click(ref, "report")
    tab.reply(tab.ask("lv:child"), "error", {"reason": "odd"}, "lv:child")
    long_ago, just_now = tab.session.incidents
    before = tab.session
    tab.channels.close(1001, "", "client", tab.now)
    load = PageLoad("/cart", 200, tab.now + 1, 0.1)
    load.earlier_sessions = (before,)
    tab.now += 2
    tab.open("flow-2")
    tab.ask("lv:phx-2", url="http://h/cart")
    tab.session.page_load = load
    tab.reply(str(tab.ref), "ok", OK, "lv:phx-2")
    assert (long_ago.healed, just_now.healed) == ("", "page reloaded")


def left_after(seconds: float) -> list[str]:
    tab = Tab()
    ref = tab.ask()
    tab.now += seconds
    tab.ref += 1
    tab.send(ref, str(tab.ref), TOPIC, "phx_leave", {}, up=True)
    return [incident.slug for incident in tab.session.incidents]


def test_a_client_that_gives_a_join_up_does_so_a_little_before_ten_seconds_as_seen_here() -> None:
    assert left_after(9.98) == ["join-late"]
    assert left_after(9.0) == [], "it was left for another reason"
    tab = Tab()
    ref = tab.ask()
    tab.now += 9.8
    tab.reply(ref, "ok", OK)
    assert list(tab.session.incidents) == []


def test_a_view_that_is_left_after_its_join_was_refused_stays_refused() -> None:
    tab = Tab()
    ref = tab.ask()
    tab.reply(ref, "error", {"reason": "stale"})
    tab.ref += 1
    tab.send(ref, str(tab.ref), TOPIC, "phx_leave", {}, up=True)
    tab.send(ref, ref, TOPIC, "phx_close", {}, up=False)
    assert tab.session.state == "refused"
