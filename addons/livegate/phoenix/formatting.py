"""Numbers and foreign names as text for people."""

from livegate.redaction.printable import escaped

MAX_NAME = 80


def size_text(size: int) -> str:
    """Bytes as a person reads them: 34 B, 4.2 KiB."""
    if size < 1024:
        return f"{size} B"
    if size < 1024 * 1024:
        return f"{size / 1024:.1f} KiB"
    return f"{size / 1024 / 1024:.1f} MiB"


def seconds_text(seconds: float | None) -> str:
    """A duration as a person reads it: 0.42 ms, 3.1 ms, 700 ms, 2.5 s."""
    if seconds is None:
        return "?"
    ms = seconds * 1000
    if ms < 1:
        return f"{ms:.2f} ms"
    if ms < 100:
        return f"{ms:.1f} ms"
    return f"{ms:.0f} ms" if ms < 10_000 else f"{seconds:.1f} s"


def shortened(text: str) -> str:
    """A name from outside in a line of ours: printable, and not longer than a name is."""
    cut = text if len(text) <= MAX_NAME else f"{text[:MAX_NAME]}…"
    return escaped(cut)
