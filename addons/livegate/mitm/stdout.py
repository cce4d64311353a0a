"""Where mitmproxy's own addons print: they keep the stream that was standard output when they were made."""

from collections.abc import Iterable
from typing import TextIO

from mitmproxy import ctx


def has_terminal_log() -> bool:
    """Tell whether this tool prints its log; mitmproxy's console has the terminal to itself."""
    return ctx.master.addons.get("termlog") is not None


def redirect(replacements: Iterable[tuple[TextIO, TextIO]]) -> None:
    """Let mitmproxy's log and mitmdump's list of flows print to the second of each pair in place of the first."""
    termlog, dumper = ctx.master.addons.get("termlog"), ctx.master.addons.get("dumper")
    for old, new in replacements:
        if termlog is not None and termlog.logger.file is old:
            termlog.logger.file = new
        if dumper is not None and dumper.outfp is old:
            dumper.outfp = new
