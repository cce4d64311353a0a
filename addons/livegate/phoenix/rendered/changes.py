"""What a diff has changed, path by path."""

import json
from typing import Any

from msgspec import Struct

from livegate.phoenix.rendered.entries import PersistentVector
from livegate.phoenix.rendered.nodes import COUNT, STREAM_GENERATION, STREAM_ITEMS, Path

MAX_PATHS = 500
MAX_TEXT_CHARACTERS = 200
_KEPT = frozenset({STREAM_ITEMS, STREAM_GENERATION})
"""Keys of a node that the wire does not have."""


class Change(Struct, frozen=True, gc=False):
    """One place of the tree. A component's path begins with `c` and its number."""

    path: Path
    old: Any
    """As it is in the tree; None when nothing was there."""
    new: Any

    @property
    def size(self) -> int:
        """Bytes of the new value in JSON."""
        text = json.dumps(wire_value(self.new), separators=(",", ":"), ensure_ascii=False)
        return len(text.encode("utf-8", "replace"))

    @property
    def path_text(self) -> str:
        """The path as text: `1.0`, `c2.0`, `4.k.3`."""
        parts = [str(part) for part in self.path]
        return ".".join([parts[0] + parts[1], *parts[2:]] if parts[:1] == ["c"] and len(parts) > 1 else parts)


class Changes(Struct, gc=False):
    """All that one diff has changed."""

    paths: list[Change] = []
    paths_omitted: int = 0
    """How many paths there are beyond those that are listed."""
    components: frozenset[int] = frozenset()
    stream_inserts: tuple[str, ...] = ()
    """DOM ids, as in the next two."""
    stream_updates: tuple[str, ...] = ()
    stream_deletes: tuple[str, ...] = ()
    stream_limited: int = 0
    """Items that a limit has dropped."""
    stream_resets: int = 0
    unmarked_moves: bool = False
    """Whether entries of a list were moved without `km`, which LiveView's client asks for from 1.2.8 on."""
    events: tuple[tuple[str, Any], ...] = ()
    """Pushed to hooks: name and payload."""
    title: str | None = None
    reply: Any = None
    """To the hook whose event this answers."""

    def add(self, path: Path, old: Any, new: Any) -> None:
        """Note one place."""
        if len(self.paths) < MAX_PATHS:
            self.paths.append(Change(path, old, new))
        else:
            self.paths_omitted += 1

    def add_text(self, path: Path, key: str, old: Any, new: str) -> None:
        """Note a text within what stands at a path; beyond MAX_PATHS it costs no path of its own."""
        if len(self.paths) < MAX_PATHS:
            self.paths.append(Change((*path, key), old, new))
        else:
            self.paths_omitted += 1


def wire_value(value: Any) -> Any:
    """Return a part of a tree as the JSON that the wire has: without the items that a stream has kept. O(value)."""
    if isinstance(value, PersistentVector):
        return {**{str(at): wire_value(entry) for at, entry in enumerate(value)}, COUNT: len(value)}
    if isinstance(value, dict):
        return {key: wire_value(each) for key, each in value.items() if key not in _KEPT}
    return [wire_value(each) for each in value] if isinstance(value, list) else value


def value_text(value: Any) -> str:
    """A value of the tree in a few words."""
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
    """A value that is no part of the tree, as JSON."""
    return _cut(json.dumps(value, ensure_ascii=False))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT_CHARACTERS else f"{text[:MAX_TEXT_CHARACTERS]}…"
