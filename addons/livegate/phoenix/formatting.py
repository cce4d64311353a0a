"""Numbers and foreign names as text for people."""

from livegate.redaction.printable import escaped

MAX_NAME = 80
"""Characters of a foreign name in a text of ours; longer names are cut."""


def size_text(size: int) -> str:
    """Format bytes: 34 B, 4.2 KiB."""
    if size < 1024:
        return f"{size} B"
    if size < 1024 * 1024:
        return f"{size / 1024:.1f} KiB"
    return f"{size / 1024 / 1024:.1f} MiB"


def seconds_text(seconds: float | None) -> str:
    """Format a duration: 0.42 ms, 3.1 ms, 700 ms, 2.5 s; `?` for None."""
    if seconds is None:
        return "?"
    ms = seconds * 1000
    if ms < 1:
        return f"{ms:.2f} ms"
    if ms < 100:
        return f"{ms:.1f} ms"
    return f"{ms:.0f} ms" if ms < 10_000 else f"{seconds:.1f} s"


def shortened(text: str) -> str:
    """Return a foreign name for use in a text of ours: escaped, and cut to MAX_NAME characters."""
    cut = text if len(text) <= MAX_NAME else f"{text[:MAX_NAME]}…"
    return escaped(cut)
