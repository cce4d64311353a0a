"""Lets unit tests import what they share: `tests/unit/support`, and the tests' folder itself; guards their processes."""

import platform
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent / "support"))

from admin_client import api
from gateway_parts import parts

__all__ = ["api", "parts"]

STARTS = frozenset({"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn"})
forbidden = False


def refuse_processes(event: str, arguments: tuple[object, ...]) -> None:
    if forbidden and event in STARTS:
        raise AssertionError("a unit test that starts a process has the mark `process`")


platform.platform()  # urwid calls it when mitmproxy's console is imported: it starts `uname` once, then is cached
sys.addaudithook(refuse_processes)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Keep processes out of the tests that `make quick` runs; pytest calls this for the tests of other folders as well."""
    global forbidden
    forbidden = item.path.is_relative_to(Path(__file__).parent) and item.get_closest_marker("process") is None
    try:
        return (yield)
    finally:
        forbidden = False
