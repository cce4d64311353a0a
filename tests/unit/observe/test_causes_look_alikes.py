"""For every cause two scripted sessions that look like it, and are something else or nothing: it must not be told."""

from pathlib import Path

import pytest
from scripted import Script

from livegate.observe.causes import RULES, slug_of
from livegate.phoenix.incidents.catalog import SLUGS

OPEN = "page /cart\nsocket\njoin\n"
POLLING = "page /cart\npoll-open\njoin\n"

REFUSED = "page /cart; socket; deny page stale; close 1001 client; "

ALIKE: dict[str, tuple[str, ...]] = {
    # Refused by the gateway, or only by the app
    "origin-refused": ("page /cart; upgrade 403 www.example", "http POST /form 403"),
    "rate-limit": ("http GET /api 429", "page /cart; upgrade 429"),
    "too-many-sockets": ("page /cart; upgrade 503", "http GET / 503"),
    "host-unknown": ("http GET /none 404", "page /cart; upgrade 404"),
    "tls-required": ("refused tls-required 308", "page /cart; upgrade 426"),
    "request-malformed": ("http POST /form 400", "http DELETE /form 405"),
    "upgrade-malformed": ("page /cart; upgrade 426", "page /cart; stripped"),
    "head-too-large": ("http GET / 431", "http GET / 414"),
    "head-slow": ("http GET / 408", "give-up / 60"),
    "body-too-large": ("http POST /upload 413", OPEN + "upload 0"),
    "backend-unreachable": ("http GET / 502", "http GET / 504"),
    "backend-untrusted": ("http GET / 526", "failed backend-unreachable 502"),
    "backend-slow": ("http GET / 504", OPEN + "click report; wait 25; reply"),
    "handshake-wrong": ("failed backend-broken 502", "page /cart; upgrade 502"),
    "backend-broken": ("http GET / 502", "give-up / 10"),
    "client-gave-up": ("give-up /live/websocket?vsn=2.0.0 0.4 upgrade", "give-up /logo.png 20"),
    "gateway-failed": ("http GET / 500", OPEN + "close 1011 backend"),
    "killed": (OPEN + "close 1006 client", OPEN + "close 1006 backend"),
    "gateway-draining": ("http GET / 503", OPEN + "close 1012 backend"),
    # Upgrades refused by the app
    "check-origin": ("page /cart; upgrade 403", "page /cart; refused origin-refused 403"),
    "connect-refused": ("page /cart; upgrade 403 www.example", "http GET / 403"),
    "vsn-refused": ("page /cart; upgrade 403 www.example", "http GET /?vsn=9 403"),
    "login-wanted": ("http GET /admin 401", "page /cart; upgrade 403 www.example"),
    "no-socket-there": ("http GET /live/longpoll?vsn=2.0.0 404", "http GET /none 404"),
    "upgrade-redirected": ("http GET / 301", 'page /; socket; ask; reply error {"redirect":{"to":"/login"}}'),
    "no-websocket-there": ("http GET /live/websocket?vsn=2.0.0 200", OPEN + "event inc"),
    "upgrade-refused-there": ("http GET / 400", "page /cart; upgrade 403 www.example"),
    "upgrade-failed-there": ("http GET / 500", "page /cart; upgrade 404"),
    "upgrade-stripped": ("page /cart; stripped", "http GET /websocket 400"),
    # Sockets that ended
    "service-removed": (OPEN + "close 1012 backend", OPEN + "close 1012 gateway the gateway is being stopped"),
    "max-age": (OPEN + "live 86400; close 1006 client", OPEN + "close 1012 backend"),
    "operator-closed": (OPEN + "close 4000 backend", OPEN + "close 1000 client closed by an operator"),
    "idle": (OPEN + "live 60; wait 60; close 1006 gateway idle", OPEN + "wait 60; close 1006 client"),
    "no-pong": (OPEN + "live 60; wait 20; close 1006 gateway no pong", OPEN + "wait 20; close 1006 client"),
    "frame-rate": (OPEN + "close 1008 backend too many frames", OPEN + "close 1000 client too many bytes"),
    "message-too-big": (OPEN + "close 1009 backend", OPEN + "close 1009 client"),
    "protocol": (OPEN + "close 1002 backend", OPEN + "close 1007 client"),
    "heartbeat-lost": (
        OPEN + "live 60; wait 30; close 1000 client heartbeat timeout",
        OPEN + "live 60; wait 30; ask-beat; close 1000 client",
    ),
    "app-idle": (
        OPEN + "live 30; wait 60; close 1000 backend; socket; join; live 30; wait 60; close 1000 backend",
        OPEN + "wait 60; close 1002 backend; wait 9000; socket; join; live 60; close 1001 client",
    ),
    "app-closed": (OPEN + "event inc; close 1000 backend", OPEN + "click save; reply; close 1000 backend bye"),
    "app-policy": (OPEN + "close 1008 client", OPEN + "close 1008 gateway too many frames"),
    "backend-lost": (OPEN + "click save; close 1006 client", OPEN + "click save; close 1006 gateway killed"),
    "backend-draining": (OPEN + "event inc; close 1001 backend", OPEN + "close 1001 client"),
    "backend-failed": (OPEN + "close 1011 gateway the gateway failed", OPEN + "click boom; crash; join"),
    "too-big-there": (OPEN + "close 1009 gateway message too big", OPEN + "upload 0"),
    "frame-refused": (OPEN + "live 30; wait 60; close 1002 backend", OPEN + "close 1002 gateway masked frame"),
    "long-poll-gone": (POLLING + "wait 21; wait 5; poll-open; join", POLLING + "poll-given-up; wait 16; wait 5"),
    # In frames
    "view-crashed": (OPEN + "join lv:child; ended lv:child", "socket; join room:a; crash room:a; join room:a"),
    "crash-loop": (
        OPEN + "crash; join; crash; join; live 90; crash; join",
        OPEN + "join lv:a; join lv:b; crash lv:a; crash lv:b; crash",
    ),
    "channel-crashed": ("socket; join room:a; ended room:a", OPEN + "click boom; crash; join"),
    "upload-crashed": (OPEN + "ask lvu:0; reply ok {}; crash; crash lvu:0; join", OPEN + "upload 0"),
    "csrf-missing": ("page /cart; socket; deny page stale", "socket csrf; deny room:a stale"),
    "cookie-missing": ("page /cart; socket; deny page stale", "socket cookie; deny room:a stale"),
    "stale": ("socket; deny room:a stale", "page /cart; socket csrf; deny page stale"),
    "unauthorized": (
        "socket; deny room:private unauthorized",
        OPEN + 'ask room:private; reply error {"reason":"unauthorized"}',
    ),
    "join-reload": ("socket; deny room:a reload", OPEN + "close 1001 client; " + OPEN),
    "join-crashed": ("socket; deny room:a join crashed", OPEN + "click boom; crash; join"),
    "topic-unknown": ("socket; deny room:a not found", OPEN + 'click go; reply error {"reason":"unmatched topic"}'),
    "too-many-channels": (OPEN + "upload 0; upload 1; upload 2", "socket; deny room:a too many people"),
    "join-refused": ("socket; deny room:a odd", 'page /; socket; ask; reply error {"live_redirect":{"to":"/b"}}'),
    "channel-refused": ("page /cart; socket; deny page odd", OPEN + "deny lvu:0 disallowed"),
    "upload-refused": (OPEN + "upload 0", "socket; deny room:lvu odd"),
    "reload-loop": (
        (OPEN + "deny lv:child odd; close 1001 client; ") * 5,
        (OPEN + "deny lv:child odd; close 1001 client; ") * 3 + REFUSED,
        REFUSED * 2 + OPEN + "deny lv:child odd",
        ("page /cart; socket; deny page stale; close 1001 client; wait 61; " * 4),
    ),
    "join-late": (
        "page /cart; socket; ask; wait 9; reply ok {}; live 60",
        "page /cart; socket; ask; wait 8; leave; live 60",
    ),
    "event-late": (OPEN + "click report; wait 29; reply; live 60", "socket; join room:a; click event room:a; live 90"),
    "long-poll-pinned": (POLLING + "event inc; poll", OPEN + "close 1006 client; socket; join"),
    "long-poll-origin": (POLLING + "event inc; poll-given-up", "http POST /live/longpoll?vsn=2.0.0 403"),
    "versions-apart": (
        "socket; join lv:n native version=1.1.33; event inc lv:n",
        OPEN.replace("join", "join page native version=0.20.17"),
    ),
}


def test_every_cause_has_its_look_alikes() -> None:
    assert all(len(each) >= 2 for each in ALIKE.values())
    assert sorted(ALIKE) == sorted([*(slug_of(rule) for rule in RULES), *SLUGS])


@pytest.mark.parametrize(("slug", "script"), [(slug, each) for slug, both in ALIKE.items() for each in both])
def test_what_only_looks_like_it_is_not_told_as_it(slug: str, script: str, tmp_path: Path) -> None:
    assert slug not in Script(tmp_path).play(script).slugs
