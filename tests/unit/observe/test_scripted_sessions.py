"""Sessions without anything wrong give no incident at all; sessions with one thing wrong give exactly that one."""

from pathlib import Path
from typing import Any

import pytest
from scripted import Script

OPEN = "page /cart\nsocket\njoin\n"

GOOD = {
    "a tab that is closed with 1001": OPEN + "event inc; close 1001 client",
    "a tab that is closed with 1000": OPEN + "event inc; close 1000 client",
    "a tab that is closed without a code": OPEN + "event inc; close 1005 client",
    "a browser that is killed": OPEN + "event inc; close 1006 client",
    "a tab that is closed while an event is under way": OPEN + "click save; close 1001 client",
    "a tab that is closed while it joins": "page /cart; socket; ask; close 1001 client",
    "a tab that is closed before it joins": "page /cart; socket; close 1001 client",
    "a tab that is closed while its upgrade is under way": (
        "page /cart; give-up /live/websocket?vsn=2.0.0 0.3 upgrade"
    ),
    "an hour of an ordinary tab": OPEN + "live 3600; event inc; close 1001 client",
    "a login: the join leads to it": (
        'page /cart; socket; ask; reply error {"redirect":{"to":"/login"}}; close 1001 client\n'
        "http GET /login 200; http POST /login 302; page /cart; socket; join; event inc; close 1001 client"
    ),
    "a live redirect in mount": (
        'page /cart; socket; ask; reply error {"live_redirect":{"to":"/menu","kind":"push"}}\n'
        'ask page redirect=/menu; reply ok {"rendered":{"s":["x"]}}; close 1001 client'
    ),
    "a nested view that leads its page elsewhere": (
        OPEN + 'ask lv:child; reply error {"reason":"parent_redirect"}; close 1001 client'
    ),
    "a logout before Phoenix 1.8.8": OPEN + "event inc; http DELETE /logout 302; close 1000 backend",
    "a logout since": OPEN + "event inc; http DELETE /logout 302; close 1001 backend; socket; join; close 1001 client",
    "a laptop that sleeps, with Bandit": (
        OPEN + "live 90; wait 61; close 1002 backend; wait 7200; socket; join; live 60; close 1001 client"
    ),
    "a laptop that sleeps, with Cowboy": (
        OPEN + "live 90; wait 61; close 1000 backend; wait 7200; page /cart; socket; join; close 1001 client"
    ),
    "a laptop that falls asleep at once": OPEN + "wait 60; close 1002 backend; wait 900; socket; join; live 60",
    "a laptop that sleeps while an event is under way": OPEN
    + "live 30; click save; reply; wait 61; close 1002 backend",
    "a laptop that sleeps until the gateway ends its socket": OPEN + "live 60; wait 90; close 1006 gateway idle",
    "a laptop that sleeps while the gateway pings": OPEN + "live 60; wait 21; close 1006 gateway no pong",
    "a laptop that slept before it read its heartbeat's answer": (
        OPEN + "live 60; wait 30; close 1000 client heartbeat timeout; socket; join; live 60; close 1001 client"
    ),
    "a long-poll tab that is closed while it joins": "page /cart; poll-open; ask; poll-given-up; wait 16; wait 5",
    "a long-poll tab that is closed with an event under way": (
        "page /cart; poll-open; join; click save; poll-given-up; wait 16; wait 15"
    ),
    "a laptop that loses its network with an event under way": OPEN + "click save; wait 120; close 1006 client",
    "a laptop that wakes on another network": OPEN + "live 60; wait 600; close 1006 client; socket; join; event inc",
    "a network that is gone for a moment": OPEN
    + "event inc; close 1006 client; wait 3; socket; join; close 1001 client",
    "live navigation there and back": OPEN
    + "navigate /menu; event inc; navigate /cart; patch /cart?page=2; close 1001 client",
    "an old view's crash that the client drops": OPEN + "navigate /menu; crash page 4; event inc; close 1001 client",
    "two uploads": OPEN + "upload 0; upload 1; event save; close 1001 client",
    "a nested view that comes and goes": OPEN + "join lv:child; diff lv:child; leave lv:child; close 1001 client",
    "a view that the server ends": OPEN + "join lv:child; ended lv:child; event inc; close 1001 client",
    "a channel with chat and presence": (
        'socket; join room:lobby; push room:lobby shout; push room:lobby shout; said room:lobby presence_state {"a":{"metas":[]}}\n'
        "live 60; leave room:lobby; close 1000 client"
    ),
    "a channel whose pushes want no answer, for hours": "socket; join room:a; push room:a shout; live 600; close 1001 client",
    "an app that closes with a code of its own": OPEN + "close 4001 backend logged out",
    "a page that asks for long-poll only": "page /cart; poll-open; join; event inc; poll; wait 9; poll; event dec",
    "a long-poll tab that is closed": "page /cart; poll-open; join; event inc; poll-given-up; wait 16; wait 5",
    "a laptop that sleeps on long-poll": (
        "page /cart; poll-open; join; poll; wait 16; wait 3600; poll-open; join; event inc; poll"
    ),
    "a native client, which counts no attempts": "socket; join lv:native native version=1.1.33; event inc lv:native",
    "a test client without parameters": "socket; join lv:t plain version=1.2.10; event inc lv:t; close 1000 client",
    "an old client and an old server": OPEN.replace("join", "join page native version=0.20.17") + "close 1001 client",
    "an answer that takes its time": OPEN + "click report; wait 20; reply; ask lv:child; wait 8; reply ok {}; live 60",
    "images that the browser gives up": OPEN + "give-up /a.png 5; give-up /b.png 0; close 1001 client",
    "a person who looks at the socket's URL": "page /cart; stripped",
    "a page that is reloaded by hand": OPEN + "close 1001 client; " + OPEN + "event inc; close 1001 client; " + OPEN,
    "pages that are missing or broken": "http GET /none 404; http GET /broken 500; http POST /form 422",
}

BAD: dict[str, tuple[str, str]] = {
    "a crash in an event": ("view-crashed", OPEN + "click boom; crash; wait 1; join; event inc; close 1001 client"),
    "a crash in handle_info": ("view-crashed", OPEN + "event inc; crash; wait 1; join; close 1001 client"),
    "a crash of a nested view": (
        "view-crashed",
        OPEN + "join lv:child; click boom lv:child; crash lv:child; join lv:child",
    ),
    "a crash during an upload": (
        "view-crashed",
        OPEN + "ask lvu:0; reply ok {}; crash; crash lvu:0; wait 1; join; close 1001 client",
    ),
    "a crash on long-poll": ("view-crashed", "page /cart; poll-open; join; click boom; crash; join; event inc"),
    "a crash of a channel": ("channel-crashed", "socket; join room:a; push room:a boom; crash room:a; join room:a"),
    "a crash of an upload": ("upload-crashed", OPEN + "ask lvu:0; reply ok {}; crash lvu:0; close 1001 client"),
    "a channel that refuses": ("channel-refused", "socket; deny room:private unauthorized; live 60; close 1001 client"),
    "a channel that refuses again and again": (
        "channel-refused",
        "socket; deny room:a no; wait 1; deny room:a no; wait 2; deny room:a no; live 60; close 1001 client",
    ),
    "a channel that crashes in its join": ("channel-refused", "socket; deny room:a join crashed; close 1001 client"),
    "an upload that is refused": ("upload-refused", OPEN + "deny lvu:0 disallowed; close 1001 client"),
    "no CSRF token": ("csrf-missing", "page /cart; socket csrf; deny page stale; close 1001 client"),
    "no cookie": ("cookie-missing", "page /cart; socket cookie; deny page stale; close 1001 client"),
    "a stale page": ("stale", "page /cart; socket; deny page stale; close 1001 client; " + OPEN + "close 1001 client"),
    "a navigation into another live_session": (
        "unauthorized",
        OPEN + 'leave; ask page redirect=/admin; reply error {"reason":"unauthorized"}; close 1001 client; page /admin',
    ),
    "an exception with a status in mount": (
        "join-reload",
        'page /item; socket; ask; reply error {"reason":"reload","status":404}; close 1001 client; http GET /item 404',
    ),
    "a mount that raises": ("join-crashed", "page /cart; socket; deny page join crashed; close 1001 client"),
    "a nested view that is refused, hours before the tab is closed": (
        "join-crashed",
        OPEN + "deny lv:child join crashed; wait 1; join lv:child; live 7200; close 1005 client",
    ),
    "a socket without the channel": ("topic-unknown", "socket; deny room:a unmatched topic; close 1001 client"),
    "too many channels": ("too-many-channels", OPEN + "deny lv:child too many channels joined; close 1001 client"),
    "a gateway's ping that a hung app does not answer": (
        "no-pong",
        OPEN + "wait 10; ask-beat; wait 20; close 1006 gateway no pong",
    ),
    "two views of a page without a CSRF token": (
        "csrf-missing",
        "page /cart; socket csrf; deny page stale; deny lv:phx-second stale; deny lv:child stale; close 1001 client",
    ),
    "a reason of which nothing is known": ("join-refused", "page /cart; socket; deny page odd; close 1001 client"),
    "a join that takes too long": ("join-late", "page /cart; socket; ask; wait 10; leave; ask; reply ok {}; live 60"),
    "a join that is never answered": ("join-late", "page /cart; socket; ask; live 60; close 1001 client"),
    "an event that takes too long": ("event-late", OPEN + "click report; live 60; close 1001 client"),
    "an app that hangs": ("heartbeat-lost", OPEN + "wait 30; ask-beat; wait 30; close 1000 client heartbeat timeout"),
    "an app that hangs on an event": (
        "heartbeat-lost",
        OPEN + "click report; wait 1; ask-beat; wait 30; close 1000 client heartbeat timeout",
    ),
    "an app that is killed": ("backend-lost", OPEN + "event inc; click save; close 1006 backend; wait 2; socket; join"),
    "an app that is deployed": ("backend-draining", OPEN + "close 1012 backend; socket; join; close 1001 client"),
    "an app that goes in the middle of an event": ("backend-draining", OPEN + "click save; close 1001 backend"),
    "a socket process that fails": ("backend-failed", OPEN + "click save; close 1011 backend"),
    "an app that closes in the middle of an event": ("app-closed", OPEN + "click save; close 1000 backend"),
    "an app that says no": ("app-policy", OPEN + "close 1008 backend"),
    "a client that never beats": (
        "app-idle",
        "socket; join lv:n plain; wait 60; close 1000 backend; wait 1; socket; join lv:n plain; wait 60; close 1000 backend",
    ),
    "a message that is too big for the app": ("too-big-there", OPEN + "close 1009 backend"),
    "a frame that the app cannot read": ("frame-refused", OPEN + "event inc; close 1002 backend"),
    "a gateway that is idle too soon": ("idle", OPEN + "wait 10; close 1006 gateway idle"),
    "a client that sends too much": ("frame-rate", OPEN + "close 1008 gateway too many frames"),
    "a gateway that is being stopped": (
        "gateway-draining",
        OPEN + "close 1012 gateway the gateway is being stopped; socket; join; close 1001 client",
    ),
    "an operator": ("operator-closed", OPEN + "close 4000 gateway; socket; join; close 1001 client"),
    "an origin that is refused": ("check-origin", "page /cart; upgrade 403 www.example"),
    "a socket that is not there": ("no-socket-there", "page /cart; upgrade 404 www.example"),
    "a proxy that drops the upgrade": ("upgrade-stripped", "page /cart; stripped with-key"),
    "an app that is slow to upgrade": ("client-gave-up", "page /cart; give-up /live/websocket?vsn=2.0.0 2.6 upgrade"),
    "a backend that is away": ("backend-unreachable", OPEN + "failed backend-unreachable 502; close 1001 client"),
    "an outage that three requests meet": (
        "backend-unreachable",
        "page /cart; refused backend-unreachable 502; refused backend-unreachable 502; refused backend-unreachable 502",
    ),
    "a rate limit": ("rate-limit", "page /cart; refused rate-limit-ip 429"),
    "a join that is given up": ("join-late", "page /cart; socket; ask; wait 9.98; leave; live 60"),
    "a long-poll session that is gone": (
        "long-poll-gone",
        "page /cart; poll-open; join; poll; wait 2; poll-open; join",
    ),
    "a fallback to long-poll": ("long-poll-pinned", OPEN + "close 1006 client; poll-open; join; event inc"),
    "an origin that long-poll refuses": ("long-poll-origin", "page /cart; poll-open; ask; refuse-post; poll; poll"),
    "a client and a server apart": ("versions-apart", OPEN.replace("join", "join page modern version=0.20.17")),
}


def test_a_push_of_a_channel_that_may_want_no_answer_is_not_named_as_lost(tmp_path: Path) -> None:
    played = Script(tmp_path).play("socket; join room:a; click save room:a; push room:a shout; close 1006 backend")
    (told,) = played.reported
    assert (told.slug, told.events) == ("backend-lost", ())
    assert "No answer" not in told.why


def test_there_are_thirty_of_each() -> None:
    assert len(GOOD) >= 30 <= len(BAD)


@pytest.mark.parametrize("script", GOOD.values(), ids=GOOD)
def test_nothing_wrong_gives_no_incident(script: str, tmp_path: Path) -> None:
    played = Script(tmp_path).play(script)
    assert played.slugs == []
    assert [each for each in played.watch.feed.entries if each.causes] == []
    assert not any(session.incidents for session in played.recorder.tracker.sessions.values())


@pytest.mark.parametrize(("slug", "script"), BAD.values(), ids=BAD)
def test_one_thing_wrong_gives_exactly_that_one_in_every_place(slug: str, script: str, tmp_path: Path) -> None:
    played = Script(tmp_path).play(script)
    assert played.slugs == [slug]
    told = [each for each in played.watch.feed.entries if each.causes]
    assert [[cause.slug for cause in each.causes] for each in told] == [[slug]]
    assert played.watch.time_series.current.causes == {slug: 1}
    samples: dict[str, Any] = {"route": "app.test", "cause": slug}
    assert played.metrics.registry.get_sample_value("gateway_incidents_total", samples) == 1
    of_sessions = [each for session in played.recorder.tracker.sessions.values() for each in session.incidents]
    assert of_sessions == [each for each in played.reported if each.kind != "refused"]


def test_the_third_refused_load_of_a_page_in_a_row_is_a_loop(tmp_path: Path) -> None:
    once = "page /cart; socket; deny page stale; close 1001 client; wait 6; "
    played = Script(tmp_path).play(once * 4 + OPEN)
    assert played.slugs == ["stale", "stale", "reload-loop", "reload-loop"]
    assert "after the 2 previous loads of the page by this browser" in played.reported[2].why
    assert {each.healed for each in played.reported} == {"page reloaded"}


@pytest.mark.parametrize(
    ("script", "healed", "cost"),
    [
        (OPEN + "click boom; crash; wait 1; join", "rejoined", 1.0),
        (OPEN + "close 1006 backend; wait 3; socket; join", "reconnected", 3.0),
        ("page /cart; socket; deny page stale; close 1001 client; wait 7; " + OPEN, "page reloaded", 7.0),
        (OPEN + "click report; live 30; close 1001 client; wait 5; " + OPEN, "page reloaded", 5.0),
        (OPEN + "close 1006 client; poll-open; join; wait 20; wait 5; socket; join", "reconnected", 25.0),
        ("page /cart; poll-open; ask; refuse-post; wait 21; wait 5; poll-open; join", "reconnected", 26.0),
        (OPEN + "crash; wait 1; click go", "", None),
        (OPEN + "crash; close 1001 client; wait 90; " + OPEN, "", None),
    ],
)
def test_an_incident_says_how_it_healed_and_what_it_cost(
    script: str, healed: str, cost: float | None, tmp_path: Path
) -> None:
    played = Script(tmp_path).play(script)
    (told,) = played.reported
    assert (told.healed, told.cost_s) == (healed, cost)
    (entry,) = [each for each in played.watch.feed.entries if each.causes]
    assert (entry.incident.healed, entry.incident.cost) == (healed, cost)
    assert (entry.changed > entry.id) == bool(healed), "an open page is told of it again"
