"""The `livegate` command and its subcommands."""

from livegate.cli.app import main

__all__ = ["main"]
