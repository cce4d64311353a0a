"""Commands and histories in the real mitmweb, asked through its own listener as its page does."""

import json
import socket
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_process import MITMDUMP, TIMEOUT_S, Gateway, free_port
from phoenix_server import answers, decoded, encoded
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import Server, ServerConnection, serve

SCRIPT = str(Path(__file__).parents[2] / "addons" / "gateway.py")
JOIN = {"url": "http://app.test/count", "params": {"_csrf_token": "token"}, "session": "SFMyNTY.a.b"}
CLICKS = 260
CHUNKS = 40
CHUNK_BYTES = 64 * 1024


def backend() -> Server:
    def handle(client: ServerConnection) -> None:
        for message in client:
            for frame in answers(decoded(message)):
                client.send(encoded(frame, "2.0.0"))

    return serve(handle, "127.0.0.1", 0, subprotocols=["phoenix"], compression=None)  # type: ignore[list-item]


class Web:
    """The gateway in mitmweb."""

    def __init__(self, gateway: Gateway, port: int) -> None:
        self.gateway, self.port = gateway, port

    def ask(self, path: str, sent: dict[str, Any] | None = None) -> Any:
        """What mitmweb's listener answers to its page."""
        fields = {"Authorization": "Bearer secret", "Content-Type": "application/json"}
        fields |= {"Cookie": "_mitmproxy_xsrf=abcdef", "X-XSRFToken": "abcdef"}
        data = json.dumps(sent).encode() if sent is not None else None
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, fields)
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return json.load(answer)

    def command(self, name: str, *arguments: str) -> Any:
        return self.ask(f"/commands/{name}", {"arguments": list(arguments)})

    def connect(self) -> ClientConnection:
        return connect(
            f"ws://app.test:{self.gateway.port}/live/websocket?vsn=2.0.0",
            sock=socket.create_connection(("127.0.0.1", self.gateway.port)),
            subprotocols=["phoenix"],  # type: ignore[list-item]
            compression=None,
        )

    def flow(self) -> dict[str, Any]:
        """The last WebSocket's flow."""
        return [flow for flow in self.ask("/flows") if flow.get("websocket")][-1]


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    port, folder = free_port(), tmp_path_factory.mktemp("web")
    options = ["--web-port", str(port), "--no-web-open-browser", "--set", "web_password=secret"]
    with backend() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        settings = {"services": {"app.test": f"http://127.0.0.1:{server.socket.getsockname()[1]}"}}
        command = [str(MITMDUMP.with_name("mitmweb")), "-s", SCRIPT]
        try:
            with Gateway(folder, settings, *options, command=command) as gateway:
                yield Web(gateway, port)
        finally:
            server.shutdown()
            thread.join(TIMEOUT_S)


def said(client: ClientConnection, *frame: Any) -> None:
    client.send(json.dumps(frame))
    client.recv(TIMEOUT_S)


@pytest.fixture(scope="module")
def ended(web: Web) -> Web:
    """After a tab that clicked and uploaded a file of several MB, and was closed."""
    with web.connect() as client:
        said(client, "4", "4", "lv:phx-1", "phx_join", JOIN)
        for number in range(CLICKS):
            said(client, "4", str(10 + number), "lv:phx-1", "event", {"type": "click", "event": "swap", "value": {}})
        for number in range(CHUNKS):
            names = [b"4", b"%d" % (1000 + number), b"lvu:0", b"chunk"]
            client.send(bytes([0, *map(len, names)]) + b"".join(names) + b"x" * CHUNK_BYTES)
            client.recv(TIMEOUT_S)
    web.gateway.output.wait_for("method=WEBSOCKET")
    return web


def test_an_ended_socket_has_its_events_and_its_comment_says_which_chunks_are_gone(ended: Web) -> None:
    flow = ended.flow()
    count = flow["websocket"]["messages_meta"]["count"]
    gone = 2 * (1 + CLICKS + CHUNKS) - count
    assert 20 < gone <= CHUNKS, "nothing but chunks"
    assert f"{gone} upload chunks not kept" in flow["comment"]
    messages = ended.ask(f"/flows/{flow['id']}/messages/content/raw.json?lines=100000")
    texts = [message["text"] for message in messages]
    assert sum('"swap"' in text for text in texts) == CLICKS, texts[:5]


def test_commands_answer_in_mitmweb(ended: Web, tmp_path: Path) -> None:
    sessions = ended.command("liveview.sessions")["value"]
    number = sessions[1].split()[0]
    heading, *events, remark = ended.command("liveview.events", number, "kind=event", "last=3")["value"]
    assert remark.endswith("earlier events were evicted)")
    assert heading.split()[:3] == ["time", "kind", "view"]
    assert len(events) == 3
    assert all("click swap" in event and " ok" in event for event in events)
    assert "swap" in ended.command("liveview.slow", "0")["value"][1]
    assert ended.command("liveview.html", number)["value"].startswith("<!doctype html><html>")
    target = tmp_path / "out.csv"
    assert f"to {target}" in ended.command("liveview.export", number, str(target))["value"]
    assert target.read_text().count("\n") > 3
    assert "must be a whole number from 1, not 'x'" in ended.command("liveview.events", "x")["error"]
    assert "is missing" in ended.command("liveview.html")["error"]
