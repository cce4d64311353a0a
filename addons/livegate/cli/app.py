"""Command line `livegate`: options and help of each subcommand. docs/reference/cli.md is generated from it."""

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
UI_HELP = "`dump`: log lines; `web`: mitmweb in the browser; `console`: mitmproxy in the terminal."
TOKEN_VARIABLE = "LIVEGATE_ADMIN_TOKEN"  # noqa: S105 - a name
errors = Console(stderr=True, highlight=False, soft_wrap=True)


class Ui(StrEnum):
    """User interface: one of mitmproxy's tools."""

    dump = "dump"
    web = "web"
    console = "console"


def _print_version(requested: bool) -> None:
    if requested:
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
            help="Settings file; default: `GATEWAY_CONFIG_FILE`, then `configs/gateway.yaml`.",
            metavar="FILE",
        ),
    ] = None,
    ui: Annotated[Ui, typer.Option(help=UI_HELP)] = Ui.dump,
    mitmproxy_arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- MITMPROXY_ARGS", help="Arguments for mitmproxy's tool."),
    ] = None,
) -> None:
    """Run the gateway."""
    path, settings = _settings_or_exit(config)
    from livegate.cli import run as runner

    raise typer.Exit(runner.run(ui.value, path, settings, mitmproxy_arguments or []))


@app.command()
def check(
    config: Annotated[Path | None, typer.Argument(metavar="FILE", help="Settings file; default as in `run`.")] = None,
    *,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of the settings, for editors.")
    ] = False,
) -> None:
    """Check a settings file. Prints the route table, or every problem and exits with status 1."""
    if schema:
        typer.echo(json.dumps(json_schema(), indent=2))
        return
    path, settings = _settings_or_exit(config)
    typer.echo(f"{path or 'environment'}: valid, listens on {settings.listen}")
    table = Table(box=None)
    for heading in ("Host", "Backend", "Remarks"):
        table.add_column(heading, overflow="fold")
    for row in route_table(settings):
        table.add_row(*row)
    Console(highlight=False).print(table)


@app.command()
def demo(
    ui: Annotated[Ui, typer.Option(help=UI_HELP)] = Ui.web,
    mitmproxy_arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- MITMPROXY_ARGS", help="Arguments for mitmproxy's tool."),
    ] = None,
) -> None:
    """Run the demo. Starts a LiveView app, an echo app, and the gateway in front of both."""
    from livegate.cli import run as runner
    from livegate.demo import DemoUnavailableError

    try:
        raise typer.Exit(runner.run_demo(ui.value, mitmproxy_arguments or []))
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
            help="Frame log, mitmproxy flow file, or HAR file; `-` reads standard input.",
            metavar="FILE",
        ),
    ],
    *,
    session: Annotated[int | None, typer.Option(help="Only frames of this session.", metavar="N")] = None,
    event: Annotated[str | None, typer.Option(help="Only frames of this event.", metavar="NAME")] = None,
    slow: Annotated[
        str | None, typer.Option(help="Only replies at least this slow, such as `200ms`.", metavar="DURATION")
    ] = None,
    payload: Annotated[bool, typer.Option("--payload", help="Also print each frame's changes and content.")] = False,
    frame: Annotated[int | None, typer.Option(help="Only this line, with its payload.", metavar="N")] = None,
    html: Annotated[int | None, typer.Option(help="Print the page at this line, as HTML.", metavar="N")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing while the frame log grows.")] = False,
) -> None:
    """Print recorded traffic. Shows each frame, how long its reply took, and the page at any frame."""
    from livegate.cli import read as reader

    options = reader.ReadOptions(log, session, event, slow, payload=payload, frame=frame, html=html, follow=follow)
    raise typer.Exit(reader.run(options))


@app.command(epilog="Example: `livegate top`, `livegate top --url http://gateway.internal:9091 --every 5s`")
def top(
    *,
    url: Annotated[str, typer.Option(help="Address of the admin listener.", metavar="URL")] = "http://127.0.0.1:9091",
    token: Annotated[
        str | None,
        typer.Option(envvar=TOKEN_VARIABLE, help="Its `admin.token`; prefer the variable.", metavar="TOKEN"),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Print one screen and exit.")] = False,
    every: Annotated[str, typer.Option(help="Refresh interval.", metavar="DURATION")] = "2s",
) -> None:
    """Watch a gateway in the terminal. Shows sessions, slow events and incidents; `s` sorts, `q` quits."""
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
