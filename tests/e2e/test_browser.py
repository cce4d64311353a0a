"""A person in Chromium sees through the gateway what they see without it."""

import signal
from pathlib import Path

import pytest
from browser import browser_page, connected, journey, time_origin
from gateway_process import Gateway
from playwright.sync_api import expect

from livegate.demo.processes import DemoProcesses

RECOVERY_MS = 10_000
"""LiveView's client pauses at most 5 s between attempts; the rest is for a busy machine."""
MANY = {"user": "100000/minute", "ip": "100000/minute"}


@pytest.fixture(scope="module")
def seen_directly(chromium: str, demo: DemoProcesses, folder: Path) -> dict[str, object]:
    with browser_page(chromium) as page:
        return journey(page, f"http://127.0.0.1:{demo.live.port}", folder)


def test_the_browser_sees_through_the_gateway_what_it_sees_without(
    chromium: str, demo: DemoProcesses, folder: Path, seen_directly: dict[str, object]
) -> None:
    settings = {"services": {"live.localhost": demo.live_url}, "rate_limit": MANY}
    with Gateway(folder, settings) as gateway, browser_page(chromium) as page:
        seen = journey(page, f"http://live.localhost:{gateway.port}", folder)
    assert seen == seen_directly
    assert seen["one load"] is True


def test_a_killed_and_restarted_backend_costs_no_page_load_and_one_pause_of_the_client(
    chromium: str, folder: Path, own_demo: DemoProcesses
) -> None:
    settings = {"services": {"live.localhost": own_demo.live_url}, "rate_limit": MANY}
    with Gateway(folder, settings) as gateway, browser_page(chromium) as page:
        page.goto(f"http://live.localhost:{gateway.port}/count")
        connected(page)
        loaded = time_origin(page)
        own_demo.live.kill()
        page.wait_for_selector("[data-phx-main]:not(.phx-connected)")
        own_demo.live.start()
        own_demo.live.wait()
        back = page.evaluate("performance.now()")
        connected(page)
        recovered_after_ms = page.evaluate("performance.now()") - back
        page.click("#inc")
        expect(page.locator("#count")).to_have_text("1")
        assert time_origin(page) == loaded
        assert recovered_after_ms < RECOVERY_MS
        gateway.output.wait_for("close_code=1006")


def test_a_restarted_gateway_costs_no_page_load_and_one_pause_of_the_client(
    chromium: str, demo: DemoProcesses, folder: Path
) -> None:
    settings = {"services": {"live.localhost": demo.live_url}, "rate_limit": MANY}
    with Gateway(folder, settings) as gateway, browser_page(chromium) as page:
        page.goto(f"http://live.localhost:{gateway.port}/count")
        connected(page)
        loaded = time_origin(page)
        assert gateway.process
        gateway.process.send_signal(signal.SIGTERM)
        page.wait_for_selector("[data-phx-main]:not(.phx-connected)")
        assert gateway.process.wait(60) == 0
        assert "close_code=1012" in gateway.output.text
        gateway.start().ready()
        back = page.evaluate("performance.now()")
        connected(page)
        recovered_after_ms = page.evaluate("performance.now()") - back
        page.click("#inc")
        expect(page.locator("#count")).to_have_text("1")
        assert time_origin(page) == loaded
        assert recovered_after_ms < RECOVERY_MS
