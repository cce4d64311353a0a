"""Recordings of genuine sessions, fed to the inspector: what it makes of them, quickly and without a process."""

import pytest

from scenes.in_process import play
from scenes.recording import NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_frame_of_a_genuine_session_is_understood(name: str) -> None:
    played = play(name)
    frames = [step for step in played.steps if step.kind == "frame"]
    assert frames or name == "longpoll"
    for step in frames:
        (note,) = played.notes[step.number]
        assert note.kind != "broken", (step.number, note.summary)
    assert played.sessions
    played.leave()
    assert not [session for session in played.sessions if session.is_open and name != "longpoll"]
