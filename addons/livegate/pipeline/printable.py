"""Makes text from outside safe for a log line or a terminal."""

import re

MAX_LOGGED_CHARACTERS = 2048
_UNSAFE = re.compile(r"[^\x20-\x7e\u00a1-\u2027\u202f-\u2065\u206a-\ud7ff\uf900-\ufdcf\ufdf0-\ufff8]|\\")


def printable(text: str, bound: int = MAX_LOGGED_CHARACTERS) -> str:
    """Escape control, format, line separator and surrogate characters, and cut to `bound` characters.

    A backslash is doubled, so that what was escaped can be told from what came that way.
    """
    cut = text[:bound] + ("…" if len(text) > bound else "")
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), cut)
