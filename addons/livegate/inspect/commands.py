"""Commands for mitmproxy's console and mitmweb: sessions, their events, the page as HTML, what was slow."""

import csv
import html as html_text
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mitmproxy import command, exceptions, types
from msgspec import structs

from livegate.inspect.describe import session_text
from livegate.inspect.recorder import Recorder
from livegate.inspect.redaction import Redactor
from livegate.phoenix.model import Event, PageLoad, Session, View, percentile
from livegate.phoenix.note import seconds_text, size_text
from livegate.phoenix.tree import TreeError

FILE_MODE = 0o600


class LiveViewCommands:
    """`liveview.*`."""

    def __init__(self, recorder: Recorder, redactor: Redactor) -> None:
        self._recorder = recorder
        self._redactor = redactor

    @command.command("liveview.sessions")
    def sessions(self) -> Sequence[str]:
        """The sessions that are known, one a line: number, view, path, events, p95, state."""
        return [f"{session.number}  {self._redactor.text(session_text(session))}" for session in self._all()]

    @command.command("liveview.events")
    def events(self, session: int) -> Sequence[str]:
        """The events of a session: view, event, round trip, diff."""
        return [self._line(event) for event in self._session(session).events]

    @command.command("liveview.slow")
    def slow(self, milliseconds: int) -> Sequence[str]:
        """Events of all sessions by view and name whose p95 is at least so many milliseconds, the slowest first."""
        found: dict[tuple[str, str], list[float]] = {}
        for session in self._all():
            for key, trips in session.timings().items():
                found.setdefault(key, []).extend(trips)
        rows = sorted(((percentile(trips, 0.95) or 0.0, key, trips) for key, trips in found.items()), reverse=True)
        return [
            f"{view}  {name}  p50 {seconds_text(percentile(trips, 0.5))}  p95 {seconds_text(worst)}  n {len(trips)}"
            for worst, (view, name), trips in rows
            if worst * 1000 >= milliseconds
        ]

    @command.command("liveview.html")
    def html(self, session: int) -> str:
        """The page of a session as it is now."""
        return self._redactor.text(page_of(self._session(session)))

    @command.command("liveview.export")
    def export(self, session: int, path: types.Path) -> None:
        """Write a session to a file: .json all that is known, .csv its events, .html the page."""
        found, target = self._session(session), Path(path)
        match target.suffix:
            case ".json":
                text = json.dumps(self._redactor.json(as_json(found)), ensure_ascii=False, indent=1)
            case ".csv":
                text = as_csv(found)
            case ".html":
                text = self._redactor.text(page_of(found))
            case _:
                raise exceptions.CommandError(f"{target}: the name of the file has to end in .json, .csv or .html")
        try:
            target.touch(mode=FILE_MODE)
            target.write_text(text)
        except OSError as error:
            raise exceptions.CommandError(f"{target}: {error.strerror}") from error

    def _all(self) -> list[Session]:
        return sorted(self._recorder.tracker.sessions.values(), key=lambda session: session.number)

    def _session(self, number: int) -> Session:
        for session in self._all():
            if session.number == number:
                return session
        known = ", ".join(str(session.number) for session in self._all()[-20:])
        raise exceptions.CommandError(f"there is no session {number}; known are: {known or 'none'}")

    def _line(self, event: Event) -> str:
        diff = f"  diff {size_text(event.diff_size)}" if event.diff_size else ""
        name = f"{event.type} {event.name}".strip()
        line = f"{event.view}  {name}  {seconds_text(event.round_trip)}{diff}  {event.outcome}"
        return self._redactor.text(f"{line}  {event.detail}".rstrip())


def page_of(session: Session) -> str:
    """The page of a session's main view. Raises CommandError with why it cannot be shown."""
    main = session.main
    if main is None or main.tree is None:
        problem = main.tree_problem if main is not None else None
        raise exceptions.CommandError(
            f"the page of session {session.number} is not known: {problem or 'no join was seen'}"
        )
    try:
        body = main.tree.html()
    except TreeError as error:
        raise exceptions.CommandError(f"the page of session {session.number} cannot be shown: {error}") from error
    title = html_text.escape(main.tree.title or main.label)
    return f"<!doctype html><meta charset=utf-8><title>{title}</title>{body}"


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
