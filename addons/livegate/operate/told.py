"""Sessions as the API tells of them: plain values, without secrets. The keys are documented in openapi.yaml."""

from dataclasses import asdict
from typing import Any

from livegate.inspect.redaction import Redactor
from livegate.operate.causes import Case, causes_of
from livegate.phoenix.model import Event, Session, View, percentile


def row(session: Session, service: str, redactor: Redactor) -> dict[str, Any]:
    """A session in a table. Times in seconds since 1970, round trips in ms, sizes in bytes."""
    main = session.main
    trips = sorted(session.trips)
    socket = session.sockets[-1] if session.sockets else None
    return {
        "number": session.number,
        "service": service,
        "view": redactor.text(main.label) if main is not None else "",
        "module": main.module if main is not None else None,
        "path": redactor.url(main.path) if main is not None and main.path else "",
        "version": main.version if main is not None else None,
        "transport": socket.transport if socket is not None else "",
        "sockets": len(session.sockets),
        "opened": session.opened_at,
        "last": session.last_at,
        "events": session.event_count,
        "p50": ms(percentile(trips, 0.5)),
        "p95": ms(percentile(trips, 0.95)),
        "diff": session.diff_bytes,
        "up": session.bytes_in,
        "down": session.bytes_out,
        "crashes": session.crashes,
        "rejoins": session.rejoins,
        "refused": sum(session.refusals.values()),
        "unanswered": session.unanswered,
        "state": session.state,
    }


def detail(session: Session, service: str, redactor: Redactor) -> dict[str, Any]:
    """All that is known of a session but its frames."""
    told = row(session, service, redactor)
    told["heartbeat"] = ms(percentile(session.heartbeats, 0.5))
    told["server_pushes"] = session.pushed_diffs
    told["events_dropped"] = session.events_dropped
    told["refusals"] = {redactor.text(reason): count for reason, count in session.refusals.items()}
    told["connections"] = [_without(asdict(socket), "id") for socket in session.sockets]
    told["views"] = [_view(view, redactor) for view in session.views.values()]
    told["list"] = [_event(event, redactor) for event in session.events]
    told["uploads"] = [
        {
            "name": redactor.text(each.name),
            "size": each.size,
            "sent": each.sent,
            "progress": each.progress,
            "chunks": each.chunks,
            "rate": each.rate,
            "error": redactor.text(each.error),
        }
        for each in session.uploads.values()
    ]
    told["http"] = [
        {
            "id": each.id,
            "at": each.at,
            "method": each.method,
            "path": redactor.url(each.path),
            "status": each.status,
            "ms": ms(each.seconds),
            "size": each.size,
        }
        for each in session.exchanges
    ]
    ill = Case(service=service, session=session)
    ended = next((each for each in reversed(session.sockets) if each.close_code is not None), None)
    if ended is not None:
        ill = Case(
            service=service, session=session, code=ended.close_code, by=ended.closed_by, reason=ended.close_reason
        )
    told["causes"] = [asdict(cause) for cause in causes_of(ill)]
    return told


def _view(view: View, redactor: Redactor) -> dict[str, Any]:
    return {
        "topic": view.topic,
        "module": view.module,
        "path": redactor.url(view.path) if view.path else None,
        "version": view.version,
        "state": view.state,
        "joins": view.joins,
        "crashes": view.crashes,
    }


def _event(event: Event, redactor: Redactor) -> dict[str, Any]:
    return {
        "kind": event.kind,
        "name": redactor.text(event.name),
        "type": redactor.text(event.type),
        "view": redactor.text(event.view),
        "ref": event.ref,
        "at": event.sent_at,
        "ms": ms(event.round_trip),
        "outcome": event.outcome,
        "diff": event.diff_size,
        "paths": event.paths,
        "detail": redactor.text(event.detail),
    }


def _without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


def ms(seconds: float | None) -> float | None:
    """Seconds as milliseconds."""
    return None if seconds is None else round(seconds * 1000, 3)
