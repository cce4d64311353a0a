"""Classifies pushes of the client by event and payload."""

from typing import Any

from livegate.phoenix.frames import Frame
from livegate.phoenix.model import PushKind, Session, View
from livegate.phoenix.page_html import path_of
from livegate.phoenix.topics import LIVE_TOPIC, RANDOM_TOPIC

_KINDS: dict[str, PushKind] = {
    "phx_join": "join",
    "phx_leave": "leave",
    "event": "event",
    "live_patch": "patch",
    "allow_upload": "upload",
    "progress": "progress",
    "cids_will_destroy": "destroy",
    "cids_destroyed": "destroy",
}


def push_kind(event: str) -> PushKind:
    """Return the kind of a push by the event of its frame; `push` for an event of the app itself."""
    return _KINDS.get(event, "push")


def is_page_view(session: Session, topic: str) -> bool:
    """Return whether a view is part of the page itself. Before 1.0 clients send the page's URL for sticky views too."""
    if not topic.startswith(LIVE_TOPIC):
        return False
    main = session.main
    return (
        main is None or main.topic == topic or topic.startswith(RANDOM_TOPIC) or not main.topic.startswith(RANDOM_TOPIC)
    )


def is_rejoin(view: View | None, payload: dict[str, Any]) -> bool:
    """Return whether a join follows a crash, a refusal or a lost socket.

    LiveView's client counts the mounts of a view in `_mounts`. Without that count the state of the view decides.
    """
    params = payload.get("params")
    mounts = params.get("_mounts") if isinstance(params, dict) else None
    if isinstance(mounts, int) and mounts > 0:
        return True
    if view is None or ("redirect" in payload and view.path != path_of(payload.get("redirect"))):
        return False
    return view.joins > 0 and view.state in ("crashed", "closed", "refused")


def describe(kind: PushKind, frame: Frame, payload: dict[str, Any], view: View | None) -> tuple[str, str, str]:
    """Return the kind of frame that a push is (`FrameInfo.kind`), its name and its type."""
    match kind:
        case "join":
            return "join", view.label if view is not None else frame.topic, ""
        case "leave":
            return "leave", view.label if view is not None else frame.topic, ""
        case "event":
            return "event", str(payload.get("event", "?")), str(payload.get("type", "event"))
        case "patch":
            return "event", path_of(payload.get("url")) or "?", "patch"
        case _:
            return "push", frame.event, ""
