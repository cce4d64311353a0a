"""The machine that is measured on: its cores, limits, ports, and what is installed on it."""

import datetime as dt
import importlib.metadata
import os
import platform
import re
import resource
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

CHECKOUT = Path(__file__).resolve().parents[2]
WANTED_FILES = 65_536
PYTHON_PACKAGES = ("livegate", "mitmproxy", "mitmproxy_rs", "picows", "uvloop")
VERSION_COMMANDS = {"nginx": ("nginx", "-v"), "haproxy": ("haproxy", "-v"), "wrk": ("wrk", "-v")}


@dataclass(frozen=True)
class Cores:
    """Which cores do what. The proxy is always alone, if the machine has two cores or more."""

    proxy: frozenset[int]
    backend: frozenset[int]
    load: frozenset[int]

    @classmethod
    def choose(cls, available: set[int]) -> Self:
        """The last core for the proxy, the last but one for the backend, the first for the load."""
        ordered = sorted(available)
        return cls(
            proxy=frozenset(ordered[-1:]),
            backend=frozenset(ordered[-2:-1] or ordered),
            load=frozenset(ordered[:1]),
        )

    @property
    def all(self) -> frozenset[int]:
        """Every core that is used."""
        return self.proxy | self.backend | self.load

    @property
    def shared(self) -> bool:
        """Whether the proxy has no core of its own: the results say little then."""
        return bool(self.proxy & (self.backend | self.load))


def available_cores() -> set[int]:
    """The cores that this process may use."""
    return os.sched_getaffinity(0)


@contextmanager
def pinned(cores: frozenset[int]) -> Iterator[None]:
    """Keep this thread, and what it starts, to some cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def raise_file_limit() -> int:
    """Allow as many open files as this user may have, up to what is wanted; returns that number. It is inherited."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return most
    return soft


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def describe() -> dict[str, object]:
    """Machine, versions and date, for the report."""
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "commit": _commit(),
        "versions": _versions(),
    }


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or "unknown"
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def _commit() -> str:
    git = shutil.which("git")
    return _output([git, "-C", str(CHECKOUT), "describe", "--always", "--dirty"]).strip() if git else ""


def _versions() -> dict[str, str]:
    versions: dict[str, str] = {}
    for name in PYTHON_PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    for name, (program, *arguments) in VERSION_COMMANDS.items():
        path = shutil.which(program, path=program_path())
        found = re.search(r"\d+(\.\d+)+", _output([path, *arguments])) if path else None
        if found:
            versions[name] = found[0]
    return versions


def program_path() -> str:
    """Where programs are looked for: Debian has servers in folders that are not in every user's PATH."""
    return os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"))


def _output(command: list[str]) -> str:
    try:
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ended.stdout.decode(errors="replace")
