"""Addon that keeps the history for operators: sessions and their frames, refused requests, closed sockets, causes."""

import itertools
from collections import OrderedDict
from dataclasses import replace

from mitmproxy import http
from mitmproxy.net.http import status_codes

from livegate.http1.refusal import Refusal
from livegate.inspect.recorder import MAX_PAGE_BYTES, ObservedExchange, ObservedFrame, Recorder, socket_of
from livegate.observe.causes import Case
from livegate.observe.history.incidents import IncidentFeed, unanswered_of
from livegate.observe.history.recordings import RecordedFrame, RecordingStore
from livegate.observe.history.stylesheets import StylesheetCache
from livegate.observe.history.time_series import TimeSeries
from livegate.observe.metrics.addon import route_of
from livegate.phoenix.model import Incident, Session, SocketInfo
from livegate.phoenix.page_html import is_socket_url
from livegate.phoenix.sessions.page import current_page
from livegate.phoenix.sessions.socket import SocketTracker
from livegate.pipeline.exchange.record import Exchange, exchange_of, socket_stats
from livegate.redaction.content_coding import decoded_body
from livegate.redaction.redactor import Redactor

MAX_RECORDED_BYTES = 64 * 1024 * 1024
_TIMED = frozenset({"event", "patch"})
"""Kinds of pushes whose round trips users wait for."""


class History:
    """Addon that owns the history. For the event loop only."""

    def __init__(self, recorder: Recorder, redactor: Redactor) -> None:
        self.recordings = RecordingStore(MAX_RECORDED_BYTES)
        self.active = False
        """Whether there is an admin page; frames are recorded only then."""
        self.time_series = TimeSeries()
        self.stylesheets = StylesheetCache()
        self.feed = IncidentFeed(recorder, redactor, self.time_series)
        self.version = 0
        """Number of changes of sessions so far."""
        self._changed_at: OrderedDict[int, int] = OrderedDict()
        self._redactor = redactor
        self._tracker = recorder.tracker
        self._sessions: OrderedDict[int, tuple[Session, str]] = OrderedDict()
        recorder.on_frame.append(self.on_frame)
        recorder.on_exchange.append(self.on_exchange)
        recorder.on_longpoll_end.append(self._socket_ended)
        self._tracker.on_merged.append(self._sessions_merged)
        self._tracker.incidents.on_incident.append(self._incident_changed)
        self._tracker.incidents.on_changed.append(self._incident_changed)

    # Sessions

    def on_frame(self, observed: ObservedFrame) -> None:
        """Record a decoded frame."""
        note = observed.info
        session = note.session
        if session is None or not self.active:
            return
        number = session.number
        if number not in self._sessions:
            self._track(session, observed.flow)
        self._changed(number)
        event = note.push
        if event is not None and not note.from_client and event.kind in _TIMED and event.round_trip is not None:
            self.time_series.add_round_trip(event.round_trip)
        self._record(session, observed)

    def _sessions_merged(self, guessed: Session, found: Session) -> None:
        """Move the frames of a session that turned out to be part of another one."""
        known = self._sessions.pop(guessed.number, None)
        if known is None:
            return
        self._sessions.setdefault(found.number, (found, known[1]))
        self.recordings.move(guessed.number, found.number)
        self._changed(guessed.number)
        self._changed(found.number)

    def _socket_ended(self, channels: SocketTracker) -> None:
        """Note that a long-poll socket stopped polling."""
        session = channels.session
        if session is not None and session.number in self._sessions:
            self._changed(session.number)

    def _record(self, session: Session, observed: ObservedFrame) -> None:
        """Record a frame and the page after it; most frames do not change the page."""
        note = observed.info
        recording = self.recordings.get_or_create(session.number)
        page = recording.page
        if page is None or (not note.from_client and note.view is not None):
            page = current_page(session, page)
        outcome = note.push.outcome if note.push is not None else None
        view = note.view.label if note.view is not None else None
        recorded = RecordedFrame(
            note,
            outcome,
            view,
            note.changes,
            page,
            observed.data,
            observed.text,
            observed.flow.id,
            observed.socket.info.id,
        )
        self.recordings.add_bytes(recording.add(recorded))

    def on_exchange(self, observed: ObservedExchange) -> None:
        """Record an HTTP exchange of a tab."""
        polled = observed.longpoll.replaced if observed.longpoll is not None else None
        exchange = exchange_of(observed.flow)
        if polled is not None and exchange is not None:
            self._record_close(observed.flow, exchange, polled, (polled.info.close_code or 1006, "backend", ""))
        if not self.active or observed.session is None:
            return
        if observed.page is not None:
            self._add_page(observed.session, observed.flow)
        if observed.session in self._sessions:
            self._changed(observed.session)

    def _add_page(self, number: int, flow: http.HTTPFlow) -> None:
        """Add a session's page to the stylesheet cache."""
        exchange, response = exchange_of(flow), flow.response
        if exchange is not None and response is not None:
            html = decoded_body(response, MAX_PAGE_BYTES) or b""
            self.stylesheets.add_page(number, route_of(exchange), flow.request.path, html)

    def _track(self, session: Session, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        self._sessions[session.number] = (session, route_of(exchange) if exchange is not None else "")
        if len(self._sessions) > self._tracker.limits.sessions:
            for number in [number for number, (each, _) in self._sessions.items() if not each.is_stored]:
                del self._sessions[number]
                self._changed(number)  # so that pages remove it
            while len(self._changed_at) > 2 * self._tracker.limits.sessions:
                self._changed_at.popitem(last=False)

    def _incident_changed(self, incident: Incident, session: Session | None) -> None:
        """Note that a session has a new or changed incident."""
        del incident
        if session is not None and session.number in self._sessions:
            self._changed(session.number)

    def _changed(self, number: int) -> None:
        self.version += 1
        self._changed_at[number] = self.version
        self._changed_at.move_to_end(number)

    def changed_since(self, serial: int, limit: int) -> tuple[list[int], int]:
        """Return up to `limit` sessions changed since a version, the oldest change first, and the version reached."""
        found = list(itertools.takewhile(lambda number: self._changed_at[number] > serial, reversed(self._changed_at)))
        chosen = found[::-1][:limit]
        return chosen, self._changed_at[chosen[-1]] if chosen else self.version

    def session_numbers(self) -> list[int]:
        """Return the numbers of all sessions, the newest last."""
        return list(self._sessions)

    def session(self, number: int) -> tuple[Session, str] | None:
        """Return a session and its service."""
        return self._sessions.get(number)

    # What went wrong

    def response(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        response = flow.response
        if exchange is None or response is None:
            return
        self._record_request(flow, exchange, response.status_code, exchange.refusal_reason)
        if self.active and response.headers.get("content-type", "").startswith("text/css"):
            self.stylesheets.add_stylesheet(route_of(exchange), flow.request.path, response)

    def error(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None and flow.websocket is None:
            failure = exchange.failure
            self._record_request(flow, exchange, failure.status if failure else 0, failure.reason if failure else "")

    def _record_request(self, flow: http.HTTPFlow, exchange: Exchange, status: int, refused: str) -> None:
        service = route_of(exchange)
        self.time_series.current.requests[service] += 1
        failed_upgrade = exchange.upgrade and status != status_codes.SWITCHING
        stripped = status >= status_codes.BAD_REQUEST and is_socket_url(flow.request.path)
        if exchange.response_started_at is not None and not refused:
            self.feed.backend_reached(exchange.service.name if exchange.service is not None else "")
        aborted = refused == "client-gone" and not exchange.upgrade  # a tab was closed, a poll or a page given up
        if aborted or not (refused or failed_upgrade or stripped):
            return
        self.time_series.current.refused[refused or f"upgrade-{status}"] += 1
        self.feed.refused(flow, exchange, status, refused)

    def refused_before_flow(self, client: str, refusal: Refusal) -> None:
        """Record a request that was refused before it became a flow."""
        self.time_series.current.refused[refusal.reason] += 1
        self.feed.refused_before_flow(client, refusal)

    def websocket_end(self, flow: http.HTTPFlow) -> None:
        exchange, websocket = exchange_of(flow), flow.websocket
        if exchange is None or websocket is None:
            return
        by = socket_stats(exchange, websocket).closed_by
        code = websocket.close_code or 1006
        self.time_series.add_close(code, by)
        self._record_close(flow, exchange, socket_of(flow), (code, by, websocket.close_reason or ""))

    def _record_close(
        self, flow: http.HTTPFlow, exchange: Exchange, channels: SocketTracker | None, end: tuple[int, str, str]
    ) -> None:
        """Record the close of a socket and its causes, by the evidence about this socket."""
        code, by, reason = end
        session = channels.session if channels is not None else None
        name = exchange.service.name if exchange.service is not None else ""
        case = Case(service=name, code=code, by=by, reason=reason)
        if channels is not None and session is not None:
            channels.info.closed_by = by
            self._changed(session.number)
            lost = unanswered_of(channels.unanswered)
            before = _previous_socket(session, channels.info)
            beat = any(each.kind == "heartbeat" for each in channels.unanswered)
            case = replace(case, socket=channels.info, previous_socket=before, heartbeat_pending=beat, unanswered=lost)
        self.feed.closed(flow, exchange, case, session)


def _previous_socket(session: Session, socket: SocketInfo) -> SocketInfo | None:
    """Return the socket of a session that was closed last before this one was opened."""
    ended = [each for each in session.sockets if each.closed_at is not None and each.closed_at <= socket.opened_at]
    return max(ended, key=lambda each: each.closed_at or 0.0, default=None)
