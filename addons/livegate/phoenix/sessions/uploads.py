"""Tracks uploads, by the messages of LiveView (`allow_upload`, `progress`) and the chunks on their channels."""

from typing import Any

from livegate.phoenix.formatting import shortened, size_text
from livegate.phoenix.model import Session, Upload
from livegate.phoenix.topics import UPLOAD_TOPIC

MAX_UPLOADS = 100
"""Uploads kept per session; the oldest are dropped."""


def find_upload(session: Session | None, topic: str) -> Upload | None:
    """Return the upload of a channel; None if its `allow_upload` is unknown."""
    return session.uploads.get(topic.removeprefix(UPLOAD_TOPIC)) if session is not None else None


def add_requested(session: Session, payload: dict[str, Any]) -> str:
    """Add the entries of an `allow_upload`; return a summary of their names."""
    names = []
    entries = payload.get("entries")
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict):
            continue
        name, size = str(entry.get("name", "?")), entry.get("size")
        names.append(shortened(name))
        _add(session, str(entry.get("ref")), Upload(name, size if isinstance(size, int) else 0))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3]) or 'nothing'}{more} requested"


def _add(session: Session, ref: str, upload: Upload) -> None:
    session.uploads.pop(ref, None)
    session.uploads[ref] = upload
    if len(session.uploads) > MAX_UPLOADS:
        del session.uploads[next(iter(session.uploads))]


def add_chunk(upload: Upload | None, name: str, size: int, at: float) -> str:
    """Count a chunk of `size` bytes; return a summary."""
    if upload is not None:
        upload.started_at = upload.started_at or at
        upload.sent += size
        upload.chunks += 1
        upload.last_chunk_at = at
    return f"chunk of {size_text(size)} of {name}"


def set_progress(session: Session, payload: dict[str, Any]) -> str | None:
    """Set the progress that the client reports; return a summary, or None for an unknown upload."""
    upload, reported = session.uploads.get(str(payload.get("entry_ref"))), payload.get("progress")
    if upload is None:
        return None
    name = shortened(upload.name)
    if isinstance(reported, int):
        upload.progress = reported
        return f"{name} {reported} %"
    if isinstance(reported, dict):
        upload.error = str(reported.get("error", "failed"))
        return f"{name} failed: {shortened(upload.error)}"
    return name
