"""What the demo does in Chromium without a gateway: the yardstick for everything that is tested through one."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from browser import browser_page, connected, journey, time_origin
from playwright.sync_api import Page, WebSocket, expect

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
    for path in ("count", "form", "stream", "navigate", "nested", "upload", "slow", "login", "admin"):
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


class Frames:
    """What a page's LiveView socket has said and heard, and how often it was opened."""

    def __init__(self, page: Page) -> None:
        self.sockets = 0
        self.seen: list[tuple[bool, list[Any]]] = []
        page.on("websocket", self._opened)

    def _opened(self, socket: WebSocket) -> None:
        self.sockets += 1
        socket.on("framesent", lambda data: self._frame(data, up=True))
        socket.on("framereceived", lambda data: self._frame(data, up=False))

    def _frame(self, data: str | bytes, *, up: bool) -> None:
        if isinstance(data, str) and data.startswith("["):
            self.seen.append((up, json.loads(data)))

    def of(self, topic: str, event: str, *, up: bool) -> list[list[Any]]:
        return [frame for sent, frame in self.seen if sent is up and frame[2].startswith(topic) and frame[3] == event]


def test_a_crash_is_an_error_of_its_channel_and_the_view_joins_again_on_the_same_socket(
    browser: Page, demo: DemoProcesses
) -> None:
    frames = Frames(browser)
    visit(browser, f"{demo.live_url}/slow")
    loaded, born = time_origin(browser), browser.inner_text("#born")
    pressed_ms = browser.evaluate("performance.now()")
    browser.click("#slow")
    expect(browser.locator("#waited")).to_have_text("1")
    assert browser.evaluate("performance.now()") - pressed_ms >= 700
    browser.click("#crash")
    expect(browser.locator("#born")).not_to_have_text(born)
    expect(browser.locator("#waited")).to_have_text("0")
    browser.click("#slow")
    expect(browser.locator("#waited")).to_have_text("1")
    assert time_origin(browser) == loaded
    first, again = frames.of("lv:phx-", "phx_join", up=True)
    assert frames.of("lv:", "phx_error", up=False) == [
        [first[0], first[0], first[2], "phx_error", {"reason": "channel_crash"}]
    ]
    assert [first[4]["params"]["_mounts"], again[4]["params"]["_mounts"]] == [0, 1]
    (crash,) = [each for each in frames.of("lv:", "event", up=True) if each[4]["event"] == "crash"]
    assert crash[1] not in [each[1] for each in frames.of("lv:", "phx_reply", up=False)], "it is never answered"
    assert frames.sockets == 1


def test_a_nested_view_crashes_alone_and_a_sticky_one_outlives_navigation(browser: Page, demo: DemoProcesses) -> None:
    frames = Frames(browser)
    visit(browser, f"{demo.live_url}/nested")
    loaded = time_origin(browser)
    browser.click("#change")
    browser.click("#clock-tick")
    browser.click("#play")
    for name in ("#changed", "#ticks", "#played"):
        expect(browser.locator(name)).to_have_text("1")
    born = browser.inner_text("#clock-born")
    browser.click("#clock-crash")
    expect(browser.locator("#clock-born")).not_to_have_text(born)
    expect(browser.locator("#ticks")).to_have_text("0")
    expect(browser.locator("#changed")).to_have_text("1")
    browser.click("#to-second")
    expect(browser.locator("#to-first")).to_be_visible()
    expect(browser.locator("#changed")).to_have_text("0")
    expect(browser.locator("#played")).to_have_text("1")
    browser.click("#play")
    expect(browser.locator("#played")).to_have_text("2")
    browser.click("#clock-tick")
    expect(browser.locator("#ticks")).to_have_text("1")
    assert time_origin(browser) == loaded
    assert frames.sockets == 1
    assert [each[2] for each in frames.of("lv:", "phx_error", up=False)] == ["lv:clock"]
    assert len(frames.of("lv:player", "phx_join", up=True)) == 1
    assert len(frames.of("lv:clock", "phx_join", up=True)) == 3
    closed = [each[:2] for each in frames.of("lv:phx-", "phx_close", up=False)]
    first = frames.of("lv:phx-", "phx_join", up=True)[0]
    assert closed == [[first[0], first[0]]], "of the join that was left"


def test_who_is_not_logged_in_is_redirected_in_mount_and_another_live_session_is_loaded(
    browser: Page, demo: DemoProcesses
) -> None:
    browser.context.clear_cookies()
    browser.goto(f"{demo.live_url}/private")
    expect(browser.locator("#user-name")).to_be_visible()
    connected(browser)
    frames = Frames(browser)
    visit(browser, f"{demo.live_url}/count")
    browser.click("#nav-private")
    expect(browser.locator("#user-name")).to_be_visible()
    browser.fill("#user-name", "Ada")
    browser.click("#login")
    expect(browser.locator("#user")).to_have_text("Ada")
    browser.click("#nav-private")
    expect(browser.locator("#private-user")).to_have_text("Ada")
    loaded = time_origin(browser)
    browser.click("#nav-admin")
    expect(browser.locator("#admin")).to_be_visible()
    connected(browser)
    assert time_origin(browser) != loaded
    replies = frames.of("lv:", "phx_reply", up=False)
    refused = [each[4]["response"] for each in replies if each[4]["status"] == "error"]
    assert refused == [{"redirect": {"to": "/login"}}, {"reason": "unauthorized"}]


def test_a_tab_on_long_poll_does_all_that_one_with_a_websocket_does(
    browser: Page, demo: DemoProcesses, folder: Path
) -> None:
    browser.context.clear_cookies()
    frames = Frames(browser)
    visit(browser, f"{demo.live_url}/navigate")
    browser.click("#use-longpoll")
    connected(browser)
    sockets = frames.sockets
    seen = journey(browser, demo.live_url, folder)
    assert seen["one load"] is True
    assert frames.sockets == sockets, "no WebSocket was opened"
    browser.goto(f"{demo.live_url}/navigate?transport=websocket")
    connected(browser)
    assert frames.sockets == sockets + 1


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


def test_a_killed_and_restarted_app_costs_no_page_load_and_no_login(browser: Page, own_demo: DemoProcesses) -> None:
    visit(browser, f"{own_demo.live_url}/login")
    browser.fill("#user-name", "Ada")
    browser.click("#login")
    expect(browser.locator("#user")).to_have_text("Ada")
    connected(browser)
    loaded = time_origin(browser)
    own_demo.kill_live()
    expect(browser.locator("#lost")).to_be_visible()
    own_demo.restart_live()
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
