"""The app dies for five seconds under twenty tabs: all of them are back soon after it is, and none had to be reloaded."""

import time
from pathlib import Path

import pytest
from browser import browser_page, time_origin
from gateway_process import Gateway, free_port
from playwright.sync_api import Page, expect
from test_clients_come_back import VERSIONS, WITH_FALLBACK, App, Clients, settings

pytestmark = pytest.mark.unmeasured

DOWN_S = 5.0
BACK_S = 30.0
TABS = ("longpoll", "fallback", "websocket")
"""Of LiveView's own client in Chromium; 17 more are Phoenix's in node."""


def clicked(page: Page) -> None:
    """Click until it shows: what is clicked while the view joins is sent when it has joined."""
    before = page.inner_text("#inc")
    page.click("#inc")
    expect(page.locator("#inc")).not_to_have_text(before)


@pytest.fixture
def app_port() -> int:
    return free_port()


def test_twenty_tabs_survive_an_app_that_is_killed(
    chromium: str, phoenix_clients: Path, tmp_path: Path, app_port: int
) -> None:
    tabs = [{"id": f"outage/{one}/longpoll", "version": one, "transport": "longpoll"} for one in VERSIONS]
    fallback = {"transport": "websocket", "fallback": 1000}
    tabs += [{"id": f"outage/{one}/fallback", "version": one, **fallback} for one in WITH_FALLBACK]
    tabs += [{"id": f"outage/{one}/websocket", "version": one, "transport": "websocket"} for one in VERSIONS[1::2]]
    assert len(tabs) + len(TABS) == 20
    with (
        Gateway(tmp_path, settings(app_port)) as gateway,
        Clients(phoenix_clients, gateway.url) as clients,
        browser_page(chromium) as page,
    ):
        pages = [page, *(page.context.new_page() for _ in TABS[1:])]
        with App(app_port):
            clients.open(tabs)
            for name, tab in zip(TABS, pages, strict=True):
                tab.goto(f"{gateway.url}/tab/{name}")
                tab.wait_for_selector("[data-phx-main].phx-connected")
                clicked(tab)
            loaded = [time_origin(tab) for tab in pages]
        time.sleep(DOWN_S)  # how long it is away is what is tried
        clients.wait_refused()
        late = page.context.new_page()
        late.goto(f"{gateway.url}/tab/websocket")
        assert "502" in late.title()
        with App(app_port):
            back = time.monotonic()
            clients.ask()
            for tab in pages:
                tab.wait_for_selector("[data-phx-main].phx-connected")
                clicked(tab)
            took = time.monotonic() - back
            assert took < BACK_S
            assert [time_origin(tab) for tab in pages] == loaded, "a tab has reloaded"
            late.wait_for_selector("[data-phx-main].phx-connected")  # a page of the gateway's, loaded again by itself
