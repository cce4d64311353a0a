"""Incidents: moments at which something went wrong for a user, and the list of those who want to know of them.

Found in frames by `detection`, in closes and refused requests by the gateway; each is reported once, at its
moment, through the one `IncidentLog` of a tracker. Times are seconds of the caller's clock.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from livegate.phoenix.sessions.model import Session

MAX_INCIDENTS = 100
"""Of one session; the oldest go."""
MAX_EVENTS_NAMED = 10
"""Of one incident: events that are kept by name."""
MAX_HEAL_S = 600.0
"""Later than this nobody is taken to have waited: what comes then is not told as recovery."""

type Healed = Literal["", "rejoined", "reconnected", "page reloaded", "reachable again"]


class Incident(Struct):
    """One moment: what happened, to which view, what it cost the user, whether it healed, and what to do."""

    slug: str
    """The kind of incident; stable, see docs/causes.md."""
    title: str
    why: str
    todo: str
    """What stands between backticks is to be typed as it is."""
    at: float
    kind: Literal["liveview", "closed", "refused"] = "liveview"
    """Where it was found: in frames, at the end of a socket, or at a request that was refused."""
    number: int = 0
    """Counts up over the process; 0 until reported."""
    session: int | None = None
    """The session's number."""
    socket: str = ""
    """The socket's id, as whoever carries the frames calls it."""
    topic: str = ""
    view: str = ""
    """What a person calls the view or channel; empty when the incident is about none."""
    module: str | None = None
    path: str | None = None
    parent: str = ""
    """Of a nested LiveView, the label of the page's own view."""
    events: tuple[str, ...] = ()
    """Names of the events that were pending and will get no answer."""
    more_events: int = 0
    """How many more there were."""
    times: int = 1
    """How often it has happened so far, where a client tries the same again and again."""
    healed_at: float | None = None
    healed: Healed = ""
    last_at: float = 0.0
    """Of an outage: when a request last met it."""

    def with_events(self, names: Sequence[str]) -> "Incident":
        """Name the events that will get no answer; return the incident itself."""
        self.events, self.more_events = tuple(names[:MAX_EVENTS_NAMED]), len(names[MAX_EVENTS_NAMED:])
        return self

    @property
    def cost_s(self) -> float | None:
        """Seconds until the user could go on; None as long as that has not been seen."""
        return None if self.healed_at is None else max(0.0, self.healed_at - self.at)

    @property
    def text(self) -> str:
        """One line: title, view, lost events, why."""
        of = f" · {self.view}" if self.view else ""
        return f"{self.title}{of}: {self.why}"


type Listener = Callable[[Incident, "Session | None"], None]


class IncidentLog:
    """Numbers incidents and passes them on."""

    def __init__(self) -> None:
        self.on_incident: list[Listener] = []
        self.on_changed: list[Listener] = []
        """Called when an incident has healed, or happened once more."""
        self._numbered = 0

    def report(self, incident: Incident, session: "Session | None") -> Incident:
        """Keep an incident on its session, if it has one, and tell the listeners."""
        self._numbered += 1
        incident.number = self._numbered
        if session is not None:
            incident.session = session.number
            session.incidents.append(incident)
            if len(session.incidents) > MAX_INCIDENTS:
                session.incidents.popleft()
                session.incidents_dropped += 1
        for listener in self.on_incident:
            listener(incident, session)
        return incident

    def heal(self, incident: Incident, session: "Session | None", at: float, how: Healed) -> None:
        """The user can go on. The first time counts; does nothing after `MAX_HEAL_S`."""
        if incident.healed_at is not None or not 0 <= at - incident.at <= MAX_HEAL_S:
            return
        incident.healed_at, incident.healed = at, how
        self._changed(incident, session)

    def repeat(self, incident: Incident, session: "Session | None") -> None:
        """The same has happened once more."""
        incident.times += 1
        self._changed(incident, session)

    def _changed(self, incident: Incident, session: "Session | None") -> None:
        for listener in self.on_changed:
            listener(incident, session)
