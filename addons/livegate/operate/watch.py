"""Notices, on the event loop, what operators are told later: who is there, what was refused, what closed and why."""

import itertools
import operator
import time
from collections import OrderedDict, deque
from dataclasses import asdict
from typing import Any

from mitmproxy import http
from mitmproxy.net.http import status_codes

from livegate.inspect.content import content_of
from livegate.inspect.recorder import MAX_PAGE_BYTES, ExchangeSeen, FrameSeen, Recorder, channels_of
from livegate.inspect.redaction import Redactor
from livegate.operate.causes import Case, Cause, causes_of
from livegate.operate.dress import Wardrobe
from livegate.operate.metrics import route_of
from livegate.operate.recordings import Kept, Recordings
from livegate.operate.told import clean
from livegate.operate.trend import Trend
from livegate.phoenix.channel import Channels
from livegate.phoenix.model import Session
from livegate.phoenix.pages import is_socket_url, vsn_of_url
from livegate.pipeline.exchange import Exchange, exchange_of, report_of
from livegate.pipeline.printable import printable
from livegate.pipeline.refusal import Refusal

MAX_INCIDENTS = 500
"""Of each kind: who floods the gateway with what it refuses does not push out why sockets closed."""
KINDS = ("refused", "closed")
MAX_RECORDED_BYTES = 64 * 1024 * 1024
_TIMED = frozenset({"event", "patch"})
"""Kinds of events whose round trips people wait for."""


class Watch:
    """A mitmproxy addon; all that it has is for the event loop only."""

    def __init__(self, recorder: Recorder, redactor: Redactor) -> None:
        self.recordings = Recordings(MAX_RECORDED_BYTES)
        self.active = False
        """Whether anybody could look; frames are only kept then."""
        self.trend = Trend()
        self.wardrobe = Wardrobe()
        self._incidents: dict[str, deque[dict[str, Any]]] = {kind: deque(maxlen=MAX_INCIDENTS) for kind in KINDS}
        self.serial = 0
        """Counts news of sessions."""
        self._news: OrderedDict[int, int] = OrderedDict()
        self._redactor = redactor
        self._tracker = recorder.tracker
        self._sessions: OrderedDict[int, tuple[Session, str]] = OrderedDict()
        self._told = 0
        recorder.on_frame.append(self.frame)
        recorder.on_exchange.append(self.exchange)
        recorder.on_gone.append(self._gone)
        self._tracker.on_merged.append(self._merged)

    # Sessions

    def frame(self, seen: FrameSeen) -> None:
        """A frame was understood."""
        note = seen.note
        session = note.session
        if session is None or not self.active:
            return
        number = session.number
        if number not in self._sessions:
            self._remember(session, seen.flow)
        self._changed(number)
        event = note.event
        if event is not None and not note.from_client and event.kind in _TIMED and event.round_trip is not None:
            self.trend.trip(event.round_trip)
        self._record(session, seen)

    def _merged(self, guessed: Session, found: Session) -> None:
        """A session turned out to be part of another one: so are its frames."""
        known = self._sessions.pop(guessed.number, None)
        if known is None:
            return
        self._sessions.setdefault(found.number, (found, known[1]))
        self.recordings.move(guessed.number, found.number)
        self._changed(guessed.number)
        self._changed(found.number)

    def _gone(self, channels: Channels) -> None:
        """A long-poll socket has ended without a word."""
        session = channels.session
        if session is not None and session.number in self._sessions:
            self._changed(session.number)

    def _record(self, session: Session, seen: FrameSeen) -> None:
        """Keep a frame, and the page at it; most frames leave the page as it was."""
        note, main = seen.note, session.main
        recording = self.recordings.to_add(session.number)
        tree, page = main.tree if main is not None else None, recording.page
        if tree is None:
            page = None
        elif page is None or not tree.is_at(page):
            page = tree.copy()
        outcome = note.event.outcome if note.event is not None else None
        view = note.view.label if note.view is not None else None
        kept = Kept(note, outcome, view, note.changes, page, seen.data, seen.text, seen.flow.id, seen.channels.seen.id)
        self.recordings.grew(recording.add(kept))

    def exchange(self, seen: ExchangeSeen) -> None:
        """An HTTP exchange of a tab went by."""
        if not self.active or seen.number is None:
            return
        if seen.page is not None:
            self._dress(seen.number, seen.flow)
        if seen.number in self._sessions:
            self._changed(seen.number)

    def _dress(self, number: int, flow: http.HTTPFlow) -> None:
        """Note how the page of a session looks."""
        exchange, response = exchange_of(flow), flow.response
        if exchange is not None and response is not None:
            html = content_of(response, MAX_PAGE_BYTES) or b""
            self.wardrobe.page(number, route_of(exchange), flow.request.path, html)

    def _remember(self, session: Session, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        self._sessions[session.number] = (session, route_of(exchange) if exchange is not None else "")
        if len(self._sessions) > self._tracker.limits.sessions:
            for number in [number for number, (each, _) in self._sessions.items() if not each.kept]:
                del self._sessions[number]
                self._changed(number)  # which tells that it is gone
            while len(self._news) > 2 * self._tracker.limits.sessions:
                self._news.popitem(last=False)

    def _changed(self, number: int) -> None:
        self.serial += 1
        self._news[number] = self.serial
        self._news.move_to_end(number)

    def changed_since(self, serial: int, limit: int) -> tuple[list[int], int]:
        """Up to `limit` sessions with news since then, the oldest news first, and up to which news that is."""
        found = list(itertools.takewhile(lambda number: self._news[number] > serial, reversed(self._news)))
        chosen = found[::-1][:limit]
        return chosen, self._news[chosen[-1]] if chosen else self.serial

    def numbers(self) -> list[int]:
        """All sessions, the newest last."""
        return list(self._sessions)

    def session(self, number: int) -> tuple[Session, str] | None:
        """A session and its service."""
        return self._sessions.get(number)

    # What went wrong

    @property
    def incidents(self) -> list[dict[str, Any]]:
        """What was refused and what has closed, each kind with room of its own, in the order of their coming."""
        return sorted(itertools.chain(*self._incidents.values()), key=operator.itemgetter("id"))

    @property
    def forgotten(self) -> int:
        """Incidents that are no longer kept."""
        return self._told - sum(map(len, self._incidents.values()))

    def response(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        response = flow.response
        if exchange is None or response is None:
            return
        self._request(flow, exchange, response.status_code, exchange.refused)
        if self.active and response.headers.get("content-type", "").startswith("text/css"):
            self.wardrobe.sheet(route_of(exchange), flow.request.path, response)

    def error(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None and flow.websocket is None:
            failure = exchange.failure
            self._request(flow, exchange, failure.status if failure else 0, failure.reason if failure else "")

    def _request(self, flow: http.HTTPFlow, exchange: Exchange, status: int, refused: str) -> None:
        service = route_of(exchange)
        self.trend.now.requests[service] += 1
        failed_upgrade = exchange.upgrade and status != status_codes.SWITCHING
        stripped = status >= status_codes.BAD_REQUEST and is_socket_url(flow.request.path)
        left = refused == "client-gone" and not exchange.upgrade  # a tab was closed, a poll or a page given up
        if left or not (refused or failed_upgrade or stripped):
            return
        case = _refused(flow, exchange, status, refused)
        slug = refused or f"upgrade-{status}"
        self.trend.now.refused[slug] += 1
        self._incident(flow, exchange, "refused", causes_of(case), {"reason": slug, "status": status})

    def refused_early(self, client: str, refusal: Refusal) -> None:
        """A request that never became a flow."""
        self.trend.now.refused[refusal.reason] += 1
        told = {"kind": "refused", "service": "", "host": "-", "path": "-", "client": client, "request": ""}
        self._tell(told | {"reason": refusal.reason, "status": refusal.status}, causes_of(Case(refused=refusal.reason)))

    def websocket_end(self, flow: http.HTTPFlow) -> None:
        exchange, websocket = exchange_of(flow), flow.websocket
        if exchange is None or websocket is None:
            return
        by = report_of(exchange, websocket).closed_by
        code = websocket.close_code or 1006
        self.trend.closed(code, by)
        channels = channels_of(flow)
        session = channels.session if channels is not None else None
        if channels is not None and session is not None:
            channels.seen.closed_by = by
            self._changed(session.number)
        name = exchange.service.name if exchange.service is not None else ""
        case = Case(service=name, code=code, by=by, reason=websocket.close_reason or "", session=session)
        facts = {"code": code, "by": by, "reason": printable(websocket.close_reason or "", 123)}
        facts["session"] = session.number if session is not None else None
        self._incident(flow, exchange, "closed", causes_of(case), facts)

    def _incident(
        self, flow: http.HTTPFlow, exchange: Exchange, kind: str, causes: list[Cause], facts: dict[str, Any]
    ) -> None:
        told = {
            "kind": kind,
            "service": exchange.service.name if exchange.service is not None else "",
            "host": printable(exchange.authority, 261),
            "path": printable(flow.request.path.partition("?")[0]),
            "client": str(exchange.client),
            "request": exchange.request_id,
        }
        self._tell(told | facts, causes)

    def _tell(self, told: dict[str, Any], causes: list[Cause]) -> None:
        self.trend.now.causes.update(cause.slug for cause in causes)
        self._told += 1
        told |= {"id": self._told, "at": time.time(), "causes": [asdict(cause) for cause in causes]}
        self._incidents[told["kind"]].append(clean(told, self._redactor))


def _refused(flow: http.HTTPFlow, exchange: Exchange, status: int, refused: str) -> Case:
    """What is known of a request that got no answer, or not the one that was wanted."""
    service, request = exchange.service, flow.request
    return Case(
        service=service.name if service is not None else "",
        refused=refused,
        detail=exchange.failure_detail,
        status=status,
        upgrade=exchange.upgrade,
        socket_url=is_socket_url(request.path),
        vsn_known="vsn=" not in request.path or vsn_of_url(request.path) is not None,
        origin=request.headers.get("Origin", ""),
        origin_policy=service.origin if service is not None else "preserve",
    )
