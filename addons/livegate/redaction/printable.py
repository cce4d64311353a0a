"""Makes text from outside safe for a log line or a terminal."""

MAX_LOGGED_CHARACTERS = 2048


def printable(text: str, bound: int = MAX_LOGGED_CHARACTERS) -> str:
    """Cut to `bound` characters and escape what is not printable: control, format, line separators, surrogates.

    A backslash is doubled, so that what was escaped can be told from what came that way.
    """
    cut = text if len(text) <= bound else f"{text[:bound]}…"
    if cut.isprintable() and "\\" not in cut:
        return cut
    return "".join(
        character
        if character.isprintable() and character != "\\"
        else character.encode("unicode_escape").decode("ascii")
        for character in cut
    )
