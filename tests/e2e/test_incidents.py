"""What goes wrong for Phoenix's own client, through the real process: told once, in the API, the log and the metrics."""

import asyncio
import http.client
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from gateway_process import TIMEOUT_S, Gateway, free_port
from phoenix_server import PhoenixServer


class Lab:
    """The gateway before the fake Phoenix."""

    def __init__(self, gateway: Gateway, app: PhoenixServer, admin: int, client: Path) -> None:
        self.gateway, self.app = gateway, app
        self._admin, self._client = admin, client

    async def live(self, topic: str, *, transport: str = "websocket", until: str = "") -> None:
        """Let a client live through it."""
        scheme = "http" if transport == "longpoll" else "ws"
        url = f"{scheme}://127.0.0.1:{self.gateway.port}/socket"
        process = await asyncio.create_subprocess_exec("node", str(self._client), url, transport, topic, until)
        assert await asyncio.wait_for(process.wait(), 30) == 0

    def _get(self, path: str) -> bytes:
        conn = http.client.HTTPConnection("127.0.0.1", self._admin, timeout=TIMEOUT_S)
        try:
            conn.request("GET", path)
            return conn.getresponse().read()
        finally:
            conn.close()

    async def asked(self, path: str) -> Any:
        return json.loads(await asyncio.to_thread(self._get, path))

    async def told(self, *, healed: str = "", ended: bool = True) -> list[dict[str, Any]]:
        """The entries with a cause, once the socket has ended, and healed as expected."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                entries = (await self.asked("/api/v1/incidents"))["incidents"]
                found = [each for each in entries if each["causes"]]
                over = not ended or any(each["kind"] == "closed" for each in entries)
                if over and all(each["incident"]["healed"] == healed for each in found):
                    return found
                await asyncio.sleep(0.05)

    async def session(self) -> Any:
        (row,) = (await self.asked("/api/v1/sessions"))["sessions"]
        return await self.asked(f"/api/v1/sessions/{row['number']}")

    async def counted(self, slug: str) -> str:
        text = (await asyncio.to_thread(self._get, "/metrics")).decode()
        return next(
            (line for line in text.splitlines() if line.startswith(f'gateway_incidents_total{{cause="{slug}"')), ""
        )


@pytest.fixture
async def lab(npm_packages: Path, tmp_path: Path) -> AsyncIterator[Lab]:
    port, admin = free_port(), free_port()
    settings = {
        "services": {"default": f"http://127.0.0.1:{port}"},
        "rate_limit": {"user": None, "ip": None},
        "admin": {"listen": f"127.0.0.1:{admin}"},
    }
    gateway = Gateway(tmp_path, settings, "--set", "liveview_log=events")
    async with PhoenixServer(port) as app:
        with gateway:
            await asyncio.to_thread(gateway.output.wait_for, "admin listener on")
            yield Lab(gateway, app, admin, npm_packages.parent / "incident_client.mjs")


async def test_a_crash_is_told_at_once_and_how_the_view_came_back(lab: Lab) -> None:
    await lab.live("lv:phx-fake")
    (entry,) = await lab.told(healed="rejoined")
    moment = entry["incident"]
    assert (entry["kind"], moment["slug"], moment["view"], moment["events"]) == (
        "liveview",
        "view-crashed",
        "/fake",
        ["crash"],
    )
    assert 0 < moment["cost"] < TIMEOUT_S
    session = await lab.session()
    assert session["incidents"] == [moment]
    assert [cause["slug"] for cause in session["causes"]] == ["view-crashed"]
    assert (session["crashes"], session["incident_count"]) == (1, 1)
    lab.gateway.output.wait_for('"crash"  no reply  LiveView crashed')
    lab.gateway.output.wait_for("view-crashed · LiveView crashed · /fake")
    assert (await lab.counted("view-crashed")).endswith(" 1.0")


async def test_a_refused_join_is_told_with_its_reason(lab: Lab) -> None:
    await lab.live("lv:phx-stale")
    (entry,) = await lab.told()
    assert entry["incident"]["slug"] == "cookie-missing"
    assert (await lab.session())["refusals"] == {"stale": 1}
    lab.gateway.output.wait_for("cookie-missing · Join refused as stale: no cookie")


async def test_a_redirect_in_mount_is_no_incident(lab: Lab) -> None:
    await lab.live("lv:phx-login")
    assert await lab.told() == []
    session = await lab.session()
    assert (session["incidents"], session["causes"], session["refusals"], session["state"]) == ([], [], {}, "closed")
    lab.gateway.output.wait_for("join of /fake got a redirect to /login")


async def test_long_poll_posts_that_are_refused_say_so_once_and_the_tab_is_not_live(lab: Lab) -> None:
    lab.app.refuse_posts = True
    await lab.live("lv:phx-fake", transport="longpoll", until="error")
    found = await lab.told(ended=False)
    assert len(found) == 1, json.dumps(found[1])
    (entry,) = found
    moment = entry["incident"]
    assert (moment["slug"], moment["times"] >= 2) == ("long-poll-origin", True)
    assert "`check_origin`" in moment["todo"]
    assert (await lab.session())["state"] == "refused"
    lab.gateway.output.wait_for("long-poll-origin · Long-poll POSTs refused with 403")
