"""Session as one self-contained HTML file: the page, its code, and the data that it would request."""

import base64
import json
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

from msgspec import to_builtins

from livegate.admin.bodies import FrameDetail

FOLDER = resources.files("livegate.admin") / "page"


def asset(name: str) -> bytes:
    """Return a file of the page."""
    return (FOLDER / name).read_bytes()


MODULES = (
    "dom.js",
    "closes.js",
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
"""Modules of the page, each after its imports. Top-level names are unique, because an export joins the modules."""
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./\w+\.js"$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:function|class|const) )", re.MULTILINE)


def _joined() -> str:
    """Return the code of the page as one module."""
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", asset(name).decode())) for name in MODULES)


class Pages:
    """Pages of an export, each stored once, because most frames do not change the page."""

    def __init__(self, max_characters: int) -> None:
        """`max_characters` limits pages and frames together; frames beyond it are exported without content."""
        self.texts: list[str] = []
        self._indexes: dict[str, int] = {}
        self._budget = max_characters

    def add(self, frame: FrameDetail) -> dict[str, Any]:
        """Return a frame for the export: with the index of its page among `texts`, and without the page before."""
        html, why = frame.page.html, frame.page.why
        number, is_new = frame.line.n, html not in self._indexes
        self._budget -= len(frame.raw) + (len(html) if is_new else 0)
        if self._budget < 0:
            return {"n": number, "raw": "", "changes": [], "page": None, "why": LEFT_OUT}
        if is_new and not why:
            self._indexes[html] = len(self.texts)
            self.texts.append(html)
        page = None if why else self._indexes[html]
        return {"n": number, "raw": frame.raw, "changes": frame.changes, "page": page, "why": why}


LEFT_OUT = "left out, because the file would be too large"
_STYLE = '<link rel="stylesheet" href="app.css">'
_SCRIPT = '<script type="module" src="app.js"></script>'


def export_page(exported: dict[str, Any]) -> bytes:
    """Return the page with its styles, its code and the data. Raises ValueError if index.html lacks a mark."""
    icon = base64.b64encode(asset("icon.svg")).decode()
    page = asset("index.html").decode().replace('"icon.svg"', f'"data:image/svg+xml;base64,{icon}"')
    for mark in (_STYLE, _SCRIPT):
        if page.count(mark) != 1:
            raise ValueError(f"index.html must contain {mark} exactly once")
    head, tail = page.replace(_STYLE, f"<style>{asset('app.css').decode()}</style>").split(_SCRIPT)
    pieces = [
        f'{head}<script type="application/json" id="exported">'.encode(),
        *_pieces(exported),
        f'</script><script type="module">{_joined()}</script>{tail}'.encode(),
    ]
    return b"".join(pieces)


def _pieces(exported: dict[str, Any]) -> Iterator[bytes]:
    """Serialize one list item at a time, because serializing all at once would hold the GIL for too long."""
    for position, (name, value) in enumerate(exported.items()):
        yield f"{',' if position else '{'}{json.dumps(name)}:".encode()
        if not isinstance(value, list):
            yield _json(value)
            continue
        yield b"["
        for index, each in enumerate(value):
            yield (b"," if index else b"") + _json(each)
        yield b"]"
    yield b"}"


def _json(value: Any) -> bytes:
    text = json.dumps(to_builtins(value))
    return text.replace("<", "\\u003c").encode()  # because `</script` in a text would end the script
