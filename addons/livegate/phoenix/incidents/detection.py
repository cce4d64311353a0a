"""Detects incidents on the channels of one socket; `sessions.socket` calls it for joins, replies, crashes, heartbeats.

A rule reads only the current facts and earlier incidents. Sources: phoenix.js 1.6 to 1.8, phoenix_live_view.js 0.18 to
1.2.
"""

from collections.abc import Iterable
from typing import Any

from livegate.phoenix.incidents import catalog
from livegate.phoenix.incidents.catalog import EVENT_TIMEOUT_S, JOIN_TIMEOUT_S, IncidentText
from livegate.phoenix.incidents.log import IncidentLog
from livegate.phoenix.model import ConnectInfo, Healed, Incident, PageLoad, Push, Session, SocketInfo, View
from livegate.phoenix.topics import LIVE_TOPIC, UPLOAD_TOPIC

CRASH_LOOP = 3
CRASH_LOOP_S = 60.0
"""CRASH_LOOP crashes of one view within these seconds are a crash loop."""
ABANDONED_JOIN_S = 9.5
"""Seconds after which a leave means that the client gave up a join. Its 10 s start before the join arrives here."""
RELOAD_LOOP = 2
"""Earlier loads of a page with a refused join, from which on a further refusal is a reload loop."""
RELOAD_S = 60.0
"""Seconds after an incident in which a page load counts as its consequence. LiveView's client waits up to 30 s."""
MAX_EARLIER_SESSIONS = 10
"""Earlier sessions whose incidents one page load may heal; the oldest are dropped."""
MAX_NAVIGATIONS = 100
"""Pending joins by live navigation that are remembered per socket; the oldest are dropped."""
_EVENTS = frozenset({"event", "patch"})
_NEVER_REPEATED = frozenset({"view-crashed", "crash-loop", "channel-crashed", "upload-crashed", "event-late"})
"""Kinds whose every occurrence is an incident. Others repeat because the client retries the join."""
_SOCKET_WIDE = frozenset({"csrf-missing", "cookie-missing", "stale", "reload-loop", "long-poll-origin"})
"""Kinds that concern the socket or the page, so that all its views have them together."""
_CRASHES = frozenset({"view-crashed", "crash-loop"})


class IncidentDetector:
    """Detector of incidents on one socket."""

    def __init__(self, log: IncidentLog, info: SocketInfo, connect_info: ConnectInfo) -> None:
        self._log = log
        self._info = info
        self._connect_info = connect_info
        self._navigated: dict[str, str | None] = {}
        """Ref of each pending join by live navigation, by topic."""
        self._reported_refused_posts = False

    # Joins

    def join_sent(self, view: View, payload: dict[str, Any]) -> None:
        """Remember whether a join is a live navigation."""
        self._navigated.pop(view.topic, None)
        if "redirect" in payload:
            self._navigated[view.topic] = view.join_ref
            if len(self._navigated) > MAX_NAVIGATIONS:
                del self._navigated[next(iter(self._navigated))]

    def joined(self, session: Session, view: View, join: Push) -> None:
        """Heal earlier incidents of a view that has joined, and check versions and transport."""
        at = join.replied_at if join.replied_at is not None else join.sent_at
        for each in session.incidents:
            if each.healed_at is None:
                how = self._healed_by_join(each, view)
                if how:
                    self._log.heal(each, session, at, how)
        if view.is_live:
            self._heal_earlier_sessions(session, at)
            self._check_versions(session, view, at)
        if self._info.transport == "longpoll":
            self._check_fallback(session, at)

    def _healed_by_join(self, incident: Incident, view: View) -> Healed:
        """Return how the join of a view heals an incident; empty if it does not."""
        if incident.slug == "long-poll-pinned":
            return "reconnected" if self._info.transport == "websocket" else ""
        if incident.kind == "closed":
            return "reconnected" if self._info.opened_at >= incident.at else ""
        if incident.slug == "long-poll-origin":
            return "reconnected"  # the join was a POST, which the app has accepted
        if incident.topic != view.topic or incident.slug in ("event-late", "versions-apart"):
            return ""
        return "rejoined"

    def _heal_earlier_sessions(self, session: Session, at: float) -> None:
        load = session.page_load
        if load is None:
            return
        for earlier in load.earlier_sessions:
            if earlier.is_open:  # another tab of the same browser
                continue
            for incident in earlier.incidents:
                if load.at - RELOAD_S <= incident.at <= load.at:
                    self._log.heal(incident, earlier, at, "page reloaded")
        load.earlier_sessions = ()

    def join_refused(self, session: Session, view: View, join: Push, response: dict[str, Any]) -> None:
        """Report a join whose reply is an error, redirects excepted."""
        navigated = self._navigated.get(view.topic, "") == join.ref
        text = catalog.join_refused(view, join.detail, response, self._connect_info, navigated=navigated)
        load = session.page_load
        if view is session.main and load is not None and load.refused_loads_before >= RELOAD_LOOP:
            text = catalog.reload_loop(load.refused_loads_before, text)
        self._report(session, text, join.replied_at or join.sent_at, view)

    def _check_versions(self, session: Session, view: View, at: float) -> None:
        version = view.version or ""
        if view.modern_client and version.startswith("0."):
            self._report_mismatch(session, catalog.old_server(version), view, at)
        elif self._connect_info.client == "1.2" and version.startswith("1.0."):
            self._report_mismatch(session, catalog.old_list_format(version), view, at)

    def moved_without_mark(self, session: Session, view: View, at: float) -> None:
        """Report a diff that moved entries of a comprehension without the `km` that the client requires."""
        if self._connect_info.client == "1.2":
            self._report_mismatch(session, catalog.unmarked_move(view.version or ""), view, at)

    def _report_mismatch(self, session: Session, text: IncidentText, view: View, at: float) -> None:
        if not _has(session, "versions-apart"):
            self._report(session, text, at, view)

    # Crashes and late replies

    def crashed(self, session: Session, view: View, unanswered: Iterable[Push], at: float) -> None:
        """Report a crash: `phx_error` with the view's current join_ref. `unanswered` are its pending pushes."""
        if view.topic.startswith(UPLOAD_TOPIC) and _has_crashed_view(session):
            return  # an upload's channel ends with its LiveView, whose crash is reported already
        main = session.main
        parent = main.label if main is not None and view.is_live and _is_nested(view, main) else ""
        lost = [each for each in unanswered if each.kind in _EVENTS] if view.is_live else []
        times = [
            each.at
            for each in session.incidents
            if each.slug in _CRASHES and each.topic == view.topic and at - each.at <= CRASH_LOOP_S
        ]
        if view.is_live and len(times) + 1 >= CRASH_LOOP:
            text = catalog.crash_loop(view, len(times) + 1, at - times[0], lost, parent)
        else:
            text = catalog.crashed(view, lost, parent)
        self._report(session, text, at, view, lost=lost, parent=parent)

    def replied(self, session: Session, push: Push) -> None:
        """Report a push whose reply came late."""
        if push.replied_at is not None:
            self._check_late(session, push, push.replied_at)

    def heartbeat(self, session: Session | None, pending: Iterable[Push], at: float) -> None:
        """Count a heartbeat of the client, and check pending pushes, because no timer runs here."""
        self._info.heartbeats += 1
        self.check_pending(session, pending, at)

    def check_pending(
        self, session: Session | None, pending: Iterable[Push], at: float, *, left: str | None = None
    ) -> None:
        """Report pushes that wait too long for a reply; called at heartbeats, leaves and the close of the socket.

        `left` is the topic that the client is leaving, by which it gives up a join.
        """
        if session is not None:
            for push in pending:
                self._check_late(session, push, at, given_up=push.topic == left)

    def _check_late(self, session: Session, push: Push, at: float, *, given_up: bool = False) -> None:
        waited = at - push.sent_at
        if push.reported_late or waited < (ABANDONED_JOIN_S if push.kind == "join" and given_up else JOIN_TIMEOUT_S):
            return
        view = session.views.get(push.topic)
        if push.kind == "join":
            text = catalog.join_late(view, push.topic, waited)
        elif push.kind in _EVENTS and push.topic.startswith(LIVE_TOPIC) and waited >= EVENT_TIMEOUT_S:
            text = catalog.event_late(push, waited)
        else:
            return
        push.reported_late = True
        self._report(session, text, at, view, lost=[push] if push.kind in _EVENTS else [])

    # Long-poll

    def _check_fallback(self, session: Session, at: float) -> None:
        failed = session.page_load is not None and session.page_load.websocket_failed
        if not failed and all(each.transport == "longpoll" for each in session.sockets):
            return
        if not _has(session, "long-poll-pinned"):
            self._report(session, catalog.long_poll_pinned(failed=failed), at, None)

    def posts_refused(self, session: Session | None, origin: str, at: float) -> None:
        """Report once that the app refuses the POSTs of an open long-poll session, by status 403 in the body."""
        if session is not None and not self._reported_refused_posts:
            self._reported_refused_posts = True
            self._report(session, catalog.long_poll_origin(origin), at, None)

    def _report(
        self,
        session: Session,
        text: IncidentText,
        at: float,
        view: View | None,
        *,
        lost: Iterable[Push] = (),
        parent: str = "",
    ) -> None:
        incident = Incident(*text, at, socket=self._info.id, parent=parent).with_events([each.name for each in lost])
        if view is not None:
            incident.topic, incident.view = view.topic, view.label
            incident.module, incident.path = view.module, view.path
        same = _same_unhealed(session, incident)
        if same is not None:
            self._log.repeat(same, session)
        else:
            self._log.report(incident, session)


def link_reload(before: Session, load: PageLoad) -> None:
    """Link a session to a reload of its page by the same browser, which may heal the session's incidents."""
    previous = before.page_load
    earlier = previous.earlier_sessions if previous is not None else ()
    if previous is not None:
        previous.earlier_sessions = ()  # a chain of sessions would keep all of them in memory
    if any(each.healed_at is None and load.at - each.at <= RELOAD_S for each in before.incidents):
        load.earlier_sessions = (before, *earlier)[:MAX_EARLIER_SESSIONS]


def _has_crashed_view(session: Session) -> bool:
    return any(view.is_live and view.state == "crashed" for view in session.views.values())


def _is_nested(view: View, main: View) -> bool:
    """Return whether a LiveView is nested in another one: it has no path."""
    return view is not main and view.path is None


def _same_unhealed(session: Session, incident: Incident) -> Incident | None:
    """Return the unhealed incident that this one repeats, because the client retried; None if it is a new one."""
    if incident.slug in _NEVER_REPEATED:
        return None
    for each in session.incidents:
        same = each.slug == incident.slug and (each.topic == incident.topic or each.slug in _SOCKET_WIDE)
        if same and each.healed_at is None:
            return each
    return None


def _has(session: Session, slug: str) -> bool:
    return any(each.slug == slug for each in session.incidents)
