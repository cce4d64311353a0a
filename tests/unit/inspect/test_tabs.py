"""Which tab an HTTP request is of, and which browser has loaded a page."""

import json
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.test import tflow

from livegate.inspect import tabs
from livegate.inspect.recorder import Recorder
from livegate.inspect.tabs import host_of
from livegate.phoenix.model import PageLoad

NOW = 1_700_000_000.0


class Person:
    """A browser behind the one address that all of them share."""

    def __init__(self, recorder: Recorder, cookie: str = "") -> None:
        self.recorder = recorder
        self.cookie = cookie
        self.sent: list[http.HTTPFlow] = []

    def ask(
        self, path: str, at: float, *, html: str = "", referrer: str = "", sets: str = "", status: int = 200
    ) -> PageLoad | None:
        """Load a page, or something else; returns the page load that the request was put to."""
        flow = tflow.tflow(resp=True)
        fields = {"Host": "app.test", "User-Agent": "same"}
        fields |= {"Cookie": self.cookie} if self.cookie else {}
        fields |= {"Referer": f"http://app.test{referrer}"} if referrer else {}
        flow.request = http.Request.make("GET", f"http://app.test{path}", b"", fields)
        flow.request.timestamp_start = flow.request.timestamp_end = NOW + at
        fields = {"Content-Type": "text/html" if html else "text/plain"}
        flow.response = http.Response.make(status, html or "x", fields | ({"Set-Cookie": sets} if sets else {}))
        flow.response.timestamp_start = flow.response.timestamp_end = NOW + at + 0.01
        self.sent.append(flow)
        seen = self.recorder.exchange(flow)
        if seen is None:
            return None
        return seen.page or next((load for load in loads(self.recorder) if load.number == seen.session), None)

    def load(self, id_: str, path: str, at: float, sets: str = "") -> PageLoad:
        html = f'<div id="{id_}" data-phx-session="S"></div>'
        load = self.ask(path, at, html=html, sets=sets)
        assert load is not None
        return load


def loads(recorder: Recorder) -> list[PageLoad]:
    places = recorder._tabs._browsers.values()
    return [load for browsers in places for browser in browsers for load in browser.pages]


def joined(recorder: Recorder, load: PageLoad) -> Any:
    channels = recorder.tracker.open("/live/websocket?vsn=2.0.0", NOW, host="app.test")
    frame = ["4", "4", load.topics[0], "phx_join", {"url": f"http://app.test{load.path}", "params": {}}]
    channels.read_frame(json.dumps(frame).encode(), text=True, from_client=True, at=NOW + 1)
    return channels


def test_cookies_distinguish_two_browsers_behind_one_address() -> None:
    recorder = Recorder()
    ann, bob = Person(recorder, "_shop_key=A; theme=dark"), Person(recorder, "_shop_key=B; theme=dark")
    hers, his = ann.load("phx-a", "/cart", 0), bob.load("phx-b", "/cart", 1)
    assert ann.ask("/data.json", 20, referrer="/cart") is hers
    assert bob.ask("/data.json", 21, referrer="/cart") is his
    carol = Person(recorder, "_shop_key=C")
    assert carol.ask("/data.json", 22, referrer="/cart") is None


def test_a_cookie_that_a_response_sets_is_the_browsers_from_then_on() -> None:
    recorder = Recorder()
    ann, bob = Person(recorder), Person(recorder)
    hers = ann.load("phx-a", "/cart", 0, sets="_shop_key=A; Path=/; HttpOnly")
    his = bob.load("phx-b", "/cart", 1, sets="_shop_key=B; Path=/; HttpOnly")
    ann.cookie, bob.cookie = "_shop_key=A", "_shop_key=B"
    assert ann.ask("/data.json", 20, referrer="/cart", sets="_shop_key=A2; Path=/") is hers
    ann.cookie = "_shop_key=A2"
    assert ann.ask("/data.json", 21, referrer="/cart") is hers
    assert bob.ask("/data.json", 22, referrer="/cart") is his


def test_a_cookie_that_a_browser_refuses_leaves_it_the_one_before() -> None:
    recorder = Recorder()
    ann = Person(recorder, "_shop_key=A")
    load = ann.load("phx-a", "/cart", 0, sets="_shop_key=B; Secure")
    assert ann.ask("/data.json", 20, referrer="/cart") is load
    for number in range(5):
        ann.ask("/data.json", 21, referrer="/cart", sets=f"_shop_key={number}")
    ann.cookie = "_shop_key=0"
    assert ann.ask("/data.json", 22, referrer="/cart") is None, "one of long ago is not remembered"


def test_of_two_tabs_at_one_path_only_the_one_that_was_loaded_just_now_is_known() -> None:
    recorder = Recorder()
    ann = Person(recorder, "_shop_key=A")
    ann.load("phx-1", "/cart", 0)
    second = ann.load("phx-2", "/cart", 30)
    assert ann.ask("/app.js", 31, referrer="/cart") is second
    assert ann.ask("/data.json", 60, referrer="/cart") is None, "it may be either"
    assert ann.ask("/data.json", 61, referrer="/elsewhere") is None
    assert ann.ask("/data.json", 62) is None


def test_a_tab_that_was_closed_long_ago_asks_for_nothing() -> None:
    recorder = Recorder()
    ann = Person(recorder, "_shop_key=A")
    load = ann.load("phx-1", "/cart", 0)
    channels = joined(recorder, load)
    assert ann.ask("/data.json", 100, referrer="/cart") is load
    channels.close(1001, "", "client", NOW + 200)
    assert ann.ask("/data.json", 230, referrer="/cart") is load, "it may still reconnect"
    assert ann.ask("/data.json", 300, referrer="/cart") is None


def test_a_request_without_credentials_is_of_the_only_page_that_it_can_be_of() -> None:
    recorder = Recorder()
    ann = Person(recorder, "_shop_key=A")
    load = ann.load("phx-1", "/cart", 0)
    assert Person(recorder).ask("/font.woff", 1, referrer="/cart") is load


def test_an_upgrade_that_failed_is_of_the_page_whose_csrf_token_it_has() -> None:
    recorder = Recorder()
    ann = Person(recorder, "_shop_key=A")
    pages = [
        ann.ask(path, at, html=f'<meta name="csrf-token" content="{path}"><p id="phx-{at}" data-phx-session="S">')
        for at, path in enumerate(("/one", "/two"))
    ]
    refused = "/live/websocket?_csrf_token=%2Fone&vsn=2.0.0"
    assert ann.ask(refused, 20, status=403) is pages[0]
    assert [load.websocket_failed for load in pages if load is not None] == [True, False]
    assert ann.ask("/live/websocket?vsn=2.0.0", 21, status=403) is None, "it may be of either"
    assert ann.ask("/live/websocket?vsn=2.0.0", 21, status=101) is None


def test_browsers_and_places_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabs, "MAX_BROWSERS", 2)
    recorder = Recorder()
    people = [Person(recorder, f"_shop_key={number}") for number in range(4)]
    for number, person in enumerate(people):
        person.load(f"phx-{number}", "/cart", number)
    ((browsers,),) = [[*recorder._tabs._browsers.values()]]
    assert len(browsers) == 2
    kept = [value for browser in browsers for values in browser.cookies.values() for value in values]
    assert {len(value) for value in kept} == {8}, "no cookie is kept as it is"
    monkeypatch.setattr(tabs, "MAX_CLIENTS", 1)
    other = Person(recorder, "x=1")
    flow_host = "other.test"
    flow = tflow.tflow(resp=True)
    flow.request = http.Request.make("GET", f"http://{flow_host}/", b"", {"Host": flow_host})
    flow.response = http.Response.make(200, '<p id="phx-9" data-phx-session="S">', {"Content-Type": "text/html"})
    recorder.exchange(flow)
    assert len(recorder._tabs._browsers) == 1
    assert other.ask("/data.json", 50, referrer="/cart") is None


@pytest.mark.parametrize(
    ("fields", "host"),
    [
        ({"Host": "App.test:8080"}, "app.test:8080"),
        ({"Host": "app.test:80"}, "app.test"),
        ({"Host": "app.test:443"}, "app.test"),
        ({"Host": "10.0.0.1:4000", "X-Forwarded-Host": "app.test"}, "app.test"),
    ],
)
def test_the_host_is_the_one_that_the_browser_named(fields: dict[str, str], host: str) -> None:
    flow = tflow.tflow()
    flow.request = http.Request.make("GET", "http://ignored.test/")
    for name, value in fields.items():
        flow.request.headers[name] = value
    assert host_of(flow) == host


def test_a_referrer_that_is_no_url_is_none() -> None:
    recorder = Recorder()
    ann = Person(recorder)
    ann.load("phx-1", "/cart", 0)
    flow = ann.sent[-1]
    flow.request.headers["Referer"] = "http://["
    flow.response = http.Response.make(200, b"x")
    assert recorder.exchange(flow) is None
