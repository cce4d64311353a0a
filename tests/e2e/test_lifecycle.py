"""The real process from start to end: start, bad start, reload, bad reload, signals, unsafe options, other tools."""

import asyncio
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import psutil
import pytest
from backends import Backend, Canary
from gateway_process import CHECKOUT, MITMDUMP, TIMEOUT_S, Gateway, Output, free_port, status_of
from mitmproxy import version

LIVEGATE = MITMDUMP.with_name("livegate")
MANY = {"user": "100000/minute", "ip": "100000/minute"}


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with Backend() as backend:
        yield backend


def ask(gateway: Gateway, host: str = "app.test", path: str = "/", extra: str = "") -> bytes:
    return gateway.raw(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{extra}\r\n".encode())


# Start


def test_a_bad_file_ends_the_start_with_every_problem_and_no_traceback(tmp_path: Path) -> None:
    bad = "services:\n  app.test: ftp://x\n  app.test.: http://127.0.0.1:1\nlimits: {boddy: 1MiB}\n"
    gateway = Gateway(tmp_path, bad).start()
    assert gateway.ended() == 1
    for fragment in ("gateway.yaml:2:", "gateway.yaml:3:", "gateway.yaml:4:", "did you mean body"):
        assert fragment in gateway.output.text
    assert "Traceback" not in gateway.output.text


UNSAFE = ["validate_inbound_headers=false", "connection_strategy=eager", "http2=true"]
UNSAFE += ["emudhra=true", "emudhra_old=true"] if version.VERSION >= "12.3" else []


@pytest.mark.usefixtures("default_port")
@pytest.mark.parametrize("mode", ["regular", "reverse:http://127.0.0.1:80", "upstream:http://127.0.0.1:80"])
def test_each_unsafe_option_that_the_user_chose_is_named_and_ends_the_start(
    tmp_path: Path, backend: Backend, mode: str
) -> None:
    others = UNSAFE if mode == "regular" else []
    options = [word for option in [f"mode={mode}", *others] for word in ("--set", option)]
    gateway = Gateway(tmp_path, {"services": {"app.test": backend.url}}, *options, bare=True).start()
    assert gateway.ended() == 1
    assert f"mode {mode} is not the gateway's" in gateway.output.text
    for option in others:
        assert re.search(rf"option {option.partition('=')[0]}=.* is unsafe", gateway.output.text), option
    assert "Traceback" not in gateway.output.text


def test_it_is_never_a_forward_proxy_not_even_while_it_starts(tmp_path: Path, backend: Backend) -> None:
    default_port = free_port()
    with Canary() as canary:
        settings = {"services": {"app.test": backend.url}}
        gateway = Gateway(tmp_path, settings, bare=True)
        gateway.command += ["--listen-port", str(default_port)]
        gateway.start()
        deadline = time.monotonic() + 60
        requests = (
            f"GET http://127.0.0.1:{canary.port}/ HTTP/1.1\r\nHost: 127.0.0.1:{canary.port}\r\n\r\n",
            f"CONNECT 127.0.0.1:{canary.port} HTTP/1.1\r\nHost: 127.0.0.1:{canary.port}\r\n\r\n",
        )
        answers: set[int] = set()
        try:
            while time.monotonic() < deadline and not {404, 405} <= answers:
                for request in requests:
                    try:
                        with socket.create_connection(("127.0.0.1", default_port), timeout=5) as conn:
                            conn.sendall(request.encode())
                            answers.add(status_of(conn.recv(65536)))
                    except OSError:
                        continue
        finally:
            gateway.__exit__(None, None, None)
        assert {404, 405} <= answers
        assert 200 not in answers
        assert canary.connections == 0


@pytest.mark.usefixtures("default_port")
def test_the_checkout_runs_with_only_the_dependencies_present(tmp_path: Path, backend: Backend) -> None:
    """`mitmdump -s addons/gateway.py` finds the package beside the script, whatever is installed."""
    copy = tmp_path / "checkout"
    shutil.copytree(CHECKOUT / "addons", copy / "addons", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    probe = "import sys; sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]"
    (tmp_path / "sitecustomize.py").write_text(probe)
    environ = {"PYTHONPATH": str(tmp_path), "COVERAGE_PROCESS_CONFIG": ""}
    command = [str(MITMDUMP), "-s", str(copy / "addons" / "gateway.py")]
    settings = {"services": {"app.test": backend.url}}
    with Gateway(tmp_path, settings, command=command, environ=environ, bare=True) as gateway:
        assert status_of(ask(gateway)) == 200


# Reload


def test_an_edit_is_applied_without_dropping_a_connection(tmp_path: Path, backend: Backend) -> None:
    with Gateway(tmp_path, {"services": {"app.test": backend.url}, "rate_limit": MANY}) as gateway:

        async def scenario() -> None:
            async with aiohttp.ClientSession() as session:
                async with session.ws_connect(f"{gateway.url}/ws", headers={"Host": "app.test"}) as ws:
                    await ws.send_str("before")
                    assert await ws.receive_str(timeout=60) == "before"
                    mark = len(gateway.output.lines)
                    services = {"new.test": backend.url, "app.test": f"http://127.0.0.1:{free_port()}"}
                    gateway.write({"services": services, "rate_limit": MANY})
                    gateway.output.wait_for("settings reloaded, services: 2", since=mark)
                    assert status_of(ask(gateway, "new.test")) == 200
                    assert status_of(ask(gateway, "app.test")) == 502
                    await ws.send_str("after")
                    assert await ws.receive_str(timeout=60) == "after"

        asyncio.run(scenario())


def test_a_bad_edit_keeps_the_old_settings_and_says_why(tmp_path: Path, backend: Backend) -> None:
    with Gateway(tmp_path, {"services": {"app.test": backend.url}}) as gateway:
        mark = len(gateway.output.lines)
        gateway.write("services: {app.test: nonsense}\n")
        gateway.output.wait_for("settings not reloaded", since=mark)
        assert "gateway.yaml:1: services.app.test.backend: found 'nonsense'" in gateway.output.text
        assert status_of(ask(gateway)) == 200


def test_a_swapped_kubernetes_volume_is_seen(tmp_path: Path, backend: Backend) -> None:
    for name, host in (("one", "app.test"), ("two", "new.test")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "gateway.yaml").write_text(
            f"listen: 127.0.0.1:LISTEN\nservices: {{{host}: '{backend.url}'}}\n"
        )
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "..data").symlink_to(tmp_path / "one")
    gateway = Gateway(volume, "")
    gateway.config.unlink()
    (volume / "gateway.yaml").symlink_to(Path("..data") / "gateway.yaml")
    for name in ("one", "two"):
        file = tmp_path / name / "gateway.yaml"
        file.write_text(file.read_text().replace("LISTEN", str(gateway.port)))
    with gateway:
        assert status_of(ask(gateway, "app.test")) == 200
        mark = len(gateway.output.lines)
        (volume / "..next").symlink_to(tmp_path / "two")
        (volume / "..next").replace(volume / "..data")
        gateway.output.wait_for("settings reloaded", since=mark)
        assert status_of(ask(gateway, "new.test")) == 200


def test_sighup_reloads_what_no_file_shows(tmp_path: Path, backend: Backend) -> None:
    with Gateway(tmp_path, {"services": {"app.test": backend.url}}) as gateway:
        assert gateway.process
        mark = len(gateway.output.lines)
        gateway.process.send_signal(signal.SIGHUP)
        gateway.output.wait_for("settings reloaded", since=mark)
        assert status_of(ask(gateway)) == 200


@pytest.mark.usefixtures("default_port")
def test_a_new_listen_address_is_taken_over(tmp_path: Path, backend: Backend) -> None:
    with Gateway(tmp_path, {"services": {"app.test": backend.url}}, bare=True) as gateway:
        mark = len(gateway.output.lines)
        gateway.port = free_port()
        gateway.write({"services": {"app.test": backend.url}})
        gateway.output.wait_for(f"listening at 127.0.0.1:{gateway.port}", since=mark)
        assert status_of(ask(gateway)) == 200


def test_an_edit_of_the_script_itself_is_taken_over(tmp_path: Path, backend: Backend) -> None:
    script = tmp_path / "gateway.py"
    script.write_text((CHECKOUT / "addons" / "gateway.py").read_text())
    command = [str(MITMDUMP), "-s", str(script)]
    with Gateway(tmp_path, {"services": {"app.test": backend.url}}, command=command) as gateway:
        mark = len(gateway.output.lines)
        os.utime(script, (time.time() + 5, time.time() + 5))
        gateway.output.wait_for("Loading script", since=mark)
        assert status_of(ask(gateway)) == 200
        mark = len(gateway.output.lines)
        gateway.write({"services": {"new.test": backend.url}})
        gateway.output.wait_for("settings reloaded", since=mark)
        assert status_of(ask(gateway, "new.test")) == 200


def test_a_port_of_the_command_line_keeps_the_address_of_the_settings(tmp_path: Path, backend: Backend) -> None:
    for command in (None, [str(LIVEGATE), "run", "-c", str(tmp_path / "gateway.yaml"), "--"]):
        port = free_port()
        settings = {"services": {"app.test": backend.url}}
        gateway = Gateway(tmp_path, settings, "--listen-port", str(port), command=command, bare=True)
        gateway.port = port
        with gateway:
            gateway.output.wait_for(f"listening at 127.0.0.1:{port}.")
            assert status_of(ask(gateway)) == 200


def test_live_reload_of_a_broken_script_fails_closed(tmp_path: Path, backend: Backend) -> None:
    script = tmp_path / "gateway.py"
    script.write_text((CHECKOUT / "addons" / "gateway.py").read_text())
    command = [str(MITMDUMP), "-s", str(script)]
    with Gateway(tmp_path, {"services": {"app.test": backend.url}}, command=command) as gateway:
        assert status_of(ask(gateway)) == 200
        before = len(backend.requests)
        mark = len(gateway.output.lines)
        script.write_text("this is not python")
        os.utime(script, (time.time() + 5, time.time() + 5))
        gateway.output.wait_for("error in script", since=mark)
        assert status_of(ask(gateway)) in (0, 400, 502)
        assert len(backend.requests) == before


# End


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_status_0_and_open_sockets_look_lost(
    tmp_path: Path, backend: Backend, number: signal.Signals
) -> None:
    with Gateway(tmp_path, {"services": {"app.test": backend.url}}) as gateway:

        async def scenario() -> int | None:
            async with aiohttp.ClientSession() as session:
                ws = await session.ws_connect(f"{gateway.url}/ws", headers={"Host": "app.test"})
                assert gateway.process
                gateway.process.send_signal(number)
                await ws.receive(timeout=60)
                return ws.close_code

        assert asyncio.run(scenario()) != 1000, "on 1000 a LiveView page would not reconnect"
        assert gateway.process
        assert gateway.process.wait(TIMEOUT_S) == 0
        gateway.output.join()
        assert "Traceback" not in gateway.output.text


# The command, and other tools


@pytest.mark.parametrize("ui", ["dump", "web"])
def test_livegate_run_serves(tmp_path: Path, backend: Backend, ui: str) -> None:
    web_port = free_port()
    web = ["--no-web-open-browser", "--web-port", str(web_port)] if ui == "web" else []
    command = [str(LIVEGATE), "run", "--config", str(tmp_path / "gateway.yaml"), "--ui", ui, "--", *web]
    with Gateway(tmp_path, {"services": {"app.test": backend.url}}, command=command) as gateway:
        assert status_of(ask(gateway)) == 200
        assert "HTTP(S) proxy listening" not in gateway.output.text, "there is no moment as a forward proxy"


def test_mitmweb_runs_the_script_and_is_never_a_backend(tmp_path: Path, backend: Backend) -> None:
    web_port = free_port()
    command = [str(MITMDUMP.with_name("mitmweb")), "-s", str(CHECKOUT / "addons" / "gateway.py")]
    arguments = ["--no-web-open-browser", "--web-port", str(web_port)]
    with Gateway(tmp_path, {"services": {"app.test": backend.url}}, *arguments, command=command) as gateway:
        assert status_of(ask(gateway)) == 200
        mark = len(gateway.output.lines)
        gateway.write({"services": {"app.test": f"http://localhost:{web_port}"}})
        gateway.output.wait_for("settings not reloaded", since=mark)
        assert "other than the gateway's own listeners" in gateway.output.text


@pytest.mark.usefixtures("default_port")
def test_the_console_tool_runs_the_script(tmp_path: Path, backend: Backend) -> None:
    gateway = Gateway(tmp_path, {"services": {"app.test": backend.url}})
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen(
        [str(MITMDUMP.with_name("mitmproxy")), "-s", str(CHECKOUT / "addons" / "gateway.py")],
        env={**gateway.environ, "TERM": "xterm"},
        stdin=side,
        stdout=side,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    os.close(side)
    drain = subprocess.Popen(["cat"], stdin=main, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(main)
    try:
        deadline = time.monotonic() + 60
        status = 0
        while status != 200 and time.monotonic() < deadline:
            try:
                status = status_of(ask(gateway))
            except OSError:
                time.sleep(0.05)
        assert status == 200
    finally:
        process.kill()
        process.wait()
        drain.kill()
        drain.wait()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # fork and exec at once
@pytest.mark.parametrize("tool", ["mitmdump", "mitmproxy"])
@pytest.mark.usefixtures("default_port")
def test_a_closed_terminal_ends_it_and_sighup_with_one_reloads(tmp_path: Path, backend: Backend, tool: str) -> None:
    gateway = Gateway(tmp_path, {"services": {"app.test": backend.url}})
    pid, main = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which `nohup` would have it ignore
        os.environ.update(gateway.environ, TERM="xterm")
        os.execv(MITMDUMP.with_name(tool), [tool, "-s", str(CHECKOUT / "addons" / "gateway.py")])
    fcntl.ioctl(main, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    close = threading.Event()
    drain = threading.Thread(target=read_then_close, args=(main, close), daemon=True)
    drain.start()
    process = psutil.Process(pid)
    try:
        until_it_answers(gateway, "app.test")
        if tool == "mitmdump":
            process.send_signal(signal.SIGHUP)
            gateway.write({"services": {"new.test": backend.url}})
            until_it_answers(gateway, "new.test")
        close.set()
        process.wait(TIMEOUT_S)
    finally:
        if process.is_running():
            process.kill()
        close.set()
        drain.join(5)


def read_then_close(terminal: int, close: threading.Event) -> None:
    """Read what is printed until told to close the terminal; a read under way would keep it open."""
    while not close.is_set():
        if select.select([terminal], [], [], 0.05)[0]:
            try:
                os.read(terminal, 65536)
            except OSError:
                break
    os.close(terminal)


def until_it_answers(gateway: Gateway, host: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if status_of(ask(gateway, host)) == 200:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"{host} does not answer")


def test_json_logs_are_one_object_a_line(tmp_path: Path, backend: Backend) -> None:
    settings = {"services": {"app.test": backend.url}, "log": {"format": "json"}}
    with Gateway(tmp_path, settings) as gateway:
        ask(gateway, path="/json?token=CANARY")
        line = gateway.output.wait_for('"path":"/json"')
        entry = json.loads(line)
        assert entry["status"] == 200
        assert entry["logger"] == "livegate.access"
        assert "CANARY" not in gateway.output.text
        shown = [text for text in gateway.output.lines if "json" in text]
        assert len(shown) == 1, "not once more as text"


def test_livegate_check_prints_routes_or_problems(tmp_path: Path) -> None:
    good = tmp_path / "good.yaml"
    good.write_text("services: {app.test: http://127.0.0.1:4000, default: http://127.0.0.1:4001}\n")
    bad = tmp_path / "bad.yaml"
    bad.write_text("services: {app.test: 1, b.test: 2}\n")
    checked = subprocess.run([LIVEGATE, "check", good], capture_output=True, text=True, check=False)
    assert checked.returncode == 0
    assert checked.stdout.splitlines()[0] == f"{good}: valid, listens on 127.0.0.1:8080"
    assert "app.test" in checked.stdout
    assert "http://127.0.0.1:4001" in checked.stdout
    checked = subprocess.run([LIVEGATE, "check", bad], capture_output=True, text=True, check=False)
    assert checked.returncode == 1
    assert checked.stderr.count("bad.yaml:1:") == 2
    assert "Traceback" not in checked.stderr


def test_the_schema_that_check_writes_is_the_one_in_configs() -> None:
    written = subprocess.run([LIVEGATE, "check", "--schema"], capture_output=True, text=True, check=True).stdout
    assert json.loads(written) == json.loads((CHECKOUT / "configs" / "gateway.schema.json").read_text())


def test_livegate_run_with_a_bad_file_exits_1_without_a_traceback(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("services: 3\n")
    ran = subprocess.run([LIVEGATE, "run", "-c", bad], capture_output=True, text=True, check=False, timeout=30)
    assert ran.returncode == 1
    assert "bad.yaml:1: services: found 3" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_demo_starts_everything_and_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    port = free_port()
    config.write_text(f"listen: 127.0.0.1:{port}\nservices: {{x.test: http://127.0.0.1:1}}\n")
    process = subprocess.Popen(
        [LIVEGATE, "demo", "--ui", "dump"],
        env={**os.environ, "GATEWAY_CONFIG_FILE": str(config), "LIVEGATE_DEMO_PORTS": f"{free_port()},{free_port()}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    output = Output(process)
    try:
        output.wait_for(f"http://live.localhost:{port}/", timeout=60)
        output.wait_for(f"listening at 127.0.0.1:{port}", timeout=60)
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) == 2
        with socket.create_connection(("127.0.0.1", port), timeout=60) as conn:
            conn.sendall(b"GET /healthz HTTP/1.1\r\nHost: echo.localhost\r\nConnection: close\r\n\r\n")
            assert status_of(conn.recv(65536)) == 200, output.text
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(TIMEOUT_S) == 0
    finally:
        process.kill()
        process.wait()
        output.join()
    gone, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
    assert "Traceback" not in output.text


def test_no_child_of_the_demo_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    code = (
        "from livegate.demo.processes import DemoProcesses\n"
        "with DemoProcesses(0, 0):\n print('up', flush=True)\n input()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"up\n"
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) == 2
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe
        pipe.close()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive


def test_requests_that_come_while_it_starts_are_served_and_do_not_end_the_start(
    tmp_path: Path, backend: Backend
) -> None:
    command = [str(LIVEGATE), "run", "--config", str(tmp_path / "gateway.yaml")]
    gateway = Gateway(tmp_path, {"services": {"app.test": backend.url}, "rate_limit": MANY}, command=command).start()
    try:
        deadline = time.monotonic() + 60
        statuses: list[int] = []
        while len(statuses) < 50 and time.monotonic() < deadline:
            try:
                statuses.append(status_of(ask(gateway)))
            except ConnectionRefusedError:
                continue
        assert statuses == [200] * 50, gateway.output.text
    finally:
        gateway.__exit__(None, None, None)
