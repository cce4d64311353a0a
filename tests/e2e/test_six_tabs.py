"""Two browsers on two hosts with three tabs each, over many reconnects and long-poll: six tabs are told, and nothing is mixed up."""

import http.client
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM_ARGUMENTS, TIMEOUT_MS
from fake_phoenix.server import FakePhoenix, bundled
from gateway_process import TIMEOUT_S, Gateway, free_port
from playwright.sync_api import Page, sync_playwright

pytestmark = pytest.mark.unmeasured

RECONNECTS = 10
POLLING_MS = 20
WINDOW_S = 0.5
"""Of a poll: three tabs with two sockets each take all of the browser's connections to a host, until one is answered."""
AWAKE = [
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
]
"""Chromium slows down tabs that nobody looks at, and only one of six is looked at."""
HOSTS = ("a.localhost", "b.localhost")
MARKERS = [f"{host[0]}{number}" for host in HOSTS for number in (1, 2, 3)]
MARKS = 4
"""Of a tab in a round: the view's, the nested view's, the sticky view's, the plain channel's."""


@dataclass
class Crowd:
    """Six open tabs, by their markers."""

    app: FakePhoenix
    admin: int
    pages: dict[str, Page]
    rounds: int = 0

    def round(self) -> None:
        """Let each view and channel of each tab send the tab's marker, and wait until the app has them all."""
        for page in self.pages.values():
            page.wait_for_function(f"tab.ready({self.rounds + 1})", polling=POLLING_MS)
            page.evaluate("tab.mark()")
        self.rounds += 1
        deadline = time.monotonic() + TIMEOUT_S
        while Counter(self.app.phoenix.marks) != dict.fromkeys(self.pages, self.rounds * MARKS):
            assert time.monotonic() < deadline, (self.rounds, Counter(self.app.phoenix.marks))
            next(iter(self.pages.values())).wait_for_timeout(20)

    def ask(self, path: str) -> Any:
        conn = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=TIMEOUT_S)
        try:
            conn.request("GET", path)
            return json.loads(conn.getresponse().read())
        finally:
            conn.close()

    def navigate(self) -> None:
        """Follow the link of each tab's page to the other one, and wait until that is joined."""
        for page in self.pages.values():
            page.bring_to_front()  # others get no animation frames, for which LiveView waits
            before = page.evaluate("document.querySelector('#n').tagName")
            page.click("#go")
            there = f"document.querySelector('#n').tagName !== '{before}' && tab.ready({self.rounds})"
            page.wait_for_function(there, polling=POLLING_MS)

    def told(self) -> list[tuple[dict[str, Any], Counter[str]]]:
        """All sessions, and how often each marker was sent in the frames of each."""
        return [(row, self._markers(row["number"])) for row in self.ask("/api/v1/sessions")["sessions"]]

    def _markers(self, number: int) -> Counter[str]:
        lines = self.ask(f"/api/v1/sessions/{number}/frames")["frames"]
        sent = [line["n"] for line in lines if line["dir"] == "up" and '"mark"' in line["text"]]
        raw = [self.ask(f"/api/v1/sessions/{number}/frames/{frame}")["raw"] for frame in sent]
        return Counter(marker for text in raw for marker in MARKERS if f'"marker":"{marker}"' in text)


@pytest.fixture(scope="module")
def crowd(chromium: str, npm_packages: Path, folder: Path) -> Iterator[Crowd]:
    assert (npm_packages / "lv12").is_dir()
    admin = free_port()
    with FakePhoenix(bundled(folder), window_s=WINDOW_S) as app, sync_playwright() as playwright:
        settings = {
            "services": {"default": app.url},
            "rate_limit": {"user": None, "ip": None},
            "admin": {"listen": f"127.0.0.1:{admin}"},
        }
        with Gateway(folder, settings) as gateway:
            browser = playwright.chromium.launch(executable_path=chromium, args=[*CHROMIUM_ARGUMENTS, *AWAKE])
            try:
                pages = {}
                for host in HOSTS:
                    context = browser.new_context()
                    context.set_default_timeout(TIMEOUT_MS)
                    for marker in (marker for marker in MARKERS if marker[0] == host[0]):
                        pages[marker] = context.new_page()
                        pages[marker].goto(f"http://{host}:{gateway.port}/tab?m={marker}")
                yield Crowd(app, admin, pages)
            finally:
                browser.close()


def test_six_tabs_stay_six_and_each_frame_is_under_the_tab_that_sent_it(crowd: Crowd) -> None:
    crowd.round()
    for count in range(RECONNECTS):
        if count % 3 == 0:
            crowd.navigate()
        crowd.app.drop()
        crowd.round()
    for transport in ("longpoll", "websocket"):
        for page in crowd.pages.values():
            page.evaluate(f"tab.{transport}()")
        crowd.round()
    told = crowd.told()
    tabs = [(row, markers) for row, markers in told if row["kind"] != "channels"]
    assert len(tabs) == len(MARKERS), [(row["number"], row["view"], dict(markers)) for row, markers in tabs]
    views = MARKS - 1
    assert sorted(dict(markers).items() for _, markers in tabs) == [
        {marker: crowd.rounds * views}.items() for marker in MARKERS
    ]
    for row, markers in told:
        assert len(markers) <= 1, (row, markers)
        assert row["kind"] != "channels" or set(markers.values()) <= set(range(1, crowd.rounds + 1))
    assert {row["path"] for row, _ in tabs} <= {"/tab", "/other"}
    assert all(row["transport"] == "websocket" for row, _ in tabs)
