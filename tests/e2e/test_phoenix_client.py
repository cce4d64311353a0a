"""Phoenix's own JavaScript client through the gateway: it sees what it sees without, and its frames are understood."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from gateway_process import Gateway, free_port
from phoenix_server import PhoenixServer


@pytest.fixture(scope="module")
def client(npm_packages: Path) -> list[str]:
    assert (npm_packages / "ws").is_dir()
    return ["node", str(npm_packages.parent / "phoenix_client.mjs")]


async def seen_by(client: list[str], url: str, transport: str, vsn: str) -> list[Any]:
    process = await asyncio.create_subprocess_exec(*client, url, transport, vsn, stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    found: list[Any] = json.loads(output)
    return found


@pytest.mark.parametrize(("transport", "vsn"), [("websocket", "2.0.0"), ("websocket", "1.0.0"), ("longpoll", "2.0.0")])
async def test_the_client_sees_what_it_sees_without_and_is_understood(
    client: list[str], tmp_path: Path, transport: str, vsn: str
) -> None:
    port, log = free_port(), tmp_path / "frames.jsonl"
    settings = {
        "services": {"default": f"http://127.0.0.1:{port}"},
        "rate_limit": {"user": None, "ip": None},
        "inspect": {"frame_log": {"path": str(log)}},
    }
    gateway = Gateway(tmp_path, settings, "--set", "liveview_log=frames")
    async with PhoenixServer(port):
        scheme = "http" if transport == "longpoll" else "ws"
        directly = await seen_by(client, f"{scheme}://127.0.0.1:{port}/socket", transport, vsn)
        with gateway:
            through = await seen_by(client, f"{scheme}://127.0.0.1:{gateway.port}/socket", transport, vsn)
            if transport == "websocket":
                await asyncio.to_thread(gateway.output.wait_for, "method=WEBSOCKET")
    assert through == directly
    assert ["error", {"reason": "unauthorized"}] in through
    sentences = [line["text"] for line in map(json.loads, log.read_text().splitlines()) if "text" in line]
    expected = [
        "join room:a",
        "join of private:b refused: unauthorized",
        "joined /fake, LiveView 1.1.0",
        'click "swap" on /fake',
    ]
    expected += ['client pushes "echo" on room:a', 'server pushes "news" on room:a', "CRASH of /fake", "leaves room:a"]
    expected += ["reply ok to #"] if transport == "longpoll" else ["heartbeat reply after"]
    for start in expected:
        assert any(sentence.startswith(start) for sentence in sentences), (start, sentences)
    assert not [
        sentence
        for sentence in sentences
        if "not a Phoenix" in sentence or "cannot" in sentence or "without a pending" in sentence
    ]
    if vsn == "2.0.0":
        swapped = [sentence for sentence in sentences if "2 paths" in sentence]
        assert swapped, "the keyed list has changed in two places"
