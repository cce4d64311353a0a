"""Incidents: moments at which something went wrong for a user, and the list of those who want to know of them.

Found in frames by `detection`, in closes and refused requests by the gateway; each is reported once, at its
moment, through the one `IncidentLog` of a tracker. Times are seconds of the caller's clock.
"""

from collections.abc import Callable

from livegate.phoenix.model import Healed, Incident, Session

MAX_INCIDENTS = 100
"""Of one session; the oldest go."""
MAX_HEAL_S = 600.0
"""Later than this nobody is taken to have waited: what comes then is not told as recovery."""

type Listener = Callable[[Incident, Session | None], None]


class IncidentLog:
    """Numbers incidents and passes them on."""

    def __init__(self) -> None:
        self.on_incident: list[Listener] = []
        self.on_changed: list[Listener] = []
        """Called when an incident has healed, or happened once more."""
        self._numbered = 0

    def report(self, incident: Incident, session: Session | None) -> Incident:
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

    def heal(self, incident: Incident, session: Session | None, at: float, how: Healed) -> None:
        """The user can go on. The first time counts; does nothing after `MAX_HEAL_S`."""
        if incident.healed_at is not None or not 0 <= at - incident.at <= MAX_HEAL_S:
            return
        incident.healed_at, incident.healed = at, how
        self._changed(incident, session)

    def repeat(self, incident: Incident, session: Session | None) -> None:
        """The same has happened once more."""
        incident.times += 1
        self._changed(incident, session)

    def _changed(self, incident: Incident, session: Session | None) -> None:
        for listener in self.on_changed:
            listener(incident, session)
