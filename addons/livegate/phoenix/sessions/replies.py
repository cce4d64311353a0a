"""Reads replies of the server: a join accepted or refused, the result of an event, a diff. See `sessions.socket`."""

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
"""Keys of a reply that leads the client elsewhere (Phoenix.LiveView.Channel)."""


class ReplyReader:
    """Reader of the replies and diffs on one socket. It updates the views and their rendered trees."""

    def __init__(
        self, store: SessionStore, membership: Membership, info: SocketInfo, detector: IncidentDetector
    ) -> None:
        self.prepared: PreparedFrame | None = None
        """Result of `prepare_frame` for the current frame, if it was prepared."""
        self._store = store
        self._membership = membership
        self._info = info
        self._detector = detector

    def read_reply(self, response: dict[str, Any], frame_info: FrameInfo, push: Push) -> None:
        """Read the reply to a push other than a heartbeat. A reply to an earlier join changes no tree."""
        if push.kind == "join":
            self._read_join_reply(response, frame_info, push)
            return
        if push.kind in ("event", "patch"):
            trip = frame_info.at - push.sent_at
            self._info.round_trips.append(trip)
            if self._membership.session is not None:
                self._membership.session.round_trips.append(trip)
        if push.topic.startswith(UPLOAD_TOPIC):
            frame_info.kind = "upload"
            frame_info.detail = push.detail = reason_of(response) if push.outcome == "error" else ""
            return
        if "diff" in response:
            self.merge_diff(response["diff"], frame_info)
            push.diff_size = frame_info.diff_size
            changes = frame_info.changes
            push.paths = len(changes.paths) + changes.paths_omitted if changes is not None else 0
        for kind in (*REDIRECTS, "live_patch"):
            target = response.get(kind)
            if isinstance(target, dict):
                flash = " with flash" if target.get("flash") else ""
                frame_info.detail = push.detail = f"{kind} to {place_of(target.get('to'))}{flash}"
        if push.outcome == "error" and not frame_info.detail:
            frame_info.detail = push.detail = reason_of(response)
        cids, view = response.get("cids"), frame_info.view
        if push.kind == "destroy" and isinstance(cids, list) and view is not None and view.tree is not None:
            view.tree.delete_components([cid for cid in cids if isinstance(cid, int)])

    def _read_join_reply(self, response: dict[str, Any], frame_info: FrameInfo, push: Push) -> None:
        view, session = frame_info.view, self._membership.session
        if push.topic.startswith(UPLOAD_TOPIC):
            frame_info.kind = "upload"
        if push.outcome == "error":
            self._read_join_error(response, frame_info, push)
            return
        if not push.topic.startswith(UPLOAD_TOPIC):
            frame_info.kind = "joined"
        if view is None or frame_info.of_earlier_join:
            return
        view.state, view.joined_at = "up", frame_info.at
        view.joins += 1
        version = response.get("liveview_version")
        view.version = version if isinstance(version, str) else view.version
        if session is not None:
            self._detector.joined(session, view, push)
        if "rendered" in response and session is not None:
            self._set_tree(view, response["rendered"], frame_info)

    def _read_join_error(self, response: dict[str, Any], frame_info: FrameInfo, push: Push) -> None:
        """Read the error reply to a join: a refusal, or a redirect in `mount`, with which apps lead to their login."""
        view, session = frame_info.view, self._membership.session
        frame_info.detail = push.detail = reason_of(response)
        if any(isinstance(response.get(kind), dict) for kind in REDIRECTS) or frame_info.detail == "parent_redirect":
            frame_info.kind, push.outcome = "redirected", "ok"
            if view is not None and not frame_info.of_earlier_join:
                view.state = "left"
            return
        frame_info.kind = "refused"
        if frame_info.of_earlier_join:
            return
        if view is not None:
            view.state = "refused"
        self._info.refused += 1
        if session is not None:
            session.refusals[shortened(frame_info.detail)] += 1
            if view is not None:
                self._detector.join_refused(session, view, push, response)

    def _set_tree(self, view: View, rendered: object, frame_info: FrameInfo) -> None:
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
        self._drop_left_views(session, view)
        self._store.add_tree_bytes(session, view, frame_info.size)

    def _drop_left_views(self, session: Session, view: View) -> None:
        """Drop the trees of left views once a page has a new tree, because the browser showed them until then."""
        for other in session.views.values():
            if other is not view and (other.leaving or other.state == "left") and view.path is not None:
                self._store.drop_tree(other, "the view was left")

    def merge_diff(self, diff: object, frame_info: FrameInfo) -> None:
        """Merge a diff into the tree of the frame's view, unless it belongs to an earlier join."""
        prepared = self.prepared if self.prepared is not None and self.prepared.source is diff else None
        frame_info.diff_size = frames.json_size(diff) if prepared is None else prepared.size
        if self._membership.session is not None:
            self._membership.session.diff_bytes += frame_info.diff_size
        view = frame_info.view
        if view is None or view.tree is None or frame_info.of_earlier_join:
            return
        try:
            frame_info.changes = _merge(view.tree, prepared, diff)
        except TreeError as error:
            self._store.drop_tree(view, str(error))
            return
        if self._membership.session is not None:
            self._store.add_tree_bytes(self._membership.session, view, frame_info.diff_size)
            if frame_info.changes.unmarked_moves:
                self._detector.moved_without_mark(self._membership.session, view, frame_info.at)


def _joined_tree(prepared: PreparedFrame | None, rendered: object) -> Tree:
    """Return the tree of a join, the prepared one if there is one. Raises TreeError."""
    if prepared is None or prepared.source is not rendered:
        return Tree.join(rendered)
    if prepared.tree is None:
        raise TreeError(prepared.problem)
    return prepared.tree


def _merge(tree: Tree, prepared: PreparedFrame | None, diff: object) -> Changes:
    """Merge a diff; use the prepared result if the tree has not changed since. Raises TreeError."""
    if prepared is None or prepared.base is None or not tree.unchanged_since(prepared.base):
        return tree.merge(diff)
    if prepared.tree is None or prepared.changes is None:
        raise TreeError(prepared.problem)
    tree.replace_with(prepared.tree)
    return prepared.changes


def reason_of(response: dict[str, Any]) -> str:
    """Return the reason of an error reply, or the target of its redirect."""
    reason = response.get("reason")
    if isinstance(reason, str):
        return reason
    for kind in REDIRECTS:
        target = response.get(kind)
        if isinstance(target, dict):
            return f"{kind} to {place_of(target.get('to'))}"
    return "without a reason"
