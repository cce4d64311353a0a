"""The page at each frame is what the genuine client showed then: nested, sticky, keyed and stream parts, in Chromium."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import WSMsgType, web
from backends import Backend
from browser import browser_page
from fake_phoenix.server import bundled
from gateway_process import Gateway, free_port
from playwright.sync_api import Page, expect

from scenes.dom import differences

ROOT = "phx-page-at-a-frame"


def place(id_: str, parent: str = "") -> str:
    """The element of a view within another one; of a sticky one if it has no parent."""
    whose = f'data-phx-parent-id="{parent}"' if parent else "data-phx-sticky"
    return f'<div id="{id_}" data-phx-session="token-of-{id_}" data-phx-static="" {whose}></div>'


def button(event: str) -> str:
    return f'<button id="{event}" phx-click="{event}">{event}</button>'


def link(id_: str, to: str) -> str:
    return f'<a id="{id_}" href="{to}" data-phx-link="redirect" data-phx-link-state="push">{to}</a>'


def streamed(*items: str, at: int, gone: tuple[str, ...] = (), reset: bool = False) -> dict[str, Any]:
    """Items that a stream inserts, as LiveView 1.1 and later send them."""
    entries: dict[str, Any] = {str(place): {"0": f"item-{item}", "1": item} for place, item in enumerate(items)}
    inserts = [[f"item-{item}", at, None, False] for item in items]
    return {
        "k": entries | {"kc": len(items)},
        "stream": ["0", inserts, [f"item-{item}" for item in gone], reset][: 3 + reset],
    }


QUOTED = """<p title='<div id="clock" data-phx-session="">'>A clock: &lt;div id="clock" data-phx-session=""&gt;</p>"""
PAGES: dict[str, dict[str, Any]] = {
    "/one": {
        "s": [
            f'<!-- {place("clock")} -->{QUOTED}{button("key")}{button("item")}{button("fall")}<ul id="keys">',
            '</ul><ul id="items" phx-update="stream">',
            f"</ul>{place('clock', ROOT)}{place('player')}{link('to-two', '/two')}",
        ],
        "0": {"s": ["<li>", "</li>"], "k": {"0": {"0": "a"}, "1": {"0": "b"}, "2": {"0": "c"}, "kc": 3}},
        "1": {"s": ['<li id="', '">', "</li>"], **streamed("1", "2", at=-1)},
    },
    "/two": {
        "s": [f"<h2>{button('count')}<b id='n'>", f"</b></h2>{place('player')}{link('to-one', '/one')}"],
        "0": "0",
    },
}
VIEWS: dict[str, dict[str, Any]] = {
    "clock": {
        "s": [f"<p>{button('tick')}{button('crash')}<b id='ticks'>", f"</b></p>{place('hand', 'clock')}"],
        "0": "0",
    },
    "hand": {"s": [f"{button('turn')}<i id='turns'>", "</i>"], "0": "0"},
    "player": {"s": [f"{button('play')}<i id='played'>", "</i>"], "0": "0"},
}
DIFFS: dict[str, list[dict[str, Any]]] = {
    "key": [
        {"0": {"k": {"0": 2, "1": [0, {"0": "A"}], "kc": 2, "km": 1}}},
        {"0": {"k": {"0": 1, "1": {"0": "new"}, "2": 0, "kc": 3, "km": 1}}},
    ],
    "item": [
        {"1": streamed("3", at=0, gone=("1",))},
        {"1": streamed("4", "5", at=1)},
        {"1": streamed("6", at=-1, reset=True)},
    ],
    "count": [{"0": "1"}],
    "tick": [{"0": "1"}, {"0": "2"}],
    "turn": [{"0": "1"}, {"0": "2"}],
    "play": [{"0": "1"}, {"0": "2"}, {"0": "3"}, {"0": "4"}],
}
"""What an event changes when it is sent for the first time, for the second time and so on; in CRASHES, its view crashes."""
CRASHES = ("crash", "fall")
STEPS = 18
"""Of `use`."""
WATCHER = """
window.moments = []
window.moment = received => {
  if (!window.tab?.ready(1)) return
  const all = [...document.querySelectorAll("[data-phx-session]")]
  const roots = all.filter(each => !each.parentElement.closest("[data-phx-session]")).map(each => each.cloneNode(true))
  for (const each of roots.flatMap(root => [...root.querySelectorAll("*")])) each.classList.remove("phx-click-loading")
  moments.push([received, roots.map(root => [root.id, root.innerHTML])])
}
window.received = 0
const Native = window.WebSocket
window.WebSocket = class extends Native {
  set onmessage(handler) {
    if (!this.url.includes("/live/")) { super.onmessage = handler; return }
    super.onmessage = event => { moment(received); received++; handler(event) }
  }
}
"""
"""Notes, before a frame is given to the client, what the frames before it have made of the page, once all is joined."""


class ScriptedViews(Backend):
    """An app of the views above."""

    def __init__(self, script: Path) -> None:
        super().__init__()
        self._script = script
        self.app = web.Application()
        for path in ("/live", "/socket"):
            self.app.router.add_get(f"{path}/websocket", self._socket)
        self.app.router.add_get("/client.js", self._client)
        self.app.router.add_get("/{path:one|two}", self._page)

    async def _client(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(self._script)

    async def _page(self, request: web.Request) -> web.Response:
        text = (
            '<!doctype html><html><head><meta name="csrf-token" content="csrf"><script defer src="/client.js"></script>'
            f'</head><body><div id="{ROOT}" data-phx-main data-phx-session="token-of-{request.path}" data-phx-static="">'
            "</div></body></html>"
        )
        return web.Response(text=text, content_type="text/html")

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        opened = web.WebSocketResponse(protocols=("phoenix",))
        await opened.prepare(request)
        diffs = {event: iter(found) for event, found in DIFFS.items()}
        async for message in opened:
            if message.type is WSMsgType.TEXT:
                join_ref, ref, topic, event, payload = json.loads(message.data)
                if event == "event" and payload["event"] in CRASHES:
                    await opened.send_json([join_ref, join_ref, topic, "phx_error", {}])
                    continue
                if event == "phx_leave":
                    await opened.send_json([join_ref, join_ref, topic, "phx_close", {}])
                response = {}
                if event == "phx_join" and topic.startswith("lv:"):
                    path = urlsplit(payload.get("url") or payload.get("redirect") or "").path
                    response = {"rendered": PAGES[path] if topic == f"lv:{ROOT}" else VIEWS[topic.removeprefix("lv:")]}
                elif event == "event":
                    response = {"diff": next(diffs[payload["event"]])}
                await opened.send_json([join_ref, ref, topic, "phx_reply", {"status": "ok", "response": response}])
        return opened


@pytest.fixture(scope="module")
def tab(chromium: str, npm_packages: Path, folder: Path) -> Iterator[tuple[Page, str, str]]:
    """A tab, the gateway's address for it, and that of the admin API."""
    assert npm_packages.is_dir()
    admin = free_port()
    with ScriptedViews(bundled(folder)) as app, browser_page(chromium) as page:
        settings = {"services": {"default": app.url}, "admin": {"listen": f"127.0.0.1:{admin}"}}
        with Gateway(folder, settings) as gateway:
            gateway.output.wait_for("admin listener on")
            page.add_init_script(WATCHER)
            yield page, f"http://127.0.0.1:{gateway.port}", f"http://127.0.0.1:{admin}/api/v1/sessions"


def click(page: Page, event: str, shown: str, text: str) -> None:
    page.click(f"#{event}")
    expect(page.locator(shown)).to_have_text(text)
    page.wait_for_function("tab.ready(1)")
    page.evaluate("moment(received)")


def use(page: Page) -> None:
    """Change each part of each view, crash one with a view in it, then the whole page, and navigate there and back."""
    page.wait_for_function("tab.ready(1)")
    click(page, "key", "#keys", "cA")
    click(page, "key", "#keys", "Anewc")
    click(page, "item", "#items", "32")
    click(page, "tick", "#ticks", "1")
    click(page, "turn", "#turns", "1")
    click(page, "item", "#items", "3542")
    click(page, "play", "#played", "1")
    click(page, "crash", "#ticks", "0")
    click(page, "turn", "#turns", "2")
    click(page, "item", "#items", "6")
    click(page, "tick", "#ticks", "2")
    click(page, "fall", "#keys", "abc")
    expect(page.locator("#ticks")).to_have_text("0")
    click(page, "play", "#played", "2")
    click(page, "to-two", "#n", "0")
    click(page, "play", "#played", "3")
    click(page, "count", "#n", "1")
    click(page, "to-one", "#ticks", "0")
    click(page, "play", "#played", "4")


def test_the_page_at_each_frame_is_what_the_browser_showed_then(tab: tuple[Page, str, str]) -> None:
    page, base, api = tab
    page.goto(f"{base}/one")
    use(page)
    moments, received = page.evaluate("[moments, received]")
    (session,) = [each for each in page.request.get(api).json()["sessions"] if each["kind"] == "tab"]
    lines = page.request.get(f"{api}/{session['number']}/frames").json()["frames"]
    down = [line["n"] for line in lines if line["dir"] == "down"]
    assert len(down) == received
    wrong = []
    for count, roots in moments:
        shown = page.request.get(f"{api}/{session['number']}/frames/{down[count - 1]}").json()["page"]
        assert not shown["why"]
        wrong += [f"frame {down[count - 1]}: {each}" for each in differences(shown["html"], roots)]
    assert not wrong, "\n".join(wrong[:3])
    assert len({count for count, _ in moments}) >= STEPS


def test_what_changed_in_a_nested_view_is_outlined(tab: tuple[Page, str, str]) -> None:
    page, base, api = tab
    page.goto(f"{base}/one")
    page.wait_for_function("tab.ready(1)")
    click(page, "tick", "#ticks", "1")
    number = max(each["number"] for each in page.request.get(api).json()["sessions"] if each["kind"] == "tab")
    lines = page.request.get(f"{api}/{number}/frames").json()["frames"]
    tick = next(line["n"] for line in lines if line["dir"] == "down" and line["event"] == "tick")
    page.goto(f"{api.removesuffix('api/v1/sessions')}#/session/{number}/frame/{tick}")
    shown = page.frame_locator("iframe")
    expect(shown.locator("[data-livegate-changed]")).to_have_count(1)
    expect(shown.locator("#clock #ticks[data-livegate-changed]")).to_have_text("1")
