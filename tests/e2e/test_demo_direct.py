"""What the demo does in Chromium without a gateway: the yardstick for everything that is tested through one."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browser import browser_page, connected, journey, time_origin
from playwright.sync_api import Page, expect

from livegate.demo.processes import DemoProcesses


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Page]:
    with browser_page(chromium) as page:
        yield page


def visit(page: Page, url: str) -> None:
    page.goto(url)
    connected(page)


def test_the_journey_goes_well_with_one_page_load(browser: Page, demo: DemoProcesses, folder: Path) -> None:
    seen = journey(browser, demo.live_url, folder)
    assert seen["one load"] is True
    assert seen["count"] == "10"
    assert seen["items"] == ["Item 4", "Item 2", "Item 3"]
    assert seen["user"] == "José"


def test_nothing_is_fetched_from_another_host(browser: Page, demo: DemoProcesses) -> None:
    asked: list[str] = []
    browser.on("request", lambda request: asked.append(request.url))
    browser.on("websocket", lambda socket: asked.append(socket.url))
    for path in ("count", "form", "stream", "navigate", "upload", "slow", "login"):
        visit(browser, f"{demo.live_url}/{path}")
    assert {urlsplit(url).netloc for url in asked} == {urlsplit(demo.live_url).netloc}


def test_arrow_keys_count_and_other_keys_do_not(browser: Page, demo: DemoProcesses) -> None:
    visit(browser, f"{demo.live_url}/count")
    for key in ("ArrowUp", "ArrowUp", "x", "ArrowDown"):
        browser.keyboard.press(key)
    browser.click("#inc")
    expect(browser.locator("#count")).to_have_text("2")


def test_the_server_counts_by_itself_until_it_is_stopped(browser: Page, demo: DemoProcesses) -> None:
    visit(browser, f"{demo.live_url}/count")
    browser.click("#tick")
    expect(browser.locator("#count")).to_have_text("2")
    browser.click("#tick")
    expect(browser.locator("#tick")).to_have_text("Let the server count")


def test_what_is_typed_is_checked_at_once_and_a_bad_form_is_not_saved(browser: Page, demo: DemoProcesses) -> None:
    visit(browser, f"{demo.live_url}/form")
    browser.locator("#name").press_sequentially("J")
    expect(browser.locator("#name-error")).to_have_text("At least 2 letters, please.")
    browser.locator("#name").press_sequentially("o <b>")
    expect(browser.locator("#name-error")).to_be_empty()
    expect(browser.locator("#echo")).to_have_text("6 letters: Jo <b>")
    browser.locator("#email").press_sequentially("jo@example")
    expect(browser.locator("#email-error")).to_have_text("This does not look like an address.")
    browser.click("#save")
    expect(browser.locator("#saved")).to_have_count(0)
    browser.fill("#email", "jo@example.com")
    expect(browser.locator("#email-error")).to_be_empty()
    browser.click("#save")
    expect(browser.locator("#saved")).to_have_text("Saved Jo <b>.")


def test_a_stream_grows_at_both_ends_and_shrinks_to_nothing(browser: Page, demo: DemoProcesses) -> None:
    visit(browser, f"{demo.live_url}/stream")
    browser.click("#add")
    browser.click("#append")
    items = browser.locator("#items li span")
    expect(items).to_have_text(["Item 4", "Item 1", "Item 2", "Item 3", "Item 5"])
    for left in (4, 3, 2, 1, 0):
        browser.locator("#items li button").first.click()
        expect(items).to_have_count(left)
    browser.click("#append")
    expect(items).to_have_text(["Item 6"])


def test_patches_keep_the_view_and_navigation_keeps_the_page(browser: Page, demo: DemoProcesses) -> None:
    visit(browser, f"{demo.live_url}/navigate")
    loaded, mounted = time_origin(browser), browser.inner_text("#mounted")
    browser.click("#step-next")
    expect(browser.locator("#step")).to_have_text("2")
    browser.click("#server-patch")
    expect(browser.locator("#step")).to_have_text("5")
    browser.go_back()
    expect(browser.locator("#step")).to_have_text("2")
    assert browser.url.endswith("/navigate?step=2")
    assert browser.inner_text("#mounted") == mounted
    browser.click("#server-navigate")
    expect(browser.locator("#nav-count")).to_have_attribute("aria-current", "page")
    browser.click("#nav-navigate")
    expect(browser.locator("#mounted")).not_to_have_text(mounted)
    assert time_origin(browser) == loaded


def test_two_uploads_after_one_another_are_both_digested(browser: Page, demo: DemoProcesses, folder: Path) -> None:
    visit(browser, f"{demo.live_url}/upload")
    for content in (b"one" * 100_000, b"two"):
        file = folder / "again.bin"
        file.write_bytes(content)
        browser.set_input_files("#upload-form input[type=file]", str(file))
        expect(browser.locator(".entry")).to_contain_text("again.bin")
        browser.click("#send")
        expect(browser.locator("#digest")).to_have_text(hashlib.sha256(content).hexdigest())
        expect(browser.locator("#result")).to_contain_text(f"again.bin, {len(content)} bytes")


def test_a_slow_event_takes_its_time_and_a_crash_makes_a_new_view(browser: Page, demo: DemoProcesses) -> None:
    visit(browser, f"{demo.live_url}/slow")
    loaded, born = time_origin(browser), browser.inner_text("#born")
    pressed_ms = browser.evaluate("performance.now()")
    browser.click("#slow")
    expect(browser.locator("#waited")).to_have_text("1")
    assert browser.evaluate("performance.now()") - pressed_ms >= 700
    browser.click("#crash")
    expect(browser.locator("#born")).not_to_have_text(born)
    expect(browser.locator("#waited")).to_have_text("0")
    assert time_origin(browser) == loaded


def test_a_login_lasts_until_the_logout(browser: Page, demo: DemoProcesses) -> None:
    browser.context.clear_cookies()
    visit(browser, f"{demo.live_url}/login")
    browser.fill("#user-name", "Ada")
    browser.click("#login")
    expect(browser.locator("#user")).to_have_text("Ada")
    browser.click("#nav-count")
    browser.click("#nav-login")
    expect(browser.locator("#user")).to_have_text("Ada")
    browser.click("#logout")
    expect(browser.locator("#user-name")).to_be_visible()


def test_a_killed_and_restarted_app_costs_no_page_load_and_no_login(browser: Page) -> None:
    with DemoProcesses(0, 0) as apps:
        visit(browser, f"{apps.live_url}/login")
        browser.fill("#user-name", "Ada")
        browser.click("#login")
        expect(browser.locator("#user")).to_have_text("Ada")
        connected(browser)
        loaded = time_origin(browser)
        apps.kill_live()
        expect(browser.locator("#lost")).to_be_visible()
        apps.restart_live()
        connected(browser)
        expect(browser.locator("#lost")).to_be_hidden()
        browser.click("#nav-slow")
        browser.click("#slow")
        expect(browser.locator("#waited")).to_have_text("1")
        browser.click("#nav-login")
        expect(browser.locator("#user")).to_have_text("Ada")
        assert time_origin(browser) == loaded


def test_the_echo_page_talks_closes_and_connects_again(browser: Page, demo: DemoProcesses) -> None:
    browser.goto(demo.echo_url)
    for text, answer in (
        ("hello", "hello"),
        ("close 4001 see you", "closed 4001 see you"),
        (None, "open, subprotocol echo.v1"),
        ("drop", "closed 1006"),
    ):
        if text is None:
            browser.click("#connect")
        else:
            expect(browser.locator("#state")).to_have_text("Connected.")
            browser.fill("#text", text)
            browser.click("#send")
        expect(browser.locator("#log li").first).to_have_text(answer)
