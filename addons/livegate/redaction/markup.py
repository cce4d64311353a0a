"""Redaction of HTML attributes: values of fields with a secret name, the CSRF token, LiveView's signed attributes.

HTML is a whole text, or statics with dynamics between them, as LiveView sends it. Takes O(text).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

type Replace = Callable[[str], str]
type IsSecret = Callable[[str], bool]

MAX_TAG_CHARACTERS = 4000
"""Length of an unfinished tag, of which the end is kept."""
_TAG = re.compile(r"<(?:meta|input)\b[^<>]*>?", re.IGNORECASE)
_NAME = re.compile(r"""\bname=["']([^"'<>]*)""", re.IGNORECASE)
_VALUE = re.compile(r"""(\b(?:value|content)=["'])([^"'<>]*)""", re.IGNORECASE)
_DATA = re.compile(r"""(\bdata-(?:phx-session|phx-static|csrf)=["'])([^"'<>]*)""", re.IGNORECASE)
_OPEN_VALUE = re.compile(r"""\b(?:value|content)=["']$""", re.IGNORECASE)


def redact_markup(text: str, is_secret: IsSecret, replace: Replace) -> str:
    """Replace the values of secret fields in HTML or a part of it."""

    def tag(match: re.Match[str]) -> str:
        name = _NAME.search(match[0])
        if name is None or not is_secret(name[1]):
            return match[0]
        return _VALUE.sub(lambda value: f"{value[1]}{replace(value[2])}", match[0])

    return _DATA.sub(lambda match: f"{match[1]}{replace(match[2])}", _TAG.sub(tag, text))


def redact_dynamics(
    statics: Sequence[Any], dynamics: Mapping[str, Any], is_secret: IsSecret, replace: Replace
) -> dict[str, str]:
    """Return those dynamics of a rendered node, by number, that are values of secret fields, with replacements.

    A dynamic is the value between two statics (`value="`), or the whole attribute (` value="…"`).
    """
    redacted: dict[str, str] = {}
    tail = ""
    for number, static in enumerate(statics[:-1]):
        tail = _open_tag(tail + static) if isinstance(static, str) else ""
        value = dynamics.get(str(number))
        if not isinstance(value, str):
            continue
        name = _NAME.search(tail) if tail else None
        if name is not None and is_secret(name[1]):
            if _OPEN_VALUE.search(tail):
                redacted[str(number)] = replace(value)
            else:
                markup = _VALUE.sub(lambda match: f"{match[1]}{replace(match[2])}", value)
                if markup != value:
                    redacted[str(number)] = markup
        tail = _open_tag(tail + value)
    return redacted


def _open_tag(text: str) -> str:
    """Return the unfinished tag at the end of a text, or an empty text."""
    start = text.rfind("<")
    return text[start:][-MAX_TAG_CHARACTERS:] if start > text.rfind(">") else ""
