"""A real Prometheus reads the gateway's numbers, and they are those of the clients and backends, exactly."""

import asyncio
import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from counting_load import (
    INVALID_TEXT,
    RESERVED_BIT,
    TOO_BIG,
    Books,
    HttpClient,
    Sockets,
    http_backend,
    leave_early,
    many_requests,
    special_requests,
)
from gateway_process import Gateway, free_port
from prometheus_process import CONFIGS, Prometheus, scrape_file
from websockets.asyncio.client import ClientConnection

from certificates import Authority
from livegate.observe.metrics.instruments import Instruments

TOKEN = "0123456789abcdef-the-token"
FAULTS = ["1000", "1001", "1002", "1003", "1007", "1008", "1009", "1010", "1011", "1012", "1013", "1014"]
FAULTS += ["3000", "3999", "4000", "4001", "4999", "none", "rst", "eof"]
METRIC = re.compile(r"\b(?:gateway|process|python)_[a-z_]+")
DASHBOARD = json.loads((CONFIGS / "grafana-dashboard.json").read_text())


class Counted:
    """A gateway and its Prometheus."""

    def __init__(self, folder: Path, prometheus: str, *script: str) -> None:
        Authority().write(folder / "app.pem", "app.test")
        self.http, self.ws, self.admin, self.dead = free_port(), free_port(), free_port(), free_port()
        http, ws = f"http://127.0.0.1:{self.http}", f"http://127.0.0.1:{self.ws}"
        self.settings: dict[str, Any] = {
            "services": {
                "app.test": http,
                "two.test": http,
                "dead.test": f"http://127.0.0.1:{self.dead}",
                "slow.test": {"backend": http, "timeouts": {"response": "300ms"}},
                "limited.test": {"backend": http, "rate_limit": {"ip": "5/minute"}},
                "ws.test": ws,
                "live.test": ws,
                "big.test": {"backend": ws, "websocket": {"max_message": "64KiB"}},
                "fast.test": {"backend": ws, "websocket": {"frame_rate": {"messages": 5}}},
                "idle.test": {"backend": ws, "websocket": {"idle": "1s"}},
                "aged.test": {"backend": ws, "websocket": {"max_age": "700ms"}},
                "picky.test": {"backend": ws, "websocket": {"allowed_origins": ["https://picky.test"]}},
                "full.test": {"backend": ws, "websocket": {"max_connections": {"per_service": 1}}},
            },
            "rate_limit": {"user": None, "ip": None},
            "tls": {"certificates": {"app.test": "app.pem"}},
            "admin": {"listen": f"127.0.0.1:{self.admin}", "token": TOKEN},
        }
        self.gateway = Gateway(folder, self.settings)
        if script:
            (folder / "old.py").write_text("\n".join(script))
            self.gateway.command[2] = str(folder / "old.py")
        self.prometheus = Prometheus(prometheus, folder, f"127.0.0.1:{self.admin}", TOKEN)

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the admin listener."""
        data = json.dumps(body).encode() if body is not None else b""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", self.admin)
        writer.write(head.encode() + data)
        answer = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        body_text = answer.partition(b"\r\n\r\n")[2]
        return body_text.decode() if path == "/metrics" else json.loads(body_text)

    async def until(self, series: str, value: float) -> None:
        """Wait for the sum of some series."""
        async with asyncio.timeout(60):
            while True:
                lines = (await self.ask("GET", "/metrics")).splitlines()
                found = sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(series))
                if found == value:
                    return
                await asyncio.sleep(0.05)

    async def settled(self) -> None:
        """All is over, and Prometheus has looked since."""
        await self.until("gateway_requests_in_flight", 0)
        await self.until("gateway_ws_connections", 0)
        await self.scraped()

    async def scraped(self) -> None:
        """Prometheus has looked since."""
        await asyncio.to_thread(self.prometheus.scraped_since, time.time())


@pytest.fixture(scope="module")
def counted(folder: Path, prometheus: str) -> Iterator[Counted]:
    made = Counted(folder, prometheus)
    with made.gateway, made.prometheus:
        yield made


@pytest.fixture(scope="module")
def loaded(counted: Counted) -> tuple[Books, Counter[str]]:
    """What the clients have counted after the load."""
    return asyncio.run(_load(counted))


async def _load(counted: Counted) -> tuple[Books, Counter[str]]:
    books = Books()
    sockets = Sockets(books, counted.gateway.port)
    backend = await asyncio.start_server(http_backend, "127.0.0.1", counted.http)
    async with sockets.serving(counted.ws):
        await many_requests(books, counted.gateway.port, 2_000)
        decisions = await special_requests(books, counted.gateway.port)
        await leave_early(books, counted.gateway.port, lambda n: counted.until("gateway_requests_in_flight", n))
        await sockets.many_messages("ws.test", 20, 60)
        await sockets.end_by_each_fault("ws.test", FAULTS)
        await _ended_by_gateway(counted, sockets)
        await _refused(counted, sockets)
        await sockets.live_session(300, counted.scraped)  # Prometheus needs two looks to see a rate
        await counted.settled()
    backend.close()  # its connections, which the gateway keeps, end with the loop
    return books, decisions


async def _ended_by_gateway(counted: Counted, sockets: Sockets) -> None:
    await sockets.ended_by_gateway("big.test", TOO_BIG)
    await sockets.ended_by_gateway("ws.test", INVALID_TEXT)
    await sockets.ended_by_gateway("ws.test", RESERVED_BIT)
    await sockets.ended_by_gateway("idle.test")
    await sockets.ended_by_gateway("aged.test")
    await sockets.too_many_frames("fast.test")
    for code in (1011, 1012, 3333, 4010):
        client, _ = await sockets.one("ws.test")
        (one,) = (await counted.ask("GET", "/api/v1/sockets"))["sockets"]
        await counted.ask("POST", f"/api/v1/sockets/{one['id']}/close", {"code": code})
        await client.wait_closed()
        assert client.close_code == code
        sockets.closed("ws.test", code, "gateway")
        await counted.until("gateway_ws_connections", 0)


async def _refused(counted: Counted, sockets: Sockets) -> None:
    books = sockets.books
    await sockets.refused("picky.test", reason="origin-refused", origin="https://evil.test")
    await sockets.refused("picky.test", reason="origin-refused")
    client: ClientConnection
    client, _ = await sockets.one("full.test")
    await sockets.refused("full.test", reason="sockets-per-service")
    await client.close(1000)
    sockets.closed("full.test", 1000, "client")
    await sockets.refused("ws.test", "/refuse")
    await sockets.refused("dead.test", failed="backend-unreachable")
    http = HttpClient(counted.gateway.port)
    upgrade = b"GET / HTTP/1.1\r\nHost: ws.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    status, down = await http.send(upgrade)
    assert status == 426
    http.close()
    books.request("_unmapped", "GET", 426, down=down, refused="upgrade-malformed")


def test_requests_agree_with_the_clients(counted: Counted, loaded: tuple[Books, Counter[str]]) -> None:
    books, decisions = loaded
    counts = counted.prometheus.counts
    assert sum(books.requests.values()) > 2_000
    assert counts("gateway_requests_total", "route", "method", "code") == books.requests
    by_route: Counter[str] = Counter()
    for (route, _, _), count in books.requests.items():
        by_route[route] += count
    without_flow = {"request-line-long", "head-large", "field-malformed", "method-not-allowed", "version-unknown"}
    without_flow |= {"request-malformed"}
    by_route["_unmapped"] -= sum(books.rejected["_unmapped", reason] for reason in without_flow)
    assert counts("gateway_request_duration_seconds_count", "route") == by_route
    assert counts("gateway_upstream_duration_seconds_count", "route") == +books.answered
    assert counts("gateway_http_bytes_total", "route", "direction") == +books.body_bytes
    assert counts("gateway_rejected_total", "route", "reason") == books.rejected
    assert counts("gateway_failures_total", "route", "reason") == books.failures
    assert counts("gateway_ratelimit_decisions_total", "policy", "decision") == {
        ("ip", word): count for word, count in decisions.items()
    }


def test_sockets_and_frames_agree_with_both_ends(counted: Counted, loaded: tuple[Books, Counter[str]]) -> None:
    books, _ = loaded
    counts = counted.prometheus.counts
    assert sum(books.frames.values()) > 2_000
    assert counts("gateway_ws_upgrades_total", "route", "outcome") == books.upgrades
    assert counts("gateway_ws_close_total", "route", "code", "by") == books.closes
    assert {by for _, _, by in books.closes} == {"client", "backend", "gateway"}
    assert counts("gateway_ws_frames_total", "route", "direction", "type") == books.frames
    assert counts("gateway_ws_bytes_total", "route", "direction") == +books.frame_bytes
    opened = {route: count for (route, outcome), count in books.upgrades.items() if outcome == "opened"}
    assert counts("gateway_ws_duration_seconds_count", "route") == opened
    assert not counts("gateway_ws_connections", "route")


def test_liveview_agrees_with_the_client(counted: Counted, loaded: tuple[Books, Counter[str]]) -> None:
    books, _ = loaded
    counts = counted.prometheus.counts
    joins = books.diff_bytes.copy()
    told = counts("gateway_liveview_diff_bytes_total", "route", "event")
    assert counts("gateway_liveview_event_duration_seconds_count", "route", "event") == books.events
    assert {key: told[key] for key in joins} == joins
    assert counts("gateway_liveview_incidents_total", "route", "kind") == books.incidents
    assert counts("gateway_liveview_sessions", "state") == {"closed": 1}


def test_what_prometheus_says_of_backends_reloads_and_the_process(
    counted: Counted, loaded: tuple[Books, Counter[str]]
) -> None:
    gateway, counts = counted.gateway, counted.prometheus.counts
    reached = counts("gateway_upstream_up", "route")
    assert reached["app.test"] == 1
    assert counted.prometheus.query('gateway_upstream_up{route="dead.test"}')[0]["value"][1] == "0"
    good = gateway.config.read_text()
    gateway.write("services: [")
    gateway.output.wait_for("settings not reloaded")
    gateway.write(good)
    gateway.output.wait_for("settings reloaded")
    asyncio.run(counted.settled())
    lines = gateway.output.text
    assert counts("gateway_config_reloads_total", "result") == {
        "failure": lines.count("settings not reloaded"),
        "success": lines.count("settings reloaded"),
    }
    assert counts("gateway_config_last_reload_success", "job") == {"livegate": 1}
    assert not counts("gateway_hook_errors_total", "hook")
    assert counts("process_open_fds", "job")["livegate"] > 10
    (expiry,) = counted.prometheus.query("gateway_certificate_expiry_timestamp_seconds - time()")
    assert 0 < float(expiry["value"][1]) < 400 * 86400


async def test_a_backend_that_comes_back_is_seen_though_nobody_asks_for_it(
    counted: Counted, loaded: tuple[Books, Counter[str]]
) -> None:
    up = 'gateway_upstream_up{route="dead.test"}'
    await counted.until(up, 0)
    backend = await asyncio.start_server(http_backend, "127.0.0.1", counted.dead)
    await counted.until(up, 1)
    backend.close()


async def test_nothing_that_a_client_sends_comes_into_the_exposition(
    counted: Counted, loaded: tuple[Books, Counter[str]]
) -> None:
    client = HttpClient(counted.gateway.port)
    fields = "X-User-ID: canary\r\nCookie: _canary_key=canary\r\nUser-Agent: canary\r\nX-Request-Id: canary\r\n"
    for method, host in (("CANARY", "canary.test"), ("GET", "canary.test"), ("CANARY", "dead.test")):
        head = (
            f"{method} /canary?canary=canary HTTP/1.1\r\nHost: {host}\r\n{fields}X-Forwarded-For: 203.0.113.77\r\n\r\n"
        )
        assert (await client.send(head.encode()))[0] in (404, 502)
    await client.send(f"GET /canary HTTP/1.1\r\nHost: canary canary\r\n{fields}\r\n".encode())
    client.close()
    text = await counted.ask("GET", "/metrics")
    assert "gateway_requests_total" in text
    assert "canary" not in text.lower()
    assert "203.0.113" not in text


def _expressions() -> list[tuple[str, str]]:
    """Those of the dashboard, by panel, as Grafana would ask them."""
    found = []
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            text = target["expr"].replace("$__rate_interval", "5m").replace("$__range", "5m")
            found.append((panel["title"], re.sub(r"\$(job|instance|route)\b", ".*", text)))
    return found


def test_every_panel_of_the_dashboard_shows_something(counted: Counted, loaded: tuple[Books, Counter[str]]) -> None:
    for title, expression in _expressions():
        assert "$" not in expression, title
        assert counted.prometheus.query(expression), f"{title} is empty: {expression}"


def test_every_rule_is_evaluated_without_a_fault(counted: Counted, loaded: tuple[Books, Counter[str]]) -> None:
    deadline = time.monotonic() + 60
    while True:
        (group,) = counted.prometheus.ask("rules")["data"]["groups"]
        if all(rule["health"] != "unknown" for rule in group["rules"]):
            break
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert {rule["health"] for rule in group["rules"]} == {"ok"}
    assert {rule["name"] for rule in group["rules"]} >= {"GatewayBackendDown", "LiveViewCrashLoop"}


def test_promtool_accepts_the_exposition_and_the_files(
    counted: Counted, loaded: tuple[Books, Counter[str]], promtool: str, tmp_path: Path
) -> None:
    text = asyncio.run(counted.ask("GET", "/metrics"))
    checked = subprocess.run([promtool, "check", "metrics"], input=text.encode(), capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
    for command in (
        ("check", "config", str(CONFIGS / "prometheus.yml")),
        ("check", "config", str(scrape_file(tmp_path, "127.0.0.1:1", "x"))),
        ("check", "rules", "--lint-fatal", str(CONFIGS / "alerts.yml")),
        ("test", "rules", str(CONFIGS / "alerts.test.yml")),
    ):
        done = subprocess.run([promtool, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_rules_and_dashboard_name_only_what_there_is_and_each_rule_has_its_test() -> None:
    shown: set[str] = set()
    for family in Instruments().registry.collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        shown |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if family.type == "histogram" else {name}
    rules = yaml.safe_load((CONFIGS / "alerts.yml").read_text())["groups"][0]["rules"]
    expressions = [rule["expr"] for rule in rules] + [expression for _, expression in _expressions()]
    named = {name for expression in expressions for name in METRIC.findall(expression)}
    assert named <= shown
    tested = yaml.safe_load((CONFIGS / "alerts.test.yml").read_text())["tests"]
    alerts = [rule["alert"] for rule in rules]
    assert [test["name"] for test in tested] == alerts
    for test in tested:
        quiet, firing = test["alert_rule_test"]
        assert (quiet["exp_alerts"], len(firing["exp_alerts"])) == ([], 1)


def test_the_dashboard_is_well_laid_out() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, f"{panel['title']} lies on another"
        taken |= cells
        if panel["type"] == "row":
            assert (place["w"], place["h"]) == (24, 1)
            continue
        assert panel["targets"]
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        if panel["type"] in ("timeseries", "stat"):
            assert panel["fieldConfig"]["defaults"]["unit"]
        if panel["type"] == "timeseries":
            assert all(target["legendFormat"] for target in panel["targets"])
    assert len(taken) == 24 * (max(y for _, y in taken) + 1), "there is a hole in the grid"
    assert [each["name"] for each in DASHBOARD["templating"]["list"]] == ["datasource", "job", "instance", "route"]
    rows = [panel["title"] for panel in panels if panel["type"] == "row"]
    assert rows == ["At a glance", "Traffic", "WebSockets", "LiveView", "Limits and refusals", "The gateway itself"]


async def test_the_stock_layers_of_mitmproxy_are_counted_too(tmp_path: Path, prometheus: str) -> None:
    counted = Counted(
        tmp_path,
        prometheus,
        "from livegate import mitm",
        "mitm.INCOMPATIBILITIES = ('HttpStream.x is missing',)",
        "from livegate.addons import gateway_addons",
        "addons = gateway_addons()",
    )
    books = Books()
    with counted.gateway, counted.prometheus:
        sockets = Sockets(books, counted.gateway.port)
        async with sockets.serving(counted.ws):
            client, _ = await sockets.one("ws.test")
            up = 'gateway_ws_frames_total{direction="up",route="ws.test",type="message"}'
            await counted.until(up, 1)  # while it is open
            await client.close(1000)
            sockets.closed("ws.test", 1000, "client")
            await sockets.many_messages("ws.test", 5, 50)
            await sockets.end_by_each_fault("ws.test", ["1000", "1011", "3000", "4001"])
            await counted.settled()
        counts = counted.prometheus.counts
        messages = {key: count for key, count in books.frames.items() if key[2] == "message"}
        assert counts("gateway_ws_frames_total", "route", "direction", "type") == messages
        assert counts("gateway_ws_bytes_total", "route", "direction") == books.frame_bytes
        assert counts("gateway_ws_close_total", "route", "code", "by") == books.closes
        assert counts("gateway_ws_upgrades_total", "route", "outcome") == books.upgrades
