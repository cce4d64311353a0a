"""Redirects mitmproxy's own addons, which keep the `sys.stdout` of the time when they were created."""

from collections.abc import Iterable
from typing import TextIO

from mitmproxy import ctx


def has_terminal_log() -> bool:
    """Return whether mitmproxy prints its log. Its console does not, because it draws on the terminal."""
    return ctx.master.addons.get("termlog") is not None


def redirect(replacements: Iterable[tuple[TextIO, TextIO]]) -> None:
    """Make mitmproxy's log and mitmdump's flow list print to the second stream of each pair instead of the first."""
    termlog, dumper = ctx.master.addons.get("termlog"), ctx.master.addons.get("dumper")
    for old, new in replacements:
        if termlog is not None and termlog.logger.file is old:
            termlog.logger.file = new
        if dumper is not None and dumper.outfp is old:
            dumper.outfp = new
