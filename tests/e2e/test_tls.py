"""TLS on both sides: a certificate of the settings towards clients, own trust towards backends, redirects, renewal."""

import asyncio
import re
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from browser import browser_page, journey
from gateway_process import Gateway, header_of, receive_all, status_of

from livegate.demo.processes import App, DemoProcesses

sys.path.insert(0, str(Path(__file__).parents[1]))
from certificates import Authority, spki_hash

MANY = {"user": "100000/minute", "ip": "100000/minute"}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def tls_app(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The LiveView app as an https backend whose certificate is for `api.internal` only."""
    pem = tmp_path_factory.mktemp("backend") / "backend.pem"
    authority.write(pem, "api.internal")
    app = App("livegate.demo.live", 0, "--tls", str(pem))
    app.start()
    try:
        until_it_listens(app.port)
        yield app
    finally:
        app.stop()


def until_it_listens(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the backend does not listen")


def tls_get(gateway: Gateway, context: ssl.SSLContext, host: str, path: str = "/healthz") -> bytes:
    with (
        socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname=host) as conn,
    ):
        conn.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return receive_all(conn)


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority.pem.decode())


def test_the_browser_sees_the_same_over_https_with_a_certificate_of_the_settings(
    chromium: str, demo: DemoProcesses, folder: Path, authority: Authority
) -> None:
    key = authority.write(folder / "live.pem", "live.localhost")
    settings = {
        "services": {"live.localhost": demo.live_url},
        "tls": {"certificates": {"live.localhost": "live.pem"}, "redirect_http": True},
        "rate_limit": MANY,
    }
    with browser_page(chromium) as page:
        seen_directly = journey(page, f"http://127.0.0.1:{demo.live.port}", folder)
    with Gateway(folder, settings) as gateway:
        arguments = f"--ignore-certificate-errors-spki-list={spki_hash(key)}"
        with browser_page(chromium, arguments=[arguments]) as page:
            seen = journey(page, f"https://live.localhost:{gateway.port}", folder)
    assert seen == seen_directly


def test_a_tls_backend_is_reached_with_its_own_ca_and_server_name(
    folder: Path, tls_app: App, authority: Authority
) -> None:
    (folder / "ca.pem").write_bytes(authority.pem)
    backend = f"https://127.0.0.1:{tls_app.port}"
    good = {"server_name": "api.internal", "ca_file": "ca.pem"}
    settings = {
        "services": {
            "good.test": {"backend": backend, "tls": good},
            "wrong-name.test": {"backend": backend, "tls": {**good, "server_name": "other.internal"}},
            "by-address.test": {"backend": backend, "tls": {"ca_file": "ca.pem"}},
            "unknown-ca.test": {"backend": backend, "tls": {"server_name": "api.internal"}},
            "unverified.test": {"backend": backend, "tls": {"verify": False}},
            "plain-as-tls.test": f"https://127.0.0.1:{DUMMY_PLAIN}",
        },
        "rate_limit": MANY,
    }
    with Gateway(folder, settings) as gateway:

        def get(host: str) -> bytes:
            return gateway.raw(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())

        assert status_of(get("good.test")) == 200
        assert status_of(get("unverified.test")) == 200
        for host, reason in (
            ("wrong-name.test", "hostname mismatch"),
            ("by-address.test", "IP address mismatch"),
            ("unknown-ca.test", "Certificate verify failed"),
        ):
            mark = len(gateway.output.lines)
            answer = get(host)
            assert status_of(answer) == 502
            assert b"did not prove its identity" in answer
            assert reason in gateway.output.wait_for("502 backend-untrusted", since=mark)

        async def secure_socket() -> list[object]:
            """LiveView's own socket over the TLS backend: joins with what the page says, and gets the page's tree."""
            async with aiohttp.ClientSession(headers={"Host": "good.test"}) as session:
                async with session.get(f"{gateway.url}/count") as answer:
                    page = await answer.text()
                token, tree, topic = (
                    re.search(pattern, page)[1]  # type: ignore[index]
                    for pattern in (r'csrf-token" content="([^"]+)', r'phx-session="([^"]+)', r'id="(phx-[^"]+)')
                )
                params = {"_csrf_token": token, "vsn": "2.0.0"}
                async with session.ws_connect(f"{gateway.url}/live/websocket", params=params) as ws:
                    join = {"url": "http://good.test/count", "params": params, "session": tree, "static": ""}
                    await ws.send_json(["4", "4", f"lv:{topic}", "phx_join", join])
                    return await ws.receive_json(timeout=60)

        reply = asyncio.run(secure_socket())
        assert reply[3] == "phx_reply"
        assert reply[4]["status"] == "ok"  # type: ignore[index, call-overload]


DUMMY_PLAIN = 9


def test_plain_requests_are_sent_to_https_and_upgrades_refused(
    folder: Path, demo: DemoProcesses, authority: Authority
) -> None:
    authority.write(folder / "wild.pem", "*.example.test")
    settings = {
        "services": {"app.example.test": demo.live_url, "*.example.test": demo.live_url},
        "tls": {"certificates": {"*.example.test": "wild.pem"}, "redirect_http": True},
    }
    with Gateway(folder, settings) as gateway:
        host = f"app.example.test:{gateway.port}"
        answer = gateway.raw(
            f"POST /a%20b?c=d HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab".encode()
        )
        assert status_of(answer) == 308
        assert header_of(answer, "Location") == [f"https://{host}/a%20b?c=d"]
        upgrade = (
            f"GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert status_of(gateway.raw(upgrade.encode())) == 426
        seen = tls_get(gateway, trusting(authority), "app.example.test", "/headers")
        assert b'["x-forwarded-proto","https"]' in seen
        assert status_of(tls_get(gateway, trusting(authority), "other.example.test")) == 200


def test_a_host_without_a_certificate_gets_mitmproxys_own(folder: Path, demo: DemoProcesses) -> None:
    with Gateway(folder, {"services": {"app.test": demo.live_url}}) as gateway:
        context = ssl.create_default_context()
        with pytest.raises(ssl.SSLCertVerificationError):
            tls_get(gateway, context, "app.test")
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        assert status_of(tls_get(gateway, context, "app.test")) == 200


def test_a_renewed_certificate_is_served_without_a_restart(
    folder: Path, demo: DemoProcesses, authority: Authority
) -> None:
    pem = folder / "renewed.pem"
    authority.write(pem, "app.test")
    settings = {"services": {"app.test": demo.live_url}, "tls": {"certificates": {"app.test": "renewed.pem"}}}
    renewed = Authority("Another CA")
    with Gateway(folder, settings) as gateway:
        assert status_of(tls_get(gateway, trusting(authority), "app.test")) == 200
        mark = len(gateway.output.lines)
        renewed.write(folder / "next.pem", "app.test")
        (folder / "next.pem").replace(pem)
        gateway.output.wait_for("settings reloaded", since=mark)
        assert status_of(tls_get(gateway, trusting(renewed), "app.test")) == 200
        mark = len(gateway.output.lines)
        pem.write_bytes(b"broken")
        gateway.output.wait_for("settings not reloaded", since=mark)
        assert status_of(tls_get(gateway, trusting(renewed), "app.test")) == 200, "a bad renewal changes nothing"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_versions_are_refused(folder: Path, demo: DemoProcesses, authority: Authority) -> None:
    authority.write(folder / "old.pem", "app.test")
    settings = {"services": {"app.test": demo.live_url}, "tls": {"certificates": {"app.test": "old.pem"}}}
    with Gateway(folder, settings) as gateway:
        context = trusting(authority)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            tls_get(gateway, context, "app.test")
