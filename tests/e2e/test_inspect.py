"""LiveView understood, as a person sees it: in mitmweb, in the terminal, in the frame log; and no secret anywhere."""

import asyncio
import json
import re
import subprocess
import urllib.request
from pathlib import Path
from typing import Any, Literal

import pytest
from backends import Backend
from browser import browser_page, connected, journey
from gateway_process import MITMDUMP, Gateway, free_port
from mitmproxy.http import HTTPFlow
from mitmproxy.io import FlowReader
from playwright.sync_api import Page, expect
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from livegate.demo.processes import DemoProcesses

LIVEGATE = MITMDUMP.with_name("livegate")
GATEWAY_SCRIPT = str(Path(__file__).parents[2] / "addons" / "gateway.py")
MANY = {"user": None, "ip": None}
CANARY = "CANARYcanary0123456789"


class Web:
    """The gateway in mitmweb, with everything on that stores or shows."""

    def __init__(self, folder: Path, services: dict[str, Any], *arguments: str) -> None:
        self.folder = folder
        self.log, self.flows, self.har = folder / "frames.jsonl", folder / "flows", folder / "out.har"
        self.port = free_port()
        options = ["--web-port", str(self.port), "--no-web-open-browser", "--set", "web_password=secret"]
        options += [
            "--set",
            "liveview_log=frames",
            "--set",
            f"save_stream_file={self.flows}",
            "--set",
            f"hardump={self.har}",
        ]
        settings = {"services": services, "rate_limit": MANY, "inspect": {"frame_log": {"path": "frames.jsonl"}}}
        command = [str(MITMDUMP.with_name("mitmweb")), "-s", GATEWAY_SCRIPT]
        self.gateway = Gateway(folder, settings, *options, *arguments, command=command)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/?token=secret"

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def read(self, *arguments: str) -> str:
        ran = subprocess.run(
            [LIVEGATE, "read", str(self.log), *arguments], capture_output=True, text=True, timeout=60, check=True
        )
        return ran.stdout


def socket_pane(page: Page, web: Web) -> Page:
    """mitmweb, with the first LiveView socket's messages open."""
    pane = page.context.new_page()
    pane.goto(web.url)
    pane.locator("tbody tr", has_text="websocket").first.click()
    pane.get_by_text("WebSocket", exact=True).first.click()
    return pane


DOM = """html => {
  const clean = root => {
    for (const element of root.querySelectorAll("*")) {
      for (const attribute of [...element.attributes]) {
        if (attribute.name.startsWith("data-phx") || ["style", "class", "value"].includes(attribute.name)) element.removeAttribute(attribute.name)
      }
    }
    return root.innerHTML.replace(/<!--.*?-->/g, "").replace(/\\s+/g, " ").trim()
  }
  if (html === null) { return clean(document.querySelector("[data-phx-main]").cloneNode(true)) }
  const holder = document.createElement("div")
  holder.innerHTML = html
  return clean(holder)
}"""


def test_a_session_is_understood_from_its_page_to_its_crash(chromium: str, demo: DemoProcesses, tmp_path: Path) -> None:
    web = Web(tmp_path, {"live.localhost": demo.live_url})
    with web.gateway as gateway, browser_page(chromium) as page:
        journey(page, f"http://live.localhost:{gateway.port}", tmp_path)
        page.goto(f"http://live.localhost:{gateway.port}/stream")
        connected(page)
        page.click("#add")
        expect(page.locator("#items li")).to_have_count(4)
        gateway.output.wait_for('click "add" on')
        gateway.output.wait_for("reply ok to", since=len(gateway.output.lines) - 3)
        in_browser = page.evaluate(DOM, None)
        pane = socket_pane(page, web)
        expect(pane.get_by_text('click "inc" on').first).to_be_visible()
        expect(pane.get_by_text(re.compile(r"reply ok to #\d+ after .* ms, diff .* B: \d+ path")).first).to_be_visible()
        expect(pane.get_by_text(re.compile(r'0: "0" → "1"')).first).to_be_visible()
        expect(pane.locator("tbody").get_by_text(re.compile(r"\d+ ev · p95")).first).to_be_visible()
        last = [line for line in read_until(web, "add") if line.get("event") == "add"][-1]
        html = web.read("--html", str(last["n"]))
        assert html.startswith("<!doctype html>")
        body = html.partition("<body>")[2].partition("</body>")[0]
        assert page.evaluate(DOM, body) == in_browser, "the page, streams included, as the log has it"
    lines = web.lines()
    answers = [line for line in lines if line.get("what") == "reply" and line["event"] == "slow"]
    assert len(answers) == 1
    assert 690 < answers[0]["ms"] < 30_000
    print(f"the event of 700 ms took {answers[0]['ms']} ms")
    (crash,) = [line for line in lines if line.get("event") == "crash"]
    assert crash["dir"] == "up", "it has no answer"
    after = [line.get("what") for line in lines if line.get("session") == crash["session"] and line["at"] > crash["at"]]
    assert "joined" in after, "the rejoin is of the same session"
    assert 'click "crash"' in web.read("--event", "crash")
    assert web.read("--slow", "600ms", "--event", "slow").count("\n") == 1
    assert "rejoined" in gateway.output.text
    assert "CRASH of" in gateway.output.text
    with web.flows.open("rb") as file:
        sockets = [flow for flow in FlowReader(file).stream() if isinstance(flow, HTTPFlow) and flow.websocket]
    assert [flow.marked for flow in sockets if flow.marked] == [":boom:"], "one socket, and the crash is on it"
    saved = [str(MITMDUMP), "-s", GATEWAY_SCRIPT.replace("gateway.py", "liveview.py"), "-n", "-r", str(web.flows)]
    told = subprocess.run(
        [*saved, "--set", "liveview_log=events"], capture_output=True, text=True, timeout=60, check=False
    )
    assert 'click "inc"' in told.stdout, "a saved flow file is understood as well"
    assert "CRASH" in told.stdout or "rejoined" in told.stdout


def read_until(web: Web, event: str) -> list[dict[str, Any]]:
    """The lines, numbered as `livegate read` numbers them, once an event's answer is among them."""
    for _ in range(200):
        lines = [{**line, "n": number} for number, line in enumerate(web.lines(), 1)]
        if any(line.get("event") == event and line.get("dir") == "down" for line in lines):
            return lines
        subprocess.run(["sleep", "0.05"], check=True)
    raise AssertionError("the log does not grow")


JOIN = {
    "url": f"http://ws.test/p?token={CANARY}01",
    "params": {"_csrf_token": f"{CANARY}02"},
    "session": f"SFMyNTY.{CANARY}03.{CANARY}04",
}
FRAMES = [
    ["4", "4", "lv:phx-1", "phx_join", JOIN],
    [
        "4",
        "5",
        "lv:phx-1",
        "event",
        {"type": "form", "event": "save", "value": f"user%5Bpassword%5D={CANARY}05&name=zed"},
    ],
    ["4", "6", "lv:phx-1", "event", {"type": "hook", "event": "pay", "value": {"card": {"number": f"{CANARY}06"}}}],
    ["4", None, "lv:phx-1", "diff", {"e": [["login", {"api_key": f"{CANARY}07"}]]}],
    {"plain": {"secret": f"{CANARY}08"}},
]


async def talk(port: int, ws_port: int) -> list[str]:
    """Secrets in eight places of a socket, seven of requests; returns what the backend's socket received."""
    received: list[str] = []

    async def handler(server: ServerConnection) -> None:
        assert server.request
        received.append(f"{server.request.path} {list(server.request.headers.raw_items())}")
        async for message in server:
            received.append(str(message))
            await server.send(message)

    async with serve(handler, "127.0.0.1", ws_port, compression=None):
        url = f"ws://ws.test:{port}/live/websocket?_csrf_token={CANARY}09&vsn=2.0.0"
        headers = {"Cookie": f"_demo_key={CANARY}10", "X-Api-Key": f"{CANARY}11"}
        async with connect(
            url, host="127.0.0.1", port=port, proxy=None, additional_headers=headers, compression=None
        ) as client:
            for frame in FRAMES:
                await client.send(json.dumps(frame))
                await asyncio.wait_for(client.recv(), 60)
    return received


def ask(port: int) -> None:
    requests = [
        (f"/a?access_token={CANARY}12", b"", {"Authorization": f"Bearer {CANARY}13"}),
        ("/form", f"user[password]={CANARY}14".encode(), {"Content-Type": "application/x-www-form-urlencoded"}),
        (
            "/json",
            json.dumps({"deep": [{"client_secret": f"{CANARY}15"}]}).encode(),
            {"Content-Type": "application/json"},
        ),
    ]
    for path, body, headers in requests:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}", body or None, {"Host": "app.test", **headers}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()


@pytest.mark.parametrize("redact", [True, False])
def test_no_secret_is_stored_or_shown_and_every_one_arrives(chromium: str, tmp_path: Path, redact: bool) -> None:
    ws_port = free_port()
    with Backend() as backend:
        web = Web(tmp_path, {"app.test": backend.url, "ws.test": f"http://127.0.0.1:{ws_port}"})
        if not redact:
            services = {"app.test": backend.url, "ws.test": f"http://127.0.0.1:{ws_port}"}
            web.gateway.write({"services": services, "rate_limit": MANY, "inspect": {"redact": False}})
        shown: list[str] = []
        with web.gateway as gateway:
            received = asyncio.run(talk(gateway.port, ws_port))
            ask(gateway.port)
            with browser_page(chromium) as page:
                page.goto(web.url)
                rows = page.locator("tbody tr:has(td.col-path)")
                expect(rows.first).to_be_visible()
                for number in range(rows.count()):
                    rows.nth(number).click()
                    for tab in ("Request", "Response", "WebSocket", "Comment"):
                        found = page.locator("nav a, .nav-tabs a", has_text=re.compile(f"^{tab}$"))
                        if found.count():
                            found.first.click()
                            page.wait_for_timeout(300)
                            shown.append(page.content())
        told = "".join([*received, json.dumps(backend.requests), b"".join(backend.bodies).decode()])
        arrived = {number for number in range(1, 16) if f"{CANARY}{number:02d}" in told}
        assert arrived == set(range(1, 16)), "the backends got every one as it was"
    surfaces = {
        "terminal": gateway.output.text,
        "flows": web.flows.read_bytes().decode("utf-8", "replace"),
        "har": web.har.read_text(),
    }
    surfaces["page"] = "\n".join(shown)
    if redact:
        surfaces["log"] = web.log.read_text()
    assert all(surfaces.values())
    leaks = {name: sorted(set(re.findall(rf"{CANARY}\d\d", text))) for name, text in surfaces.items()}
    if redact:
        assert leaks == {name: [] for name in surfaces}
    else:
        assert "inspect.redact is off" in gateway.output.text
        assert leaks["flows"], "this test can see a leak"
        assert leaks["page"]
        assert leaks["har"]


@pytest.mark.parametrize("mode", ["reverse", "regular"])
def test_the_inspector_alone_needs_no_gateway(
    demo: DemoProcesses, chromium: str, tmp_path: Path, mode: Literal["reverse", "regular"]
) -> None:
    """Before one app, and as a developer's own forward proxy."""
    port = free_port()
    script = str(Path(GATEWAY_SCRIPT).with_name("liveview.py"))
    where = f"reverse:{demo.live_url}@127.0.0.1:{port}" if mode == "reverse" else f"regular@127.0.0.1:{port}"
    command = [str(MITMDUMP), "-s", script, "--mode", where, "--set", "liveview_log=events"]
    alone = Gateway(tmp_path, {}, command=command)
    alone.port = port
    through = ["--proxy-bypass-list=<-loopback>", f"--proxy-server=http://127.0.0.1:{port}"]
    base = f"http://localhost:{port}" if mode == "reverse" else demo.live_url
    with alone, browser_page(chromium, [] if mode == "reverse" else through) as page:
        page.goto(f"{base}/count")
        connected(page)
        page.click("#inc")
        expect(page.locator("#count")).to_have_text("1")
        alone.output.wait_for('click "inc"')


MANY_FRAMES = 20_000


def test_mitmweb_stays_quick_with_twenty_thousand_frames_on_one_flow(chromium: str, tmp_path: Path) -> None:
    """Time-outs only, and generous ones: stock mitmweb needs minutes for as many."""

    async def answer(socket: ServerConnection) -> None:
        async for message in socket:
            join_ref, ref, topic, event, _ = json.loads(message)
            joins = event == "phx_join"
            response = {"rendered": {"0": "0", "s": ["<p>", "</p>"]}} if joins else {"diff": {"0": ref}}
            await socket.send(json.dumps([join_ref, ref, topic, "phx_reply", {"status": "ok", "response": response}]))

    async def talk(port: int) -> None:
        async with connect(f"ws://127.0.0.1:{port}/live/websocket?vsn=2.0.0", proxy=None, ping_interval=None) as socket:
            await socket.send(json.dumps(["1", "1", "lv:phx-A", "phx_join", {"url": "http://x/count"}]))
            await socket.recv()
            for first in range(2, MANY_FRAMES // 2 + 2, 100):
                for ref in range(first, first + 100):
                    payload = {"type": "click", "event": "inc", "value": {}}
                    await socket.send(json.dumps(["1", str(ref), "lv:phx-A", "event", payload]))
                for _ in range(100):
                    await socket.recv()
            await asyncio.to_thread(look)

    def look() -> None:
        with browser_page(chromium) as page:
            pane = socket_pane(page, web)
            expect(pane.get_by_text(re.compile(r'click "inc" on /count')).first).to_be_visible()
            row = pane.locator("tbody tr", has_text="websocket").first
            expect(row).to_contain_text(f"{MANY_FRAMES // 2} ev")
            pane.get_by_text("Request", exact=True).first.click()
            expect(pane.get_by_text("Sec-WebSocket-Key").first).to_be_visible()

    async def run() -> None:
        async with serve(answer, "127.0.0.1", backend, ping_interval=None):
            with web.gateway:
                await talk(web.gateway.port)

    backend = free_port()
    web = Web(tmp_path, {"default": f"http://127.0.0.1:{backend}"})
    asyncio.run(run())
