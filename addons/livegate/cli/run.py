"""`livegate run` and `demo`: mitmproxy's own tools in this process, with the gateway's addons. Called by `cli.app`."""

import argparse
import asyncio
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.tools import cmdline
from mitmproxy.tools.main import run as run_tool
from rich.console import Console

from livegate.addons import gateway_addons
from livegate.logs.addon import Logs
from livegate.logs.nonblocking_output import open_missing_descriptors
from livegate.pipeline.reverse_mode import mode_spec
from livegate.settings import Admin, Listen, Settings, find_settings_file, load_settings


class GatewayAddons:
    """Container that makes the gateway one entry of mitmproxy's addon chain."""

    name = "livegate"

    def __init__(self) -> None:
        self.addons = gateway_addons()

    def take_over_streams(self) -> None:
        """Start the thread that writes the process's output, before the first line about traffic; see `Logs`."""
        for addon in self.addons:
            if isinstance(addon, Logs):
                addon.take_over_streams()


def gateway_master(tool: type[Master]) -> type[Master]:
    """Return a subclass of a tool's master with the gateway in place of scripts.

    That is before mitmproxy's own addons that choose layers and certificates.
    """

    class GatewayMaster(tool):  # type: ignore[misc, valid-type]  # the base is chosen at run time
        def __init__(self, options: Options) -> None:
            super().__init__(options)
            self._gateway = gateway = GatewayAddons()
            self.addons.register(gateway)
            place = self.addons.chain.index(self.addons.get("scriptloader")) + 1
            self.addons.chain.insert(place, gateway)

        async def run(self) -> None:
            self._gateway.take_over_streams()
            await super().run()

    return GatewayMaster


def run(ui: str, path: Path | None, settings: Settings, arguments: Sequence[str]) -> int:
    """Run a tool until it ends; return the process's exit status."""
    open_missing_descriptors()
    use_uvloop()
    mode = mode_spec(_listen_address(arguments, settings.listen))
    given = ["--mode", mode, "--set", f"gateway_config={path or ''}", *arguments]
    tool, parser, extra = _tool(ui)
    try:
        run_tool(gateway_master(tool), parser, given, extra)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    except KeyboardInterrupt:
        return 130
    return 0


def run_demo(ui: str, arguments: Sequence[str]) -> int:
    """Run the demo apps and the gateway in front of them until the user stops it.

    Raises DemoUnavailableError if a library is missing or an app does not start.
    """
    from livegate.demo import require
    from livegate.demo.processes import DemoProcesses

    require()
    with DemoProcesses(*_demo_ports()) as apps:
        os.environ["GATEWAY_SERVICES"] = f"live.localhost=>{apps.live_url};echo.localhost=>{apps.echo_url}"
        path = find_settings_file(None, os.environ)
        settings = load_settings(path, os.environ)
        _print_addresses(_listen_address(arguments, settings.listen).port, settings.admin)
        return run(ui, path, settings, arguments)


def _demo_ports() -> tuple[int, int]:
    """Return the ports of the two apps: 4000 and 4001, or those in `LIVEGATE_DEMO_PORTS=4100,4101`."""
    live, _, echo = os.environ.get("LIVEGATE_DEMO_PORTS", "4000,4001").partition(",")
    return int(live), int(echo)


def _listen_address(arguments: Sequence[str], configured: Listen) -> Listen:
    """Return the configured address, with the port and host of mitmproxy's own options (`-p`, `--listen-host`)."""
    listen = configured
    for argument, following in pairwise([*arguments, ""]):
        name, _, value = argument.partition("=")
        value = value or following
        if name in ("-p", "--listen-port") and value.isdecimal():
            listen = replace(listen, port=int(value))
        elif name == "--listen-host":
            listen = replace(listen, host=value)
    return listen


def _print_addresses(port: int, admin: Admin | None) -> None:
    console = Console(highlight=False)
    console.print()
    console.print("[bold]livegate demo[/bold]  open one of these and watch the traffic:")
    console.print(f"  LiveView app   [cyan]http://live.localhost:{port}/[/cyan]")
    console.print(f"  echo app       [cyan]http://echo.localhost:{port}/[/cyan]")
    if admin is not None:
        console.print(f"  sessions, why sockets closed, the page at any frame:  [cyan]http://{admin.listen}/[/cyan]")
    console.print("  Ctrl-C stops everything.")
    console.print()


def _tool(
    ui: str,
) -> tuple[type[Master], Callable[[Options], argparse.ArgumentParser], Callable[[Any], dict[str, Any]] | None]:
    match ui:
        case "web":
            from mitmproxy.tools.web.master import WebMaster

            return WebMaster, cmdline.mitmweb, None
        case "console":
            from mitmproxy.tools.console.master import ConsoleMaster

            return ConsoleMaster, cmdline.mitmproxy, None
        case _:
            from mitmproxy.tools.dump import DumpMaster

            return DumpMaster, cmdline.mitmdump, _dump_filter


def _dump_filter(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the options that `mitmdump FILTER` sets: only these flows are printed, saved and read."""
    words = " ".join(arguments.filter_args)
    return dict.fromkeys(("save_stream_filter", "readfile_filter", "dumper_filter"), words) if words else {}


def use_uvloop() -> bool:
    """Run on uvloop if it is installed; return whether it is."""
    if importlib.util.find_spec("uvloop") is None or sys.platform == "win32":
        return False
    import uvloop

    class GatewayLoop(uvloop.Loop):
        def set_task_factory(self, factory: Any) -> None:
            """Wrap asyncio's eager task factory, which before CPython 3.13.3 rejects an argument that uvloop passes."""
            if factory is None:
                super().set_task_factory(None)
                return

            def tolerant(loop: Any, coro: Any, **given: Any) -> Any:
                given.pop("eager_start", None)
                return factory(loop, coro, **given)

            super().set_task_factory(tolerant)

    class GatewayLoopPolicy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> Any:
            return GatewayLoop()

    asyncio.set_event_loop_policy(GatewayLoopPolicy())
    return True
