"""A session's page in Chromium: a list that a person walks, searches and filters, whatever happened in the session."""

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from browser import browser_page, journey
from gateway_process import Gateway, free_port
from playwright.sync_api import Locator, Page, expect
from tabs import Tab

from livegate.demo.processes import DemoProcesses

EVENTS = 1100
HOST = "live.localhost"


@dataclass
class Recorded:
    """A gateway's admin listener, and sessions that it tells of."""

    admin: str
    story: int
    """Navigation, an upload, a crash."""
    long: int
    """More than 2,000 frames."""

    def api(self, page: Page, path: str) -> Any:
        return page.request.get(f"{self.admin}api/v1/{path}").json()


async def long_session(port: int) -> str:
    async with Tab(port, HOST, "/count") as tab:
        await tab.open()
        for _ in range(EVENTS):
            await tab.event("inc")
        await tab.close(1001, "Gone for lunch")
        return tab.topic


@pytest.fixture(scope="module")
def tab(chromium: str) -> Iterator[Page]:
    """One browser for all tests: each opens the page anew."""
    with browser_page(chromium, viewport={"width": 1400, "height": 900}) as page:
        yield page


@pytest.fixture(scope="module")
def recorded(tab: Page, demo: DemoProcesses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    folder, admin = tmp_path_factory.mktemp("session"), free_port()
    settings = {
        "services": {HOST: demo.live_url},
        "rate_limit": {"user": None, "ip": None},
        "admin": {"listen": f"127.0.0.1:{admin}"},
    }
    with Gateway(folder, settings) as gateway:
        gateway.output.wait_for("admin listener on")
        app = tab.context.new_page()
        journey(app, f"http://{HOST}:{gateway.port}", folder)
        app.close()
        with ThreadPoolExecutor(1) as pool:  # Playwright has a loop in this thread
            topic = pool.submit(asyncio.run, long_session(gateway.port)).result()
        recorded = Recorded(f"http://127.0.0.1:{admin}/", 0, 0)
        for row in recorded.api(tab, "sessions")["sessions"]:
            detail = recorded.api(tab, f"sessions/{row['number']}")
            if detail["uploads"]:
                recorded.story = row["number"]
            if any(view["topic"] == topic for view in detail["views"]):
                recorded.long = row["number"]
        yield recorded


@pytest.fixture
def page(tab: Page, recorded: Recorded) -> Iterator[Page]:
    complaints: list[str] = []

    def on_console(message: Any) -> None:
        if message.type == "error":
            complaints.append(message.text)

    def failed(error: Any) -> None:
        complaints.append(str(error))

    tab.on("console", on_console)
    tab.on("pageerror", failed)
    tab.set_viewport_size({"width": 1400, "height": 900})
    yield tab
    tab.goto("about:blank")
    tab.remove_listener("console", on_console)
    tab.remove_listener("pageerror", failed)
    assert [text for text in complaints if "404" not in text] == []


def opened(page: Page, recorded: Recorded, place: str) -> Locator:
    """The session's list, at an address."""
    page.goto("about:blank")
    page.goto(f"{recorded.admin}#/{place}")
    rows = page.get_by_role("listbox", name="Frames")
    expect(rows.get_by_role("option").first).to_be_attached()
    return rows


def chosen(page: Page) -> Locator:
    return page.locator(".frame-list .line.selected:visible")


def test_the_number_of_a_frame_is_the_same_in_the_api_the_address_and_on_the_page(
    page: Page, recorded: Recorded
) -> None:
    lines = recorded.api(page, f"sessions/{recorded.story}/frames")["frames"]
    line = next(line for line in lines if line["text"].startswith('click "inc"'))
    n = line["n"]
    assert recorded.api(page, f"sessions/{recorded.story}/frames/{n}")["line"]["text"] == line["text"]
    for address in (f"session/{recorded.story}/frame/{n}", f"sessions/{recorded.story}/frame/{n}"):
        opened(page, recorded, address)
        expect(page.locator(".headline")).to_contain_text(line["text"])
        expect(page.locator(".steps")).to_contain_text(f"frame {n} of 0–{lines[-1]['n']}")
        expect(chosen(page).locator(".num")).to_have_text(str(n))
        expect(page.get_by_role("heading", name=f"Page at frame {n}")).to_be_visible()


def test_sessions_with_a_number_opens_that_session(page: Page, recorded: Recorded) -> None:
    opened(page, recorded, f"sessions/{recorded.story}")
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"session {recorded.story}")


def test_two_thousand_frames_are_walked_by_keyboard_while_the_page_stays_small(page: Page, recorded: Recorded) -> None:
    rows = opened(page, recorded, f"session/{recorded.long}")
    span = recorded.api(page, f"sessions/{recorded.long}")["frames"]
    assert span["end"] - span["first"] == 2000
    before = page.evaluate("document.querySelectorAll('.frame-list .line').length")
    assert before < 60
    rows.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    expect(chosen(page)).to_contain_text(str(span["first"]))
    expect(page).to_have_url(re.compile(rf"/session/{recorded.long}/frame/{span['first']}$"))
    page.keyboard.press("PageDown")
    moved = int(chosen(page).locator(".num").inner_text())
    assert moved > span["first"] + 5
    page.keyboard.press("PageUp")
    page.keyboard.press("ArrowDown")
    expect(chosen(page).locator(".num")).to_have_text(str(span["first"] + 1))
    page.keyboard.press("End")
    expect(chosen(page)).to_contain_text("closed: 1001 by the browser")
    expect(chosen(page)).to_be_in_viewport()
    page.keyboard.press("ArrowUp")
    expect(chosen(page).locator(".num")).to_have_text(str(span["end"] - 1))
    expect(page.locator(".headline")).to_contain_text("reply ok")
    rows.evaluate("list => { list.scrollTop = list.scrollHeight / 2 }")
    expect(page.locator(".frame-list .line:visible", has_text=str(span["first"] + 1000)).first).to_be_attached()
    assert page.evaluate("document.querySelectorAll('.frame-list .line').length") == before


def test_the_close_of_a_socket_is_a_row_with_its_code_who_closed_and_why(page: Page, recorded: Recorded) -> None:
    rows = opened(page, recorded, f"session/{recorded.long}/close/1")
    expect(page.locator(".headline")).to_have_text(
        re.compile(r"Closed with 1001 by the browser: going away.*“Gone for lunch”")
    )
    expect(chosen(page)).to_contain_text("closed: 1001")
    expect(page.locator(".page iframe")).to_be_visible()
    opened(page, recorded, f"session/{recorded.story}?show=socket")
    expect(rows.locator(".line:visible", has_text="opened, websocket").first).to_be_visible()


def test_only_what_broke_is_red_in_the_timeline_and_not_by_colour_alone(page: Page, recorded: Recorded) -> None:
    opened(page, recorded, f"session/{recorded.long}")
    bar = page.locator(".timeline rect", has=page.locator("title", has_text="closed with 1001 by the browser"))
    expect(bar).to_have_attribute("fill", "var(--c5)")
    expect(page.locator(".timeline .sign")).to_have_count(0)
    found = page.evaluate(
        """async () => {
          const { toneOf, closeText } = await import("./closes.js")
          const tone = (close_code, closed_by) => toneOf({ close_code, closed_by, closed_at: 1, close_reason: "" })
          return {
            tones: [[1000, "client"], [1001, "client"], [1005, "client"], [null, ""], [1012, "gateway"], [1001, "backend"],
              [1006, "client"], [1006, "backend"], [1011, "backend"], [1009, "gateway"]].map(one => tone(...one)),
            open: toneOf({ close_code: null, closed_by: "", closed_at: null }),
            words: closeText({ close_code: 1012, closed_by: "gateway", closed_at: 1, close_reason: "drain" }),
          }
        }"""
    )
    assert found["tones"] == [*["quiet"] * 4, *["warn"] * 3, *["bad"] * 3]
    assert found["open"] == "open"
    assert found["words"] == "1012 by livegate: service restart, “drain”"


def test_an_upload_and_heartbeats_are_one_row_that_opens(page: Page, recorded: Recorded) -> None:
    rows = opened(page, recorded, f"session/{recorded.story}?show=upload")
    fold = rows.locator(".line:visible", has_text="upload of picture.bin: 200")
    expect(fold.locator(".mark")).to_have_text("▸")
    expect(fold).to_contain_text("chunks")
    fold.click()
    page.keyboard.press("Enter")
    expect(fold.locator(".mark")).to_have_text("▾")
    expect(rows.locator(".line:visible", has_text="chunk of").first).to_be_visible()
    page.keyboard.press("Enter")
    expect(fold.locator(".mark")).to_have_text("▸")
    texts = page.evaluate(
        """async () => {
          const { folded } = await import("./rows.js")
          const beat = (n, dir) => ({ key: `frame/${n}`, kind: "heartbeat", tone: "", at: n, line: { n, dir, at: n, ms: dir === "down" ? n : null, text: "heartbeat" } })
          const beats = Array.from({ length: 6 }, (_, n) => beat(n, n % 2 ? "down" : "up"))
          const lost = { ...beat(6, "up"), tone: "bad" }
          return [folded([...beats, lost], new Set(), []), folded(beats, new Set(["heartbeat/0"]), [])].map(rows => rows.map(row => row.text || row.line.text))
        }"""
    )
    assert texts[0] == ["3 heartbeats, max. round trip 5.0 ms", "heartbeat"], "what is wrong is never folded away"
    assert len(texts[1]) == 7


def test_frames_are_searched_by_summary_event_and_content_and_the_address_keeps_it(
    page: Page, recorded: Recorded
) -> None:
    rows = opened(page, recorded, f"session/{recorded.story}")
    page.keyboard.press("/")
    page.keyboard.type('click "inc" (#')  # "(#" is in no content: the page has a phx-click="inc" as well
    expect(page.locator(".filters").get_by_role("status")).to_have_text(re.compile(r"^3 of \d+$"))
    page.keyboard.press("Enter")
    page.keyboard.press("Home")
    expect(page).to_have_url(re.compile(r"/frame/\d+\?q=click\+%22inc%22\+%28%23$"))
    address = page.url.partition("#/")[2]
    opened(page, recorded, address)
    expect(page.get_by_label("Search frames")).to_have_value('click "inc" (#')
    expect(rows.locator(".line:visible")).to_have_count(3)
    expect(chosen(page)).to_contain_text('click "inc"')
    page.get_by_label("Search frames").fill("Grüße")  # in no sentence: in what the server sent
    expect(rows.locator(".line:visible").first).to_contain_text("reply ok")
    page.get_by_label("Search frames").fill("no such thing")
    expect(page.get_by_text("No matches.")).to_be_visible()
    page.get_by_role("button", name="Clear filters").click()
    expect(rows.locator(".line:visible").nth(5)).to_be_visible()
    expect(page).not_to_have_url(re.compile(r"\?"))


def test_kinds_views_and_problems_are_chosen_by_chips(page: Page, recorded: Recorded) -> None:
    rows = opened(page, recorded, f"session/{recorded.story}")
    events = page.get_by_role("button", name=re.compile(r"^Events"))
    events.click()
    expect(events).to_have_attribute("aria-pressed", "true")
    expect(page).to_have_url(re.compile(r"\?show=event$"))
    expect(rows.locator(".line.event:visible").first).to_be_visible()
    expect(rows.locator(".line:visible:not(.event, .incident)")).to_have_count(0)
    events.click()
    page.get_by_label("View", exact=True).select_option("/stream")
    expect(rows.locator(".line:visible", has_text="/count")).to_have_count(0)
    page.get_by_label("View", exact=True).select_option("")
    page.get_by_role("button", name=re.compile(r"^Problems")).click()
    expect(rows.locator(".line:visible").first).to_be_visible()
    expect(rows.locator(".line:visible:not(.bad):not(.warn)")).to_have_count(0)


def test_n_and_p_go_from_one_problem_to_the_next(page: Page, recorded: Recorded) -> None:
    opened(page, recorded, f"session/{recorded.story}/frame/0")
    expect(chosen(page).locator(".num")).to_have_text("0")
    page.keyboard.press("n")
    expect(chosen(page).locator(".sign")).to_have_text(re.compile("[✕!]"))
    first = chosen(page).locator(".what").inner_text()
    page.keyboard.press("j")
    expect(chosen(page).locator(".what")).not_to_have_text(first)
    page.keyboard.press("k")
    expect(chosen(page).locator(".what")).to_have_text(first)
    page.keyboard.press("p")
    expect(chosen(page).locator(".what")).to_have_text(first)  # there is none before it


def test_an_incident_links_to_its_moment(page: Page, recorded: Recorded) -> None:
    (incident,) = recorded.api(page, f"sessions/{recorded.story}")["incidents"]
    opened(page, recorded, f"session/{recorded.story}")
    card = page.locator(".cause", has=page.get_by_role("heading", name=incident["title"]))
    expect(card).to_contain_text(incident["todo"])
    expect(card).to_contain_text("rejoined after")
    expect(page.locator(".timeline rect", has=page.locator("title", has_text=incident["title"]))).to_have_count(1)
    card.get_by_role("button").click()
    expect(chosen(page)).to_contain_text(incident["title"])
    expect(chosen(page)).to_be_in_viewport()
    expect(page.locator(".summary")).to_contain_text("lost “crash”")
    expect(page).to_have_url(re.compile(rf"/incident/{incident['number']}$"))
    page.goto(f"{recorded.admin}#/causes")
    entry = page.locator(".incident", has_text=incident["title"])
    expect(entry).to_contain_text("rejoined after")
    expect(entry).to_contain_text("/slow")
    entry.get_by_role("link", name=f"session {recorded.story}").click()
    expect(chosen(page)).to_contain_text(incident["title"])


def test_the_address_of_an_evicted_frame_is_explained(page: Page, recorded: Recorded) -> None:
    span = recorded.api(page, f"sessions/{recorded.long}")["frames"]
    opened(page, recorded, f"session/{recorded.long}/frame/3")
    expect(page.locator(".summary")).to_contain_text(
        f"Frame 3 is no longer recorded. Recorded: {span['first']}–{span['end'] - 1}."
    )
    expect(page.locator(".page")).to_be_hidden()
    opened(page, recorded, f"session/{recorded.long}/frame/99999")
    expect(page.locator(".summary")).to_contain_text("Frame 99999 does not exist yet.")


@pytest.mark.parametrize("width", [390, 768, 1400])
def test_nothing_of_the_table_is_cut_to_a_few_letters(page: Page, recorded: Recorded, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{recorded.admin}#/sessions")
    row = page.locator(".row:visible", has=page.get_by_role("link", name=str(recorded.story), exact=True))
    for text in ("/slow", re.compile("^closed|live$"), re.compile(r"^\d+ ms$|^\d+\.\d+ ms$")):
        expect(row.get_by_text(text).first).to_be_visible()
    cut = page.evaluate(
        "[...document.querySelectorAll('.row:not([hidden]) span')].filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.textContent)"
    )
    assert cut == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_list_and_the_page_serve_a_phone(page: Page, recorded: Recorded) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    rows = opened(page, recorded, f"session/{recorded.long}")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    rows.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    heights = page.evaluate(
        "[...document.querySelectorAll('.frame-list .line:not([hidden])')].map(one => one.getBoundingClientRect().height)"
    )
    assert set(heights) == {46}


def test_axe_finds_nothing_in_any_state_of_the_list(tab: Page, recorded: Recorded, npm_packages: Path) -> None:
    code, browser = (npm_packages / "axe-core" / "axe.min.js").read_text(), tab.context.browser
    assert browser
    page = browser.new_context(viewport={"width": 390, "height": 844}, bypass_csp=True).new_page()
    for place in ("?show=upload", "/close/1", "?q=nothing+of+that+kind", "/frame/3?problems=1"):
        page.goto("about:blank")
        page.goto(f"{recorded.admin}#/session/{recorded.story}{place}")
        expect(page.get_by_role("heading", level=1)).to_contain_text("/")
        page.evaluate(code)
        found = page.evaluate("axe.run({iframes: false})")["violations"]
        serious = [one for one in found if one["impact"] in ("serious", "critical", "moderate")]
        for one in serious:
            print(place, one["id"], one["help"], one["nodes"][0]["html"][:200], one["nodes"][0].get("failureSummary"))
        assert [one["id"] for one in serious] == [], place
    page.context.close()
