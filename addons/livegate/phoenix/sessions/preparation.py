"""Prepares a large frame before its turn: decodes it and merges its tree, which takes longest.

Trees are persistent, so that this may run in another thread. The tracker uses the result when the frame's turn comes,
unless the tree has changed meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from livegate.phoenix import frames
from livegate.phoenix.frames import Frame, NotPhoenix, Vsn
from livegate.phoenix.rendered.changes import Changes
from livegate.phoenix.rendered.tree import Tree, TreeError


@dataclass(frozen=True, slots=True)
class PreparedFrame:
    """Decoded frame, and the tree after its `rendered` or `diff`."""

    decoded: Frame | NotPhoenix
    source: object = None
    """The `rendered` or `diff`, compared by identity; None for a frame without one."""
    size: int = 0
    """Bytes of a diff in JSON."""
    base: Tree | None = None
    """Snapshot that the diff was merged into."""
    tree: Tree | None = None
    changes: Changes | None = None
    problem: str = ""
    """Reason why there is no tree."""


def prepare_frame(data: bytes, vsn: Vsn, trees: Mapping[str, Tree]) -> PreparedFrame:
    """Prepare a text frame of the server; `trees` are snapshots of the session's trees by topic. Never raises."""
    return prepare_decoded(frames.decode(data, text=True, from_client=False, vsn=vsn), trees)


def prepare_decoded(decoded: Frame | NotPhoenix, trees: Mapping[str, Tree]) -> PreparedFrame:
    """Prepare a frame of the server that is decoded already."""
    if not isinstance(decoded, Frame) or not isinstance(decoded.payload, dict):
        return PreparedFrame(decoded)
    payload = decoded.payload
    if decoded.event == "diff":
        return _prepare_diff(decoded, payload, trees.get(decoded.topic))
    response = payload.get("response") if decoded.event == "phx_reply" else None
    if not isinstance(response, dict):
        return PreparedFrame(decoded)
    if "rendered" in response:
        return _prepare_join(decoded, response["rendered"])
    if "diff" in response:
        return _prepare_diff(decoded, response["diff"], trees.get(decoded.topic))
    return PreparedFrame(decoded)


def _prepare_join(decoded: Frame, rendered: object) -> PreparedFrame:
    try:
        return PreparedFrame(decoded, rendered, tree=Tree.join(rendered))
    except TreeError as error:
        return PreparedFrame(decoded, rendered, problem=str(error))


def _prepare_diff(decoded: Frame, diff: object, base: Tree | None) -> PreparedFrame:
    size = frames.json_size(diff)
    if base is None:
        return PreparedFrame(decoded, diff, size)
    tree = base.snapshot()
    try:
        changes = tree.merge(diff)
    except TreeError as error:
        return PreparedFrame(decoded, diff, size, base, problem=str(error))
    return PreparedFrame(decoded, diff, size, base, tree, changes)
