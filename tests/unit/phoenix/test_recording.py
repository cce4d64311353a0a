"""A recording of a person's way through the demo, made by the frame log itself: read without a gap, always."""

import base64
import gzip
import json
import math
from pathlib import Path

import pytest

from livegate.inspect.recording_formats import reader
from livegate.phoenix.model import percentile
from livegate.phoenix.sessions.tracker import Tracker

RECORDING = Path(__file__).parents[2] / "fixtures" / "demo.jsonl.gz"


def replayed() -> Tracker:
    tracker, sockets = Tracker(), {}
    for line in map(json.loads, gzip.decompress(RECORDING.read_bytes()).decode().splitlines()):
        if line["kind"] == "open":
            sockets[line["flow"]] = tracker.open(line["url"], line["at"])
        elif line["kind"] == "close":
            sockets[line["flow"]].close(line["code"], line["reason"], line["by"], line["at"])
        elif line["kind"] == "frame":
            data = base64.b64decode(line["data"]) if line.get("base64") else line["data"].encode()
            info = sockets[line["flow"]].read_frame(
                data, text=not line.get("base64"), from_client=line["dir"] == "up", at=line["at"]
            )
            assert info.kind == line["what"]
            assert info.view is None or info.view.tree_problem is None
            assert info.summary.split(" after ")[0] == line["text"].split(" after ")[0]
    return tracker


def test_the_demos_recording_gives_its_sessions_views_crash_and_upload() -> None:
    tracker = replayed()
    sessions = sorted(tracker.sessions.values(), key=lambda session: session.number)
    main = [session.main.path for session in sessions if session.main is not None]
    assert main[0] == "/slow"
    assert set(main[1:]) == {"/login"}
    first = sessions[0]
    assert (first.crashes + first.rejoins, first.unanswered) == (1, 1)
    names = {event.name for event in first.pushes}
    assert {"inc", "dec", "slow", "crash", "add"} <= names
    (upload,) = first.uploads.values()
    assert (upload.name, upload.size, upload.sent) == ("picture.bin", 204800, 204800)
    slow = [trip for (_, name), trips in first.round_trips_by_event().items() for trip in trips if name == "slow"]
    assert 0.65 < slow[0] < 0.75


def test_round_trips_are_those_of_an_independent_calculation() -> None:
    lines = [json.loads(line) for line in gzip.decompress(RECORDING.read_bytes()).decode().splitlines()]
    frames = [(line, json.loads(line["data"])) for line in lines if line["kind"] == "frame" and not line.get("base64")]
    sent = {
        (line["flow"], frame[1]): (line["at"], frame[4])
        for line, frame in frames
        if line["dir"] == "up" and frame[3] == "event"
    }
    expected: dict[str, list[float]] = {}
    for line, frame in frames:
        if line["dir"] == "down" and frame[3] == "phx_reply" and (line["flow"], frame[1]) in sent:
            at, payload = sent[line["flow"], frame[1]]
            expected.setdefault(payload["event"], []).append(line["at"] - at)
    assert sum(map(len, expected.values())) > 10
    found: dict[str, list[float]] = {}
    for session in replayed().sessions.values():
        for (_, event), trips in session.round_trips_by_event().items():
            found.setdefault(event, []).extend(trips)
    for event, trips in expected.items():
        assert sorted(found[event]) == pytest.approx(sorted(trips))
        ordered = sorted(trips)
        for part in (0.5, 0.95):
            assert percentile(found[event], part) == pytest.approx(ordered[math.ceil(part * len(ordered)) - 1])


def test_the_page_at_each_line_can_be_shown(tmp_path: Path) -> None:
    path = tmp_path / "demo.jsonl"
    path.write_bytes(gzip.decompress(RECORDING.read_bytes()))
    lines = list(reader.read_lines(path))
    joined = [line["n"] for line in lines if line.get("what") == "joined" and line["view"].startswith("/")]
    pages = [reader.page_at(iter(lines), number) for number in joined]
    assert all("<main>" in page for page in pages)
    assert "Crash the view" in pages[-2] + pages[-3] + pages[-4]
