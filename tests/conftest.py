"""Shared by all tests: what a test needs of the machine, and how loud it is when that is missing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

NPM_FOLDER = Path(__file__).parent / "oracle"
"""Where the tests' npm packages are listed: renderers, Phoenix's client, axe-core."""

NEED_ALL = os.environ.get("LIVEGATE_TESTS_NEED_ALL") == "1"
"""Set in CI, where a missing program is a failure and not a skip."""


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
    for name in ("node", "npm"):
        require_program(name, "apt-get install nodejs npm")
    installed, wanted = NPM_FOLDER / "node_modules" / ".package-lock.json", NPM_FOLDER / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < wanted.stat().st_mtime:
        command = ["npm", "ci", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=NPM_FOLDER, check=True, timeout=300, capture_output=True)
    return NPM_FOLDER / "node_modules"
