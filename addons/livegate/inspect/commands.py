"""Commands `liveview.*` for mitmproxy's console and mitmweb: sessions, events, slow events, pages, exports."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from mitmproxy import command, exceptions, types

from livegate.inspect.command_arguments import (
    duration_s,
    last_matching,
    one_of,
    parse_filters,
    positive_integer,
    reject_extra,
)
from livegate.inspect.recorder import Recorder
from livegate.inspect.session_documents import events_csv, page_html, session_fields
from livegate.inspect.text import clock_text
from livegate.inspect.text_table import format_table
from livegate.phoenix.formatting import seconds_text, shortened, size_text
from livegate.phoenix.model import Outcome, Push, PushKind, Session, percentile
from livegate.redaction.redactor import Redactor

FILE_MODE = 0o600
SESSION_COLUMNS = (
    *("session", "state", "opened", "host", "view", "path", "events", "p95", "crashes", "unanswered"),
    "refused",
)
EVENT_COLUMNS = ("time", "kind", "view", "event", "round trip", "diff", "outcome", "detail")
SLOW_COLUMNS = ("p95", "p50", "events", "view", "event")
RIGHT = ("session", "events", "p50", "p95", "crashes", "unanswered", "round trip", "diff")
"""Right-aligned columns, which have numbers."""
SESSION_FILTERS = {"state": "live", "host": "app.test", "view": "CountLive", "path": "/users", "last": "20"}
EVENT_FILTERS = {
    "kind": "event",
    "event": "save",
    "view": "CountLive",
    "outcome": "crash",
    "slow": "200ms",
    "last": "20",
}
"""Filters with an example value each."""
STATES = ("live", "closed", "crashed", "refused")
KINDS: tuple[str, ...] = get_args(PushKind.__value__)
OUTCOMES: tuple[str, ...] = get_args(Outcome.__value__)


class LiveViewCommands:
    """Addon with the commands. Their docstrings are the help that mitmproxy shows."""

    def __init__(self, recorder: Recorder, redactor: Redactor) -> None:
        self._recorder = recorder
        self._redactor = redactor

    @command.command("liveview.sessions")
    def sessions(self, *filters: str) -> Sequence[str]:
        """List the sessions.

        Filters: state=live host=app.test view=CountLive path=/users last=20.
        """
        values = parse_filters(filters, SESSION_FILTERS)
        state = one_of("filter state", values["state"], STATES) if "state" in values else None

        def matches(session: Session) -> bool:
            return (
                (state is None or session.state == state)
                and values.get("host", "") in session.host
                and values.get("view", "") in session.label
                and values.get("path", "") in _path(session)
            )

        matching = last_matching(self._sessions(), values.get("last"), matches)
        if not matching:
            return ["no session matches" if values else "no sessions yet"]
        return self._table(SESSION_COLUMNS, [_session_row(session) for session in matching], RIGHT)

    @command.command("liveview.events")
    def events(self, session: str = "", *filters: str) -> Sequence[str]:
        """List the events of a session, including its joins and leaves.

        Filters: kind=event event=save view=CountLive outcome=crash slow=200ms last=20.
        """
        chosen = self._session(session, "liveview.events 3 kind=event")
        values = parse_filters(filters, EVENT_FILTERS)
        kind = one_of("filter kind", values["kind"], KINDS) if "kind" in values else None
        outcome = one_of("filter outcome", values["outcome"], OUTCOMES) if "outcome" in values else None
        slow = duration_s("filter slow", values["slow"], "slow=200ms") if "slow" in values else None

        def matches(event: Push) -> bool:
            return (
                (kind is None or event.kind == kind)
                and (outcome is None or event.outcome == outcome)
                and (slow is None or (event.round_trip is not None and event.round_trip >= slow))
                and values.get("event") in (None, event.name)
                and values.get("view") in (None, event.view)
            )

        events = last_matching(list(chosen.pushes), values.get("last"), matches)
        if not events:
            return [f"session {chosen.number} has no {'matching events' if values else 'events yet'}"]
        evicted = [f"({chosen.pushes_dropped:,} earlier events were evicted)"] if chosen.pushes_dropped else []
        return self._table(EVENT_COLUMNS, [_event_row(event) for event in events], RIGHT) + evicted

    @command.command("liveview.slow")
    def slow(self, milliseconds: str = "", *others: str) -> Sequence[str]:
        """List events of all sessions, by view and name, whose p95 is at least a number of milliseconds."""
        least = duration_s("milliseconds", milliseconds, "liveview.slow 200")
        reject_extra(others, "liveview.slow")
        round_trips: dict[tuple[str, str], list[float]] = {}
        for session in self._sessions():
            for key, trips in session.round_trips_by_event().items():
                round_trips.setdefault(key, []).extend(trips)
        rows = sorted(
            ((percentile(trips, 0.95) or 0.0, key, trips) for key, trips in round_trips.items()), reverse=True
        )
        slow = [
            (
                seconds_text(worst),
                seconds_text(percentile(trips, 0.5)),
                str(len(trips)),
                shortened(view),
                shortened(name),
            )
            for worst, (view, name), trips in rows
            if worst >= least
        ]
        if not slow:
            return [f"no event has a p95 of at least {seconds_text(least)}"]
        return self._table(SLOW_COLUMNS, slow, RIGHT)

    @command.command("liveview.html")
    def html(self, session: str = "", *others: str) -> str:
        """Show the current page of a session as an HTML document."""
        chosen = self._session(session, "liveview.html 3")
        reject_extra(others, "liveview.html")
        return self._redactor.text(page_html(chosen))

    @command.command("liveview.export")
    def export(self, session: str = "", path: types.Path = types.Path(""), *others: str) -> str:  # noqa: B008 - a str
        """Write a session to a file: all its data to .json, its events to .csv, its page to .html."""
        exported = self._session(session, "liveview.export 3 out.json")
        reject_extra(others, "liveview.export")
        if not path:
            raise exceptions.CommandError("path is missing; for example: liveview.export 3 out.json (or .csv, .html)")
        target = Path(path)
        match target.suffix:
            case ".json":
                text = json.dumps(self._redactor.json(session_fields(exported)), ensure_ascii=False, indent=1)
                description = f"session {exported.number}"
            case ".csv":
                text = self._redactor.text(events_csv(exported))
                description = f"{len(exported.pushes)} events of session {exported.number}"
            case ".html":
                text = self._redactor.text(page_html(exported))
                description = f"page of session {exported.number}"
            case _:
                raise exceptions.CommandError(f"path {target}: its name must end in .json, .csv or .html")
        data = text.encode("utf-8", "backslashreplace")
        try:
            target.touch(mode=FILE_MODE)
            target.write_bytes(data)
        except OSError as error:
            raise exceptions.CommandError(f"path {target}: {error.strerror}") from error
        return f"wrote {description} to {target}: {size_text(len(data))}"

    def _sessions(self) -> list[Session]:
        return sorted(self._recorder.tracker.sessions.values(), key=lambda session: session.number)

    def _session(self, text: str, example: str) -> Session:
        number = positive_integer("session", text, example)
        for session in self._sessions():
            if session.number == number:
                return session
        numbers = ", ".join(str(session.number) for session in self._sessions()[-20:])
        raise exceptions.CommandError(f"there is no session {number}; there are: {numbers or 'none'}")

    def _table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str]) -> list[str]:
        return [self._redactor.text(line) for line in format_table(columns, rows, right)]


def _path(session: Session) -> str:
    return (session.main.path if session.main is not None else None) or ""


def _session_row(session: Session) -> tuple[str, ...]:
    slowest = percentile(session.round_trips, 0.95)
    return (
        str(session.number),
        session.state,
        clock_text(session.opened_at),
        shortened(session.host),
        shortened(session.label),
        shortened(_path(session)),
        str(session.event_count),
        seconds_text(slowest) if slowest is not None else "",
        str(session.crashes or ""),
        str(session.unanswered or ""),
        ", ".join(shortened(reason) for reason in list(session.refusals)[:3]),
    )


def _event_row(push: Push) -> tuple[str, ...]:
    return (
        clock_text(push.sent_at),
        push.kind,
        shortened(push.view),
        shortened(f"{push.type} {push.name}".strip()),
        seconds_text(push.round_trip) if push.round_trip is not None else "",
        size_text(push.diff_size) if push.diff_size else "",
        push.outcome,
        shortened(push.detail),
    )
