"""Finds the container elements of LiveViews in arbitrary HTML; used by `sessions.page`."""

import html as html_text
import re
from collections.abc import Iterator

SESSION = "data-phx-session"
_TOKEN = re.compile(
    r"""<!--(?:-?>|.*?(?:--!?>|\Z))
    | <(?P<end>/?)(?P<tag>[a-z][^\s/>]*+)
      (?P<inside>(?:[^>=]++|=\s*+(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z))?+)*+)(?:>|\Z)""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
"""A comment or a tag. An unclosed one ends with the text, as in a browser; so the scan is linear."""
_ATTRIBUTE = re.compile(r"""([^\s=/>"'][^\s=/>]*+)(?:\s*+=\s*+(?:"([^"]*+)"?+|'([^']*+)'?+|([^\s>]++)))?+""")
_RAW_TEXT_END = {
    name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE)
    for name in ("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
}
"""End tags of the elements whose content is text (HTML Standard, section 13.2.5)."""


def view_elements(html: str) -> Iterator[tuple[str, int]]:
    """Yield the id of each element with `data-phx-session` and the offset of its content. O(len(html)) for any text."""
    if SESSION not in html:
        return
    at = 0
    while (token := _TOKEN.search(html, at)) is not None:
        at = token.end()
        tag = token["tag"]
        if tag is None or token["end"]:
            continue
        id_ = _id_of_view(token["inside"]) if SESSION in token["inside"] else None
        if id_ is not None and html[at - 1] == ">":
            yield id_, at
        end = _RAW_TEXT_END.get(tag.lower())
        if end is not None:
            closed = end.search(html, at)
            if closed is None:
                return
            at = closed.start()


def _id_of_view(inside: str) -> str | None:
    """Return the id of a tag; None if it has none, or if `data-phx-session` is only part of another attribute."""
    attributes: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(inside):
        name, *values = match.groups()
        attributes.setdefault(name.lower(), next((value for value in values if value is not None), ""))
    return html_text.unescape(attributes["id"]) if SESSION in attributes and attributes.get("id") else None
