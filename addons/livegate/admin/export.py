"""One session as one HTML file that needs nothing else."""

import base64
import json
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

FOLDER = resources.files("livegate.admin") / "page"


def asset(name: str) -> bytes:
    """A file of the page."""
    return (FOLDER / name).read_bytes()


MODULES = (
    "dom.js",
    "endings.js",
    "plots.js",
    "now.js",
    "sessions.js",
    "incident.js",
    "causes.js",
    "rows.js",
    "timeline.js",
    "page.js",
    "listing.js",
    "filters.js",
    "detail.js",
    "session.js",
    "app.js",
)
"""Of the page, each after those that it imports from; no two have a name in common at the top."""
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./\w+\.js"$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:function|class|const) )", re.MULTILINE)


def _joined() -> str:
    """All of the page's code as one module."""
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", asset(name).decode())) for name in MODULES)


class Pages:
    """The pages of an export, each once: most frames do not change anything."""

    def __init__(self, most: int) -> None:
        """`most`: characters of all pages and frames; what comes after them is left out, and says so."""
        self.texts: list[str] = []
        self._places: dict[str, int] = {}
        self._left = most

    def without(self, frame: dict[str, Any]) -> dict[str, Any]:
        """A frame, as the API tells of it, with the place of its page among `texts`, and without the page before."""
        html, why = frame["page"]["html"], frame["page"]["why"]
        number, is_new = frame["line"]["n"], html not in self._places
        self._left -= len(frame["raw"]) + (len(html) if is_new else 0)
        if self._left < 0:
            return {"n": number, "raw": "", "changes": [], "page": None, "why": LEFT_OUT}
        if is_new and not why:
            self._places[html] = len(self.texts)
            self.texts.append(html)
        told = {"n": number, "raw": frame["raw"], "changes": frame["changes"]}
        return told | {"page": None if why else self._places[html], "why": why}


LEFT_OUT = "left out, as the file would have become too long"
_STYLE = '<link rel="stylesheet" href="app.css">'
_SCRIPT = '<script type="module" src="app.js"></script>'


def export_page(exported: dict[str, Any]) -> bytes:
    """The page with everything in it: styles, code, and what it would have asked for."""
    icon = base64.b64encode(asset("icon.svg")).decode()
    page = asset("index.html").decode().replace('"icon.svg"', f'"data:image/svg+xml;base64,{icon}"')
    for mark in (_STYLE, _SCRIPT):
        if page.count(mark) != 1:
            raise ValueError(f"the page has no {mark}, or two")
    head, tail = page.replace(_STYLE, f"<style>{asset('app.css').decode()}</style>").split(_SCRIPT)
    pieces = [
        f'{head}<script type="application/json" id="exported">'.encode(),
        *_pieces(exported),
        f'</script><script type="module">{_joined()}</script>{tail}'.encode(),
    ]
    return b"".join(pieces)


def _pieces(exported: dict[str, Any]) -> Iterator[bytes]:
    """The JSON of all, an item of a list at a time: a long text made at once would hold up the gateway's thread."""
    for place, (name, value) in enumerate(exported.items()):
        yield f"{',' if place else '{'}{json.dumps(name)}:".encode()
        if not isinstance(value, list):
            yield _json(value)
            continue
        yield b"["
        for index, each in enumerate(value):
            yield (b"," if index else b"") + _json(each)
        yield b"]"
    yield b"}"


def _json(value: Any) -> bytes:
    return json.dumps(value).replace("<", "\\u003c").encode()  # so that no text of a session can end the script
