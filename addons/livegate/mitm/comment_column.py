"""Widens mitmweb's comment column, because 150 pixels truncate the comment of a WebSocket.

mitmweb has no setting for it, so its stylesheet is served with an additional rule. Called by the LiveView inspector.
"""

import re
from pathlib import Path
from typing import Any

from tornado.web import Application, RequestHandler

WIDER_RULE = b"\n.flow-table .col-comment{width:230px}\n"
STOCK_RULE = b".col-comment{width:"
"""The rule of mitmproxy 12. A stylesheet without it stays unchanged."""


class Stylesheet(RequestHandler):
    """Serves a stylesheet of mitmweb with `WIDER_RULE` appended."""

    def initialize(self, path: Path) -> None:
        """Take the file, as Tornado passes it."""
        self.path = path

    def get(self) -> None:
        """Serve the stylesheet uncached, because its name is a hash of mitmproxy's content only."""
        self.set_header("Content-Type", "text/css")
        self.set_header("Cache-Control", "no-cache")
        self.finish(self.path.read_bytes() + WIDER_RULE)


def stylesheets(folder: Path) -> list[Path]:
    """Return mitmweb's stylesheets that set the column's width."""
    return [path for path in sorted(folder.glob("*.css")) if STOCK_RULE in path.read_bytes()]


def widen(master: Any) -> None:
    """Serve the wider column. Does nothing outside mitmweb."""
    app = getattr(master, "app", None)
    if not isinstance(app, Application) or "static_path" not in app.settings:
        return
    for path in stylesheets(Path(app.settings["static_path"])):
        app.add_handlers(r".*", [(rf"/static/{re.escape(path.name)}", Stylesheet, {"path": path})])
