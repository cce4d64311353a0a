"""The channels on one socket: pairs every push with its answer and keeps the page that each LiveView shows.

Which view a frame is about is decided by its topic and join_ref, as phoenix.js does (`Channel.isMember`): what is of an
earlier join is dropped by the other end, and changes nothing here.
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
"""Of one socket: joins whose late frames are still known for what they are."""
RECOVERY_S = 1.0
"""LiveView sends the forms that a user had filled in at once when a view has been joined again."""
_SAID_BY_CLIENT = frozenset({1000, 1001, 1005})
"""Close codes with which a client shows that it was there until then."""


class SocketTracker:
    """What is known of one socket."""

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
        """Once the socket has ended: the pushes that it left without an answer."""
        self.vsn: Vsn = vsn or "2"
        self.detector = IncidentDetector(store.incidents, info, connect_info)
        self._store = store
        self._membership = Membership(store, info, connect_info, url, host)
        self._pending = PendingPushes(store, self._membership, info)
        self._replies = ReplyReader(store, self._membership, info, self.detector)
        self._joins: OrderedDict[tuple[str, str], View] = OrderedDict()
        """By topic and join_ref: the view that each join of this socket was of."""

    @property
    def session(self) -> Session | None:
        """The session that the socket is of; None until something tells which one."""
        return self._membership.session

    @property
    def host(self) -> str:
        """The host that the browser opened the socket at."""
        return self._membership.host

    def read_frame(
        self, data: bytes, *, text: bool, from_client: bool, at: float, prepared: PreparedFrame | None = None
    ) -> FrameInfo:
        """Read one frame, as it was on the wire; return what it means. `prepared` is the result of `prepare_frame`."""
        decoded = prepared.decoded if prepared is not None else None
        if decoded is None:
            decoded = frames.decode(data, text=text, from_client=from_client, vsn=self.vsn)
        return self.read_decoded(decoded, size=len(data), from_client=from_client, at=at, prepared=prepared)

    def tree_snapshots(self) -> dict[str, Tree]:
        """Return copies of the trees of the session, by topic, at no cost."""
        views = self.session.views if self.session is not None else {}
        return {topic: view.tree.snapshot() for topic, view in views.items() if view.tree is not None}

    def skip_frame(self, size: int, *, from_client: bool, at: float) -> FrameInfo:
        """Pass over a frame that is not read: no page of the session is known any more."""
        for view in self.session.views.values() if self.session is not None else ():
            self._store.drop_tree(
                view, "a frame was too large to be read, or too many came at once; a join shows it again"
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
        """Read one frame that was decoded already, as those of long-poll are."""
        note = FrameInfo("broken", at, from_client, size, decoded, self.session)
        if isinstance(decoded, Frame):
            if from_client:
                self._from_client(decoded, note)
            else:
                self._replies.prepared = prepared
                self._from_server(decoded, note)
                self._replies.prepared = None
        session = note.session = self.session
        if session is not None:
            session.last_frame_at = at
            session.bytes_in += size if from_client else 0
            session.bytes_out += 0 if from_client else size
            self._store.touch(session)
        self.info.last_frame_at = at
        note.summary = summarize(note)
        return note

    def close(self, code: int | None, reason: str, by: str, at: float) -> list[Push]:
        """Note that the socket has ended; return the pushes that will never be answered now."""
        if self.info.closed_at is not None:
            return []
        self.info.closed_at, self.info.close_code = at, code
        self.info.close_reason, self.info.closed_by = reason, by
        if "heartbeat" not in reason:  # else the close itself is the incident, and names what was pending
            waited_until = at if by == "client" and code in _SAID_BY_CLIENT else self.info.last_frame_at
            self.detector.check_pending(self.session, self._pending, waited_until)
        lost = self.unanswered = self._pending.fail(lambda _: True, "closed")
        if self.session is not None and not self.session.is_open:
            for view in self.session.views.values():
                if view.state in ("up", "joining"):
                    view.state = "closed"
        return lost

    def reopen(self) -> None:
        """The socket lives on: a long-poll session that was taken for dead has answered."""
        self.info.closed_at, self.info.close_code, self.info.close_reason, self.info.closed_by = None, None, "", ""

    # What the client sends

    def _from_client(self, frame: Frame, note: FrameInfo) -> None:
        if frame.topic == "phoenix":
            note.kind = "heartbeat"
            self.detector.heartbeat(self.session, self._pending, note.at)
            note.push = self._remember("heartbeat", frame, note, "heartbeat", "")
            return
        kind = push_kind(frame.event)
        payload = frame.payload if isinstance(frame.payload, dict) else {}
        if kind == "join":
            note.view = self._join(frame, payload, note.at)
        else:
            note.view = self._view_of_push(frame, kind, note.at)
            if self._is_outdated(frame, note.view) and kind != "leave":
                note.kind, note.detail = "outdated", f'"{shortened(frame.event)}"'
                return
        if frame.topic.startswith(UPLOAD_TOPIC):
            self._upload_push(frame, kind, note)
            return
        if kind == "leave":
            self.detector.check_pending(self.session, self._pending, note.at, left=frame.topic)
            if note.view is not None and not self._is_outdated(frame, note.view):
                note.view.leaving = True
        note.kind, name, type_ = describe(kind, frame, payload, note.view)
        note.is_form_recovery = self._recovers(note.view, type_, note.at)
        note.push = self._remember(kind, frame, note, name, type_)
        self._of_page(kind, payload, note)

    def _of_page(self, kind: PushKind, payload: dict[str, Any], note: FrameInfo) -> None:
        """What a push of LiveView's own says beside its name."""
        session = self.session
        if kind == "upload" and session is not None:
            note.kind, note.detail = "upload", uploads.add_requested(session, payload)
        elif kind == "progress" and session is not None:
            found = uploads.set_progress(session, payload)
            if found is not None:
                note.kind, note.detail = "upload", found
        elif kind == "patch" and note.view is not None:
            note.view.path = path_of(payload.get("url")) or note.view.path
            note.detail = place_of(payload.get("url")) or ""

    def _recovers(self, view: View | None, type_: str, at: float) -> bool:
        """Whether a push is a form that LiveView sends again after a rejoin, as the user had filled it in."""
        return type_ == "form" and view is not None and view.rejoins and 0 <= at - view.joined_at < RECOVERY_S

    def _join(self, frame: Frame, payload: dict[str, Any], at: float) -> View:
        session = self._membership.session_for_join(frame.topic, payload, at)
        view = session.views.get(frame.topic)
        again = is_rejoin(view, payload)
        path = path_of(payload.get("url") or payload.get("redirect")) if is_page_view(session, frame.topic) else None
        if view is None or ("redirect" in payload and not again):
            view = View(frame.topic) if view is None else _in_place_of(view)
            self._put_view(session, view)
        if frame.topic.startswith(UPLOAD_TOPIC):
            upload = uploads.find_upload(session, frame.topic)
            view.name = upload.name if upload is not None else ""
        view.rejoins = again
        session.rejoins += again
        view.state, view.join_ref, view.join_sent_at, view.leaving = "joining", frame.join_ref, at, False
        self._keep_join(frame, view)
        if isinstance(params := payload.get("params"), dict):
            view.modern_client = "_mount_attempts" in params
        if path is not None:
            view.path = path
        self._name(view, payload, path)
        self.detector.join_sent(view, payload)
        return view

    def _put_view(self, session: Session, view: View) -> View:
        session.views.pop(view.topic, None)
        if len(session.views) >= self._store.limits.views:
            oldest = session.views.pop(next(iter(session.views)))
            self._store.drop_tree(oldest, "too many views of its session are open")
        session.views[view.topic] = view
        return view

    def _keep_join(self, frame: Frame, view: View) -> None:
        if frame.join_ref is not None:
            self._joins[(frame.topic, frame.join_ref)] = view
            if len(self._joins) > MAX_JOINS:
                self._joins.popitem(last=False)

    def _name(self, view: View, payload: dict[str, Any], path: str | None) -> None:
        """Find out which LiveView it is.

        The token names the one that the page was loaded with, which need not be the one that was navigated to; that one
        is known when anybody has loaded a page of its route before, or by its statics once they come.
        """
        if "redirect" in payload:
            view.module = view.module if view.rejoins else self._store.modules.module_for_path(self.host, path)
        elif not view.joins:
            token = payload.get("session")
            read = tokens.read_session(token) if isinstance(token, str) else None
            if read is not None and read.view is not None:
                view.module, view.module_is_signed = read.view, True
                self._store.modules.remember_module(self.host, path, read.view)

    def _view_of_push(self, frame: Frame, kind: PushKind, at: float) -> View | None:
        """The view that a push is for; one whose join was not seen is taken for up."""
        known = self._joins.get((frame.topic, frame.join_ref)) if frame.join_ref is not None else None
        if known is not None:
            return known
        of = self._membership.session_for_push if kind == "leave" or frame.topic.startswith(UPLOAD_TOPIC) else None
        session = of(frame.topic, at) if of is not None else self._membership.session_for_frame(frame.topic, at)
        if session is None or frame.topic in session.views or kind == "leave":
            return session.views.get(frame.topic) if session is not None else None
        view = self._put_view(session, View(frame.topic, join_ref=frame.join_ref, state="up"))
        self._keep_join(frame, view)
        return view

    def _remember(self, kind: PushKind, frame: Frame, note: FrameInfo, name: str, type_: str) -> Push:
        label = note.view.label if note.view is not None else ""
        event = Push(kind, name, type_, label, frame.topic, frame.join_ref, frame.ref, note.at, note.size)
        session = self.session
        if kind not in ("heartbeat", "chunk") and session is not None:
            counts = kind in ("event", "patch")
            session.event_count += counts
            self.info.events += counts
            self._store.add_push(session, event)
        self._pending.add(event)
        return event

    def _upload_push(self, frame: Frame, kind: PushKind, note: FrameInfo) -> None:
        """On a channel of an upload: the join, chunks and the leave."""
        upload = uploads.find_upload(self.session, frame.topic)
        note.kind = "upload"
        name = shortened(upload.name) if upload is not None else frame.topic
        if isinstance(frame.payload, bytes):
            note.push = self._remember("chunk", frame, note, name, "upload")
            note.detail = uploads.add_chunk(upload, name, len(frame.payload), note.at)
            return
        note.push = self._remember(kind, frame, note, name, "upload")
        note.detail = {"join": f"{name} begins", "leave": f"{name} ends"}.get(kind, f"{frame.event} of {name}")

    # What the server sends

    def _from_server(self, frame: Frame, note: FrameInfo) -> None:
        current = self.session.views.get(frame.topic) if self.session is not None else None
        note.view = self._joins.get((frame.topic, frame.join_ref or ""), current)
        outdated = self._is_outdated(frame, current)
        if frame.event == "phx_reply":
            self._reply(frame, note, outdated=outdated)
        elif frame.event == "phx_close":
            self._closed(frame, note)
        elif outdated:
            note.kind, note.detail = "outdated", f'"{shortened(frame.event)}"'
        elif frame.event == "phx_error":
            self._crash(frame, note)
        elif frame.event == "diff" and frame.topic.startswith(LIVE_TOPIC):
            note.kind = "diff"
            if self.session is not None:
                self.session.pushed_diffs += 1
            self._replies.merge_diff(frame.payload, note)
        else:
            self._push(frame, note)

    def _is_outdated(self, frame: Frame, current: View | None) -> bool:
        """Whether a frame is of an earlier join of its topic; V1's frames do not say of which."""
        if frame.join_ref is None or current is None or current.join_ref is None:
            return False
        return current.join_ref != frame.join_ref or not self._is_shown(current)

    def _is_shown(self, view: View) -> bool:
        """Whether no other view has taken its place since."""
        return self.session is None or self.session.views.get(view.topic, view) is view

    def _push(self, frame: Frame, note: FrameInfo) -> None:
        note.kind = "push"
        payload = frame.payload if isinstance(frame.payload, dict) else {}
        to = payload.get("to")
        if frame.event in ("presence_state", "presence_diff"):
            note.detail = presence_text(frame.event, payload)
        elif isinstance(to, str):
            note.detail = f"to {place_of(to)}"
            if frame.event == "live_patch" and note.view is not None:
                note.view.path = path_of(to) or note.view.path

    def _crash(self, frame: Frame, note: FrameInfo) -> None:
        note.kind = "crash"
        lost = self._pending.fail(lambda event: is_of_join(event, frame), "crash")
        note.detail = ", ".join(f'"{shortened(event.name)}"' for event in lost[:3] if event.kind != "join")
        if note.view is not None and note.view.state != "crashed":
            note.view.state = "crashed"
            note.view.crashes += 1
            self.info.crashes += 1
            if self.session is not None:
                self.session.crashes += 1
                self.detector.crashed(self.session, note.view, lost, note.at)

    def _closed(self, frame: Frame, note: FrameInfo) -> None:
        """A channel is closed: it was left, or the server ended it, or it was joined anew."""
        note.kind = "close"
        note.requested = any(event.kind == "leave" for event in self._pending.of_join(frame))
        self._pending.fail(lambda event: is_of_join(event, frame) and event.kind != "leave", "left")
        view = note.view
        note.of_earlier_join = view is not None and (self._is_outdated(frame, view) or not self._is_shown(view))
        if view is not None and is_of_join(view, frame) and view.state not in ("crashed", "refused"):
            view.state = "left"

    def _reply(self, frame: Frame, note: FrameInfo, *, outdated: bool) -> None:
        event = self._pending.pop(frame.topic, frame.ref)
        note.kind, note.push = "reply", event
        payload = frame.payload if isinstance(frame.payload, dict) else {}
        response = payload.get("response")
        if event is None:
            if outdated:
                note.kind, note.detail = "outdated", "reply"
            return
        event.replied_at, event.reply_size = note.at, note.size
        event.outcome = "ok" if payload.get("status") == "ok" else "error"
        if self.session is not None:
            self.detector.replied(self.session, event)
        if event.kind == "heartbeat":
            self._heartbeat(event, note)
            return
        if event.kind == "push":
            self._pending.replied(event)
        note.of_earlier_join = outdated
        self._replies.read_reply(response if isinstance(response, dict) else {}, note, event)

    def _heartbeat(self, event: Push, note: FrameInfo) -> None:
        note.kind = "heartbeat"
        waited = self._pending.waited_behind_join(event)
        if self.session is not None and not waited:
            self.session.heartbeats.append(note.at - event.sent_at)


def _in_place_of(view: View) -> View:
    """Another LiveView in the place of one before, whose page the browser shows until it has that of the new one."""
    new = View(view.topic, joins=view.joins, crashes=view.crashes, tree=view.tree, tree_bytes=view.tree_bytes)
    view.tree, view.tree_bytes = None, 0
    return new
