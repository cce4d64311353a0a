"""Gives mitmweb's comment column room: its fixed width of 150 pixels cut a socket's comment after its events.

mitmweb has no setting for it, so its stylesheet is served with a rule more. Called by the LiveView inspector.
"""

import re
from pathlib import Path
from typing import Any

from tornado.web import Application, RequestHandler

WIDER_RULE = b"\n.flow-table .col-comment{width:230px}\n"
STOCK_RULE = b".col-comment{width:"
"""In mitmproxy 12's stylesheet; where it is missing, nothing is changed."""


class Stylesheet(RequestHandler):
    """A stylesheet of mitmweb's, with the rule."""

    def initialize(self, path: Path) -> None:
        """Called by Tornado."""
        self.path = path

    def get(self) -> None:
        """Serve it; mitmproxy's name for it changes with its content, which this is not part of: not to be cached."""
        self.set_header("Content-Type", "text/css")
        self.set_header("Cache-Control", "no-cache")
        self.finish(self.path.read_bytes() + WIDER_RULE)


def stylesheets(folder: Path) -> list[Path]:
    """Return mitmweb's stylesheets that set the column's width."""
    return [path for path in sorted(folder.glob("*.css")) if STOCK_RULE in path.read_bytes()]


def widen(master: Any) -> None:
    """Serve the wider column; does nothing where there is no mitmweb."""
    app = getattr(master, "app", None)
    if not isinstance(app, Application) or "static_path" not in app.settings:
        return
    for path in stylesheets(Path(app.settings["static_path"])):
        app.add_handlers(r".*", [(rf"/static/{re.escape(path.name)}", Stylesheet, {"path": path})])
