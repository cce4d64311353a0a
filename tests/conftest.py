"""Shared by all tests: what a test needs of the machine, and how loud it is when that is missing."""

import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import HealthCheck, settings

NPM_FOLDER = Path(__file__).parent / "oracle"
"""Where the tests' npm packages are listed: renderers, Phoenix's client, axe-core."""
CLIENTS_FOLDER = Path(__file__).parent / "clients"
"""Likewise: Phoenix's client in all its versions."""

NEED_ALL = os.environ.get("LIVEGATE_TESTS_NEED_ALL") == "1"
"""Set in CI, where a missing program is a failure and not a skip."""


# Examples are not timed: how long one takes depends on what else the machine does.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("default"), max_examples=5_000)
settings.load_profile("default")

MAX_TEST_S = 600
"""A test that takes longer hangs; the slowest takes a minute or two on a busy machine."""


@pytest.fixture(autouse=True)
def within_time() -> Iterator[None]:
    """Fail a test that hangs, wherever it waits, so that the others still run."""

    def overdue(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"the test has taken {MAX_TEST_S} s")

    before = signal.signal(signal.SIGALRM, overdue)
    signal.alarm(MAX_TEST_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def require_program(name: str, install: str) -> str:
    """The path of a program; skips (in CI: fails) with the command that installs it."""
    path = shutil.which(name)
    if path is None:
        message = f"{name} is not installed: {install}"
        if NEED_ALL:
            pytest.fail(message)
        pytest.skip(message)
    return path


@pytest.fixture(scope="session")
def prometheus() -> str:
    return require_program("prometheus", "apt-get install --no-install-recommends prometheus")


@pytest.fixture(scope="session")
def promtool() -> str:
    return require_program("promtool", "apt-get install --no-install-recommends prometheus")


@pytest.fixture(scope="session")
def chromium() -> str:
    return require_program("chromium", "apt-get install chromium")


@pytest.fixture(scope="session")
def npm_packages() -> Path:
    """`node_modules` with what `tests/oracle/package-lock.json` says."""
    return installed_packages(NPM_FOLDER)


@pytest.fixture(scope="session")
def phoenix_clients() -> Path:
    """`node_modules` with what `tests/clients/package-lock.json` says."""
    return installed_packages(CLIENTS_FOLDER)


def installed_packages(folder: Path) -> Path:
    """`node_modules` of a folder, installed when they are missing or older than the lock file."""
    for name in ("node", "npm"):
        require_program(name, "apt-get install nodejs npm")
    installed, wanted = folder / "node_modules" / ".package-lock.json", folder / "package-lock.json"
    with wanted.open() as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)  # of several workers, the first installs and the others wait
        if not installed.exists() or installed.stat().st_mtime < wanted.stat().st_mtime:
            command = ["npm", "ci", "--no-audit", "--no-fund"]
            subprocess.run(command, cwd=folder, check=True, timeout=300, capture_output=True)
    return folder / "node_modules"


@pytest.fixture(scope="session")
def nginx() -> str:
    return require_program("nginx", "apt-get install --no-install-recommends nginx-light")


@pytest.fixture(scope="session")
def haproxy() -> str:
    return require_program("haproxy", "apt-get install --no-install-recommends haproxy")
