"""With LiveView's own client in Chromium: the page at every frame is the DOM that the browser had at that moment."""

import http.client
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fake_phoenix.app
import pytest
from browser import browser_page
from fake_phoenix.server import FakePhoenix, bundled
from fake_phoenix.views import View
from gateway_process import TIMEOUT_S, Gateway, free_port
from playwright.sync_api import Page

from scenes.dom import differences

WATCHING = """
// Frames reach the client one by one, and what the page looks like after each is kept.
const Real = window.WebSocket
const painted = () => new Promise(done => {
  setTimeout(done, 100)
  requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)))
})
const roots = () => [...document.querySelectorAll("[data-phx-session]")]
  .filter(element => !element.parentElement.closest("[data-phx-session]"))
  .map(element => [element.id, element.innerHTML])
window.shown = []
window.underWay = 0
window.WebSocket = class extends Real {
  constructor(...given){
    super(...given)
    this.waiting = []
    super.onmessage = message => { underWay++; this.waiting.push(message); this.waiting.length === 1 && this.deliver() }
  }
  get onmessage(){ return this.handler }
  set onmessage(handler){ this.handler = handler }
  async deliver(){
    while(this.waiting.length){
      this.handler(this.waiting[0])
      await painted()
      if(this.url.includes("/live/websocket")) window.shown.push([window.tab.ready(1), roots()])
      this.waiting.shift()
      underWay--
    }
  }
}
"""


def stream(*items: str, at: int = -1, limit: int | None = None, update: bool = False, **more: Any) -> dict[str, Any]:
    """Orders to the stream of the page, with the items that they are about."""
    names = [f"log-{item}" for item in items]
    entries = {str(place): {"0": name, "1": f"{name} {at}"} for place, name in enumerate(names)}
    orders: list[Any] = ["0", [[name, at, limit, update] for name in names], more.get("deletes", [])]
    return {"k": entries | {"kc": len(names)}, "stream": [*orders, True] if more.get("reset") else orders}


def keyed(count: int, entries: dict[str, Any], *, moved: bool = False) -> dict[str, Any]:
    return {"k": entries | {"kc": count} | ({"km": True} if moved else {})}


STEPS: list[dict[str, Any]] = [
    {"1": keyed(3, {"0": 2, "2": 0}, moved=True)},
    {"1": keyed(4, {"1": {"0": "changed"}, "3": {"0": "new"}})},
    {"1": keyed(3, {"0": 1, "1": [3, {"0": "moved and changed"}], "2": 0}, moved=True)},
    {"1": keyed(1, {})},
    {"2": stream("3", at=0)},
    {"2": stream("4", "5")},
    {"2": stream("6", at=2)},
    {"2": stream(deletes=["log-1"])},
    {"2": stream("4", "unknown", update=True)},
    {"2": stream("7", at=0, limit=3)},
    {"2": stream("8", limit=-2)},
    {"2": stream("9", "10", reset=True), "1": keyed(2, {"1": {"0": "at the end"}})},
]


class Lists(View):
    """The fake app's page with a nested and a sticky view, and a keyed list and a stream besides."""

    def statics(self) -> list[str]:
        before = super().statics()
        if self.module != "TabLive":
            return before
        return [before[0], f'{before[1]}<ul id="rows">', '</ul><ol id="log" phx-update="stream">', "</ol>"]

    def html(self) -> str:
        return str(self.count).join(super().statics())

    def rendered(self) -> dict[str, Any]:
        found = super().rendered()
        if self.module == "TabLive":
            found["p"] |= {"1": ["<li>", "</li>"], "2": ['<li id="', '">', "</li>"]}
            found["1"] = keyed(3, {str(at): {"0": text} for at, text in enumerate("abc")}) | {"s": 1}
            found["2"] = stream("1", "2") | {"s": 2}
        return found

    def event(self, payload: dict[str, Any]) -> dict[str, Any]:
        found = super().event(payload)
        if self.module == "TabLive":
            found["diff"] |= STEPS[(self.count - 1) % len(STEPS)]
        return found


@dataclass
class Seen:
    """What the browser showed after each frame, and what the gateway has for it.

    While views are being joined, the client holds back what it has got until the last nested one is there, as it does
    at a page load and a navigation: None then.
    """

    shown: list[tuple[tuple[str, str], ...] | None]
    frames: list[dict[str, Any]]


@pytest.fixture(scope="module")
def seen(chromium: str, npm_packages: Path, folder: Path) -> Iterator[Seen]:
    assert (npm_packages / "lv12").is_dir()
    admin = free_port()
    with pytest.MonkeyPatch.context() as patch, FakePhoenix(bundled(folder)) as app:
        patch.setattr(fake_phoenix.app, "View", Lists)
        settings = {
            "services": {"default": app.url},
            "rate_limit": {"user": None, "ip": None},
            "admin": {"listen": f"127.0.0.1:{admin}"},
        }
        with Gateway(folder, settings) as gateway, browser_page(chromium) as page:
            page.add_init_script(WATCHING)
            page.goto(f"http://a.localhost:{gateway.port}/tab?m=a1")
            use(page)
            shown = [
                tuple((id_, html) for id_, html in roots) if ready else None for ready, roots in page.evaluate("shown")
            ]
            yield Seen(shown, frames_of(admin, len(shown)))


def use(page: Page) -> None:
    """Click what the page has, one after the other, and go to the other page and back."""
    page.wait_for_function("window.tab && tab.ready(1)")
    for _ in STEPS:
        press(page, "[data-phx-main] > [phx-click=mark], [data-phx-main] > * > [phx-click=mark]")
    for child in ("#clock-child", "#player"):
        press(page, f"{child} [phx-click=mark]")
    for _ in range(2):
        before = page.evaluate("document.querySelector('#n').tagName")
        page.click("#go")
        page.wait_for_function(f"document.querySelector('#n').tagName !== '{before}' && tab.ready(1)")
        press(page, "#player [phx-click=mark]")
        press(page, "#clock-child [phx-click=mark]")


def press(page: Page, selector: str) -> None:
    count = page.evaluate("shown.length")
    page.locator(selector).first.click()
    page.wait_for_function(f"shown.length > {count} && !underWay && !document.querySelector('[data-phx-ref-src]')")


def frames_of(admin: int, count: int) -> list[dict[str, Any]]:
    """The frames from the server on the LiveView socket, with their pages."""
    (number,) = [row["number"] for row in ask(admin, "/api/v1/sessions")["sessions"] if row["kind"] == "tab"]
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        lines = ask(admin, f"/api/v1/sessions/{number}/frames")["frames"]
        socket = next(line["socket"] for line in lines if line["what"] == "joined" and "TabLive" in line["text"])
        found = [line["n"] for line in lines if line["dir"] == "down" and line["socket"] == socket]
        if len(found) >= count:
            return [ask(admin, f"/api/v1/sessions/{number}/frames/{frame}") for frame in found]
        assert time.monotonic() < deadline, (len(found), count)


def ask(admin: int, path: str) -> Any:
    conn = http.client.HTTPConnection("127.0.0.1", admin, timeout=TIMEOUT_S)
    try:
        conn.request("GET", path)
        return json.loads(conn.getresponse().read())
    finally:
        conn.close()


def test_the_page_at_every_frame_is_the_dom_of_that_moment(seen: Seen) -> None:
    wrong, compared = [], 0
    for number, (frame, roots) in enumerate(zip(seen.frames, seen.shown, strict=True)):
        if roots is None:
            continue
        compared += 1
        page = frame["page"]
        found = [page["why"]] if page["why"] else differences(page["html"], roots)
        wrong += [f"frame {number}, {frame['line']['text']}: {each}" for each in found]
    assert compared > len(STEPS) + 6
    assert not wrong, f"{len(wrong)} of {compared} differ:\n" + "\n".join(wrong[:3])


def test_the_frames_that_were_compared_show_every_kind_of_part(seen: Seen) -> None:
    shown = [roots[0][1] for roots in seen.shown if roots]
    for part in ('id="clock-child"', 'id="player"', "moved and changed", 'id="log-7"', "at the end"):
        assert any(part in html for html in shown), part
