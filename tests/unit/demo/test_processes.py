"""The demo's processes start, come back on their port, say why they cannot, and never outlive their parent."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from livegate.demo import DemoUnavailableError, processes
from livegate.demo.processes import App, DemoProcesses

pytestmark = pytest.mark.process

ADDONS = Path(processes.__file__).parents[2]
ENDS_WITHIN_S = 15

PARENT = """
import sys
from livegate.demo.processes import DemoProcesses
with DemoProcesses(0, 0) as apps:
    print(apps.live.pid, apps.echo.pid, flush=True)
    sys.stdin.read()
"""


def status(url: str) -> int:
    with urllib.request.urlopen(f"{url}/healthz", timeout=10) as answer:
        return answer.status


def self_signed(name: str) -> bytes:
    """Key and certificate as PEM, good for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form) + certificate.public_bytes(serialization.Encoding.PEM)


def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> str:
    """A module that stands in for an app."""
    (tmp_path / "stand_in.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "stand_in"


def test_both_apps_answer_inside_the_context_and_are_gone_after_it() -> None:
    with DemoProcesses(0, 0) as apps:
        children = [psutil.Process(apps.live.pid), psutil.Process(apps.echo.pid)]
        assert status(apps.live_url) == 200
        assert status(apps.echo_url) == 200
    assert not any(child.is_running() for child in children)
    assert apps.live.pid == apps.echo.pid == 0


def test_a_killed_live_app_comes_back_on_its_port_and_the_echo_app_is_left_alone() -> None:
    with DemoProcesses(0, 0) as apps:
        before = (apps.live_url, apps.live.pid, apps.echo.pid)
        apps.kill_live()
        assert apps.live.pid == 0
        apps.restart_live()
        assert status(apps.live_url) == 200
        assert (apps.live_url, apps.echo.pid) == (before[0], before[2])
        assert apps.live.pid != before[1]


def test_starting_what_runs_changes_nothing_and_ending_what_does_not_run_is_no_error() -> None:
    app = App("livegate.demo.echo", 0)
    app.stop()
    app.kill()
    with pytest.raises(DemoUnavailableError, match="was not started"):
        app.wait()
    app.start()
    try:
        first = app.pid
        app.start()
        assert app.pid == first
        app.wait()
    finally:
        app.kill()


def test_a_free_port_is_known_as_soon_as_the_app_is_started() -> None:
    app = App("livegate.demo.echo", 0)
    assert app.port == 0
    app.start()
    try:
        assert app.port > 0
        app.wait()
    finally:
        app.stop()


def test_an_app_with_a_certificate_answers_over_tls(tmp_path: Path) -> None:
    pem = tmp_path / "app.pem"
    pem.write_bytes(self_signed("127.0.0.1"))
    app = App("livegate.demo.live", 0, "--tls", str(pem))
    app.start()
    try:
        app.wait()
        trusting = ssl.create_default_context(cafile=str(pem))
        trusting.check_hostname = False
        with urllib.request.urlopen(f"https://127.0.0.1:{app.port}/healthz", timeout=10, context=trusting) as answer:
            assert answer.status == 200
    finally:
        app.stop()


def test_an_app_that_says_a_port_where_nobody_listens_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "STOP_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    text = f"import sys; print('listening on port {port}', flush=True); sys.stdin.read()"
    app = App(script(tmp_path, monkeypatch, text), 0)
    app.start()
    try:
        with pytest.raises(DemoUnavailableError, match=f"did not answer on port {port}"):
            app.wait()
    finally:
        app.kill()


def test_a_taken_port_is_named_and_no_app_is_left_running() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        apps = DemoProcesses(0, port)
        with pytest.raises(
            DemoUnavailableError, match=rf"cannot listen on 127\.0\.0\.1 port {port}: Address already in use"
        ):
            apps.__enter__()
    assert apps.live.pid == apps.echo.pid == 0


def test_the_last_words_of_an_app_that_dies_at_once_are_in_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = App(script(tmp_path, monkeypatch, "import sys; sys.exit('no such luck')"), 0)
    app.start()
    with pytest.raises(DemoUnavailableError, match=r"stand_in ended with status 1: no such luck"):
        app.wait()
    app.stop()


def test_an_app_that_runs_but_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "START_TIMEOUT_S", 0.5)
    app = App(script(tmp_path, monkeypatch, "import sys; sys.stdin.read()"), 0)
    app.start()
    try:
        with pytest.raises(DemoUnavailableError, match="did not answer"):
            app.wait()
    finally:
        app.kill()


def test_an_app_that_does_not_heed_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "STOP_TIMEOUT_S", 0.2)
    text = """import signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("listening on port 9", flush=True)
while True: signal.pause()
"""
    app = App(script(tmp_path, monkeypatch, text), 0)
    app.start()
    child = psutil.Process(app.pid)
    assert app._output is not None
    assert app._output.port_known.wait(ENDS_WITHIN_S)
    app.stop()
    assert not child.is_running()


def test_an_app_that_prints_without_end_is_never_blocked_by_a_full_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = App(script(tmp_path, monkeypatch, "print('x' * 4_000_000); print('y\\n' * 100_000); raise SystemExit(3)"), 0)
    app.start()
    with pytest.raises(DemoUnavailableError, match="status 3") as refused:
        app.wait()
    app.stop()
    assert len(str(refused.value)) < processes.MAX_LINES * processes.MAX_LINE_BYTES


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_no_app_outlives_a_parent_that_is_killed(number: signal.Signals) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ADDONS)},
    )
    try:
        assert parent.stdin
        assert parent.stdout
        children = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        assert len(children) == 2
        parent.send_signal(number)
        parent.wait(ENDS_WITHIN_S)
        _, alive = psutil.wait_procs(children, timeout=ENDS_WITHIN_S)
        assert alive == []
    finally:
        parent.kill()
        parent.communicate()


def test_a_fixed_secret_is_kept_over_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYVIEW_SECRET", "given")
    assert App("livegate.demo.live", 0)._secret == "given"
    monkeypatch.delenv("PYVIEW_SECRET")
    assert App("livegate.demo.live", 0)._secret != App("livegate.demo.live", 0)._secret
