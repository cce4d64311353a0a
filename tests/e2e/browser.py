"""What a person does in the demo, as functions on a Playwright page; the same with and without the gateway."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TIMEOUT_MS = 45_000


@contextmanager
def chromium_browser(chromium: str, arguments: Sequence[str] = ()) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*CHROMIUM_ARGUMENTS, *arguments])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def new_page(browser: Browser, **options: Any) -> Iterator[Page]:
    """A page in a context of its own, so that it shares nothing with the pages before."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    expect.set_options(timeout=TIMEOUT_MS)
    try:
        yield page
    finally:
        context.close()


@contextmanager
def browser_page(chromium: str, arguments: Sequence[str] = (), **options: Any) -> Iterator[Page]:
    with chromium_browser(chromium, arguments) as browser, new_page(browser, **options) as page:
        yield page


def connected(page: Page) -> None:
    page.wait_for_selector("[data-phx-main].phx-connected")


def time_origin(page: Page) -> float:
    return page.evaluate("performance.timeOrigin")


def journey(page: Page, base: str, folder: Path) -> dict[str, Any]:
    """Open, click, type, navigate, upload, log in; returns what was seen."""
    seen: dict[str, Any] = {}
    page.goto(f"{base}/count")
    connected(page)
    first_load = time_origin(page)
    for expected in ("1", "2", "3"):
        page.click("#inc")
        expect(page.locator("#count")).to_have_text(expected)
    page.click("#dec")
    expect(page.locator("#count")).to_have_text("2")
    page.click("#patch")
    expect(page.locator("#count")).to_have_text("10")
    seen["count"] = page.inner_text("#count")

    page.click("#nav-form")
    page.locator("#name").press_sequentially("Grüße, 世界", delay=5)
    expect(page.locator("#echo")).to_have_text("9 letters: Grüße, 世界")
    page.click("#save")
    seen["saved"] = page.locator("#saved").inner_text()

    page.click("#nav-stream")
    expect(page.locator("#items li")).to_have_count(3)
    page.click("#add")
    expect(page.locator("#items li")).to_have_count(4)
    page.locator("#items li button").nth(1).click()
    expect(page.locator("#items li")).to_have_count(3)
    seen["items"] = [item.split("\n")[0] for item in page.locator("#items li").all_inner_texts()]

    page.click("#nav-upload")
    content = bytes(range(256)) * 800
    file = folder / "picture.bin"
    file.write_bytes(content)
    expect(page.locator("h1")).to_have_text("Upload")
    page.set_input_files("#upload-form input[type=file]", str(file))
    expect(page.locator(".entry")).to_contain_text("picture.bin")
    page.click("#send")
    expect(page.locator("#digest")).to_have_text(hashlib.sha256(content).hexdigest())
    seen["upload"] = page.inner_text("#result")

    page.click("#nav-slow")
    page.click("#slow")
    expect(page.locator("#waited")).to_have_text("1")
    seen["one load"] = time_origin(page) == first_load
    born = page.inner_text("#born")
    page.click("#crash")
    expect(page.locator("#waited")).to_have_text("0")
    expect(page.locator("#born")).not_to_have_text(born)
    connected(page)

    page.goto(f"{base}/login")
    connected(page)
    page.fill("#user-name", "José")
    page.click("#login")
    expect(page.locator("#user")).to_have_text("José")
    page.reload()
    expect(page.locator("#user")).to_have_text("José")
    seen["user"] = page.inner_text("#user")
    seen["cookies"] = sorted(cookie["name"] for cookie in page.context.cookies())
    return seen
