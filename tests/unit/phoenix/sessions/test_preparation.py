"""A frame that was read ahead means what it means when it is read at its turn."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from livegate.phoenix.frames import NotPhoenix
from livegate.phoenix.sessions.preparation import PreparedFrame, prepare_frame
from livegate.phoenix.sessions.socket import SocketTracker
from livegate.phoenix.sessions.tracker import Tracker

RECORDING = Path(__file__).parents[3] / "fixtures" / "demo.jsonl.gz"
TOPIC = "lv:phx-1"
RENDERED = {"s": ["<p>", "</p>"], "0": "0"}


def test_all_of_the_demos_frames_mean_the_same() -> None:
    plain, other = Tracker(), Tracker()
    sockets: dict[str, tuple[SocketTracker, SocketTracker]] = {}
    for line in map(json.loads, gzip.decompress(RECORDING.read_bytes()).decode().splitlines()):
        if line["kind"] == "open":
            sockets[line["flow"]] = (plain.open(line["url"], line["at"]), other.open(line["url"], line["at"]))
        elif line["kind"] == "frame":
            data = base64.b64decode(line["data"]) if line.get("base64") else line["data"].encode()
            text, up = not line.get("base64"), line["dir"] == "up"
            one, two = sockets[line["flow"]]
            expected = one.read_frame(data, text=text, from_client=up, at=line["at"])
            ahead = prepare_frame(data, two.vsn, two.tree_snapshots()) if text and not up else None
            found = two.read_frame(data, text=text, from_client=up, at=line["at"], prepared=ahead)
            assert (found.summary, found.changes) == (expected.summary, expected.changes)
            assert two._replies.prepared is None
            if expected.view is not None and expected.view.tree is not None:
                assert found.view is not None
                assert found.view.tree is not None
                assert found.view.tree.html() == expected.view.tree.html()


class Tab:
    def __init__(self) -> None:
        self.channels = Tracker().open("/live/websocket?vsn=2.0.0", 1.0)

    def send(self, frame: Any, *, up: bool = False, ahead: bool = True, late: Any = None) -> str:
        data = json.dumps(frame).encode()
        found = prepare_frame(data, "2", self.channels.tree_snapshots()) if ahead and not up else None
        if late is not None:
            self.send(late, ahead=False)
        return self.channels.read_frame(data, text=True, from_client=up, at=2.0, prepared=found).summary

    def join(self, rendered: Any = RENDERED) -> None:
        self.send(["4", "4", TOPIC, "phx_join", {"url": "http://h/", "params": {}}], up=True)
        self.send(["4", "4", TOPIC, "phx_reply", {"status": "ok", "response": {"rendered": rendered}}])

    @property
    def view(self) -> Any:
        assert self.channels.session is not None
        return self.channels.session.views[TOPIC]


def test_what_is_no_tree_has_the_same_problem() -> None:
    tab = Tab()
    tab.join({"s": 5})
    assert tab.view.tree is None
    assert tab.view.tree_problem == "the template 5 is not in the table"
    tab.join()
    tab.send(["4", None, TOPIC, "diff", {"0": [1]}])
    assert tab.view.tree is None
    assert "a list instead of" in tab.view.tree_problem


def test_a_tree_that_has_changed_since_is_merged_at_its_turn() -> None:
    tab = Tab()
    tab.join({"s": ["", " ", ""], "0": "a", "1": "b"})
    tab.send(["4", None, TOPIC, "diff", {"0": "A"}], late=["4", None, TOPIC, "diff", {"1": "B"}])
    assert tab.view.tree.html() == "A B"


@pytest.mark.parametrize(
    "frame",
    [
        ["4", "9", TOPIC, "phx_reply", {"status": "ok", "response": "text"}],
        ["4", "9", TOPIC, "phx_reply", {"status": "ok", "response": {}}],
        ["4", None, TOPIC, "other", [1]],
        ["4", None, "lv:unknown", "diff", {"0": "x"}],
        {"not": "a frame"},
    ],
)
def test_a_frame_without_a_tree_of_its_own_is_only_decoded(frame: Any) -> None:
    ahead = prepare_frame(json.dumps(frame).encode(), "2", {})
    assert (ahead.tree, ahead.changes, ahead.problem) == (None, None, "")


def test_a_frame_that_is_not_phoenix_is_prepared_as_such() -> None:
    assert prepare_frame(b"no JSON", "2", {}) == PreparedFrame(NotPhoenix("not JSON"))


def test_a_frame_that_is_passed_over_makes_the_pages_unknown() -> None:
    tab = Tab()
    tab.join()
    info = tab.channels.skip_frame(1000, from_client=False, at=3.0)
    assert (info.kind, info.summary) == ("other", "not read: 1000 B, too large or too much at once")
    assert (
        tab.view.tree_problem == "a frame was skipped because it or its burst was too large; the next join restores it"
    )
