"""What is measured: no proxy at all, two fast proxies, plain mitmproxy, and livegate in three ways."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import configs
from .backend import BODY
from .machine import CHECKOUT, Cores, free_port, program_path
from .processes import Backend, Process

PROGRAMS = Path(sys.executable).parent
INSTALL = {
    "nginx": "apt-get install nginx-light",
    "haproxy": "apt-get install haproxy",
    "wrk": "apt-get install wrk",
    "mitmdump": "make install",
    "livegate": "make install",
}


@dataclass(frozen=True)
class Bench:
    """What all subjects of a run have in common."""

    cores: Cores
    backend: Backend
    folder: Path


@dataclass(frozen=True)
class Target:
    """A subject that runs: where to send the load, and its process, if it has one."""

    websocket_port: int
    http_port: int
    process: Process | None


@dataclass(frozen=True)
class Launch:
    """How to start a proxy."""

    command: list[str]
    environ: dict[str, str]


@dataclass(frozen=True)
class Subject:
    """One row of the report."""

    name: str
    title: str
    program: str = ""
    launch: Callable[[Bench, Path, int], Launch] | None = None

    @property
    def missing(self) -> str:
        """The command that installs its program, or nothing when it is there."""
        return INSTALL[self.program] if self.program and find_program(self.program) is None else ""

    @contextmanager
    def running(self, bench: Bench) -> Iterator[Target]:
        """Start it on the proxy's core, and end it afterwards. Raises StartError."""
        if self.launch is None:
            yield Target(bench.backend.ports.websocket, bench.backend.ports.http, None)
            return
        with tempfile.TemporaryDirectory(dir=bench.folder, prefix=f"{self.name}-") as name:
            folder, port = Path(name), free_port()
            launch = self.launch(bench, folder, port)
            with Process(launch.command, cores=bench.cores.proxy, folder=folder, environ=launch.environ) as process:
                process.wait_until_serving(port, BODY)
                yield Target(port, port, process)


def find_program(name: str) -> str | None:
    """The path of a program: the environment's own first, then the system's."""
    own = PROGRAMS / name
    return str(own) if own.exists() else shutil.which(name, path=program_path())


def _program(name: str) -> str:
    path = find_program(name)
    assert path, f"{name} is not installed"
    return path


def _nginx(bench: Bench, folder: Path, port: int) -> Launch:
    config = configs.write_nginx(folder, port, bench.backend.ports)
    return Launch([_program("nginx"), "-e", "stderr", "-p", str(folder), "-c", str(config)], {})


def _haproxy(bench: Bench, folder: Path, port: int) -> Launch:
    return Launch([_program("haproxy"), "-db", "-f", str(configs.write_haproxy(folder, port, bench.backend.ports))], {})


def _confdir(bench: Bench) -> list[str]:
    """mitmproxy's own folder: neither the user's options nor the user's CA, and made once for the whole run."""
    return ["--set", f"confdir={bench.folder / 'mitmproxy'}"]


def _mitmdump(bench: Bench, folder: Path, port: int) -> Launch:
    del folder
    mode = f"reverse:http://127.0.0.1:{bench.backend.ports.http}@127.0.0.1:{port}"
    script = Path(__file__).with_name("remap.py")
    return Launch(
        [
            *(_program("mitmdump"), "-q", "-s", str(script), "--mode", mode),
            *("--set", "connection_strategy=lazy", *_confdir(bench)),
        ],
        {"BENCH_HTTP_PORT": str(bench.backend.ports.http), "BENCH_WEBSOCKET_PORT": str(bench.backend.ports.websocket)},
    )


def _livegate_environ(bench: Bench, folder: Path, port: int) -> dict[str, str]:
    config = configs.write_livegate(folder, port, bench.backend.ports, Path(_program("livegate")))
    return {"GATEWAY_CONFIG_FILE": str(config)}


def _livegate_mitmdump(bench: Bench, folder: Path, port: int) -> Launch:
    # Told the port as well, else it opens mitmproxy's default one for a moment, which may be taken.
    where = ("--listen-host", "127.0.0.1", "-p", str(port))
    script = CHECKOUT / "addons" / "gateway.py"
    return Launch(
        [_program("mitmdump"), "-q", *where, "-s", str(script), *_confdir(bench)],
        _livegate_environ(bench, folder, port),
    )


def _livegate_run(bench: Bench, folder: Path, port: int) -> Launch:
    return Launch([_program("livegate"), "run", "--", "-q", *_confdir(bench)], _livegate_environ(bench, folder, port))


def _livegate_web(bench: Bench, folder: Path, port: int) -> Launch:
    quiet = ("-q", "--no-web-open-browser", "--web-host", "127.0.0.1", "--web-port", str(free_port()))
    return Launch(
        [_program("livegate"), "run", "--ui", "web", "--", *quiet, *_confdir(bench)],
        _livegate_environ(bench, folder, port),
    )


SUBJECTS = (
    Subject("direct", "no proxy"),
    Subject("nginx", "nginx, 1 worker", "nginx", _nginx),
    Subject("haproxy", "HAProxy, 1 thread", "haproxy", _haproxy),
    Subject("mitmdump", "plain mitmdump", "mitmdump", _mitmdump),
    Subject("livegate-mitmdump", "mitmdump -s gateway.py", "mitmdump", _livegate_mitmdump),
    Subject("livegate-run", "livegate run", "livegate", _livegate_run),
    Subject("livegate-web", "livegate run --ui web\n with all inspection on", "livegate", _livegate_web),
)
