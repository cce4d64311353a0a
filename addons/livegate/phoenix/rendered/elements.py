"""Finds the elements that views stand in, in HTML that may hold anything; for `page`."""

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
"""A comment or a tag. One that is not closed goes on to the end, as in a browser: so the text is read once only."""
_ATTRIBUTE = re.compile(r"""([^\s=/>"'][^\s=/>]*+)(?:\s*+=\s*+(?:"([^"]*+)"?+|'([^']*+)'?+|([^\s>]++)))?+""")
_RAW = {
    name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE)
    for name in ("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
}
"""Ends of the elements in which tags are text (HTML Standard, section 13.2.5)."""


def view_elements(html: str) -> Iterator[tuple[str, int]]:
    """Yield the id of each element with `data-phx-session`, and where its content begins. O(len(html)) for any text."""
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
        end = _RAW.get(tag.lower())
        if end is not None:
            closed = end.search(html, at)
            if closed is None:
                return
            at = closed.start()


def _id_of_view(inside: str) -> str | None:
    """The id of a tag; None when it has none, or when `data-phx-session` is only part of another attribute."""
    found: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(inside):
        name, *values = match.groups()
        found.setdefault(name.lower(), next((value for value in values if value is not None), ""))
    return html_text.unescape(found["id"]) if SESSION in found and found.get("id") else None
