"""The `livegate` command: run the gateway, check its settings, try it with a demo."""

import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from livegate import __version__
from livegate.settings import (
    Settings,
    SettingsError,
    find_settings_file,
    json_schema,
    load_settings,
    route_table,
)
from livegate.settings.units import duration

app = typer.Typer(
    name="livegate",
    help="A staging gateway and debugger for Phoenix LiveView and other WebSocket applications.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
MIN_EVERY_S = 0.2
errors = Console(stderr=True, highlight=False, soft_wrap=True)


class Ui(StrEnum):
    """Which of mitmproxy's tools to run."""

    dump = "dump"
    web = "web"
    console = "console"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"livegate {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


@app.command(epilog="Example: `livegate run --ui web -- --web-port 9000`")
def run(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            help="Settings file (else GATEWAY_CONFIG_FILE, else configs/gateway.yaml).",
            metavar="FILE",
        ),
    ] = None,
    ui: Annotated[
        Ui, typer.Option(help="`dump`: log lines. `web`: mitmweb in the browser. `console`: mitmproxy.")
    ] = Ui.dump,
    mitmproxy_arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- MITMPROXY ARGS...]", help="Passed on to mitmproxy's tool."),
    ] = None,
) -> None:
    """Run the gateway."""
    path, settings = _settings_or_exit(config)
    from livegate.cli import run as tools

    raise typer.Exit(tools.run(ui.value, path, settings, mitmproxy_arguments or []))


@app.command()
def check(
    config: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Settings file to check.")] = None,
    *,
    schema: Annotated[
        bool, typer.Option("--schema", help="Write the JSON Schema of the settings, for editors.")
    ] = False,
) -> None:
    """Check a settings file: every problem at once and status 1, or the route table and status 0."""
    if schema:
        typer.echo(json.dumps(json_schema(), indent=2))
        return
    path, settings = _settings_or_exit(config)
    typer.echo(f"{path or 'environment'}: good, listens on {settings.listen}")
    table = Table(box=None)
    for heading in ("Host", "Backend", "Remarks"):
        table.add_column(heading, overflow="fold")
    for row in route_table(settings):
        table.add_row(*row)
    Console(highlight=False).print(table)


@app.command()
def demo(
    ui: Annotated[Ui, typer.Option(help="How to watch the traffic.")] = Ui.web,
    mitmproxy_arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- MITMPROXY ARGS...]", help="Passed on to mitmproxy's tool."),
    ] = None,
) -> None:
    """Start a LiveView app and an echo app on this machine, and the gateway in front of both."""
    from livegate.cli import run as tools
    from livegate.demo import DemoUnavailableError

    try:
        raise typer.Exit(tools.run_demo(ui.value, mitmproxy_arguments or []))
    except DemoUnavailableError as problem:
        errors.print(f"livegate demo: {problem}", markup=False)
        raise typer.Exit(1) from None


def _settings_or_exit(config: Path | None) -> tuple[Path | None, Settings]:
    try:
        path = find_settings_file(str(config) if config else None, os.environ)
        return path, load_settings(path, os.environ)
    except SettingsError as error:
        for problem in error.problems:
            errors.print(str(problem), markup=False)
        count = len(error.problems)
        errors.print(f"{count} problem{'s' if count > 1 else ''} found; nothing was started.", style="bold red")
        raise typer.Exit(1) from None


@app.command(
    epilog="Example: `livegate read frames.jsonl --slow 200ms`, `livegate read frames.jsonl --html 42 > page.html`"
)
def read(
    log: Annotated[
        Path,
        typer.Argument(
            help="A frame log, a flow file of mitmproxy, or a HAR file of a browser; `-` is standard input.",
            metavar="FILE",
        ),
    ],
    *,
    session: Annotated[int | None, typer.Option(help="Only this session.", metavar="N")] = None,
    event: Annotated[str | None, typer.Option(help="Only this event.", metavar="NAME")] = None,
    slow: Annotated[str | None, typer.Option(help="Only answers that took at least so long, such as 200ms.")] = None,
    payload: Annotated[bool, typer.Option("--payload", help="With each frame: what changed, and its content.")] = False,
    frame: Annotated[int | None, typer.Option(help="Only this line, with its payload.", metavar="N")] = None,
    html: Annotated[int | None, typer.Option(help="Print the page as it was at this line.", metavar="N")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as the frame log grows.")] = False,
) -> None:
    """Read recorded traffic: what was said, by whom, how long it took, and the page at any moment."""
    from livegate.cli import read as reader

    options = reader.ReadOptions(log, session, event, slow, payload=payload, frame=frame, html=html, follow=follow)
    raise typer.Exit(reader.run(options))


@app.command(epilog="Example: `livegate top`, `livegate top --url http://gateway.internal:9091 --every 5s`")
def top(
    *,
    url: Annotated[str, typer.Option(help="Where the gateway's admin listener is.")] = "http://127.0.0.1:9091",
    token: Annotated[
        str | None, typer.Option(envvar="LIVEGATE_ADMIN_TOKEN", help="Its token, best in the environment.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Print it once and end.")] = False,
    every: Annotated[str, typer.Option(help="How often to ask, such as 2s.")] = "2s",
) -> None:
    """Watch a gateway: who is connected, what is slow, what was refused. `s` sorts, `q` ends."""
    from livegate.cli.top import main as screen
    from livegate.cli.top.client import Client

    try:
        problem = screen.run(Client(url, token or None), only_once=once, every_s=max(MIN_EVERY_S, duration(every)))
    except ValueError as error:
        problem = str(error)
    if problem:
        errors.print(f"livegate top: {problem}", markup=False)
        raise typer.Exit(1)


def main() -> None:
    """Entry point of the command."""
    app(args=sys.argv[1:])
