"""What is kept for operators is bounded, and news of it is told once and in order: trend, recordings, watch."""

import json

import jsonschema
import pytest
from gateway_parts import Parts, kept, session
from mitmproxy.test import tflow
from msgspec import to_builtins

from livegate.admin.session_export import asset
from livegate.http1.refusal import Refusal
from livegate.inspect.recorder import Recorder
from livegate.observe.history.addon import History
from livegate.observe.history.incident_json import Refused
from livegate.observe.history.incidents import MAX_ENTRIES
from livegate.observe.history.recordings import MAX_FRAMES, MAX_SESSION_BYTES, OVERHEAD_BYTES, Recording, RecordingStore
from livegate.observe.history.time_series import MAX_CLOSE_KINDS, MAX_INTERVALS, MAX_ROUND_TRIPS, TimeSeries
from livegate.redaction.redactor import Redactor


def test_frames_keep_their_numbers_when_older_ones_go() -> None:
    recording = Recording()
    for place in range(MAX_FRAMES + 5):
        recording.add(kept(place))
    assert (recording.first, recording.next_number) == (5, MAX_FRAMES + 5)
    assert recording.frame(4) is None and recording.frame(MAX_FRAMES + 5) is None
    assert recording.frame(5).line["at"] == 5  # type: ignore[union-attr]
    assert recording.line(4) is None and recording.line(5)["n"] == 5  # type: ignore[index]
    assert recording.line(MAX_FRAMES + 4)["at"] == MAX_FRAMES + 4  # type: ignore[index]


def test_one_session_does_not_take_all_memory_nor_all_of_them_more_than_there_is() -> None:
    recording = Recording()
    for _ in range(5):
        recording.add(kept(data=b"x" * MAX_SESSION_BYTES))
    assert len(recording.frames) == 1, "the last is kept, however long it is"
    recordings = RecordingStore(10_000)
    for number in range(20):
        for of, size in ((number, 500), (0, 1)):
            recordings.add_bytes(recordings.get_or_create(of).add(kept(data=b"x" * size)))
    assert recordings.get(1) is None and recordings.get(0) is not None, "those that were quiet longest go first"
    assert recordings.evicted > 0
    assert recordings._size == sum(each.size for each in recordings._sessions.values()) <= 10_000


def test_of_sessions_that_are_equally_busy_each_keeps_its_last_frames() -> None:
    recordings = RecordingStore(30 * OVERHEAD_BYTES)
    for _ in range(100):
        for number in range(10):
            recordings.add_bytes(recordings.get_or_create(number).add(kept()))
    assert recordings.evicted == 0
    assert {recordings.frame_range(number)[1] for number in range(10)} == {100}
    assert all(98 >= recordings.frame_range(number)[0] >= 97 for number in range(10))


def test_a_frames_number_stays_its_own_when_a_session_is_forgotten_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    recordings = RecordingStore(3 * (OVERHEAD_BYTES + 10))
    assert recordings.frame_range(1) == (0, 0)
    for number in (1, 1, 2, 2, 3):
        recordings.add_bytes(recordings.get_or_create(number).add(kept(data=b"0123456789")))
    assert recordings.get(1) is None and recordings.frame_range(1) == (2, 2)
    recordings.add_bytes(recordings.get_or_create(1).add(kept(data=b"0123456789")))
    assert recordings.frame_range(1) == (2, 3)
    assert recordings.get(1).line(2)["n"] == 2  # type: ignore[union-attr, index]
    monkeypatch.setattr("livegate.observe.history.recordings.MAX_EVICTED", 2)
    for number in range(4, 12):
        recordings.add_bytes(recordings.get_or_create(number).add(kept(data=b"0123456789")))
    assert len(recordings._next_numbers) == 2
    assert recordings.frame_range(1) == (0, 0), "so long ago that nobody knows"


def test_a_step_counts_and_is_bounded() -> None:
    trend = TimeSeries()
    for code in range(3000, 3000 + 2 * MAX_CLOSE_KINDS):
        trend.add_close(code, "client")
    trend.add_close(3000, "client")
    for _ in range(MAX_ROUND_TRIPS + 10):
        trend.add_round_trip(0.001)
    trend.current.requests["a"] += 2
    step = trend.end_interval({"a": 1}, 3)
    assert len(step.closes) == MAX_CLOSE_KINDS + 1
    assert step.closes["3000 client"] == 2
    assert step.closes["other client"] == MAX_CLOSE_KINDS
    assert (step.events, step.p50, step.requests, step.sockets) == (
        MAX_ROUND_TRIPS,
        1.0,
        {"a": 2},
        {"a": 1},
    )
    assert trend.end_interval({}, 0).p99 is None
    for _ in range(MAX_INTERVALS):
        trend.end_interval({}, 0)
    assert len(trend.intervals) == MAX_INTERVALS


def test_news_is_told_in_parts_the_oldest_first_and_none_is_lost(parts: Parts) -> None:
    parts.know(*(session(number) for number in range(1, 8)))
    told, seen = [], 0
    while True:
        numbers, seen = parts.history.changed_since(seen, 3)
        if not numbers:
            break
        told.append(numbers)
        if len(told) == 1:
            parts.history._changed(2)  # one that was told has news again
    assert told == [[1, 2, 3], [4, 5, 6], [7, 2]]
    assert parts.history.changed_since(seen, 3) == ([], parts.history.version)


def test_sessions_that_the_tracker_has_forgotten_go_when_there_are_too_many() -> None:
    recorder = Recorder()
    watch = History(recorder, Redactor())
    most = recorder.tracker.limits.sessions
    made = [session(number) for number in range(1, most + 2)]
    flow = tflow.tflow(ws=True)
    for each in made[:-1]:
        watch._track(each, flow)
        watch._changed(each.number)
    made[0].is_stored = made[4].is_stored = False
    assert len(watch.session_numbers()) == most
    watch._track(made[-1], flow)
    assert watch.session_numbers() == [each.number for each in made if each.is_stored]
    assert watch.session(1) is None
    assert {1, 5} <= set(watch.changed_since(0, 10_000)[0]), "that they are gone is news"


def test_a_request_that_never_became_a_flow_is_an_incident_and_there_are_so_many(parts: Parts) -> None:
    for _ in range(MAX_ENTRIES + 1):
        parts.history.refused_before_flow("192.0.2.1", Refusal(431, "Too long.", "head-too-long"))
    first, last = parts.history.feed.entries[0], parts.history.feed.entries[-1]
    assert (first.id, last.id) == (2, MAX_ENTRIES + 1)
    assert isinstance(last, Refused)
    assert (last.client, last.reason, last.status) == ("192.0.2.1", "head-too-long", 431)
    assert parts.history.time_series.current.refused["head-too-long"] == MAX_ENTRIES + 1
    schema = json.loads(asset("openapi.json"))
    validator = jsonschema.Draft202012Validator(
        {"$ref": "#/components/schemas/Refused", "components": schema["components"]}
    )
    validator.validate(to_builtins(last))
