"""Tracks one socket: finds the view of each frame, pairs pushes with replies, and keeps the tree of each LiveView.

Topic and join_ref decide which view a frame is about, as in phoenix.js (`Channel.isMember`, 1.6 to 1.8). The other end
drops a frame of an earlier join, so that it changes nothing here either.
"""

from collections import OrderedDict
from typing import Any

from livegate.phoenix import frames, tokens
from livegate.phoenix.formatting import shortened, size_text
from livegate.phoenix.frames import Frame, NotPhoenix, Vsn
from livegate.phoenix.incidents.detection import IncidentDetector
from livegate.phoenix.model import ConnectInfo, Push, PushKind, Session, SocketInfo, View
from livegate.phoenix.page_html import path_of, place_of
from livegate.phoenix.rendered.tree import Tree
from livegate.phoenix.sessions import uploads
from livegate.phoenix.sessions.frame_info import FrameInfo, presence_text, summarize
from livegate.phoenix.sessions.membership import Membership
from livegate.phoenix.sessions.pending import PendingPushes, is_of_join
from livegate.phoenix.sessions.preparation import PreparedFrame
from livegate.phoenix.sessions.pushes import describe, is_page_view, is_rejoin, push_kind
from livegate.phoenix.sessions.replies import ReplyReader
from livegate.phoenix.sessions.store import SessionStore
from livegate.phoenix.topics import LIVE_TOPIC, UPLOAD_TOPIC

MAX_JOINS = 500
"""Joins remembered per socket, to recognize late frames of earlier joins."""
RECOVERY_S = 1.0
"""Seconds after a rejoin in which a form event counts as form recovery, which LiveView's client does at once."""
_CLIENT_CLOSE_CODES = frozenset({1000, 1001, 1005})
"""Close codes that prove that the client was there until the close (RFC 6455 section 7.4.1)."""


class SocketTracker:
    """State of one socket and its channels."""

    def __init__(
        self,
        store: SessionStore,
        info: SocketInfo,
        vsn: Vsn | None,
        connect_info: ConnectInfo,
        *,
        url: str = "",
        host: str = "",
    ) -> None:
        self.info = info
        self.unanswered: list[Push] = []
        """Pushes that were pending when the socket closed."""
        self.vsn: Vsn = vsn or "2"
        self.detector = IncidentDetector(store.incidents, info, connect_info)
        self._store = store
        self._membership = Membership(store, info, connect_info, url, host)
        self._pending = PendingPushes(store, self._membership, info)
        self._replies = ReplyReader(store, self._membership, info, self.detector)
        self._joins: OrderedDict[tuple[str, str], View] = OrderedDict()
        """View of each join on this socket, by topic and join_ref."""

    @property
    def session(self) -> Session | None:
        """Session of the socket; None while it is unknown."""
        return self._membership.session

    @property
    def host(self) -> str:
        """Host that the browser requested."""
        return self._membership.host

    def read_frame(
        self, data: bytes, *, text: bool, from_client: bool, at: float, prepared: PreparedFrame | None = None
    ) -> FrameInfo:
        """Read one frame in wire format and return its meaning. `prepared` is a result of `prepare_frame`."""
        decoded = prepared.decoded if prepared is not None else None
        if decoded is None:
            decoded = frames.decode(data, text=text, from_client=from_client, vsn=self.vsn)
        return self.read_decoded(decoded, size=len(data), from_client=from_client, at=at, prepared=prepared)

    def tree_snapshots(self) -> dict[str, Tree]:
        """Return snapshots of the session's trees by topic. O(views)."""
        views = self.session.views if self.session is not None else {}
        return {topic: view.tree.snapshot() for topic, view in views.items() if view.tree is not None}

    def skip_frame(self, size: int, *, from_client: bool, at: float) -> FrameInfo:
        """Account for a frame without reading it. All trees of the session are dropped, as it may have changed any."""
        for view in self.session.views.values() if self.session is not None else ():
            self._store.drop_tree(
                view, "a frame was skipped because it or its burst was too large; the next join restores it"
            )
        detail = f"not read: {size_text(size)}, too large or too much at once"
        return FrameInfo("other", at, from_client, size, None, self.session, detail=detail, summary=detail)

    def read_decoded(
        self,
        decoded: Frame | NotPhoenix,
        *,
        size: int,
        from_client: bool,
        at: float,
        prepared: PreparedFrame | None = None,
    ) -> FrameInfo:
        """Read one frame that is decoded already, such as one of long-poll."""
        frame_info = FrameInfo("broken", at, from_client, size, decoded, self.session)
        if isinstance(decoded, Frame):
            if from_client:
                self._from_client(decoded, frame_info)
            else:
                self._replies.prepared = prepared
                self._from_server(decoded, frame_info)
                self._replies.prepared = None
        session = frame_info.session = self.session
        if session is not None:
            session.last_frame_at = at
            session.bytes_in += size if from_client else 0
            session.bytes_out += 0 if from_client else size
            self._store.touch(session)
        self.info.last_frame_at = at
        frame_info.summary = summarize(frame_info)
        return frame_info

    def close(self, code: int | None, reason: str, by: str, at: float) -> list[Push]:
        """Close the socket; return the pushes that get no reply any more."""
        if self.info.closed_at is not None:
            return []
        self.info.closed_at, self.info.close_code = at, code
        self.info.close_reason, self.info.closed_by = reason, by
        if "heartbeat" not in reason:  # such a close is an incident itself, which names the pending pushes
            waited_until = at if by == "client" and code in _CLIENT_CLOSE_CODES else self.info.last_frame_at
            self.detector.check_pending(self.session, self._pending, waited_until)
        self.unanswered = self._pending.fail(lambda _: True, "closed")
        if self.session is not None and not self.session.is_open:
            for view in self.session.views.values():
                if view.state in ("up", "joining"):
                    view.state = "closed"
        return self.unanswered

    def reopen(self) -> None:
        """Undo `close`, because a long-poll session that had expired here got a response from the app."""
        self.info.closed_at, self.info.close_code, self.info.close_reason, self.info.closed_by = None, None, "", ""

    # Frames of the client

    def _from_client(self, frame: Frame, frame_info: FrameInfo) -> None:
        if frame.topic == "phoenix":
            frame_info.kind = "heartbeat"
            self.detector.heartbeat(self.session, self._pending, frame_info.at)
            frame_info.push = self._add_push("heartbeat", frame, frame_info, "heartbeat", "")
            return
        kind = push_kind(frame.event)
        payload = frame.payload if isinstance(frame.payload, dict) else {}
        if kind == "join":
            frame_info.view = self._join(frame, payload, frame_info.at)
        else:
            frame_info.view = self._view_for_push(frame, kind, frame_info.at)
            if self._is_outdated(frame, frame_info.view) and kind != "leave":
                frame_info.kind, frame_info.detail = "outdated", f'"{shortened(frame.event)}"'
                return
        if frame.topic.startswith(UPLOAD_TOPIC):
            self._upload_push(frame, kind, frame_info)
            return
        if kind == "leave":
            self.detector.check_pending(self.session, self._pending, frame_info.at, left=frame.topic)
            if frame_info.view is not None and not self._is_outdated(frame, frame_info.view):
                frame_info.view.leaving = True
        frame_info.kind, name, type_ = describe(kind, frame, payload, frame_info.view)
        frame_info.is_form_recovery = _is_form_recovery(frame_info.view, type_, frame_info.at)
        frame_info.push = self._add_push(kind, frame, frame_info, name, type_)
        self._read_live_view_push(kind, payload, frame_info)

    def _read_live_view_push(self, kind: PushKind, payload: dict[str, Any], frame_info: FrameInfo) -> None:
        """Read the payload of a push that LiveView's client sends on its own."""
        session = self.session
        if kind == "upload" and session is not None:
            frame_info.kind, frame_info.detail = "upload", uploads.add_requested(session, payload)
        elif kind == "progress" and session is not None:
            progress = uploads.set_progress(session, payload)
            if progress is not None:
                frame_info.kind, frame_info.detail = "upload", progress
        elif kind == "patch" and frame_info.view is not None:
            frame_info.view.path = path_of(payload.get("url")) or frame_info.view.path
            frame_info.detail = place_of(payload.get("url")) or ""

    def _join(self, frame: Frame, payload: dict[str, Any], at: float) -> View:
        session = self._membership.session_for_join(frame.topic, payload, at)
        view = session.views.get(frame.topic)
        again = is_rejoin(view, payload)
        path = path_of(payload.get("url") or payload.get("redirect")) if is_page_view(session, frame.topic) else None
        if view is None or ("redirect" in payload and not again):
            view = View(frame.topic) if view is None else _successor(view)
            self._add_view(session, view)
        if frame.topic.startswith(UPLOAD_TOPIC):
            upload = uploads.find_upload(session, frame.topic)
            view.name = upload.name if upload is not None else ""
        view.rejoins = again
        session.rejoins += again
        view.state, view.join_ref, view.join_sent_at, view.leaving = "joining", frame.join_ref, at, False
        self._add_join(frame, view)
        if isinstance(params := payload.get("params"), dict):
            view.modern_client = "_mount_attempts" in params
        if path is not None:
            view.path = path
        self._set_module(view, payload, path)
        self.detector.join_sent(view, payload)
        return view

    def _add_view(self, session: Session, view: View) -> View:
        session.views.pop(view.topic, None)
        if len(session.views) >= self._store.limits.views:
            oldest = session.views.pop(next(iter(session.views)))
            self._store.drop_tree(oldest, "its session has too many views")
        session.views[view.topic] = view
        return view

    def _add_join(self, frame: Frame, view: View) -> None:
        if frame.join_ref is not None:
            self._joins[(frame.topic, frame.join_ref)] = view
            if len(self._joins) > MAX_JOINS:
                self._joins.popitem(last=False)

    def _set_module(self, view: View, payload: dict[str, Any], path: str | None) -> None:
        """Set the module of a joined view.

        After a page load the token of the join names it. After live navigation the token still is that of the first
        page, so that the module is looked up by route, and by statics once the reply has them.
        """
        if "redirect" in payload:
            view.module = view.module if view.rejoins else self._store.modules.module_for_path(self.host, path)
        elif not view.joins:
            token = payload.get("session")
            read = tokens.read_session(token) if isinstance(token, str) else None
            if read is not None and read.view is not None:
                view.module, view.module_is_signed = read.view, True
                self._store.modules.remember_module(self.host, path, read.view)

    def _view_for_push(self, frame: Frame, kind: PushKind, at: float) -> View | None:
        """Return the view that a push is for. A view whose join the gateway has not seen counts as joined."""
        known = self._joins.get((frame.topic, frame.join_ref)) if frame.join_ref is not None else None
        if known is not None:
            return known
        of = self._membership.session_for_push if kind == "leave" or frame.topic.startswith(UPLOAD_TOPIC) else None
        session = of(frame.topic, at) if of is not None else self._membership.session_for_frame(frame.topic, at)
        if session is None or frame.topic in session.views or kind == "leave":
            return session.views.get(frame.topic) if session is not None else None
        view = self._add_view(session, View(frame.topic, join_ref=frame.join_ref, state="up"))
        self._add_join(frame, view)
        return view

    def _add_push(self, kind: PushKind, frame: Frame, frame_info: FrameInfo, name: str, type_: str) -> Push:
        label = frame_info.view.label if frame_info.view is not None else ""
        push = Push(kind, name, type_, label, frame.topic, frame.join_ref, frame.ref, frame_info.at, frame_info.size)
        session = self.session
        if kind not in ("heartbeat", "chunk") and session is not None:
            counts = kind in ("event", "patch")
            session.event_count += counts
            self.info.events += counts
            self._store.add_push(session, push)
        self._pending.add(push)
        return push

    def _upload_push(self, frame: Frame, kind: PushKind, frame_info: FrameInfo) -> None:
        """Read a push on an upload's channel: the join, a chunk or the leave."""
        upload = uploads.find_upload(self.session, frame.topic)
        frame_info.kind = "upload"
        name = shortened(upload.name) if upload is not None else frame.topic
        if isinstance(frame.payload, bytes):
            frame_info.push = self._add_push("chunk", frame, frame_info, name, "upload")
            frame_info.detail = uploads.add_chunk(upload, name, len(frame.payload), frame_info.at)
            return
        frame_info.push = self._add_push(kind, frame, frame_info, name, "upload")
        frame_info.detail = {"join": f"{name} begins", "leave": f"{name} ends"}.get(kind, f"{frame.event} of {name}")

    # Frames of the server

    def _from_server(self, frame: Frame, frame_info: FrameInfo) -> None:
        current = self.session.views.get(frame.topic) if self.session is not None else None
        frame_info.view = self._joins.get((frame.topic, frame.join_ref or ""), current)
        outdated = self._is_outdated(frame, current)
        if frame.event == "phx_reply":
            self._read_reply(frame, frame_info, outdated=outdated)
        elif frame.event == "phx_close":
            self._read_close(frame, frame_info)
        elif outdated:
            frame_info.kind, frame_info.detail = "outdated", f'"{shortened(frame.event)}"'
        elif frame.event == "phx_error":
            self._read_crash(frame, frame_info)
        elif frame.event == "diff" and frame.topic.startswith(LIVE_TOPIC):
            frame_info.kind = "diff"
            if self.session is not None:
                self.session.pushed_diffs += 1
            self._replies.merge_diff(frame.payload, frame_info)
        else:
            self._read_server_push(frame, frame_info)

    def _is_outdated(self, frame: Frame, current: View | None) -> bool:
        """Return whether a frame belongs to an earlier join of its topic. V1's frames have no join_ref."""
        if frame.join_ref is None or current is None or current.join_ref is None:
            return False
        return current.join_ref != frame.join_ref or not self._is_current(current)

    def _is_current(self, view: View) -> bool:
        """Return whether no other view has replaced it on its topic."""
        return self.session is None or self.session.views.get(view.topic, view) is view

    def _read_server_push(self, frame: Frame, frame_info: FrameInfo) -> None:
        frame_info.kind = "push"
        payload = frame.payload if isinstance(frame.payload, dict) else {}
        to = payload.get("to")
        if frame.event in ("presence_state", "presence_diff"):
            frame_info.detail = presence_text(frame.event, payload)
        elif isinstance(to, str):
            frame_info.detail = f"to {place_of(to)}"
            if frame.event == "live_patch" and frame_info.view is not None:
                frame_info.view.path = path_of(to) or frame_info.view.path

    def _read_crash(self, frame: Frame, frame_info: FrameInfo) -> None:
        frame_info.kind = "crash"
        unanswered = self._pending.fail(lambda push: is_of_join(push, frame), "crash")
        frame_info.detail = ", ".join(f'"{shortened(push.name)}"' for push in unanswered[:3] if push.kind != "join")
        if frame_info.view is not None and frame_info.view.state != "crashed":
            frame_info.view.state = "crashed"
            frame_info.view.crashes += 1
            self.info.crashes += 1
            if self.session is not None:
                self.session.crashes += 1
                self.detector.crashed(self.session, frame_info.view, unanswered, frame_info.at)

    def _read_close(self, frame: Frame, frame_info: FrameInfo) -> None:
        """Read the close of a channel: the client left it, the server ended it, or a new join replaced it."""
        frame_info.kind = "close"
        frame_info.requested = any(push.kind == "leave" for push in self._pending.of_join(frame))
        self._pending.fail(lambda push: is_of_join(push, frame) and push.kind != "leave", "left")
        view = frame_info.view
        frame_info.of_earlier_join = view is not None and (self._is_outdated(frame, view) or not self._is_current(view))
        if view is not None and is_of_join(view, frame) and view.state not in ("crashed", "refused"):
            view.state = "left"

    def _read_reply(self, frame: Frame, frame_info: FrameInfo, *, outdated: bool) -> None:
        push = self._pending.pop(frame.topic, frame.ref)
        frame_info.kind, frame_info.push = "reply", push
        payload = frame.payload if isinstance(frame.payload, dict) else {}
        response = payload.get("response")
        if push is None:
            if outdated:
                frame_info.kind, frame_info.detail = "outdated", "reply"
            return
        push.replied_at, push.reply_size = frame_info.at, frame_info.size
        push.outcome = "ok" if payload.get("status") == "ok" else "error"
        if self.session is not None:
            self.detector.replied(self.session, push)
        if push.kind == "heartbeat":
            self._read_heartbeat_reply(push, frame_info)
            return
        if push.kind == "push":
            self._pending.replied(push)
        frame_info.of_earlier_join = outdated
        self._replies.read_reply(response if isinstance(response, dict) else {}, frame_info, push)

    def _read_heartbeat_reply(self, push: Push, frame_info: FrameInfo) -> None:
        frame_info.kind = "heartbeat"
        waited = self._pending.waited_behind_join(push)
        if self.session is not None and not waited:
            self.session.heartbeats.append(frame_info.at - push.sent_at)


def _successor(view: View) -> View:
    """Return the view that replaces another one, with its tree, which the browser shows until the reply."""
    successor = View(view.topic, joins=view.joins, crashes=view.crashes, tree=view.tree, tree_bytes=view.tree_bytes)
    view.tree, view.tree_bytes = None, 0
    return successor


def _is_form_recovery(view: View | None, type_: str, at: float) -> bool:
    """Return whether a push is a form that LiveView's client sends again after a rejoin."""
    return type_ == "form" and view is not None and view.rejoins and 0 <= at - view.joined_at < RECOVERY_S
