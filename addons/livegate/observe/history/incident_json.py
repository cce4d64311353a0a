"""Incidents as JSON bodies: on a session, in the list of all, and in the live feed."""

from typing import Annotated, Literal

from msgspec import Meta

from livegate.inspect.json_units import Body, Count, Seconds, Side, Timestamp, copied
from livegate.phoenix import model


class Cause(Body):
    """Cause of an incident, in words."""

    slug: str
    """Stable name; see docs/reference/causes.md."""
    title: str
    why: str
    """Evidence that was found."""
    todo: str
    """Advice."""


class Incident(Body):
    """Moment at which something went wrong for a user: where, what it cost, whether it healed, and advice."""

    number: Count
    """Counts up over the process."""
    at: Timestamp
    kind: Literal["liveview", "closed", "refused"]
    """Place of the evidence: in frames, at the end of a socket, or at a refused request."""
    slug: str
    """Stable name; see docs/reference/causes.md."""
    title: str
    why: str
    """Evidence that was found."""
    todo: str
    """Advice."""
    session: Count | None
    socket: str
    """Id of the socket, or empty."""
    topic: str
    """Topic of the view or channel, or empty."""
    view: str
    """Short name of the view."""
    module: str | None
    path: str | None
    parent: str
    """For a nested LiveView the main view of the page, else empty."""
    events: list[str]
    """Names of the events that will get no reply."""
    more_events: Count
    """Number of such events that are not named."""
    times: Annotated[int, Meta(ge=1)]
    """Number of occurrences so far, as a client that fails often tries again."""
    cost: Seconds | None
    """Time until the user could continue; null while that has not been seen."""
    healed: model.Healed
    healed_at: Timestamp | None


class Entry(Body, kw_only=True):
    """Entry of the list of incidents."""

    id: Annotated[int, Meta(ge=1)]
    """Counts up."""
    changed: Annotated[int, Meta(ge=1)]
    """Version, greater than that of all earlier additions and changes. It changes when an incident heals."""
    at: Timestamp
    service: str
    """Its name in the settings, or empty."""
    host: str
    """Host of the request."""
    path: str
    """Without the query."""
    client: str
    """Address."""
    request: str
    """Id of the request in the log."""
    causes: list[Cause]
    incident: Incident | None
    """null when nothing went wrong, such as at the normal end of a socket."""


class Refused(Entry, tag_field="kind", tag="refused"):
    """Refused or failed request."""

    reason: str
    """Stable name, such as `rate-limit-ip`."""
    status: Count
    """Status of the response; 0 without one."""


class Closed(Entry, tag_field="kind", tag="closed"):
    """WebSocket or long-poll socket that has ended."""

    code: Count
    """Close code; 1006 without a close frame."""
    by: Side
    reason: str
    """Reason in the close frame."""
    session: Count | None
    """LiveView session of the socket."""


class InFrames(Entry, tag_field="kind", tag="liveview"):
    """Incident that was found in frames, such as a crash, a refused join or a late reply."""

    reason: str
    """Slug of the incident."""
    session: Count | None


type IncidentEntry = Refused | Closed | InFrames
ENTRIES: dict[str, type[Refused] | type[Closed] | type[InFrames]] = {
    "refused": Refused,
    "closed": Closed,
    "liveview": InFrames,
}


def incident_json(incident: model.Incident) -> Incident:
    """Return an incident."""
    cost = None if incident.cost_s is None else round(incident.cost_s, 3)
    return copied(Incident, incident, events=list(incident.events), cost=cost)


def cause_json(incident: model.Incident) -> Cause:
    """Return the words of an incident."""
    return copied(Cause, incident)
