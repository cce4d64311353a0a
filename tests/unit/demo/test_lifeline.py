"""The lifeline ends its process when the pipe to the parent closes, and not before."""

import os
import signal
import threading
from types import SimpleNamespace

import pytest

from livegate.demo import lifeline


def test_only_the_end_of_the_pipe_ends_the_process_first_politely_then_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    done: list[tuple[str, int]] = []
    ended = threading.Event()
    monkeypatch.setattr(lifeline, "GRACE_S", 0)
    monkeypatch.setattr(lifeline.sys, "stdin", SimpleNamespace(fileno=lambda: reader))
    monkeypatch.setattr(lifeline.os, "kill", lambda _, number: done.append(("kill", number)))
    monkeypatch.setattr(lifeline.os, "_exit", lambda status: (done.append(("exit", status)), ended.set()))
    lifeline.end_with_parent()
    os.write(writer, b"a parent that says something is alive")
    assert done == []
    os.close(writer)
    assert ended.wait(10)
    os.close(reader)
    assert done == [("kill", signal.SIGTERM), ("exit", 0)]
