"""What went wrong, for operators: refused requests, sockets that ended, incidents found in frames; with their causes.

Every incident is reported to the recorder's listeners once, from here or from the frames; so the log, the metrics, the
session and this feed say the same. Entries without a cause are how sockets end when all is well.
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
"""Of each kind: who floods the gateway with what it refuses does not push out why sockets closed."""
OUTAGE_S = 60.0
"""Requests that meet the same within this time of the one before met one outage."""
_OUTAGE_SLUGS = ("backend-unreachable", "timeout-connect")
KINDS = ("refused", "closed", "liveview")
_NAMED_KINDS = frozenset({"event", "patch"})
type Kind = Literal["refused", "closed", "liveview"]
type Facts = dict[str, Any]


class IncidentFeed:
    """The last entries of each kind; for the event loop only."""

    def __init__(self, recorder: Recorder, redactor: Redactor, time_series: TimeSeries) -> None:
        self._recorder = recorder
        self._redactor = redactor
        self._time_series = time_series
        self._entries: dict[str, deque[IncidentEntry]] = {kind: deque(maxlen=MAX_ENTRIES) for kind in KINDS}
        self._last_id = 0
        self._changes = 0
        self._outages: dict[tuple[str, str], Incident] = {}
        """By service, as the settings name it, and slug."""
        recorder.on_incident.append(self._on_incident)
        recorder.tracker.incidents.on_changed.append(self._on_changed)

    @property
    def entries(self) -> list[IncidentEntry]:
        """All entries, in the order of their coming."""
        return sorted(itertools.chain(*self._entries.values()), key=operator.attrgetter("id"))

    @property
    def evicted(self) -> int:
        """How many entries are no longer kept."""
        return self._last_id - sum(map(len, self._entries.values()))

    def refused(self, flow: http.HTTPFlow, exchange: Exchange, status: int, refused: str) -> None:
        """A request got no answer, or not the one that was wanted."""
        slug = refused or f"upgrade-{status}"
        if slug in _OUTAGE_SLUGS and self._repeats_outage(exchange, slug):
            return
        facts = _flow_facts(flow, exchange) | {"reason": slug, "status": status}
        self._diagnose("refused", _refused_case(flow, exchange, status, refused), facts, None, flow)

    def _repeats_outage(self, exchange: Exchange, slug: str) -> bool:
        """Count a request that met the same outage as the one before; return whether there is one."""
        service = exchange.service.name if exchange.service is not None else ""
        incident = self._outages.get((service, slug))
        if incident is None or incident.healed or time.time() - incident.last_at > OUTAGE_S:
            return False
        incident.last_at = time.time()
        self._recorder.tracker.incidents.repeat(incident, None)
        return True

    def backend_reached(self, service: str) -> None:
        """A service's backend has answered: what kept it from that is over."""
        for slug in _OUTAGE_SLUGS if self._outages else ():
            incident = self._outages.pop((service, slug), None)
            if incident is not None:
                self._recorder.tracker.incidents.heal(incident, None, time.time(), "reachable again")

    def refused_before_flow(self, client: str, refusal: Refusal) -> None:
        """A request that never became a flow was refused."""
        facts: Facts = {"service": "", "host": "-", "path": "-", "client": client, "request": ""}
        facts |= {"reason": refusal.reason, "status": refusal.status}
        self._diagnose("refused", Case(refusal_reason=refusal.reason), facts, None, None)

    def closed(self, flow: http.HTTPFlow, exchange: Exchange, case: Case, session: Session | None) -> None:
        """A socket has ended; the case has what is known of it."""
        facts = _flow_facts(flow, exchange) | {"code": case.code, "by": case.by, "reason": printable(case.reason, 123)}
        facts["session"] = session.number if session is not None else None
        self._diagnose("closed", case, facts, session, flow)

    def _diagnose(
        self, kind: Kind, case: Case, facts: Facts, session: Session | None, flow: http.HTTPFlow | None
    ) -> None:
        """Find the causes, make an incident of each, and keep an entry."""
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

    def _on_incident(self, seen: ObservedIncident) -> None:
        self._time_series.current.causes[seen.incident.slug] += 1
        if seen.incident.kind != "liveview":
            return
        exchange = exchange_of(seen.flow) if seen.flow is not None else None
        facts: Facts = {"service": "", "host": "-", "path": "-", "client": "", "request": ""}
        if seen.flow is not None and exchange is not None:
            facts = _flow_facts(seen.flow, exchange)
        session = seen.session.number if seen.session is not None else None
        self._append("liveview", facts | {"reason": seen.incident.slug, "session": session}, [seen.incident])

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
    """Return of the pushes that a socket's end left those that are always answered: joins, and LiveView's events."""
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
    """What is known of a request that got no answer, or not the one that was wanted."""
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
