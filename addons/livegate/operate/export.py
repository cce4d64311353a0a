"""One session as one HTML file that needs nothing else."""

import base64
import json
import re
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


class Pages:
    """The pages of an export, each once: most frames do not change anything."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._places: dict[str, int] = {}

    def without(self, frame: dict[str, Any]) -> dict[str, Any]:
        """A frame, as the API tells of it, with the place of its page among `texts`, and without the page before."""
        html, why = frame["page"]["html"], frame["page"]["why"]
        if html not in self._places and not why:
            self._places[html] = len(self.texts)
            self.texts.append(html)
        told = {name: value for name, value in frame.items() if name not in ("before", "line")}
        return told | {"page": self._places.get(html), "why": why}


def export_page(exported: dict[str, Any]) -> bytes:
    """The page with everything in it: styles, code, and what it would have asked for."""
    data = json.dumps(exported).replace("<", "\\u003c")  # so that no text of a session can end the script
    icon = base64.b64encode(asset("icon.svg")).decode()
    page = asset("index.html").decode().replace('"icon.svg"', f'"data:image/svg+xml;base64,{icon}"')
    style, code = asset("app.css").decode(), _joined()
    parts = {
        '<link rel="stylesheet" href="app.css">': f"<style>{style}</style>",
        '<script type="module" src="app.js"></script>': (
            f'<script type="application/json" id="exported">{data}</script><script type="module">{code}</script>'
        ),
    }
    for mark, instead in parts.items():
        if mark not in page:
            raise ValueError(f"the page has no {mark}")
        page = page.replace(mark, instead)
    return page.encode()
