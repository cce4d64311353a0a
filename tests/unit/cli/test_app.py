"""The reference of the command line is current."""

from pathlib import Path

from typer.cli import app as typer_command
from typer.testing import CliRunner

CHECKOUT = Path(__file__).resolve().parents[3]


def test_the_reference_of_the_command_line_is_current() -> None:
    arguments = ["livegate.cli.app", "utils", "docs", "--name", "livegate", "--title", "Command line"]
    result = CliRunner().invoke(typer_command, arguments)
    assert result.exit_code == 0
    reference = (CHECKOUT / "docs" / "reference" / "cli.md").read_text()
    assert result.output.strip() == reference.strip(), "docs/reference/cli.md is out of date: run `make docs`"
