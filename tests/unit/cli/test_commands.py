"""The `livegate` command and the list of addons, in this process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import livegate
from livegate.addons import gateway_addons
from livegate.cli import run
from livegate.cli.app import app
from livegate.demo import processes
from livegate.pipeline.reverse_mode import mode_spec
from livegate.settings import Listen

POLICY = {
    "Guard": ("requestheaders", "http_connect"),
    "ClientIdentity": ("requestheaders",),
    "RateLimiter": ("requestheaders", "request"),
    "DomainRouter": ("requestheaders",),
    "HttpsRedirect": ("requestheaders",),
    "Headers": ("requestheaders",),
    "Streaming": ("requestheaders",),
}


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


async def test_the_addons_stand_in_the_order_of_a_requests_way() -> None:
    names = [type(addon).__name__ for addon in gateway_addons()]
    order = [
        "Guard",
        "ClientIdentity",
        "RateLimiter",
        "DomainRouter",
        "Headers",
        "HandshakeTimeout",
        "Streaming",
        "FailureLog",
        "AccessLog",
    ]
    assert [name for name in names if name in order] == order
    assert names[:2] == ["SafeOptions", "Startup"]


async def test_every_policy_hook_fails_closed() -> None:
    addons = {type(addon).__name__: addon for addon in gateway_addons()}
    for name, hooks in POLICY.items():
        for hook in hooks:
            assert hasattr(getattr(type(addons[name]), hook), "__wrapped__"), f"{name}.{hook} would fail open"


def test_version_and_help_are_short_and_complete() -> None:
    assert invoke("--version") == (0, f"livegate {livegate.__version__}\n")
    status, text = invoke("--help")
    assert status == 0
    for command in ("run", "check", "demo"):
        assert command in text


def test_the_schema_is_json() -> None:
    assert json.loads(invoke("check", "--schema")[1])["title"] == "SettingsFile"


def test_a_demo_without_its_libraries_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livegate.demo.REQUIRED", ("no_such_library",))
    status, text = invoke("demo")
    assert status == 1
    assert "pip install 'livegate[demo]'" in text.replace("\n", "")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "127.0.0.1:8080"),
        (["-p", "9000"], "127.0.0.1:9000"),
        (["--listen-port=9000", "--listen-host", "0.0.0.0"], "0.0.0.0:9000"),
        (["-p", "nonsense"], "127.0.0.1:8080"),
        (["-p"], "127.0.0.1:8080"),
    ],
)
def test_where_to_listen_may_be_told_on_the_command_line(arguments: list[str], expected: str) -> None:
    assert str(run._listen_address(arguments, Listen("127.0.0.1", 8080))) == expected


@pytest.mark.parametrize(
    ("listen", "end"),
    [(Listen("", 80), "@80"), (Listen("127.0.0.1", 80), "@127.0.0.1:80"), (Listen("::1", 80), "@::1:80")],
)
def test_a_listener_is_a_mode_of_mitmproxy(listen: Listen, end: str) -> None:
    from mitmproxy.proxy.mode_specs import ProxyMode

    assert mode_spec(listen).endswith(end)
    mode = ProxyMode.parse(mode_spec(listen))
    assert (mode.listen_host(), mode.listen_port()) == (listen.host, listen.port)


@pytest.mark.process  # mitmproxy's console looks for a clipboard program as it is imported
@pytest.mark.parametrize(
    ("raised", "status"),
    [(SystemExit(3), 3), (SystemExit("text"), 1), (SystemExit(None), 0), (KeyboardInterrupt(), 130), (None, 0)],
)
def test_the_status_of_the_tool_is_the_status_of_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, raised: BaseException | None, status: int
) -> None:
    given: list[list[str]] = []

    def tool(master, parser, arguments, extra) -> None:
        given.append(arguments)
        if raised is not None:
            raise raised

    monkeypatch.setattr(run, "run_tool", tool)
    monkeypatch.setattr(run, "use_uvloop", lambda: False)
    config = tmp_path / "g.yaml"
    config.write_text("services: {a.test: http://127.0.0.1:1}\n")
    for ui in ("dump", "web", "console"):
        assert invoke("run", "-c", str(config), "--ui", ui, "--", "-q")[0] == status
    assert given[0] == [
        "--mode",
        "reverse:http://livegate.invalid:1@127.0.0.1:8080",
        "--set",
        f"gateway_config={config}",
        "-q",
    ]


@pytest.mark.process
def test_the_demo_runs_the_tool_in_front_of_its_apps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "run_tool", lambda *_: None)
    monkeypatch.setattr(run, "use_uvloop", lambda: False)
    monkeypatch.setenv("LIVEGATE_DEMO_PORTS", "0,0")
    monkeypatch.setenv("GATEWAY_SERVICES", "")
    status, text = invoke("demo", "--ui", "dump")
    assert status == 0
    assert "http://live.localhost:8080/" in text
    assert processes.DemoProcesses


def test_words_after_the_options_are_a_filter_as_in_mitmdump() -> None:
    from argparse import Namespace

    assert run._dump_filter(Namespace(filter_args=[])) == {}
    assert run._dump_filter(Namespace(filter_args=["~d", "a"]))["dumper_filter"] == "~d a"


def test_without_uvloop_the_usual_loop_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run.use_uvloop() is False


@pytest.mark.process
def test_the_gateway_runs_on_uvloop_with_mitmproxys_eager_tasks() -> None:
    code = (
        "import asyncio, uvloop\n"
        "from mitmproxy.utils.asyncio_utils import set_eager_task_factory\n"
        "from livegate.cli.run import use_uvloop\n"
        "assert use_uvloop()\n"
        "async def main():\n"
        "    loop = asyncio.get_running_loop()\n"
        "    assert isinstance(loop, uvloop.Loop)\n"
        "    with set_eager_task_factory():\n"
        "        began = []\n"
        "        async def task():\n"
        "            began.append(1)\n"
        "        running = loop.create_task(task(), name='eager')\n"
        "        assert began == [1]\n"
        "        await running\n"
        "    loop.set_task_factory(None)\n"
        "    await loop.create_task(asyncio.sleep(0))\n"
        "asyncio.run(main())\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
