"""Reads a large frame ahead of its turn: what takes long and needs only the frame and the trees that it may change.

Trees are never changed in place, so this may run in another thread; what it found is taken over when the frame's turn
comes, if the tree is then still the one that it was read for.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from livegate.phoenix import frames
from livegate.phoenix.frames import Frame, NotPhoenix, Vsn
from livegate.phoenix.rendered.changes import Changes
from livegate.phoenix.rendered.tree import Tree, TreeError


@dataclass(frozen=True, slots=True)
class PreparedFrame:
    """A frame that was read, and what its `rendered` or `diff` makes of a tree."""

    decoded: Frame | NotPhoenix
    source: object = None
    """The `rendered` or the `diff` itself, by which it is known again; None for a frame without one."""
    size: int = 0
    """Of a diff, in bytes of JSON."""
    base: Tree | None = None
    """What a diff was merged into."""
    tree: Tree | None = None
    changes: Changes | None = None
    problem: str = ""
    """Why there is no tree."""


def prepare_frame(data: bytes, vsn: Vsn, trees: Mapping[str, Tree]) -> PreparedFrame:
    """Read a text frame of the server; `trees` are copies of those that its session has, by topic. Never raises."""
    return prepare_decoded(frames.decode(data, text=True, from_client=False, vsn=vsn), trees)


def prepare_decoded(decoded: Frame | NotPhoenix, trees: Mapping[str, Tree]) -> PreparedFrame:
    """Read a frame of the server that was decoded already."""
    if not isinstance(decoded, Frame) or not isinstance(decoded.payload, dict):
        return PreparedFrame(decoded)
    payload = decoded.payload
    if decoded.event == "diff":
        return _merged(decoded, payload, trees.get(decoded.topic))
    response = payload.get("response") if decoded.event == "phx_reply" else None
    if not isinstance(response, dict):
        return PreparedFrame(decoded)
    if "rendered" in response:
        return _joined(decoded, response["rendered"])
    return (
        _merged(decoded, response["diff"], trees.get(decoded.topic)) if "diff" in response else PreparedFrame(decoded)
    )


def _joined(decoded: Frame, rendered: object) -> PreparedFrame:
    try:
        return PreparedFrame(decoded, rendered, tree=Tree.join(rendered))
    except TreeError as error:
        return PreparedFrame(decoded, rendered, problem=str(error))


def _merged(decoded: Frame, diff: object, base: Tree | None) -> PreparedFrame:
    size = frames.json_size(diff)
    if base is None:
        return PreparedFrame(decoded, diff, size)
    tree = base.snapshot()
    try:
        changes = tree.merge(diff)
    except TreeError as error:
        return PreparedFrame(decoded, diff, size, base, problem=str(error))
    return PreparedFrame(decoded, diff, size, base, tree, changes)
