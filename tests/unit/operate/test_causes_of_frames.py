"""Faults that take their time or a rare server, scripted as frames for the real tracker; and the cause of each."""

import json
from typing import Any

from livegate.operate.causes import Case, causes_of
from livegate.phoenix.channel import Channels
from livegate.phoenix.model import Session
from livegate.phoenix.tracker import Tracker

TOPIC = "lv:phx-1"
URL = "/live/websocket?_csrf_token=x&vsn=2.0.0"


class Script:
    """A tab and its server, with a clock of their own."""

    def __init__(self) -> None:
        self.tracker = Tracker()
        self.now = 100.0
        self.open()

    def open(self) -> Channels:
        self.channels = self.tracker.open(URL, self.now, cookie=True)
        return self.channels

    def after(self, seconds: float) -> "Script":
        self.now += seconds
        return self

    def up(self, event: str, payload: Any, ref: str, topic: str = TOPIC, join_ref: str = "4") -> None:
        self._frame([join_ref, ref, topic, event, payload], from_client=True)

    def down(self, event: str, payload: Any, ref: str | None, topic: str = TOPIC, join_ref: str = "4") -> None:
        self._frame([join_ref, ref, topic, event, payload], from_client=False)

    def _frame(self, value: Any, *, from_client: bool) -> None:
        self.channels.frame(json.dumps(value).encode(), text=True, from_client=from_client, at=self.now)

    def ask_to_join(self, ref: str = "4", **params: Any) -> None:
        payload = {"url": "http://a.test/cart", "params": {"_mounts": 0, **params}, "session": "e30"}
        self.up("phx_join", payload, ref, join_ref=ref)

    def join(self, ref: str = "4", version: str | None = None, **params: Any) -> None:
        self.ask_to_join(ref, **params)
        response = {"rendered": {"s": ["x"]}} | ({"liveview_version": version} if version else {})
        self.down("phx_reply", {"status": "ok", "response": response}, ref, join_ref=ref)

    def click(self, name: str, ref: str) -> None:
        self.up("event", {"type": "click", "event": name, "value": {}}, ref)

    def reply(self, ref: str) -> None:
        self.down("phx_reply", {"status": "ok", "response": {}}, ref)

    def beat(self, ref: str) -> None:
        self.up("heartbeat", {}, ref, topic="phoenix", join_ref="")
        self.down("phx_reply", {"status": "ok", "response": {}}, ref, topic="phoenix", join_ref="")

    def ended(self, code: int, by: str, reason: str = "") -> Case:
        self.channels.close(code, reason, by, self.now)
        return Case(service="a.test", code=code, by=by, reason=reason, session=self.session)

    @property
    def session(self) -> Session:
        (session,) = self.tracker.sessions.values()
        return session

    @property
    def slugs(self) -> list[str]:
        return [cause.slug for cause in causes_of(Case(session=self.session))]


def slugs(case: Case) -> list[str]:
    return [cause.slug for cause in causes_of(case)]


def test_a_tab_that_slept_until_the_app_closed_it() -> None:
    for code, server in ((1000, "Cowboy"), (1002, "Bandit")):
        script = Script()
        script.join()
        (cause,) = causes_of(script.after(60.0).ended(code, "backend"))
        assert cause.slug == "app-idle"
        assert server in cause.why
        assert "60 s" in cause.why


def test_the_same_codes_amid_frames_are_something_else() -> None:
    for code, slug in ((1000, "app-closed"), (1002, "frame-refused")):
        script = Script()
        script.join()
        script.after(59.0).beat("5")
        assert slugs(script.after(2.0).ended(code, "backend")) == [slug]


def test_what_a_socket_ended_of_is_still_told_when_the_next_one_is_busy() -> None:
    script = Script()
    script.join()
    case = script.after(60.0).ended(1002, "backend")
    script.after(1.0).open()
    script.join("7")
    script.after(500.0).beat("9")
    assert slugs(case) == ["app-idle"]


def test_a_join_that_takes_more_than_ten_seconds() -> None:
    script = Script()
    script.ask_to_join()
    script.after(10.0).up("phx_leave", {}, "5")
    script.down("phx_reply", {"status": "ok", "response": {}}, "5")
    script.down("phx_close", {}, "4")
    assert script.slugs == ["join-late"]


def test_a_join_that_nobody_answers_while_heartbeats_go_on() -> None:
    script = Script()
    script.ask_to_join()
    script.after(9.0).beat("5")
    assert script.slugs == []
    script.after(21.0).beat("6")
    assert script.slugs == ["join-late"]


def test_a_join_that_was_left_at_once_is_no_late_one() -> None:
    script = Script()
    script.ask_to_join()
    script.after(1.0).up("phx_leave", {}, "5")
    script.down("phx_close", {}, "4")
    script.after(60.0).beat("6")
    assert script.slugs == []


def test_an_event_that_takes_more_than_thirty_seconds_is_named() -> None:
    script = Script()
    script.join()
    script.click("report", "5")
    script.after(29.0).beat("6")
    assert script.slugs == []
    script.after(2.0).reply("5")
    (cause,) = causes_of(Case(session=script.session))
    assert cause.slug == "event-late"
    assert '"report" on /cart' in cause.why


def test_a_killed_app_and_the_events_that_it_left() -> None:
    script = Script()
    script.join()
    script.click("inc", "5")
    script.reply("5")
    script.click("save", "6")
    (cause,) = causes_of(script.ended(1006, "backend"))
    assert cause.slug == "backend-lost"
    assert 'No answer came to "save" on /cart.' in cause.why
    script.after(1.0).open()
    script.join("8")
    (cause,) = causes_of(script.after(1.0).ended(1006, "backend"))
    assert "No answer" not in cause.why  # what the socket before has left was told before


def test_three_crashes_of_one_view_are_a_loop() -> None:
    script = Script()
    for count in range(3):
        ref = str(10 * count + 4)
        script.after(1.0).join(ref)
        script.up("event", {"type": "click", "event": "boom", "value": {}}, ref + "1", join_ref=ref)
        script.down("phx_error", {"reason": "channel_crash"}, ref, join_ref=ref)
        assert script.slugs == (["crash-loop"] if count == 2 else [])
    (cause,) = causes_of(Case(session=script.session))
    assert '"boom" on /cart' in cause.why


def test_a_crash_loop_without_events_says_where_to_look() -> None:
    script = Script()
    for count in range(3):
        ref = str(count + 4)
        script.join(ref)
        script.down("phx_error", {}, ref, join_ref=ref)
    (cause,) = causes_of(Case(session=script.session))
    assert "handle_info" in cause.why


def test_versions_by_what_client_and_server_say() -> None:
    for version, modern, expected in (
        ("1.1.33", True, []),
        ("1.1.33", False, ["versions-apart"]),
        ("0.20.17", False, []),
        ("0.20.17", True, ["versions-apart"]),
        (None, True, []),
    ):
        script = Script()
        script.join(version=version, **({"_mount_attempts": 0} if modern else {}))
        assert script.slugs == expected, (version, modern)


def test_refused_joins_by_their_reason_and_by_what_the_upgrade_brought() -> None:
    for url, cookie, reason, expected in (
        (URL, True, "stale", ["stale"]),
        (URL, None, "stale", ["stale"]),
        (URL, False, "stale", ["cookie-missing"]),
        ("/live/websocket?vsn=2.0.0", True, "stale", ["csrf-missing"]),
        ("/live/websocket?vsn=2.0.0&_csrf_token=", False, "stale", ["csrf-missing"]),
        (URL, True, "unauthorized", ["unauthorized"]),
        (URL, True, "reload", ["join-reload"]),
        (URL, True, "join crashed", ["join-crashed"]),
        (URL, True, "something of the app's own", []),
    ):
        script = Script()
        script.channels = script.tracker.open(url, script.now, cookie=cookie)
        script.ask_to_join()
        script.down("phx_reply", {"status": "error", "response": {"reason": reason}}, "4")
        assert script.slugs == expected, (url, cookie, reason)


def test_a_join_that_leads_to_the_login_page_is_well() -> None:
    script = Script()
    script.ask_to_join()
    script.down("phx_reply", {"status": "error", "response": {"redirect": {"to": "/login"}}}, "4")
    assert script.slugs == []
    assert slugs(script.ended(1000, "client")) == []


def test_an_hour_of_an_ordinary_tab_is_well() -> None:
    script = Script()
    script.join(version="1.1.33", _mount_attempts=0)
    for count in range(120):
        script.after(30.0).beat(f"{2 * count + 100}")
        script.click("inc", f"{2 * count + 101}")
        script.after(0.02).reply(f"{2 * count + 101}")
    assert script.slugs == []
    for code, by in ((1001, "client"), (1006, "client"), (1000, "client"), (1005, "client")):
        assert slugs(script.ended(code, by)) == []
        script.after(1.0).open()
        script.join(str(code), version="1.1.33", _mount_attempts=0)
    assert script.slugs == []
