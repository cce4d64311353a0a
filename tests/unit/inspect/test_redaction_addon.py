"""Inspection follows the settings: redaction on and off, and the frame log where they say."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from flows import settings
from mitmproxy.test import taddons

from livegate import mitm, tasks
from livegate.inspect.frame_log.addon import FrameLogger
from livegate.inspect.frame_log.writer import FrameLogWriter
from livegate.inspect.recorder import Recorder
from livegate.inspect.redaction_addon import InspectSettings
from livegate.mitm import display
from livegate.redaction.redactor import Redactor
from livegate.settings import CurrentSettings, FrameLog, Inspect, Settings


class Made:
    def __init__(self, folder: Path) -> None:
        self.base = settings(folder)
        self.current = CurrentSettings()
        self.redactor = Redactor()
        self.recorder = Recorder()
        self.frames = FrameLogger(self.recorder, self.redactor)
        self.addon = InspectSettings(self.current, self.recorder, self.redactor, self.frames)

    def use(self, inspect: Inspect) -> None:
        self.current.value = dataclasses.replace(self.base, inspect=inspect)


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Made]:
    found = Made(tmp_path)
    with taddons.context(found.addon):
        yield found
        found.frames.done()
        found.addon.done()
    display.uninstall()


async def test_nothing_is_applied_before_there_are_settings(made: Made) -> None:
    made.addon.running()
    assert display._STOCK == []


async def test_redaction_is_on_by_default_and_off_with_a_warning(made: Made, caplog: pytest.LogCaptureFixture) -> None:
    made.use(Inspect(redact_fields=["Shoe Size"]))
    made.addon.running()
    assert display._STOCK
    assert made.redactor.is_secret("shoe_size")
    made.use(Inspect(redact=False))
    assert display._STOCK == []
    assert made.redactor.json({"password": "x"}) == {"password": "x"}
    assert "inspect.redact is off" in caplog.text


async def test_an_unknown_mitmproxy_is_left_alone(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mitm, "INCOMPATIBILITIES", ("something is missing",))
    made.use(Inspect())
    made.addon.running()
    assert display._STOCK == []


async def test_the_frame_log_is_at_the_path_of_the_settings(
    made: Made, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = FrameLog(path=tmp_path / "a"), FrameLog(path=tmp_path / "b")
    made.use(Inspect(frame_log=first))
    made.addon.running()
    writer = made.frames.writer
    assert writer is not None
    made.use(Inspect(frame_log=first))
    assert made.frames.writer is writer, "the same stays open"
    made.use(Inspect(frame_log=second))
    assert made.frames.writer is not writer
    assert (tmp_path / "b").is_file()
    made.use(Inspect(frame_log=FrameLog(path=tmp_path / "none" / "c")))
    assert made.frames.writer is None
    assert "cannot be written: No such file or directory" in caplog.text
    made.use(Inspect())
    assert made.frames.writer is None


async def test_lines_that_were_lost_stay_counted_when_the_log_is_moved(made: Made, tmp_path: Path) -> None:
    made.use(Inspect(frame_log=FrameLog(path=tmp_path / "a")))
    made.addon.running()
    assert made.frames.dropped == 0
    for name, expected in (("b", 3), ("c", 6)):
        writer = made.frames.writer
        assert isinstance(writer, FrameLogWriter)
        writer.dropped = 3
        made.use(Inspect(frame_log=FrameLog(path=tmp_path / name)))
        assert made.frames.dropped == expected
        writer.dropped += 2  # what was still queued could not be written either
    await asyncio.gather(*tasks._running)
    assert made.frames.dropped == 10


def test_the_settings_have_it(tmp_path: Path) -> None:
    from livegate.settings import load_settings

    file = tmp_path / "gateway.yaml"
    file.write_text(
        "services: {app.test: http://127.0.0.1:9}\n"
        "inspect: {redact: false, redact_fields: [Shoe Size], frame_log: {path: f.jsonl, rotate: 1MiB, keep: 2, payloads: none}}\n"
    )
    found: Settings = load_settings(file, {})
    assert found.inspect == Inspect(
        redact=False,
        redact_fields=["Shoe Size"],
        frame_log=FrameLog(path=tmp_path / "f.jsonl", rotate="1MiB", keep=2, payloads="none"),
    )


async def test_the_number_of_kept_sessions_follows_the_settings(made: Made) -> None:
    made.use(Inspect())
    made.addon.running()
    tracker = made.recorder.tracker
    for number in range(5):
        tracker.new_session(f"phx-{number}", float(number), "app.test")
    made.use(Inspect(sessions=3))
    assert [session.id for session in tracker.sessions.values()] == ["phx-2", "phx-3", "phx-4"]
    tracker.new_session("phx-5", 5.0, "app.test")
    assert len(tracker.sessions) == 3
    assert tracker.evicted == 3
