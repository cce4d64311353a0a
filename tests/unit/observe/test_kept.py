"""What is kept for operators is bounded, and news of it is told once and in order: trend, recordings, watch."""

import json

import jsonschema
import pytest
from gateway_parts import Parts, kept, session
from mitmproxy.test import tflow

from livegate.admin.export import asset
from livegate.http1.refusal import Refusal
from livegate.inspect.recorder import Recorder
from livegate.observe.history.addon import Watch
from livegate.observe.history.incidents import MAX_ENTRIES
from livegate.observe.history.recordings import MAX_FRAMES, MAX_SESSION_BYTES, OVERHEAD_BYTES, Recording, Recordings
from livegate.observe.history.time_series import MAX_CLOSE_KINDS, MAX_TRIPS, STEPS, Trend
from livegate.redaction.redactor import Redactor


def test_frames_keep_their_numbers_when_older_ones_go() -> None:
    recording = Recording()
    for place in range(MAX_FRAMES + 5):
        recording.add(kept(place))
    assert (recording.first, recording.end) == (5, MAX_FRAMES + 5)
    assert recording.at(4) is None and recording.at(MAX_FRAMES + 5) is None
    assert recording.at(5).line["at"] == 5  # type: ignore[union-attr]
    assert recording.line(4) is None and recording.line(5)["n"] == 5  # type: ignore[index]
    assert recording.line(MAX_FRAMES + 4)["at"] == MAX_FRAMES + 4  # type: ignore[index]


def test_one_session_does_not_take_all_memory_nor_all_of_them_more_than_there_is() -> None:
    recording = Recording()
    for _ in range(5):
        recording.add(kept(data=b"x" * MAX_SESSION_BYTES))
    assert len(recording.frames) == 1, "the last is kept, however long it is"
    recordings = Recordings(10_000)
    for number in range(20):
        for of, size in ((number, 500), (0, 1)):
            recordings.grew(recordings.to_add(of).add(kept(data=b"x" * size)))
    assert recordings.of(1) is None and recordings.of(0) is not None, "those that were quiet longest go first"
    assert recordings.forgotten > 0
    assert recordings._size == sum(each.size for each in recordings._sessions.values()) <= 10_000


def test_of_sessions_that_are_equally_busy_each_keeps_its_last_frames() -> None:
    recordings = Recordings(30 * OVERHEAD_BYTES)
    for _ in range(100):
        for number in range(10):
            recordings.grew(recordings.to_add(number).add(kept()))
    assert recordings.forgotten == 0
    assert {recordings.span(number)[1] for number in range(10)} == {100}
    assert all(98 >= recordings.span(number)[0] >= 97 for number in range(10))


def test_a_frames_number_stays_its_own_when_a_session_is_forgotten_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    recordings = Recordings(3 * (OVERHEAD_BYTES + 10))
    assert recordings.span(1) == (0, 0)
    for number in (1, 1, 2, 2, 3):
        recordings.grew(recordings.to_add(number).add(kept(data=b"0123456789")))
    assert recordings.of(1) is None and recordings.span(1) == (2, 2)
    recordings.grew(recordings.to_add(1).add(kept(data=b"0123456789")))
    assert recordings.span(1) == (2, 3)
    assert recordings.of(1).line(2)["n"] == 2  # type: ignore[union-attr, index]
    monkeypatch.setattr("livegate.observe.history.recordings.MAX_GONE", 2)
    for number in range(4, 12):
        recordings.grew(recordings.to_add(number).add(kept(data=b"0123456789")))
    assert len(recordings._ends) == 2
    assert recordings.span(1) == (0, 0), "so long ago that nobody knows"


def test_a_step_counts_and_is_bounded() -> None:
    trend = Trend()
    for code in range(3000, 3000 + 2 * MAX_CLOSE_KINDS):
        trend.closed(code, "client")
    trend.closed(3000, "client")
    for _ in range(MAX_TRIPS + 10):
        trend.trip(0.001)
    trend.now.requests["a"] += 2
    step = trend.end_step({"a": 1}, 3)
    assert len(step["closes"]) == MAX_CLOSE_KINDS + 1
    assert step["closes"]["3000 client"] == 2
    assert step["closes"]["other client"] == MAX_CLOSE_KINDS
    assert (step["events"], step["p50"], step["requests"], step["sockets"]) == (MAX_TRIPS, 1.0, {"a": 2}, {"a": 1})
    assert trend.end_step({}, 0)["p99"] is None
    for _ in range(STEPS):
        trend.end_step({}, 0)
    assert len(trend.steps) == STEPS


def test_news_is_told_in_parts_the_oldest_first_and_none_is_lost(parts: Parts) -> None:
    parts.know(*(session(number) for number in range(1, 8)))
    told, seen = [], 0
    while True:
        numbers, seen = parts.watch.changed_since(seen, 3)
        if not numbers:
            break
        told.append(numbers)
        if len(told) == 1:
            parts.watch._changed(2)  # one that was told has news again
    assert told == [[1, 2, 3], [4, 5, 6], [7, 2]]
    assert parts.watch.changed_since(seen, 3) == ([], parts.watch.serial)


def test_sessions_that_the_tracker_has_forgotten_go_when_there_are_too_many() -> None:
    recorder = Recorder()
    watch = Watch(recorder, Redactor())
    most = recorder.tracker.limits.sessions
    made = [session(number) for number in range(1, most + 2)]
    flow = tflow.tflow(ws=True)
    for each in made[:-1]:
        watch._remember(each, flow)
        watch._changed(each.number)
    made[0].kept = made[4].kept = False
    assert len(watch.numbers()) == most
    watch._remember(made[-1], flow)
    assert watch.numbers() == [each.number for each in made if each.kept]
    assert watch.session(1) is None
    assert {1, 5} <= set(watch.changed_since(0, 10_000)[0]), "that they are gone is news"


def test_a_request_that_never_became_a_flow_is_an_incident_and_there_are_so_many(parts: Parts) -> None:
    for _ in range(MAX_ENTRIES + 1):
        parts.watch.refused_early("192.0.2.1", Refusal(431, "Too long.", "head-too-long"))
    first, last = parts.watch.feed.entries[0], parts.watch.feed.entries[-1]
    assert (first["id"], last["id"]) == (2, MAX_ENTRIES + 1)
    assert (last["kind"], last["client"], last["reason"], last["status"]) == (
        "refused",
        "192.0.2.1",
        "head-too-long",
        431,
    )
    assert parts.watch.trend.now.refused["head-too-long"] == MAX_ENTRIES + 1
    schema = json.loads(asset("openapi.json"))
    validator = jsonschema.Draft202012Validator(
        {"$ref": "#/components/schemas/Incident", "components": schema["components"]}
    )
    validator.validate(last)
