"""The channels on one socket: pairs every push with its answer and keeps the page that each LiveView shows."""

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from livegate.phoenix import frames, tokens
from livegate.phoenix.detection import Detector
from livegate.phoenix.frames import Frame, NotPhoenix, Vsn
from livegate.phoenix.model import Event, Kind, Opening, Outcome, Session, SocketSeen, Upload, View
from livegate.phoenix.note import Note, sentence_of, shortened, size_text
from livegate.phoenix.pages import path_of
from livegate.phoenix.tree import Tree, TreeError

if TYPE_CHECKING:
    from livegate.phoenix.tracker import Tracker

MAX_UPLOADS = 100
"""Kept of one session."""
_UPLOAD = "lvu:"
LIVE = "lv:"
_KINDS: dict[str, Kind] = {
    "phx_join": "join",
    "phx_leave": "leave",
    "event": "event",
    "live_patch": "patch",
    "allow_upload": "upload",
    "progress": "progress",
    "cids_will_destroy": "destroy",
    "cids_destroyed": "destroy",
}
type Key = tuple[str, str | None]
"""Topic and ref. V1's replies have no join_ref; refs are counted for the whole socket."""


class Channels:
    """What is known of one socket."""

    def __init__(self, tracker: "Tracker", seen: SocketSeen, vsn: Vsn | None, opening: Opening) -> None:
        self.seen = seen
        self.session: Session | None = None
        """None until the first join tells which one."""
        self._tracker = tracker
        self._opening = opening
        self._vsn: Vsn = vsn or "2"
        self._provisional = False
        """Whether the session was only guessed, from a channel that is no LiveView."""
        self._pending: OrderedDict[Key, Event] = OrderedDict()
        self.detector = Detector(tracker.incidents, seen, opening)

    def frame(self, data: bytes, *, text: bool, from_client: bool, at: float) -> Note:
        """One frame, as it was on the wire."""
        decoded = frames.decode(data, text=text, from_client=from_client, vsn=self._vsn)
        return self.message(decoded, size=len(data), from_client=from_client, at=at)

    def message(self, decoded: Frame | NotPhoenix, *, size: int, from_client: bool, at: float) -> Note:
        """One frame that was decoded already, as those of long-poll are."""
        note = Note("broken", at, from_client, size, decoded, self.session)
        if isinstance(decoded, Frame):
            if from_client:
                self._from_client(decoded, note)
            else:
                self._from_server(decoded, note)
        session = note.session = self.session
        if session is not None:
            session.last_at = at
            session.bytes_in += size if from_client else 0
            session.bytes_out += 0 if from_client else size
        self.seen.last_at = at
        note.sentence = sentence_of(note)
        return note

    def close(self, code: int | None, reason: str, by: str, at: float) -> list[Event]:
        """The socket has ended; returns the pushes that will never be answered now."""
        if self.seen.closed_at is not None:
            return []
        self.seen.closed_at, self.seen.close_code = at, code
        self.seen.close_reason, self.seen.closed_by = reason, by
        self.detector.pending(self.session, self._pending.values(), at)
        lost = self._lose(lambda _: True, "closed")
        if self.session is not None and not self.session.is_open:
            for view in self.session.views.values():
                if view.state in ("up", "joining"):
                    view.state = "closed"
        return lost

    # What the client sends

    def _from_client(self, frame: Frame, note: Note) -> None:
        if frame.topic == "phoenix":
            note.what = "heartbeat"
            self.detector.pending(self.session, self._pending.values(), note.at)
            note.event = self._remember("heartbeat", frame, note, "heartbeat", "")
            return
        kind = _KINDS.get(frame.event, "push")
        payload = frame.payload if isinstance(frame.payload, dict) else {}
        if kind == "join":
            note.view = self._join(frame, payload, note.at)
        else:
            note.view = self._view(frame.topic, note.at)
        if note.view.topic.startswith(_UPLOAD):
            self._upload_push(frame, note)
            return
        if kind == "leave":
            self.detector.pending(self.session, self._pending.values(), note.at)
        note.what, name, type_ = _described(kind, frame, payload, note.view)
        note.event = self._remember(kind, frame, note, name, type_)
        if kind == "upload":
            self._uploads_asked(payload, note)
        elif kind == "progress":
            self._progress(payload, note)
        elif kind == "patch":
            note.view.path = path_of(payload.get("url")) or note.view.path

    def _join(self, frame: Frame, payload: dict[str, Any], at: float) -> View:
        topic = frame.topic
        if self._provisional and topic.startswith(LIVE):
            self._found(topic, at)
        view = self._view(topic, at)
        view.rejoins = view.joins > 0 and view.state in ("crashed", "closed", "refused")
        self._own.rejoins += view.rejoins
        view.state, view.join_ref, view.joined_at = "joining", frame.join_ref, at
        if isinstance(params := payload.get("params"), dict):
            view.modern_client = "_mount_attempts" in params
        path = path_of(payload.get("url") or payload.get("redirect"))
        if path is not None:
            view.path = path
        self._name(view, payload, path)
        self.detector.join_asked(view, payload)
        return view

    def _found(self, topic: str, at: float) -> None:
        """A LiveView tells whose socket it is; what came before it, as the end of an old upload, belongs there too."""
        before, self._provisional = self._own, False
        if not topic.removeprefix(LIVE) or before.id == topic.removeprefix(LIVE):
            return
        self.session = self._tracker.session_of(topic, at)
        self._tracker.adopt(before, self.session)

    def _name(self, view: View, payload: dict[str, Any], path: str | None) -> None:
        """Find out which LiveView it is.

        The token names the one that the page was loaded with, which need not be the one that was navigated to; that one
        is known when anybody has loaded its page before.
        """
        if "redirect" in payload:
            view.module = self._tracker.module_at(path)
        elif not view.joins:
            token = payload.get("session")
            read = tokens.read_session(token) if isinstance(token, str) else None
            view.module = read.view if read is not None else None
            self._tracker.learn(path, view.module)

    def _view(self, topic: str, at: float) -> View:
        if self.session is None:
            self.session = self._tracker.session_of(topic, at)
            self._tracker.attach(self.session, self.seen, self._opening)
            self._provisional = not topic.startswith(LIVE)
        views = self.session.views
        view = views.get(topic)
        if view is None:
            if len(views) >= self._tracker.limits.views:
                del views[next(iter(views))]
            view = views[topic] = View(topic)
        return view

    def _remember(self, kind: Kind, frame: Frame, note: Note, name: str, type_: str) -> Event:
        label = note.view.label if note.view is not None else ""
        event = Event(kind, name, type_, label, frame.topic, frame.join_ref, frame.ref, note.at, note.size)
        if kind not in ("heartbeat", "chunk") and self.session is not None:
            self.session.event_count += kind in ("event", "patch")
            self._tracker.keep_event(self.session, event)
        if frame.ref is not None:
            self._pending[(frame.topic, frame.ref)] = event
            if len(self._pending) > self._tracker.limits.pending:
                _, oldest = self._pending.popitem(last=False)
                oldest.outcome = "forgotten"
        return event

    # Uploads

    @property
    def _own(self) -> Session:
        if self.session is None:
            raise RuntimeError("a view is looked up first, which makes the session known")
        return self.session

    def _uploads_asked(self, payload: dict[str, Any], note: Note) -> None:
        entries = payload.get("entries")
        names = []
        for entry in entries if isinstance(entries, list) else ():
            if not isinstance(entry, dict):
                continue
            name, size = str(entry.get("name", "?")), entry.get("size")
            names.append(shortened(name))
            self._keep_upload(str(entry.get("ref")), Upload(name, size if isinstance(size, int) else 0))
        note.what, note.detail = "upload", f"{', '.join(names[:3]) or 'nothing'} asked for"

    def _keep_upload(self, ref: str, upload: Upload) -> None:
        uploads = self._own.uploads
        uploads.pop(ref, None)
        uploads[ref] = upload
        if len(uploads) > MAX_UPLOADS:
            del uploads[next(iter(uploads))]

    def _upload_push(self, frame: Frame, note: Note) -> None:
        """On a channel of an upload: the join, chunks and the leave."""
        upload = self._own.uploads.get(frame.topic.removeprefix(_UPLOAD))
        note.what = "upload"
        name = shortened(upload.name) if upload is not None else frame.topic
        if isinstance(frame.payload, bytes):
            note.event = self._remember("chunk", frame, note, "chunk", "")
            note.detail = f"chunk of {size_text(len(frame.payload))} of {name}"
            if upload is not None:
                upload.began_at = upload.began_at or note.at
                upload.sent += len(frame.payload)
                upload.chunks += 1
                upload.last_at = note.at
            return
        kind = _KINDS.get(frame.event, "push")
        note.event = self._remember(kind, frame, note, name, "upload")
        note.detail = {"join": f"{name} begins", "leave": f"{name} ends"}.get(kind, f"{frame.event} of {name}")

    def _progress(self, payload: dict[str, Any], note: Note) -> None:
        upload = self._own.uploads.get(str(payload.get("entry_ref")))
        progress = payload.get("progress")
        if upload is None:
            return
        note.what = "upload"
        if isinstance(progress, int):
            upload.progress = progress
            note.detail = f"{shortened(upload.name)} {progress} %"
        elif isinstance(progress, dict):
            upload.error = str(progress.get("error", "failed"))
            note.detail = f"{shortened(upload.name)} failed: {shortened(upload.error)}"

    # What the server sends

    def _from_server(self, frame: Frame, note: Note) -> None:
        if self.session is not None:
            note.view = self.session.views.get(frame.topic)
        match frame.event:
            case "phx_reply":
                self._reply(frame, note)
            case "phx_error":
                self._crash(frame, note)
            case "phx_close":
                self._closed(frame, note)
            case "diff":
                note.what = "diff"
                if self.session is not None:
                    self.session.pushed_diffs += 1
                self._merge(frame.payload, note)
            case _:
                self._push(frame, note)

    def _push(self, frame: Frame, note: Note) -> None:
        note.what = "push"
        payload = frame.payload if isinstance(frame.payload, dict) else {}
        to = payload.get("to")
        if isinstance(to, str):
            note.detail = f"to {path_of(to)}"
            if frame.event == "live_patch" and note.view is not None:
                note.view.path = path_of(to) or note.view.path

    def _crash(self, frame: Frame, note: Note) -> None:
        note.what = "crash"
        lost = self._lose(lambda event: _is_of(event.topic, event.join_ref, frame), "crash")
        note.detail = ", ".join(f'"{shortened(event.name)}"' for event in lost[:3] if event.kind != "join")
        if note.view is not None and note.view.state != "crashed":
            note.view.state = "crashed"
            note.view.crashes += 1
            if self.session is not None:
                self.session.crashes += 1
                self.detector.crashed(self.session, note.view, lost, note.at)

    def _closed(self, frame: Frame, note: Note) -> None:
        note.what = "close"
        self._lose(lambda event: _is_of(event.topic, event.join_ref, frame) and event.kind != "leave", "left")
        if (
            note.view is not None
            and _is_of(note.view.topic, note.view.join_ref, frame)
            and note.view.state != "crashed"
        ):
            note.view.state = "left"

    def _lose(self, which: Any, outcome: Outcome) -> list[Event]:
        """Pushes that will not be answered any more."""
        lost = [(key, event) for key, event in self._pending.items() if which(event)]
        for key, event in lost:
            del self._pending[key]
            event.outcome = outcome
            if self.session is not None and event.kind not in ("heartbeat", "leave"):
                self.session.unanswered += 1
        return [event for _, event in lost]

    def _reply(self, frame: Frame, note: Note) -> None:
        event = self._pending.pop((frame.topic, frame.ref), None)
        note.what, note.event = "reply", event
        payload = frame.payload if isinstance(frame.payload, dict) else {}
        response = payload.get("response")
        response = response if isinstance(response, dict) else {}
        if event is None:
            return
        event.answered_at, event.reply_size = note.at, note.size
        event.outcome = "ok" if payload.get("status") == "ok" else "error"
        if self.session is not None:
            self.detector.answered(self.session, event)
        if event.kind == "heartbeat":
            note.what = "heartbeat"
            if self.session is not None:
                self.session.heartbeats.append(note.at - event.sent_at)
        elif event.kind == "join":
            self._joined(response, note, event)
        else:
            if self.session is not None and event.kind in ("event", "patch"):
                self.session.trips.append(note.at - event.sent_at)
            self._answered(response, note, event)

    def _joined(self, response: dict[str, Any], note: Note, event: Event) -> None:
        view = note.view
        if event.outcome == "error" and is_redirect(response):
            note.what, note.detail = "redirected", _reason(response)
            event.outcome, event.detail = "ok", note.detail
            if view is not None:
                view.state = "left"
            return
        if event.outcome == "error":
            note.what, note.detail = "refused", _reason(response)
            event.detail = note.detail
            if view is not None:
                view.state = "refused"
            if self.session is not None:
                self.session.refusals[shortened(note.detail)] += 1
                if view is not None:
                    self.detector.join_refused(self.session, view, event, response)
            return
        note.what = "joined"
        if view is None:
            return
        view.state = "up"
        view.joins += 1
        version = response.get("liveview_version")
        view.version = version if isinstance(version, str) else view.version
        if self.session is not None:
            self.detector.joined(self.session, view, event)
        if "rendered" in response:
            self._show(view, response["rendered"], note)

    def _show(self, view: View, rendered: object, note: Note) -> None:
        try:
            view.tree, view.tree_problem = Tree.join(rendered), None
        except TreeError as error:
            view.tree, view.tree_problem = None, str(error)
            return
        before, view.tree_bytes = view.tree_bytes, note.size
        self._tracker.trees_grew(note.size - before)
        if not self._own.kept:
            self._tracker.forget_page(view, "too many sessions are open")

    def _answered(self, response: dict[str, Any], note: Note, event: Event) -> None:
        if "diff" in response:
            self._merge(response["diff"], note)
            event.diff_size = note.diff_size
            event.paths = len(note.changes.paths) + note.changes.more if note.changes is not None else 0
        for kind in ("redirect", "live_redirect", "live_patch"):
            told = response.get(kind)
            if isinstance(told, dict):
                flash = " with flash" if told.get("flash") else ""
                note.detail = event.detail = f"{kind} to {path_of(told.get('to'))}{flash}"
        if event.outcome == "error" and not note.detail:
            note.detail = event.detail = _reason(response)
        cids = response.get("cids")
        if event.kind == "destroy" and isinstance(cids, list) and note.view is not None and note.view.tree is not None:
            note.view.tree.delete_components([cid for cid in cids if isinstance(cid, int)])

    def _merge(self, diff: object, note: Note) -> None:
        note.diff_size = frames.json_size(diff)
        if self.session is not None:
            self.session.diff_bytes += note.diff_size
        view = note.view
        if view is None or view.tree is None:
            return
        try:
            note.changes = view.tree.merge(diff)
        except TreeError as error:
            view.tree, view.tree_problem = None, str(error)
            self._tracker.trees_grew(-view.tree_bytes)
            view.tree_bytes = 0
            return
        view.tree_bytes += note.diff_size
        self._tracker.trees_grew(note.diff_size)


def _described(kind: Kind, frame: Frame, payload: dict[str, Any], view: View) -> tuple[str, str, str]:
    """Of a push: what it is, its name and its type."""
    match kind:
        case "join":
            return "join", view.label, ""
        case "leave":
            return "leave", view.label, ""
        case "event":
            return "event", str(payload.get("event", "?")), str(payload.get("type", "event"))
        case "patch":
            return "event", path_of(payload.get("url")) or "?", "patch"
        case _:
            return "push", frame.event, ""


def _is_of(topic: str, join_ref: str | None, frame: Frame) -> bool:
    """Whether a frame of the server is about this join of a channel; V1's do not say which join."""
    return topic == frame.topic and frame.join_ref in (join_ref, None)


def is_redirect(response: dict[str, Any]) -> bool:
    """Whether a join's error leads elsewhere, as `{:ok, redirect(...)}` in mount does: normal traffic, no refusal."""
    return isinstance(response.get("redirect") or response.get("live_redirect"), dict)


def _reason(response: dict[str, Any]) -> str:
    """Why the server said no."""
    reason = response.get("reason")
    if isinstance(reason, str):
        return reason
    for kind in ("redirect", "live_redirect"):
        told = response.get(kind)
        if isinstance(told, dict):
            return f"{kind} to {path_of(told.get('to'))}"
    return "without a reason"
