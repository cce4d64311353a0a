"""What an answer of the server means: a join that is accepted or refused, an event that is answered, a diff."""

from typing import Any

from livegate.phoenix import frames
from livegate.phoenix.formatting import shortened
from livegate.phoenix.incidents.detection import IncidentDetector
from livegate.phoenix.model import Push, Session, SocketInfo, View
from livegate.phoenix.page_html import place_of
from livegate.phoenix.rendered.changes import Changes
from livegate.phoenix.rendered.tree import Tree, TreeError
from livegate.phoenix.sessions.frame_info import FrameInfo
from livegate.phoenix.sessions.membership import Membership
from livegate.phoenix.sessions.preparation import PreparedFrame
from livegate.phoenix.sessions.store import SessionStore
from livegate.phoenix.topics import UPLOAD_TOPIC

REDIRECTS = ("redirect", "live_redirect")


class ReplyReader:
    """Reads the server's replies and diffs of one socket, and keeps the page of each view."""

    def __init__(
        self, store: SessionStore, membership: Membership, info: SocketInfo, detector: IncidentDetector
    ) -> None:
        self.prepared: PreparedFrame | None = None
        """Result of `prepare_frame` for the frame that is being read, if there is one."""
        self._store = store
        self._membership = membership
        self._info = info
        self._detector = detector

    def read_reply(self, response: dict[str, Any], note: FrameInfo, event: Push) -> None:
        """Note the answer to a push other than a heartbeat; what an earlier join is told changes no page."""
        if event.kind == "join":
            self._joined(response, note, event)
            return
        if event.kind in ("event", "patch"):
            trip = note.at - event.sent_at
            self._info.round_trips.append(trip)
            if self._membership.session is not None:
                self._membership.session.round_trips.append(trip)
        if event.topic.startswith(UPLOAD_TOPIC):
            note.kind = "upload"
            note.detail = event.detail = reason_of(response) if event.outcome == "error" else ""
            return
        if "diff" in response:
            self.merge_diff(response["diff"], note)
            event.diff_size = note.diff_size
            event.paths = len(note.changes.paths) + note.changes.paths_omitted if note.changes is not None else 0
        for kind in (*REDIRECTS, "live_patch"):
            told = response.get(kind)
            if isinstance(told, dict):
                flash = " with flash" if told.get("flash") else ""
                note.detail = event.detail = f"{kind} to {place_of(told.get('to'))}{flash}"
        if event.outcome == "error" and not note.detail:
            note.detail = event.detail = reason_of(response)
        cids, view = response.get("cids"), note.view
        if event.kind == "destroy" and isinstance(cids, list) and view is not None and view.tree is not None:
            view.tree.delete_components([cid for cid in cids if isinstance(cid, int)])

    def _joined(self, response: dict[str, Any], note: FrameInfo, event: Push) -> None:
        view, session = note.view, self._membership.session
        if event.topic.startswith(UPLOAD_TOPIC):
            note.kind = "upload"
        if event.outcome == "error":
            self._turned_away(response, note, event)
            return
        if not event.topic.startswith(UPLOAD_TOPIC):
            note.kind = "joined"
        if view is None or note.of_earlier_join:
            return
        view.state, view.joined_at = "up", note.at
        view.joins += 1
        version = response.get("liveview_version")
        view.version = version if isinstance(version, str) else view.version
        if session is not None:
            self._detector.joined(session, view, event)
        if "rendered" in response and session is not None:
            self._show(view, response["rendered"], note)

    def _turned_away(self, response: dict[str, Any], note: FrameInfo, event: Push) -> None:
        """A join answered with an error: mostly a refusal, but a redirect in `mount` is how apps lead to a login."""
        view, session = note.view, self._membership.session
        note.detail = event.detail = reason_of(response)
        if any(isinstance(response.get(kind), dict) for kind in REDIRECTS) or note.detail == "parent_redirect":
            note.kind, event.outcome = "redirected", "ok"
            if view is not None and not note.of_earlier_join:
                view.state = "left"
            return
        note.kind = "refused"
        if note.of_earlier_join:
            return
        if view is not None:
            view.state = "refused"
        self._info.refused += 1
        if session is not None:
            session.refusals[shortened(note.detail)] += 1
            if view is not None:
                self._detector.join_refused(session, view, event, response)

    def _show(self, view: View, rendered: object, note: FrameInfo) -> None:
        session = self._membership.session
        try:
            tree = _joined_tree(self.prepared, rendered)
        except TreeError as error:
            self._store.drop_tree(view, str(error))
            view.tree_problem = str(error)
            return
        view.tree, view.tree_problem = tree, None
        if view.module_is_signed and view.module is not None:
            self._store.modules.remember_statics(view.tree.root, view.module)
        else:
            view.module = self._store.modules.module_for_statics(view.tree.root) or view.module
        if session is None:
            return
        self._forget_children(session, view)
        self._store.add_tree_bytes(session, view, note.size)

    def _forget_children(self, session: Session, view: View) -> None:
        """With a view that is shown anew go the pages of those that were left: until now the browser showed them."""
        for other in session.views.values():
            if other is not view and (other.leaving or other.state == "left") and view.path is not None:
                self._store.drop_tree(other, "the view was left")

    def merge_diff(self, diff: object, note: FrameInfo) -> None:
        """Merge a diff into the page of the note's view, unless it is of an earlier join."""
        ahead = self.prepared if self.prepared is not None and self.prepared.source is diff else None
        note.diff_size = frames.json_size(diff) if ahead is None else ahead.size
        if self._membership.session is not None:
            self._membership.session.diff_bytes += note.diff_size
        view = note.view
        if view is None or view.tree is None or note.of_earlier_join:
            return
        try:
            note.changes = _merged(view.tree, ahead, diff)
        except TreeError as error:
            self._store.drop_tree(view, str(error))
            return
        if self._membership.session is not None:
            self._store.add_tree_bytes(self._membership.session, view, note.diff_size)
            if note.changes.unmarked_moves:
                self._detector.moved_without_mark(self._membership.session, view, note.at)


def _joined_tree(ahead: PreparedFrame | None, rendered: object) -> Tree:
    """The tree of a join, if it was read ahead that one. Raises TreeError."""
    if ahead is None or ahead.source is not rendered:
        return Tree.join(rendered)
    if ahead.tree is None:
        raise TreeError(ahead.problem)
    return ahead.tree


def _merged(tree: Tree, ahead: PreparedFrame | None, diff: object) -> Changes:
    """Merge a diff, or take over what it made of the same tree when it was read ahead. Raises TreeError."""
    if ahead is None or ahead.base is None or not tree.unchanged_since(ahead.base):
        return tree.merge(diff)
    if ahead.tree is None or ahead.changes is None:
        raise TreeError(ahead.problem)
    tree.replace_with(ahead.tree)
    return ahead.changes


def reason_of(response: dict[str, Any]) -> str:
    """Return why the server said no, as it gave it, or where it redirects to."""
    reason = response.get("reason")
    if isinstance(reason, str):
        return reason
    for kind in REDIRECTS:
        told = response.get(kind)
        if isinstance(told, dict):
            return f"{kind} to {place_of(told.get('to'))}"
    return "without a reason"
