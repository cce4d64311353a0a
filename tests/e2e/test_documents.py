"""What documents tell readers to run is run, with their own files; only ports and addresses of apps are replaced."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from gateway_process import CHECKOUT, MITMDUMP, START_TIMEOUT_S, TIMEOUT_S, Gateway, Output, free_port

from livegate.demo.processes import DemoProcesses

BIN = MITMDUMP.parent
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


def block(document: str, language: str, number: int = 0) -> str:
    """A code block of a document, without its indentation."""
    found = [match for match in BLOCK.finditer((CHECKOUT / document).read_text()) if match[2] == language]
    return re.sub(rf"^{found[number][1]}", "", found[number][3], flags=re.MULTILINE)


def settings_of(document: str, number: int = 0, *, backend: str) -> dict[str, Any]:
    """Settings of a document, whose services are an app on this machine."""
    settings: dict[str, Any] = yaml.safe_load(block(document, "yaml", number))
    services = settings.get("services") or {"app.example.com": backend}
    for host, service in services.items():
        services[host] = {**service, "backend": backend} if isinstance(service, dict) else backend
    settings.pop("listen", None)
    return {**settings, "services": services}


def written(folder: Path, settings: dict[str, Any], name: str = "staging.yaml") -> int:
    """Write settings whose gateway listens on a free port of loopback; return the port."""
    port = free_port()
    (folder / name).write_text(yaml.safe_dump({**settings, "listen": f"127.0.0.1:{port}"}))
    return port


@contextmanager
def started(folder: Path, command: str, port: int, *arguments: str) -> Iterator[Output]:
    """Run a command of a document, and wait until it serves."""
    words = command.replace(".venv/bin/", "").split()
    words[0] = str(BIN / words[0])
    process = subprocess.Popen(
        [*words, *arguments], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output = Output(process)
    try:
        output.wait_for(f"127.0.0.1:{port}", timeout=START_TIMEOUT_S)
        yield output
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)
        output.join()


async def ask(port: int, path: str = "/healthz", host: str = "app.example.com") -> int:
    """Return the status of a request; waits until the gateway accepts."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(TIMEOUT_S)) as session:
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}{path}", headers={"Host": host}) as response:
                    return response.status
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)


async def echoed(port: int, host: str = "app.example.com") -> float:
    """Return how long a message took through a WebSocket of the echo app, in seconds."""
    loop = asyncio.get_running_loop()
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{port}/ws", headers={"Host": host}) as socket,
    ):
        before = loop.time()
        await socket.send_str("hello")
        assert await socket.receive_str(timeout=TIMEOUT_S) == "hello"
        return loop.time() - before


@pytest.mark.parametrize("document", ["README.md", "docs/howto/phoenix.md"])
def test_the_settings_of_a_document_pass_the_check_it_names(document: str, tmp_path: Path) -> None:
    (tmp_path / "staging.yaml").write_text(block(document, "yaml"))
    check = next(line for line in block(document, "sh", document == "README.md").splitlines() if " check " in line)
    words = check.partition("#")[0].replace(".venv/bin/", "").split()
    done = subprocess.run([str(BIN / words[0]), *words[1:]], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "app.example.com" in done.stdout


@pytest.mark.parametrize(
    "command",
    [line.partition("#")[0].strip() for line in block("README.md", "sh", 1).splitlines() if " check " not in line],
)
async def test_each_way_to_run_your_own_app_serves_it(command: str, tmp_path: Path, demo: DemoProcesses) -> None:
    port = written(tmp_path, settings_of("README.md", backend=demo.echo_url))
    (tmp_path / "addons").symlink_to(CHECKOUT / "addons")
    web = ["--web-port", str(free_port()), "--no-web-open-browser"]
    arguments = [*(["--"] if "livegate" in command else ["--listen-port", str(port)]), *web]
    with started(tmp_path, command, port, *arguments):
        assert await ask(port) == 200
        assert await ask(port, host="a.preview.example.com") == 200
        assert await ask(port, host="unknown.example.com") == 404


async def test_the_addon_of_the_how_to_delays_the_backends_messages(tmp_path: Path, demo: DemoProcesses) -> None:
    document = "docs/howto/own-addon.md"
    port = written(tmp_path, settings_of("README.md", backend=demo.echo_url))
    (tmp_path / "slow.py").write_text(block(document, "python"))
    command = next(line for line in block(document, "sh").splitlines() if line.startswith("livegate"))
    web = ["--web-port", str(free_port()), "--no-web-open-browser"]
    with started(tmp_path, command, port, *web):
        await ask(port)
        assert await echoed(port) >= 0.3


async def test_the_pipeline_of_the_how_to_waits_for_the_backends(tmp_path: Path, demo: DemoProcesses) -> None:
    document = "docs/howto/continuous-integration.md"
    admin = free_port()
    settings = {**settings_of("README.md", backend=demo.echo_url), "admin": {"listen": f"127.0.0.1:{admin}"}}
    port = written(tmp_path, settings)
    run, curl = block(document, "sh", 1).splitlines()
    with started(tmp_path, run.removesuffix("&"), port):
        done = subprocess.run(
            ["bash", "-c", curl.replace("9091", str(admin))], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["ready"] is True


def test_the_probes_of_the_how_to_agree_with_the_listener(tmp_path: Path, demo: DemoProcesses) -> None:
    admin, token = free_port(), "a-token-of-thirty-two-characters!"
    settings = settings_of("docs/howto/docker.md", backend=demo.echo_url)
    settings["admin"] = {**settings["admin"], "listen": f"127.0.0.1:{admin}"}
    probes = yaml.safe_load(block("docs/howto/kubernetes.md", "yaml"))["containers"][0]
    with Gateway(tmp_path, settings, environ={"LIVEGATE_ADMIN_TOKEN": token}) as gateway:
        gateway.output.wait_for(str(admin))
        for probe in ("livenessProbe", "readinessProbe"):
            _, *words = probes[probe]["exec"]["command"]
            words = [word.replace("9091", str(admin)) for word in words]
            for given, status in ((token, 0), ("wrong", 1)):
                done = subprocess.run(
                    [sys.executable, *words], env={"LIVEGATE_ADMIN_TOKEN": given}, capture_output=True, check=False
                )
                assert done.returncode == status, done.stderr


def test_make_demo_prints_addresses_that_can_be_opened(default_port: None) -> None:
    """The demo of the checkout, in the terminal, on its own ports."""
    process = subprocess.Popen(
        [str(BIN / "livegate"), "demo", "--ui", "dump"],
        cwd=CHECKOUT,
        env={**os.environ, "LIVEGATE_DEMO_PORTS": f"{free_port()},{free_port()}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output = Output(process)
    try:
        output.wait_for("http://live.localhost:8080/", timeout=START_TIMEOUT_S)
        output.wait_for("listening at", timeout=START_TIMEOUT_S)
        request = urllib.request.Request("http://127.0.0.1:8080/", headers={"Host": "live.localhost:8080"})
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            assert b"phx-" in response.read()
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)
        output.join()


@contextmanager
def proxy(command: list[str], port: int) -> Iterator[None]:
    """Run another proxy until its port is open."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = Output(process)
    try:
        for _ in range(600):
            assert process.poll() is None, output.text
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=TIMEOUT_S)
            except urllib.error.HTTPError:
                break
            except OSError:
                asyncio.run(asyncio.sleep(0.05))
        yield
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)


@pytest.mark.parametrize("name", ["nginx", "haproxy"])
def test_a_proxy_set_up_as_the_how_to_says_passes_pages_and_websockets(
    name: str, tmp_path: Path, demo: DemoProcesses, request: pytest.FixtureRequest
) -> None:
    program: str = request.getfixturevalue(name)
    document = "docs/howto/behind-a-load-balancer.md"
    with Gateway(tmp_path, settings_of(document, backend=demo.echo_url)) as gateway:
        port = free_port()
        text = block(document, name).replace("127.0.0.1:8080", f"127.0.0.1:{gateway.port}")
        text = text.replace("listen 80;", f"listen 127.0.0.1:{port};").replace("bind :80", f"bind 127.0.0.1:{port}")
        config = tmp_path / name
        if name == "nginx":
            text = f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/log; events {{}} http {{ access_log off;\n{text}}}\n"
        config.write_text(text)
        command = [program, "-c", str(config), "-p", str(tmp_path)] if name == "nginx" else [program, "-f", str(config)]
        with proxy(command, port):
            assert asyncio.run(ask(port)) == 200
            assert asyncio.run(echoed(port)) >= 0
        gateway.output.wait_for("method=WEBSOCKET")


def test_the_unit_of_the_how_to_has_no_mistake(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed: apt-get install systemd")
    unit = tmp_path / "livegate.service"
    unit.write_text(
        block("docs/howto/systemd.md", "ini").replace("/opt/livegate/bin/livegate", shutil.which("true") or "")
    )
    done = subprocess.run([program, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False)
    assert "Unknown" not in done.stderr, done.stderr
