"""A session as a file or a document: all that is known of it, its events as a table, its page."""

import csv
import html as html_text
import io
from dataclasses import asdict
from typing import Any

from mitmproxy import exceptions
from msgspec import structs

from livegate.phoenix.model import PageLoad, Session, View
from livegate.phoenix.rendered.tree import TreeError
from livegate.phoenix.sessions.page import page_of as page_at_present


def page_of(session: Session) -> str:
    """The page of a session as the browser shows it. Raises CommandError with why it cannot be shown."""
    main, page = session.main, page_at_present(session)
    if main is None or page is None:
        problem = main.tree_problem if main is not None else None
        raise exceptions.CommandError(
            f"the page of session {session.number} is not known: {problem or 'no join was seen'}"
        )
    try:
        body = page.html()
    except TreeError as error:
        raise exceptions.CommandError(f"the page of session {session.number} cannot be shown: {error}") from error
    title = page.title or main.label
    return document(title, body)


_POLICY = "script-src 'none'; connect-src 'none'; form-action 'none'"
_NOTHING_RUNS = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
"""The page is an app's, and is opened from disk."""


def document(title: str, body: str) -> str:
    """Make an HTML document of a page's body; `title` is plain text."""
    head = f"<meta charset=utf-8>{_NOTHING_RUNS}<title>{html_text.escape(title)}</title>"
    return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>"


def as_json(session: Session) -> dict[str, Any]:
    """All that is known of a session, but not its page."""
    return {
        "number": session.number,
        "id": session.id,
        "state": session.state,
        "opened_at": session.opened_at,
        "page": _page(session.page) if session.page is not None else None,
        "views": [_view(view) for view in session.views.values()],
        "sockets": [asdict(socket) | {"trips": list(socket.trips)} for socket in session.sockets],
        "events": [structs.asdict(event) for event in session.events],
        "events_dropped": session.events_dropped,
        "uploads": [asdict(upload) for upload in session.uploads.values()],
        "crashes": session.crashes,
        "rejoins": session.rejoins,
        "refusals": dict(session.refusals),
        "heartbeats": list(session.heartbeats),
    }


def _view(view: View) -> dict[str, Any]:
    names = ("topic", "module", "path", "version", "state", "joins", "crashes")
    return {name: getattr(view, name) for name in names}


def as_csv(session: Session) -> str:
    """A session's events as a table; nothing in it is taken for a formula by a spreadsheet."""
    table = io.StringIO()
    writer = csv.writer(table)
    names = (
        "sent_at",
        "view",
        "kind",
        "type",
        "name",
        "ref",
        "outcome",
        "round_trip",
        "size",
        "reply_size",
        "diff_size",
        "paths",
    )
    writer.writerow(names)
    for event in session.events:
        writer.writerow([_cell(getattr(event, name)) for name in names])
    return table.getvalue()


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _page(load: PageLoad) -> dict[str, Any]:
    return asdict(load) | {"exchanges": [structs.asdict(exchange) for exchange in load.exchanges]}
