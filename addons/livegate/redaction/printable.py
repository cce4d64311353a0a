"""Escape text from outside, for log lines, terminals and summaries of frames."""

MAX_LOGGED_CHARACTERS = 2048


def printable(text: str, limit: int = MAX_LOGGED_CHARACTERS) -> str:
    """Return `text` cut to `limit` characters, escaped, with each backslash doubled so that escapes are unambiguous."""
    cut = text if len(text) <= limit else f"{text[:limit]}…"
    return escaped(cut.replace("\\", "\\\\"))


def escaped(text: str) -> str:
    """Return `text` with what is not printable as Python's escapes: control, format, line separators, surrogates."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)
