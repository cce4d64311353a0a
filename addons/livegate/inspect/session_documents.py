"""Exports of a session: all data as JSON, its events as CSV, its page as HTML."""

import csv
import html as html_text
import io
from dataclasses import asdict, fields
from typing import Any

from mitmproxy import exceptions
from msgspec import structs, to_builtins

from livegate.inspect.session_json import view_json
from livegate.phoenix.model import PageLoad, Session
from livegate.phoenix.rendered.tree import TreeError
from livegate.phoenix.sessions.page import current_page as page_at_present


def page_html(session: Session) -> str:
    """Return the current page of a session as HTML. Raises CommandError when it is unknown or cannot be shown."""
    main, page = session.main, page_at_present(session)
    if main is None or page is None:
        problem = main.tree_problem if main is not None else None
        raise exceptions.CommandError(
            f"the page of session {session.number} is unknown: {problem or 'no join was seen'}"
        )
    try:
        body = page.html()
    except TreeError as error:
        raise exceptions.CommandError(f"the page of session {session.number} cannot be shown: {error}") from error
    title = page.title or main.label
    return html_document(title, body)


_POLICY = "script-src 'none'; connect-src 'none'; form-action 'none'"
_NO_SCRIPTS = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
"""Policy of an exported page, because it is the app's and is opened from disk."""


_PUBLIC_NAMES = {
    "replied_at": "answered_at",
    "reported_late": "late",
    "round_trips": "trips",
    "last_frame_at": "last_at",
    "last_chunk_at": "last_at",
    "started_at": "began_at",
    "refused_loads_before": "refused_before",
    "earlier_sessions": "follows",
}
"""Names of the exported fields where they differ from those of the model."""


def html_document(title: str, body: str) -> str:
    """Return an HTML document with a body of HTML and a title of plain text."""
    head = f"<meta charset=utf-8>{_NO_SCRIPTS}<title>{html_text.escape(title)}</title>"
    return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>"


def session_fields(session: Session) -> dict[str, Any]:
    """Return all data of a session except its page."""
    return {
        "number": session.number,
        "id": session.id,
        "state": session.state,
        "opened_at": session.opened_at,
        "page": _page(session.page_load) if session.page_load is not None else None,
        "views": [to_builtins(view_json(view)) for view in session.views.values()],
        "sockets": [_public(asdict(socket)) | {"trips": list(socket.round_trips)} for socket in session.sockets],
        "events": [_public(structs.asdict(push)) for push in session.pushes],
        "events_dropped": session.pushes_dropped,
        "uploads": [_public(asdict(upload)) for upload in session.uploads.values()],
        "crashes": session.crashes,
        "rejoins": session.rejoins,
        "refusals": dict(session.refusals),
        "heartbeats": list(session.heartbeats),
    }


def events_csv(session: Session) -> str:
    """Return the events of a session as CSV, with values that a spreadsheet does not take for formulas."""
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
    for event in session.pushes:
        writer.writerow([_cell(getattr(event, name)) for name in names])
    return table.getvalue()


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _page(load: PageLoad) -> dict[str, Any]:
    values = _public({field.name: getattr(load, field.name) for field in fields(load)})
    values["follows"] = [session.number for session in load.earlier_sessions]
    values["exchanges"] = [structs.asdict(exchange) for exchange in load.exchanges]
    return values


def _public(values: dict[str, Any]) -> dict[str, Any]:
    """Return fields under the names that the exported JSON has for them."""
    return {_PUBLIC_NAMES.get(name, name): value for name, value in values.items()}
