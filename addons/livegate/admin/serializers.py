"""Sessions as the API tells of them: plain values, which `Redactor.redact` redacts; see page/openapi.json.

Gathering is for the event loop and quick; redacting takes longer, and is for the thread of whoever asked.
"""

from dataclasses import asdict
from typing import Any

from livegate.observe.history.incident_json import cause_json, incident_json
from livegate.phoenix.model import Push, Session, SocketInfo, View, percentile


def row(session: Session, service: str) -> dict[str, Any]:
    """A session in a table. Times in seconds since 1970, round trips in ms, sizes in bytes."""
    main = session.main
    trips = sorted(session.round_trips)
    socket = session.sockets[-1] if session.sockets else None
    return {
        "number": session.number,
        "kind": session.kind,
        "service": service,
        "host": session.host,
        "view": session.label,
        "title": (main.tree.title if main is not None and main.tree is not None else None) or "",
        "module": main.module if main is not None else None,
        "path": (main.path or "") if main is not None else "",
        "version": main.version if main is not None else None,
        "transport": socket.transport if socket is not None else "",
        "sockets": len(session.sockets),
        "opened": session.opened_at,
        "last": session.last_frame_at,
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
        "incident_count": len(session.incidents) + session.incidents_dropped,
        "state": session.state,
    }


def detail(session: Session, service: str) -> dict[str, Any]:
    """All that is known of a session but its frames."""
    told = row(session, service)
    told["heartbeat"] = ms(percentile(session.heartbeats, 0.5))
    told["server_pushes"] = session.pushed_diffs
    told["events_dropped"] = session.pushes_dropped
    told["refusals"] = dict(session.refusals)
    told["connections"] = [_connection(socket) for socket in session.sockets]
    told["views"] = [_view(view) for view in session.views.values()]
    told["list"] = [_event(event) for event in session.pushes]
    told["uploads"] = [
        {
            "name": each.name,
            "size": each.size,
            "sent": each.sent,
            "progress": each.progress,
            "chunks": each.chunks,
            "rate": each.rate,
            "error": each.error,
        }
        for each in session.uploads.values()
    ]
    told["http"] = [
        {
            "id": each.id,
            "at": each.at,
            "method": each.method,
            "path": each.path,
            "status": each.status,
            "ms": ms(each.seconds),
            "size": each.size,
        }
        for each in session.exchanges
    ]
    told["causes"] = [cause_json(each) for each in session.incidents]
    told["incidents"] = [incident_json(each) for each in session.incidents]
    told["incidents_dropped"] = session.incidents_dropped
    return told


def _view(view: View) -> dict[str, Any]:
    return {
        "topic": view.topic,
        "module": view.module,
        "path": view.path,
        "version": view.version,
        "state": view.state,
        "joins": view.joins,
        "crashes": view.crashes,
    }


def _event(event: Push) -> dict[str, Any]:
    return {
        "kind": event.kind,
        "name": event.name,
        "type": event.type,
        "view": event.view,
        "ref": event.ref,
        "at": event.sent_at,
        "ms": ms(event.round_trip),
        "outcome": event.outcome,
        "diff": event.diff_size,
        "paths": event.paths,
        "detail": event.detail,
    }


def _connection(socket: SocketInfo) -> dict[str, Any]:
    """One connection, with its own counts; `p95` in ms."""
    kept = {key: value for key, value in asdict(socket).items() if key not in ("last_frame_at", "round_trips")}
    return kept | {"p95": ms(percentile(socket.round_trips, 0.95))}


def ms(seconds: float | None) -> float | None:
    """Seconds as milliseconds."""
    return None if seconds is None else round(seconds * 1000, 3)
