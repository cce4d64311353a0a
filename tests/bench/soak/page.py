"""The operators' page in Chromium, as somebody who looks around in it would leave it; a thread of its own."""

import threading
from itertools import count, cycle
from types import TracebackType
from typing import Self

from playwright.sync_api import ConsoleMessage, Error, Page, Request, sync_playwright

CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
VIEW_S = 10.0
WAIT_MS = 15_000
MAX_PROBLEMS = 50
LEFT = "net::ERR_ABORTED"
"""A request that was under way when the browser went to another view."""


class OpenPage:
    """A context manager: a browser shows the page, and another view of it every ten seconds."""

    def __init__(self, chromium: str, url: str) -> None:
        self.problems: list[str] = []
        """What the console has complained of, and what could not be shown."""
        self.shown = 0
        """Views that were opened."""
        self._chromium, self.url = chromium, url
        self._stop, self._there = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._there.wait(60):
            self._problem("the page was not there after 60 s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(30)

    def _problem(self, text: str) -> None:
        if len(self.problems) < MAX_PROBLEMS and not self._stop.is_set():
            self.problems.append(text[:300])

    def _said(self, said: ConsoleMessage) -> None:
        if said.type in ("error", "warning"):
            self._problem(f"{said.text} ({said.location.get('url', '')})")

    def _failed(self, request: Request) -> None:
        if request.failure != LEFT:
            self._problem(f"{request.url}: {request.failure}")

    def _run(self) -> None:
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=self._chromium, args=CHROMIUM_ARGUMENTS)
                page = browser.new_page(viewport={"width": 1400, "height": 900})
                page.set_default_timeout(WAIT_MS)
                page.on("console", self._said)
                page.on("pageerror", lambda error: self._problem(str(error)))
                page.on("requestfailed", self._failed)
                page.goto(self.url)
                page.wait_for_selector("#link.on")
                self._there.set()
                self.look(page)
                browser.close()
        except Error as error:
            self._problem(str(error))
            self._there.set()

    def rest(self, page: Page, seconds: float = VIEW_S) -> bool:
        """Leave the page as it is for a while; returns whether to go on."""
        page.wait_for_timeout(seconds * 1000)
        return not self._stop.is_set()

    def look(self, page: Page) -> None:
        """Go around: Now, the sessions, the newest one of them, the causes."""
        for round_, view in zip(count(), cycle(("now", "sessions", "session", "causes")), strict=False):
            if view == "session":
                page.goto(f"{self.url}#/sessions")
                link = page.locator(".rows .row a[href]").nth(round_ % 5).get_attribute("href")
                page.goto(f"{self.url}{link}")
            else:
                page.goto(f"{self.url}#/{view}")
            self.shown += 1
            if not self.rest(page):
                return
