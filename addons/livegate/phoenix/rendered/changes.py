"""Changes that a diff made to a rendered tree, path by path."""

import json
from typing import Any

from msgspec import Struct

from livegate.phoenix.rendered.nodes import COUNT, STREAM_GENERATION, STREAM_ITEMS, Path
from livegate.phoenix.rendered.persistent_vector import PersistentVector

MAX_PATHS = 500
"""Paths listed per diff. Further ones are only counted, because each keeps its old value in memory."""
MAX_TEXT_CHARACTERS = 200
"""Characters of one value in a text for people; longer ones are cut."""
_LOCAL_KEYS = frozenset({STREAM_ITEMS, STREAM_GENERATION})
"""Keys of a node that the wire format does not have."""


class Change(Struct, frozen=True, gc=False):
    """One place of the tree that changed. A component's path begins with `c` and its number."""

    path: Path
    old: Any
    """Value as the tree holds it; None if there was none."""
    new: Any

    @property
    def size(self) -> int:
        """Return the bytes of the new value in JSON."""
        text = json.dumps(wire_value(self.new), separators=(",", ":"), ensure_ascii=False)
        return len(text.encode("utf-8", "replace"))

    @property
    def path_text(self) -> str:
        """Return the path as text: `1.0`, `c2.0`, `4.k.3`."""
        parts = [str(part) for part in self.path]
        return ".".join([parts[0] + parts[1], *parts[2:]] if parts[:1] == ["c"] and len(parts) > 1 else parts)


class Changes(Struct, gc=False):
    """Everything that one diff changed."""

    paths: list[Change] = []
    paths_omitted: int = 0
    """Changed paths beyond MAX_PATHS."""
    components: frozenset[int] = frozenset()
    stream_inserts: tuple[str, ...] = ()
    """DOM ids; so are the next two."""
    stream_updates: tuple[str, ...] = ()
    stream_deletes: tuple[str, ...] = ()
    stream_limited: int = 0
    """Items that the `limit` of a stream removed."""
    stream_resets: int = 0
    unmarked_moves: bool = False
    """Whether entries of a comprehension moved without `km`, which LiveView's client requires from 1.2.8 on."""
    events: tuple[tuple[str, Any], ...] = ()
    """Events that the server pushes to hooks (`push_event`): name and payload."""
    title: str | None = None
    reply: Any = None
    """Payload for the hook that pushed the event (`{:reply, map, socket}`)."""

    def add(self, path: Path, old: Any, new: Any) -> None:
        """Record one place."""
        if len(self.paths) < MAX_PATHS:
            self.paths.append(Change(path, old, new))
        else:
            self.paths_omitted += 1

    def add_text(self, path: Path, key: str, old: Any, new: str) -> None:
        """Record a text at `key` below a path. Beyond MAX_PATHS no path is built, because most changes are texts."""
        if len(self.paths) < MAX_PATHS:
            self.paths.append(Change((*path, key), old, new))
        else:
            self.paths_omitted += 1


def wire_value(value: Any) -> Any:
    """Return a part of a tree as the wire format has it, that is without the items kept for a stream. O(value)."""
    if isinstance(value, PersistentVector):
        return {**{str(at): wire_value(entry) for at, entry in enumerate(value)}, COUNT: len(value)}
    if isinstance(value, dict):
        return {key: wire_value(each) for key, each in value.items() if key not in _LOCAL_KEYS}
    return [wire_value(each) for each in value] if isinstance(value, list) else value


def value_text(value: Any) -> str:
    """Return a value of the tree as a short text."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return json_text(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"component {value}"
    if isinstance(value, dict):
        statics = value.get("s")
        parts = list(statics) if isinstance(statics, list) else []
        shown = [
            f"{part}{value.get(str(at), '') if isinstance(value.get(str(at)), str) else '…'}"
            for at, part in enumerate(parts[:-1])
        ]
        return _cut("".join([*shown, *parts[-1:]]).strip() or "{}")
    return json_text(value)


def json_text(value: Any) -> str:
    """Return a value that is not part of the tree as JSON, cut to MAX_TEXT_CHARACTERS."""
    return _cut(json.dumps(value, ensure_ascii=False))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT_CHARACTERS else f"{text[:MAX_TEXT_CHARACTERS]}…"
