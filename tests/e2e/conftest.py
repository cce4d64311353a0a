"""Fixtures of the end-to-end tests: real processes, and folders for them."""

import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from livegate.demo.processes import DemoProcesses
from ports import LOCKS, free_port, is_free


@pytest.fixture(scope="module", autouse=True)
def unmeasured(request: pytest.FixtureRequest) -> Iterator[None]:
    """Start the processes of a module with the mark `unmeasured` without coverage."""
    with pytest.MonkeyPatch.context() as environ:
        if request.node.get_closest_marker("unmeasured"):
            environ.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        yield


@pytest.fixture(scope="session")
def demo() -> Iterator[DemoProcesses]:
    """The demo's apps, for tests that neither end nor restart them."""
    with DemoProcesses(free_port(), free_port()) as apps:
        yield apps


@pytest.fixture
def own_demo() -> Iterator[DemoProcesses]:
    """The demo's apps, for a test that ends or restarts them."""
    with DemoProcesses(free_port(), free_port()) as apps:
        yield apps


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gateway")


@pytest.fixture
def default_port() -> Iterator[None]:
    """Reserve mitmproxy's port 8080, on which a process without a mode listens until its script is loaded."""
    LOCKS.mkdir(exist_ok=True)
    with (LOCKS / "8080").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_free(8080):
            message = "port 8080 is in use by another program, and mitmproxy's tools start on it"
            (pytest.fail if os.environ.get("LIVEGATE_TESTS_NEED_ALL") == "1" else pytest.skip)(message)
        yield
