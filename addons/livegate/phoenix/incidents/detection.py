"""Finds incidents in what the channels of one socket go through; called by `sessions.socket` at each such moment.

A rule looks at the facts of its moment only, and fires once for each; what happened before is in the incidents before.
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
"""So many crashes of one view within this time are a loop."""
GIVEN_UP_S = 9.5
"""The client counts its 10 s from before a join leaves the browser: its leave may come a little earlier here."""
RELOAD_LOOP = 2
"""So many loads of the page before this one, each of which ended in a refused join."""
RELOAD_S = 60.0
"""So soon after an incident the same browser loads the page again because of it; LiveView waits up to 30 s."""
MAX_FOLLOWED = 10
"""Earlier sessions whose incidents one page load may heal."""
MAX_NAVIGATED = 100
"""Joins of live navigations that wait for their answer."""
_EVENTS = frozenset({"event", "patch"})
_EACH = frozenset({"view-crashed", "crash-loop", "channel-crashed", "upload-crashed", "event-late"})
"""Kinds of which each one is an incident; the others happen again as the client tries to join again and again."""
_OF_SOCKET = frozenset({"csrf-missing", "cookie-missing", "stale", "reload-loop", "long-poll-origin"})
"""Kinds that are about the socket or the page: all its views have them together."""
_CRASHES = frozenset({"view-crashed", "crash-loop"})


class IncidentDetector:
    """Finds the incidents of one socket."""

    def __init__(self, log: IncidentLog, info: SocketInfo, connect_info: ConnectInfo) -> None:
        self._log = log
        self._info = info
        self._connect_info = connect_info
        self._navigated: dict[str, str | None] = {}
        """Topics whose pending join is a live navigation, and its ref."""
        self._refused_posts = False

    # Joins

    def join_sent(self, view: View, payload: dict[str, Any]) -> None:
        """The client asks to join a channel."""
        self._navigated.pop(view.topic, None)
        if "redirect" in payload:
            self._navigated[view.topic] = view.join_ref
            if len(self._navigated) > MAX_NAVIGATED:
                del self._navigated[next(iter(self._navigated))]

    def joined(self, session: Session, view: View, join: Push) -> None:
        """A join was answered with ok: what had failed before for this view has healed."""
        at = join.replied_at if join.replied_at is not None else join.sent_at
        for each in session.incidents:
            if each.healed_at is None:
                how = self._healing(each, view)
                if how:
                    self._log.heal(each, session, at, how)
        if view.is_live:
            self._heal_page(session, at)
            self._versions(session, view, at)
        if self._info.transport == "longpoll":
            self._pinned(session, at)

    def _healing(self, incident: Incident, view: View) -> Healed:
        """How an incident is healed by a view's being joined; empty when it is not."""
        if incident.slug == "long-poll-pinned":
            return "reconnected" if self._info.transport == "websocket" else ""
        if incident.kind == "closed":
            return "reconnected" if self._info.opened_at >= incident.at else ""
        if incident.slug == "long-poll-origin":
            return "reconnected"  # its join was a POST, which the app has taken
        if incident.topic != view.topic or incident.slug in ("event-late", "versions-apart"):
            return ""
        return "rejoined"

    def _heal_page(self, session: Session, at: float) -> None:
        page = session.page_load
        if page is None:
            return
        for before in page.earlier_sessions:
            if before.is_open:  # another tab of the same browser
                continue
            for incident in before.incidents:
                if page.at - RELOAD_S <= incident.at <= page.at:
                    self._log.heal(incident, before, at, "page reloaded")
        page.earlier_sessions = ()

    def join_refused(self, session: Session, view: View, join: Push, response: dict[str, Any]) -> None:
        """A join was answered with an error that is no redirect."""
        navigated = self._navigated.get(view.topic, "") == join.ref
        words = catalog.join_refused(view, join.detail, response, self._connect_info, navigated=navigated)
        page = session.page_load
        if view is session.main and page is not None and page.refused_loads_before >= RELOAD_LOOP:
            words = catalog.reload_loop(page.refused_loads_before, words)
        self._report(session, words, join.replied_at or join.sent_at, view)

    def _versions(self, session: Session, view: View, at: float) -> None:
        version = view.version or ""
        if view.modern_client and version.startswith("0."):
            self._apart(session, catalog.old_server(version), view, at)
        elif self._connect_info.client == "1.2" and version.startswith("1.0."):
            self._apart(session, catalog.old_list_format(version), view, at)

    def moved_without_mark(self, session: Session, view: View, at: float) -> None:
        """A diff has moved entries of a list without the mark that the client needs."""
        if self._connect_info.client == "1.2":
            self._apart(session, catalog.unmarked_move(view.version or ""), view, at)

    def _apart(self, session: Session, words: IncidentText, view: View, at: float) -> None:
        if not _has(session, "versions-apart"):
            self._report(session, words, at, view)

    # Crashes and late answers

    def crashed(self, session: Session, view: View, lost: Iterable[Push], at: float) -> None:
        """A channel's process ended abnormally: `phx_error` with the view's current join_ref."""
        if view.topic.startswith(UPLOAD_TOPIC) and _has_crashed_view(session):
            return  # an upload's channel ends with its LiveView, whose crash is told
        main = session.main
        parent = main.label if main is not None and view.is_live and _is_nested(view, main) else ""
        waiting = [each for each in lost if each.kind in _EVENTS] if view.is_live else []
        times = [
            each.at
            for each in session.incidents
            if each.slug in _CRASHES and each.topic == view.topic and at - each.at <= CRASH_LOOP_S
        ]
        if view.is_live and len(times) + 1 >= CRASH_LOOP:
            words = catalog.crash_loop(view, len(times) + 1, at - times[0], waiting, parent)
        else:
            words = catalog.crashed(view, waiting, parent)
        self._report(session, words, at, view, lost=waiting, parent=parent)

    def replied(self, session: Session, event: Push) -> None:
        """A push was answered, late perhaps."""
        if event.replied_at is not None:
            self._late(session, event, event.replied_at)

    def heartbeat(self, session: Session | None, pending: Iterable[Push], at: float) -> None:
        """The client sends a heartbeat: time to look at what still waits."""
        self._info.heartbeats += 1
        self.check_pending(session, pending, at)

    def check_pending(
        self, session: Session | None, pending: Iterable[Push], at: float, *, left: str | None = None
    ) -> None:
        """Pushes that still wait for an answer: looked at with heartbeats and leaves, and at the socket's end.

        `left` is the topic that the client leaves now, which is how it gives up a join.
        """
        if session is not None:
            for event in pending:
                self._late(session, event, at, given_up=event.topic == left)

    def _late(self, session: Session, event: Push, at: float, *, given_up: bool = False) -> None:
        waited = at - event.sent_at
        if event.reported_late or waited < (GIVEN_UP_S if event.kind == "join" and given_up else JOIN_TIMEOUT_S):
            return
        view = session.views.get(event.topic)
        if event.kind == "join":
            words = catalog.join_late(view, event.topic, waited)
        elif event.kind in _EVENTS and event.topic.startswith(LIVE_TOPIC) and waited >= EVENT_TIMEOUT_S:
            words = catalog.event_late(event, waited)
        else:
            return
        event.reported_late = True
        self._report(session, words, at, view, lost=[event] if event.kind in _EVENTS else [])

    # Long-poll

    def _pinned(self, session: Session, at: float) -> None:
        failed = session.page_load is not None and session.page_load.websocket_failed
        if not failed and all(each.transport == "longpoll" for each in session.sockets):
            return
        if not _has(session, "long-poll-pinned"):
            self._report(session, catalog.long_poll_pinned(failed=failed), at, None)

    def posts_refused(self, session: Session | None, origin: str, at: float) -> None:
        """A POST of a long-poll session that is open was answered with status 403 in its body."""
        if session is not None and not self._refused_posts:
            self._refused_posts = True  # each of its requests is
            self._report(session, catalog.long_poll_origin(origin), at, None)

    def _report(
        self,
        session: Session,
        words: IncidentText,
        at: float,
        view: View | None,
        *,
        lost: Iterable[Push] = (),
        parent: str = "",
    ) -> None:
        incident = Incident(*words, at, socket=self._info.id, parent=parent).with_events([each.name for each in lost])
        if view is not None:
            incident.topic, incident.view, incident.module, incident.path = (
                view.topic,
                view.label,
                view.module,
                view.path,
            )
        again = _unhealed(session, incident)
        if again is not None:
            self._log.repeat(again, session)
        else:
            self._log.report(incident, session)


def link_reload(before: Session, load: PageLoad) -> None:
    """Note that a browser loads the page of a session again: that may be how the session's incidents heal."""
    page = before.page_load
    earlier = page.earlier_sessions if page is not None else ()
    if page is not None:
        page.earlier_sessions = ()  # so that sessions do not hold each other in a chain
    if any(each.healed_at is None and load.at - each.at <= RELOAD_S for each in before.incidents):
        load.earlier_sessions = (before, *earlier)[:MAX_FOLLOWED]


def _has_crashed_view(session: Session) -> bool:
    return any(view.is_live and view.state == "crashed" for view in session.views.values())


def _is_nested(view: View, main: View) -> bool:
    """Whether a LiveView stands in another one: it has no address of its own."""
    return view is not main and view.path is None


def _unhealed(session: Session, incident: Incident) -> Incident | None:
    """The incident of the same kind and view that has not healed, if trying again is all that has happened since."""
    if incident.slug in _EACH:
        return None
    for each in session.incidents:
        same = each.slug == incident.slug and (each.topic == incident.topic or each.slug in _OF_SOCKET)
        if same and each.healed_at is None:
            return each
    return None


def _has(session: Session, slug: str) -> bool:
    return any(each.slug == slug for each in session.incidents)
