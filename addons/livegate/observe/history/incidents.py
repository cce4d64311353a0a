"""Feed of what went wrong: refused requests, closed sockets, and incidents found in frames, with their causes.

Each incident is reported to the recorder's listeners once, from here or from the frames, so that log, metrics, session
and this feed agree. Entries without a cause are sockets that closed normally.
"""

import itertools
import operator
import time
from collections import deque
from typing import Any, Literal

from mitmproxy import http

from livegate.http1.refusal import Refusal
from livegate.inspect.recorder import ObservedIncident, Recorder
from livegate.observe.causes import Case, causes_of
from livegate.observe.history.incident_json import ENTRIES, IncidentEntry, cause_json, incident_json
from livegate.observe.history.time_series import TimeSeries
from livegate.phoenix.model import Incident, Push, Session
from livegate.phoenix.page_html import is_socket_url, vsn_of_url
from livegate.pipeline.exchange.record import Exchange, exchange_of
from livegate.redaction.printable import printable
from livegate.redaction.redactor import Redactor

MAX_ENTRIES = 500
"""Entries per kind; beyond it the oldest is evicted. A flood of refused requests evicts no closed sockets."""
OUTAGE_S = 60.0
"""Seconds; a request that fails in the same way within this time of the previous one belongs to the same outage."""
_OUTAGE_SLUGS = ("backend-unreachable", "timeout-connect")
KINDS = ("refused", "closed", "liveview")
_NAMED_KINDS = frozenset({"event", "patch"})
type Kind = Literal["refused", "closed", "liveview"]
type Facts = dict[str, Any]


class IncidentFeed:
    """Feed of the latest entries of each kind. For the event loop only."""

    def __init__(self, recorder: Recorder, redactor: Redactor, time_series: TimeSeries) -> None:
        self._recorder = recorder
        self._redactor = redactor
        self._time_series = time_series
        self._entries: dict[str, deque[IncidentEntry]] = {kind: deque(maxlen=MAX_ENTRIES) for kind in KINDS}
        self._last_id = 0
        self._changes = 0
        self._outages: dict[tuple[str, str], Incident] = {}
        """Current outages by service name and slug."""
        recorder.on_incident.append(self._on_incident)
        recorder.tracker.incidents.on_changed.append(self._on_changed)

    @property
    def entries(self) -> list[IncidentEntry]:
        """Return all entries, oldest first."""
        return sorted(itertools.chain(*self._entries.values()), key=operator.attrgetter("id"))

    @property
    def evicted(self) -> int:
        """Return the number of evicted entries."""
        return self._last_id - sum(map(len, self._entries.values()))

    def refused(self, flow: http.HTTPFlow, exchange: Exchange, status: int, refused: str) -> None:
        """Add a request that was refused or failed."""
        slug = refused or f"upgrade-{status}"
        if slug in _OUTAGE_SLUGS and self._repeats_outage(exchange, slug):
            return
        facts = _flow_facts(flow, exchange) | {"reason": slug, "status": status}
        self._diagnose("refused", _refused_case(flow, exchange, status, refused), facts, None, flow)

    def _repeats_outage(self, exchange: Exchange, slug: str) -> bool:
        """Count a request of a current outage; return whether there is one."""
        service = exchange.service.name if exchange.service is not None else ""
        incident = self._outages.get((service, slug))
        if incident is None or incident.healed or time.time() - incident.last_at > OUTAGE_S:
            return False
        incident.last_at = time.time()
        self._recorder.tracker.incidents.repeat(incident, None)
        return True

    def backend_reached(self, service: str) -> None:
        """Heal the outage of a service whose backend responded."""
        for slug in _OUTAGE_SLUGS if self._outages else ():
            incident = self._outages.pop((service, slug), None)
            if incident is not None:
                self._recorder.tracker.incidents.heal(incident, None, time.time(), "reachable again")

    def refused_before_flow(self, client: str, refusal: Refusal) -> None:
        """Add a request that was refused before it became a flow."""
        facts: Facts = {"service": "", "host": "-", "path": "-", "client": client, "request": ""}
        facts |= {"reason": refusal.reason, "status": refusal.status}
        self._diagnose("refused", Case(refusal_reason=refusal.reason), facts, None, None)

    def closed(self, flow: http.HTTPFlow, exchange: Exchange, case: Case, session: Session | None) -> None:
        """Add a closed socket with its evidence."""
        facts = _flow_facts(flow, exchange) | {"code": case.code, "by": case.by, "reason": printable(case.reason, 123)}
        facts["session"] = session.number if session is not None else None
        self._diagnose("closed", case, facts, session, flow)

    def _diagnose(
        self, kind: Kind, case: Case, facts: Facts, session: Session | None, flow: http.HTTPFlow | None
    ) -> None:
        """Find the causes, report an incident for each, and add an entry."""
        found = []
        for each in causes_of(case):
            at = case.socket.closed_at if case.socket is not None and case.socket.closed_at is not None else time.time()
            incident = Incident(each.slug, each.title, each.why, each.todo, at, kind=kind)
            incident.socket = case.socket.id if case.socket is not None else ""
            incident.with_events([event.name for event in case.unanswered if event.kind in _NAMED_KINDS])
            if session is not None:
                incident.view, main = session.label, session.main
                if main is not None:
                    incident.topic, incident.module, incident.path = main.topic, main.module, main.path
            self._recorder.report(incident, session, flow)
            found.append(incident)
            if case.refusal_reason in _OUTAGE_SLUGS:
                incident.last_at = at
                self._outages[case.service, case.refusal_reason] = incident
        self._append(kind, facts, found)

    def _on_incident(self, observed: ObservedIncident) -> None:
        self._time_series.current.causes[observed.incident.slug] += 1
        if observed.incident.kind != "liveview":
            return
        exchange = exchange_of(observed.flow) if observed.flow is not None else None
        facts: Facts = {"service": "", "host": "-", "path": "-", "client": "", "request": ""}
        if observed.flow is not None and exchange is not None:
            facts = _flow_facts(observed.flow, exchange)
        session = observed.session.number if observed.session is not None else None
        self._append("liveview", facts | {"reason": observed.incident.slug, "session": session}, [observed.incident])

    def _on_changed(self, incident: Incident, session: Session | None) -> None:
        del session
        for entry in reversed(self._entries[incident.kind]):
            if entry.incident is not None and entry.incident.number == incident.number:
                entry.incident = self._redactor.redact(incident_json(incident))
                self._changes += 1
                entry.changed = self._changes
                return

    def _append(self, kind: Kind, facts: Facts, found: list[Incident]) -> None:
        self._last_id += 1
        self._changes += 1
        entry = ENTRIES[kind](
            **facts,
            id=self._last_id,
            changed=self._changes,
            at=time.time(),
            causes=[cause_json(each) for each in found],
            incident=incident_json(found[0]) if found else None,
        )
        self._entries[kind].append(self._redactor.redact(entry))


def unanswered_of(lost: list[Push]) -> tuple[Push, ...]:
    """Return the lost pushes that always get a reply: joins, and LiveView's events and patches."""
    return tuple(
        each for each in lost if each.kind == "join" or (each.kind in _NAMED_KINDS and each.topic.startswith("lv:"))
    )


def _flow_facts(flow: http.HTTPFlow, exchange: Exchange) -> Facts:
    return {
        "service": exchange.service.name if exchange.service is not None else "",
        "host": printable(exchange.authority, 261),
        "path": printable(flow.request.path.partition("?")[0]),
        "client": str(exchange.client),
        "request": exchange.request_id,
    }


def _refused_case(flow: http.HTTPFlow, exchange: Exchange, status: int, refused: str) -> Case:
    """Return the evidence about a request that was refused or failed."""
    service, request = exchange.service, flow.request
    return Case(
        service=service.name if service is not None else "",
        refusal_reason=refused,
        failure_detail=exchange.failure_detail,
        status=status,
        upgrade=exchange.upgrade,
        websocket_fields="sec-websocket-key" in request.headers or "sec-websocket-version" in request.headers,
        waited_s=time.monotonic() - exchange.started,
        socket_url=is_socket_url(request.path),
        vsn_known="vsn=" not in request.path or vsn_of_url(request.path) is not None,
        origin=request.headers.get("Origin", ""),
        origin_policy=service.origin if service is not None else "preserve",
    )
