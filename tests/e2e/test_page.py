"""The operators' page in Chromium, before a running demo with real sessions: what it shows, and that it stays at home."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from browser import chromium_browser, connected, new_page
from gateway_process import MITMDUMP, Gateway, free_port
from playwright.sync_api import Browser, Page, expect
from tabs import Crowd
from test_inspect import DOM
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from livegate.demo.processes import DemoProcesses

LIVEGATE = str(MITMDUMP.with_name("livegate"))
UNREACHABLE = "down.test"


@dataclass
class Home:
    """A gateway with an admin listener, twenty tabs' worth of sessions, and what browsers complained of."""

    gateway: Gateway
    admin: str
    mitmweb: str
    app: str
    complaints: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Error responses, for the message of a test that fails."""
    hosts: set[str] = field(default_factory=set)

    def watch(self, page: Page) -> Page:
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "response",
            lambda response: (
                self.refused.append(f"{response.status} {response.url}") if response.status >= 400 else None
            ),
        )
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        return page


@pytest.fixture(scope="module")
def home(demo: DemoProcesses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("page")
    admin, web = free_port(), free_port()
    settings = {
        "services": {"live.localhost": demo.live_url, UNREACHABLE: f"http://127.0.0.1:{free_port()}"},
        "rate_limit": {"user": None, "ip": None},
        "admin": {"listen": f"127.0.0.1:{admin}"},
    }
    command = [LIVEGATE, "run", "--ui", "web", "--config", str(folder / "gateway.yaml"), "--"]
    options = ["--web-port", str(web), "--no-web-open-browser", "--set", "web_password=secret"]
    gateway = Gateway(folder, settings, *options, command=command)
    with gateway, Crowd(gateway.port, "live.localhost") as crowd:
        gateway.output.wait_for("admin listener on")
        for host in ("nobody.test", UNREACHABLE):
            gateway.raw(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        yield Home(
            gateway,
            f"http://127.0.0.1:{admin}/",
            f"http://127.0.0.1:{web}/livegate?token=secret",
            f"http://live.localhost:{gateway.port}",
        )
        assert crowd.events > 20


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with chromium_browser(chromium) as made:
        yield made


@pytest.fixture
def page(browser: Browser, home: Home) -> Iterator[Page]:
    home.complaints.clear()
    home.refused.clear()
    home.hosts.clear()
    with new_page(browser, viewport={"width": 1360, "height": 900}) as made:
        yield home.watch(made)
    assert home.complaints == [], home.refused


def live(page: Page) -> None:
    expect(page.locator("#link")).to_have_text("live")


def test_now_shows_the_gateway_at_a_glance_and_asks_no_other_host(home: Home, page: Page) -> None:
    page.goto(home.admin)
    live(page)
    tile = page.locator(".tile", has_text="open sockets").locator("b")
    expect(tile).to_have_text(re.compile(r"^(1[0-9]|20)$"))
    expect(page.locator(".tile", has_text=re.compile(r"^\d+sessions$")).locator("b")).to_have_text(
        re.compile(r"^\d{2}$")
    )
    for title in ("Open sockets", "Requests per second", "Event round trips", "Closed sockets", "Event-loop lag"):
        card = page.locator(".card", has=page.get_by_role("heading", name=title, exact=True))
        expect(card.locator(".legend b").first).to_have_text(re.compile(r"\d"), timeout=30_000)
        expect(card.locator("svg path.line").first).to_have_attribute("d", re.compile(r"M\d+"))
    refused = page.locator(".card", has=page.get_by_role("heading", name="Refused and failed"))
    expect(refused).to_contain_text("unmapped-host")
    expect(page.locator("tr", has_text=UNREACHABLE).first).to_contain_text("down: connection refused")
    expect(page.locator("tr", has_text="live.localhost").first).to_contain_text("up")
    assert home.hosts == {urlsplit(home.admin).netloc}


def test_sessions_are_filtered_and_sorted_by_mouse_and_keyboard(home: Home, page: Page) -> None:
    page.goto(f"{home.admin}#/sessions")
    live(page)
    rows = page.locator(".row:visible")
    expect(rows.nth(19)).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("/stream")
    expect(page.get_by_role("status").filter(has_text=re.compile(r"^\d+ of \d+$"))).to_have_text(
        re.compile(r"^[5-9] of")
    )
    assert set(page.locator(".row:visible > :nth-child(4)").all_inner_texts()) == {"/stream"}
    page.get_by_label("Filter").fill("")
    events = page.get_by_role("columnheader", name="Events")
    events.get_by_role("button").click()
    expect(events).to_have_attribute("aria-sort", "descending")
    by_place = page.evaluate(  # in one step: the counts go on
        "[...document.querySelectorAll('.row')].filter(row => !row.hidden).sort((a, b) => a.at - b.at)"
        ".map(row => [row.row.events, Number(row.children[5].textContent.replace(',', ''))])"
    )
    counts = [events for events, _ in by_place]
    assert sorted(counts, reverse=True) == counts
    assert [shown for _, shown in by_place] == counts
    page.get_by_label("State").select_option("live")
    expect(rows.first).to_contain_text("live")
    page.locator(".rows a").first.focus()
    page.keyboard.press("ArrowDown")
    chosen = page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(rf"#/session/{chosen}$"))
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"session {chosen}")
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile("#/sessions$"))


def test_the_focus_stays_with_its_session_when_rows_move(home: Home, page: Page) -> None:
    page.goto(f"{home.admin}#/sessions")
    live(page)
    rows = page.locator(".row:visible")
    expect(rows.nth(19)).to_be_visible()
    page.locator(".rows a").nth(2).focus()
    row = page.locator(".row:focus-within")
    before, number = row.get_attribute("aria-rowindex") or "", row.locator("a").inner_text()
    app = page.context.new_page()
    app.goto(f"{home.app}/count")
    connected(app)
    page.bring_to_front()
    expect(row).not_to_have_attribute("aria-rowindex", before)
    expect(row.locator("a")).to_have_text(number)
    page.get_by_label("Filter").evaluate("(box) => { box.value = 'no such'; box.dispatchEvent(new Event('input')) }")
    expect(page.get_by_role("table")).to_be_focused()
    page.get_by_label("Filter").evaluate("(box) => { box.value = ''; box.dispatchEvent(new Event('input')) }")
    expect(rows.nth(19)).to_be_visible()
    page.keyboard.press("ArrowDown")
    shown = page.evaluate(
        "[...document.querySelectorAll('.row')].filter(row => !row.hidden).map(row => row.row.number)"
    )
    below = max(one for one in shown if one < int(number))
    expect(row.locator("a")).to_have_text(str(below))
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(rf"#/session/{below}$"))
    app.close()


def own_session(home: Home, page: Page) -> tuple[Page, int, str]:
    """A browser's own session of the demo: what its page was at last, and its number."""
    app = page.context.new_page()
    app.goto(f"{home.app}/stream")
    connected(app)
    for count in (4, 5):
        app.click("#add")
        expect(app.locator("#items li")).to_have_count(count)
    app.locator("#items li button").nth(1).click()
    expect(app.locator("#items li")).to_have_count(4)
    topic = app.locator("[data-phx-main]").get_attribute("id")
    response = app.request.get(f"{home.admin}api/v1/sessions").json()
    for row in reversed(response["sessions"]):
        detail = app.request.get(f"{home.admin}api/v1/sessions/{row['number']}").json()
        if any(view["topic"] == f"lv:{topic}" for view in detail["views"]):
            return app, row["number"], app.evaluate(DOM, None)
    raise AssertionError("the browser's session is not in the list")


def frame_named(page: Page, text: str) -> Any:
    return page.locator(".frame-list .line:visible", has_text=text)


def test_one_session_frame_by_frame_with_the_page_as_it_was(home: Home, page: Page) -> None:
    app, number, last = own_session(home, page)
    page.goto(f"{home.admin}#/session/{number}")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Stream /stream · session {number}")
    for track in ("HTTP", "Socket", "Joins", "Events", "Server diffs", "Heartbeats", "Problems"):
        expect(page.locator(".timeline text", has_text=track)).to_be_visible()
    titles = page.locator(".timeline rect title").all_text_contents()
    assert any(title.startswith("GET /stream 200 after") for title in titles), titles
    frame_named(page, "reply ok").last.click()
    expect(page.get_by_text(re.compile(r"^frame (\d+) of 0–\1$"))).to_be_visible()
    expect(page.locator(".headline")).to_contain_text("stream: 1 deleted")
    expect(page.locator("pre")).to_contain_text('"phx_reply"')
    shown = page.locator("iframe")
    expect(shown).to_have_attribute("sandbox", "")
    source = shown.get_attribute("srcdoc") or ""
    inside = page.evaluate(
        """text => new DOMParser().parseFromString(text, "text/html").querySelector("[data-phx-main]").innerHTML""",
        source,
    )
    clean = """html => html.replace(/ data-livegate-changed=""/g, "")"""
    for_both = """html => { const holder = document.createElement("div"); holder.innerHTML = html; for (const one of holder.querySelectorAll("*")) for (const name of ["href", "src", "target"]) one.removeAttribute(name); return holder.innerHTML }"""
    as_it_was = app.evaluate(for_both, app.evaluate(DOM, app.evaluate(clean, inside)))
    assert as_it_was == app.evaluate(for_both, last), "the page of the last frame is the page in the browser"
    assert "data-livegate-changed" in source
    assert ".top" in source or "body" in source.partition("</head>")[0], "the app's own styles"
    expect(page).to_have_url(re.compile(r"/frame/\d+$"))
    place = page.url
    expect(page.frame_locator("iframe").locator("#items li")).to_have_count(4)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".headline")).to_contain_text("stream: 1 inserted")
    expect(page.frame_locator("iframe").locator("#items li")).to_have_count(5)
    expect(page.frame_locator("iframe").locator("[data-livegate-changed]").first).to_be_visible()
    page.get_by_role("button", name="forward").click()
    page.get_by_role("button", name="forward").click()
    expect(page).to_have_url(place)
    other = home.watch(page.context.new_page())
    other.goto(place)
    expect(other.locator(".headline")).to_contain_text("stream: 1 deleted")
    other.close()
    app.click("#append")
    expect(frame_named(page, 'click "append"')).to_be_visible()
    app.close()


def test_a_bar_of_the_timeline_leads_to_its_frame_and_bars_are_to_scale(home: Home, page: Page) -> None:
    app = page.context.new_page()
    app.goto(f"{home.app}/slow")
    connected(app)
    app.click("#slow")
    expect(app.locator("#waited")).to_have_text("1")
    born = app.inner_text("#born")
    app.click("#crash")
    expect(app.locator("#born")).not_to_have_text(born)
    connected(app)
    topic = app.locator("[data-phx-main]").get_attribute("id")
    rows = app.request.get(f"{home.admin}api/v1/sessions").json()["sessions"]
    details = [app.request.get(f"{home.admin}api/v1/sessions/{row['number']}").json() for row in rows]
    (detail,) = [one for one in details if any(view["topic"] == f"lv:{topic}" for view in one["views"])]
    page.goto(f"{home.admin}#/session/{detail['number']}")
    bar = page.locator("rect.frame", has=page.locator("title", has_text=re.compile(r"after [789]\d\d ms")))
    expect(bar).to_have_count(1)
    wide = float(bar.get_attribute("width") or 0)
    title = re.search(r"after (\d+) ms", bar.locator("title").text_content() or "")
    assert title
    scale = page.evaluate("document.querySelector('.timeline svg').clientWidth - 96 - 28")
    spans = page.evaluate(
        "[...document.querySelectorAll('.timeline rect')].map(one => [+one.getAttribute('x'), +one.getAttribute('width')])"
    )
    left = min(x for x, _ in spans)
    right = max(x + width for x, width in spans)
    assert abs((right - left) - scale) < 20, "the whole session is in sight"
    total = detail["last"] - min(detail["opened"], *(one["at"] for one in detail["http"]))
    assert wide / scale == pytest.approx(int(title[1]) / 1000 / total, rel=0.3), "to the scale of the whole"
    bar.click()
    expect(page.locator(".headline")).to_contain_text(re.compile(r"reply ok to #\d+ after [789]\d\d ms"))
    lost = page.locator("rect.frame title", has_text=re.compile(r'click "crash" .*no reply'))
    expect(lost).to_have_count(1)
    expect(page.locator("rect title", has_text=re.compile("^CRASH"))).to_have_count(1)
    before = page.evaluate("document.querySelector('.timeline svg').clientWidth")
    page.get_by_role("button", name="Zoom in").click()
    assert page.evaluate("document.querySelector('.timeline svg').clientWidth") > 1.5 * before
    app.close()


def test_an_exported_session_is_one_file_that_works_offline(home: Home, page: Page, tmp_path: Path) -> None:
    app, number, _ = own_session(home, page)
    app.close()
    page.goto(f"{home.admin}#/session/{number}")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as one file").click()
    file = tmp_path / "session.html"
    download.value.save_as(file)
    text = file.read_text()
    assert "CANARYhunter2" not in text
    assert not re.search(r'(?:src|href)="(?!data:|#)', text.partition('<script type="application/json"')[0])
    alone = home.watch(page.context.new_page())
    page.context.set_offline(True)
    home.hosts.clear()
    alone.goto(file.as_uri())
    expect(alone.get_by_role("heading", level=1)).to_contain_text(f"session {number}")
    frame_named(alone, "reply ok").last.click()
    expect(alone.locator(".headline")).to_contain_text("stream: 1 deleted")
    expect(alone.frame_locator("iframe").locator("#items li")).to_have_count(4)
    alone.keyboard.press("ArrowLeft")
    expect(alone.locator(".headline")).to_contain_text('click "remove"')
    page.context.set_offline(False)
    assert home.hosts <= {""}, "nothing was asked of anybody"


def test_causes_say_why_and_what_to_do(home: Home, page: Page) -> None:
    page.goto(f"{home.admin}#/causes")
    card = page.locator(".cause", has=page.get_by_role("heading", name="No service for this Host"))
    expect(card).to_contain_text("Add the host to services")
    expect(page.locator(".cause", has_text="Backend unreachable")).to_contain_text(f"services.{UNREACHABLE}.backend")
    page.get_by_label("Kind").select_option("closed")
    expect(page.locator(".incident").first).to_contain_text("closed with")
    expect(page.locator(".incident", has_text="unmapped-host")).to_have_count(0)


def test_the_page_comes_back_by_itself_when_the_gateway_does(
    browser: Browser, demo: DemoProcesses, tmp_path: Path
) -> None:
    admin = free_port()
    settings = {"services": {"live.localhost": demo.live_url}, "admin": {"listen": f"127.0.0.1:{admin}"}}
    gateway = Gateway(tmp_path, settings)
    with new_page(browser) as page:
        with gateway:
            gateway.output.wait_for("admin listener on")
            page.goto(f"http://127.0.0.1:{admin}/#/sessions")
            live(page)
        expect(page.locator("#link")).to_contain_text("reconnecting")
        with gateway:
            live(page)
            app = page.context.new_page()
            app.goto(f"http://live.localhost:{gateway.port}/count")
            connected(app)
            expect(page.locator(".row", has_text="/count")).to_be_visible()


def test_a_person_types_the_token_once_and_the_cookie_is_no_use_elsewhere(
    browser: Browser, demo: DemoProcesses, npm_packages: Path, tmp_path: Path
) -> None:
    admin, token = free_port(), "correct horse battery".replace(" ", "-")
    settings = {
        "services": {"live.localhost": demo.live_url},
        "admin": {"listen": f"127.0.0.1:{admin}", "token": token},
    }
    gateway = Gateway(tmp_path, settings)
    with gateway, new_page(browser, bypass_csp=True) as page:
        gateway.output.wait_for("admin listener on")
        page.goto(f"http://127.0.0.1:{admin}/#/sessions")
        page.evaluate((npm_packages / "axe-core" / "axe.min.js").read_text())
        assert [one["id"] for one in page.evaluate("axe.run()")["violations"]] == []
        page.get_by_label("Token").fill("a wrong one")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_have_text("Wrong token.")
        page.get_by_label("Token").fill(token)
        page.keyboard.press("Enter")
        live(page)
        (cookie,) = page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert token not in cookie["value"]
        app = page.context.new_page()
        app.goto(f"http://live.localhost:{gateway.port}/count")
        connected(app)
    assert token not in gateway.output.text


def test_the_page_is_inside_mitmweb_behind_its_login(home: Home, page: Page) -> None:
    bare = home.mitmweb.partition("?")[0]
    refused = page.request.get(f"{bare}/api/v1/sessions")
    assert refused.status == 403
    assert "sessions" not in refused.text()
    live_url = f"{bare.replace('http:', 'ws:')}/api/v1/live"
    for url, origin in ((live_url, bare), (f"{live_url}?token=secret", "http://elsewhere.test")):
        with pytest.raises(InvalidStatus) as denied:
            connect(url, origin=Origin(origin.removesuffix("/livegate")), proxy=None)
        assert denied.value.response.status_code == 403
    page.goto(bare)
    expect(page.get_by_text("403 Authentication Required")).to_be_visible()
    page.locator("input[type=password]").fill("secret")
    page.locator("input[type=submit]").click()
    expect(page).to_have_url(re.compile(r"/livegate/$"))
    live(page)
    home.complaints.clear()  # of the 403, and of an icon that mitmweb's own login page does not find here
    expect(page.locator(".tile", has_text="open sockets").locator("b")).to_have_text(re.compile(r"^\d+$"))
    page.get_by_role("link", name="Sessions").click()
    page.locator(".row a").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("session")
    assert home.hosts == {urlsplit(home.mitmweb).netloc}


def test_the_essence_of_a_sockets_comment_is_not_cut_in_mitmweb(home: Home, browser: Browser) -> None:
    with new_page(browser, viewport={"width": 1400, "height": 900}) as page:
        page.goto(home.mitmweb.replace("/livegate?", "?"))
        comment = page.locator("td.col-comment", has_text=re.compile(r"^(\S )?\d{4} · \d+ ev · p95")).first
        expect(comment).to_be_visible()
        seen = comment.evaluate(
            """cell => {
              const text = cell.firstChild, end = text.data.indexOf("s · ") + 1, range = document.createRange()
              range.setStart(text, 0)
              range.setEnd(text, end)
              return { text: text.data.slice(0, end), fits: range.getBoundingClientRect().width <= cell.clientWidth }
            }"""
        )
        assert re.fullmatch(r"(\S )?\d{4} · \d+ ev · p95 [\d.]+ m?s", seen["text"]), seen
        assert seen["fits"], seen


SHAPES = [(1360, "light"), (1360, "dark"), (420, "dark"), (420, "light")]


@pytest.mark.parametrize(("width", "scheme"), SHAPES)
def test_axe_finds_nothing_serious(home: Home, browser: Browser, npm_packages: Path, width: int, scheme: str) -> None:
    code = (npm_packages / "axe-core" / "axe.min.js").read_text()
    with new_page(browser, viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True) as page:
        page.goto(f"{home.admin}#/sessions")
        expect(page.locator(".row a").first).to_be_visible()
        number = page.locator(".row a").first.inner_text()
        for view in ("now", "sessions", "causes", f"session/{number}"):
            page.goto(f"{home.admin}#/{view}")
            live(page)
            page.wait_for_function("document.querySelector('#main').textContent.length > 100")
            page.evaluate(code)
            found = page.evaluate("axe.run({iframes: false})")
            bad = [one for one in found["violations"] if one["impact"] in ("serious", "critical", "moderate")]
            violations = [
                (one["id"], one["nodes"][0]["html"][:200], one["nodes"][0].get("failureSummary")) for one in bad
            ]
            assert violations == [], f"{view}: {json.dumps(violations, indent=1)}"
            wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wider <= 0, f"{view} is {wider} px wider than the window"
