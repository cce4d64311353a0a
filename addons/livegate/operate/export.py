"""One session as one HTML file that needs nothing else."""

import json
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

FOLDER = resources.files("livegate.operate") / "page"


def asset(name: str) -> bytes:
    """A file of the page."""
    return (FOLDER / name).read_bytes()


MODULES = (
    "dom.js",
    "plots.js",
    "now.js",
    "sessions.js",
    "causes.js",
    "timeline.js",
    "page.js",
    "session.js",
    "app.js",
)
"""Of the page, each after those that it imports from; no two have a name in common at the top."""
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./\w+\.js"$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:function|class|const) )", re.MULTILINE)


def _joined() -> str:
    """All of the page's code as one module."""
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", asset(name).decode())) for name in MODULES)


_STYLE = '<link rel="stylesheet" href="app.css">'
_SCRIPT = '<script type="module" src="app.js"></script>'


def export_page(exported: dict[str, Any]) -> bytes:
    """The page with everything in it: styles, code, and what it would have asked for."""
    page = asset("index.html").decode()
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
