"""Incidents as the API gives them: plain values, the same on a session, in the list of all and in the live feed."""

from typing import Any

from livegate.phoenix.model import Incident


def incident_json(incident: Incident) -> dict[str, Any]:
    """Return an incident; `at` and `healed_at` in seconds since 1970, `cost` in seconds until the user could go on."""
    return {
        "number": incident.number,
        "at": incident.at,
        "kind": incident.kind,
        "slug": incident.slug,
        "title": incident.title,
        "why": incident.why,
        "todo": incident.todo,
        "session": incident.session,
        "socket": incident.socket,
        "topic": incident.topic,
        "view": incident.view,
        "module": incident.module,
        "path": incident.path,
        "parent": incident.parent,
        "events": list(incident.events),
        "more_events": incident.more_events,
        "times": incident.times,
        "cost": None if incident.cost_s is None else round(incident.cost_s, 3),
        "healed": incident.healed,
        "healed_at": incident.healed_at,
    }


def cause_json(incident: Incident) -> dict[str, str]:
    """Return an incident as a cause: its words alone."""
    return {"slug": incident.slug, "title": incident.title, "why": incident.why, "todo": incident.todo}
