"""What an answer of the server means: a join that is accepted or refused, an event that is answered, a diff."""

from typing import TYPE_CHECKING, Any

from livegate.phoenix import frames
from livegate.phoenix.model import Event, View
from livegate.phoenix.note import Note, shortened
from livegate.phoenix.pages import place_of
from livegate.phoenix.tree import Tree, TreeError
from livegate.phoenix.uploads import TOPIC as UPLOAD_TOPIC

if TYPE_CHECKING:
    from livegate.phoenix.channel import Channels

REDIRECTS = ("redirect", "live_redirect")


def answered(channels: "Channels", response: dict[str, Any], note: Note, event: Event) -> None:
    """Note the answer to a push other than a heartbeat; what an earlier join is told changes no page."""
    if event.kind == "join":
        _joined(channels, response, note, event)
        return
    if event.kind in ("event", "patch"):
        trip = note.at - event.sent_at
        channels.seen.trips.append(trip)
        if channels.session is not None:
            channels.session.trips.append(trip)
    if event.topic.startswith(UPLOAD_TOPIC):
        note.what = "upload"
        note.detail = event.detail = reason_of(response) if event.outcome == "error" else ""
        return
    if "diff" in response:
        merge(channels, response["diff"], note)
        event.diff_size = note.diff_size
        event.paths = len(note.changes.paths) + note.changes.more if note.changes is not None else 0
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


def _joined(channels: "Channels", response: dict[str, Any], note: Note, event: Event) -> None:
    view, session = note.view, channels.session
    if event.topic.startswith(UPLOAD_TOPIC):
        note.what = "upload"
    if event.outcome == "error":
        _turned_away(channels, response, note, event)
        return
    if not event.topic.startswith(UPLOAD_TOPIC):
        note.what = "joined"
    if view is None or note.earlier:
        return
    view.state, view.up_at = "up", note.at
    view.joins += 1
    version = response.get("liveview_version")
    view.version = version if isinstance(version, str) else view.version
    if session is not None:
        channels.detector.joined(session, view, event)
    if "rendered" in response and session is not None:
        _show(channels, view, response["rendered"], note)


def _turned_away(channels: "Channels", response: dict[str, Any], note: Note, event: Event) -> None:
    """A join answered with an error: mostly a refusal, but a redirect in `mount` is how apps lead to a login."""
    view, session = note.view, channels.session
    note.detail = event.detail = reason_of(response)
    if any(isinstance(response.get(kind), dict) for kind in REDIRECTS) or note.detail == "parent_redirect":
        note.what, event.outcome = "redirected", "ok"
        if view is not None and not note.earlier:
            view.state = "left"
        return
    note.what = "refused"
    if note.earlier:
        return
    if view is not None:
        view.state = "refused"
    channels.seen.refused += 1
    if session is not None:
        session.refusals[shortened(note.detail)] += 1
        if view is not None:
            channels.detector.join_refused(session, view, event, response)


def _show(channels: "Channels", view: View, rendered: object, note: Note) -> None:
    tracker, session = channels.tracker, channels.session
    try:
        view.tree, view.tree_problem = Tree.join(rendered), None
    except TreeError as error:
        view.tree, view.tree_problem = None, str(error)
        return
    if view.is_named and view.module is not None:
        tracker.modules.learn_statics(view.tree.root, view.module)
    else:
        view.module = tracker.modules.by_statics(view.tree.root) or view.module
    before, view.tree_bytes = view.tree_bytes, note.size
    tracker.trees_grew(note.size - before)
    if session is not None and not session.kept:
        tracker.forget_page(view, "too many sessions are open")


def merge(channels: "Channels", diff: object, note: Note) -> None:
    """Merge a diff into the page of the note's view, unless it is of an earlier join."""
    note.diff_size = frames.json_size(diff)
    if channels.session is not None:
        channels.session.diff_bytes += note.diff_size
    view = note.view
    if view is None or view.tree is None or note.earlier:
        return
    try:
        note.changes = view.tree.merge(diff)
    except TreeError as error:
        view.tree, view.tree_problem = None, str(error)
        channels.tracker.trees_grew(-view.tree_bytes)
        view.tree_bytes = 0
        return
    view.tree_bytes += note.diff_size
    channels.tracker.trees_grew(note.diff_size)


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
