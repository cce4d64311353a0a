"""Log of incidents: numbers them, keeps them on their session and notifies listeners.

`detection` reports those in frames, the caller those in closes and refused requests. Each is reported once, when it
happens.
"""

from collections.abc import Callable

from livegate.phoenix.model import Healed, Incident, Session

MAX_INCIDENTS = 100
"""Incidents kept per session; the oldest are dropped."""
MAX_HEAL_S = 600.0
"""Seconds after which an incident no longer heals, because no user waits that long."""

type Listener = Callable[[Incident, Session | None], None]


class IncidentLog:
    """All incidents of a process in the order of their reports."""

    def __init__(self) -> None:
        self.on_incident: list[Listener] = []
        self.on_changed: list[Listener] = []
        """Called when an incident heals or repeats."""
        self._last_number = 0

    def report(self, incident: Incident, session: Session | None) -> Incident:
        """Number an incident, add it to its session, if it has one, and notify the listeners."""
        self._last_number += 1
        incident.number = self._last_number
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
        """Mark an incident as healed: the user can go on. Ignored if it has healed already, or after MAX_HEAL_S."""
        if incident.healed_at is not None or not 0 <= at - incident.at <= MAX_HEAL_S:
            return
        incident.healed_at, incident.healed = at, how
        self._changed(incident, session)

    def repeat(self, incident: Incident, session: Session | None) -> None:
        """Count another occurrence of the same incident."""
        incident.times += 1
        self._changed(incident, session)

    def _changed(self, incident: Incident, session: Session | None) -> None:
        for listener in self.on_changed:
            listener(incident, session)
