"""A demo app ends its process when the pipe to the parent closes, and not before."""

import os
import signal
import threading
from types import SimpleNamespace

import pytest

from livegate.demo import app_main


def test_only_the_end_of_the_pipe_ends_the_process_first_politely_then_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    done: list[tuple[str, int]] = []
    ended = threading.Event()
    monkeypatch.setattr(app_main, "GRACE_S", 0)
    monkeypatch.setattr(app_main.sys, "stdin", SimpleNamespace(fileno=lambda: reader))
    monkeypatch.setattr(app_main.os, "kill", lambda _, number: done.append(("kill", number)))
    monkeypatch.setattr(app_main.os, "_exit", lambda status: (done.append(("exit", status)), ended.set()))
    app_main.exit_with_parent()
    os.write(writer, b"a parent that says something is alive")
    assert done == []
    os.close(writer)
    assert ended.wait(10)
    os.close(reader)
    assert done == [("kill", signal.SIGTERM), ("exit", 0)]
