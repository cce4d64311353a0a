"""Access rules of the admin listener, on header fields alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegate.admin.auth import AdminAuth
from livegate.settings import Admin

TOKEN = "0123456789abcdef"
LOCAL = AdminAuth(Admin())
LOCKED = AdminAuth(Admin(listen="ops.internal:9091", token=TOKEN, hosts=["ops.test"]))
EVERY = AdminAuth(Admin(listen=":9091", token=TOKEN))
HOST = "127.0.0.1:9091"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:9091", "127.0.0.1:", "10.1.2.3:80", "localhost", "LocalHost.:1", "[::1]", "[::1]:9091", "[FE80::1]:1",
     "[::ffff:127.0.0.1]:9091"],
)  # fmt: skip
def test_addresses_and_localhost_are_every_listeners_hosts(host: str) -> None:
    for auth in (LOCAL, LOCKED, EVERY):
        assert auth.cross_site_reason("GET", {"Host": host}, navigates=False) == ""


@pytest.mark.parametrize("host", ["ops.test", "OPS.test.:9091", "ops.internal", "ops.internal:1"])
def test_names_are_hosts_when_the_settings_say_so(host: str) -> None:
    assert LOCKED.cross_site_reason("GET", {"Host": host}, navigates=False) == ""
    for auth in (LOCAL, EVERY):
        assert "add the name to admin.hosts" in auth.cross_site_reason("GET", {"Host": host}, navigates=False)


@pytest.mark.parametrize(
    "host",
    ["", ":9091", ".", "evil.test", "evil.test:9091", "127.0.0.1.evil.test", "127.0.0.1.nip.io", "localhost.evil.test", "evil.test.localhost",
     "ops.test.evil.test", "xops.test", "2130706433", "0x7f.1", "127.1", "127.0.0.1@evil.test", "evil.test@127.0.0.1", "127.0.0.1/evil.test",
     "127.0.0.1,evil.test", "127.0.0.1:9091,127.0.0.1:9091", "127.0.0.1:80:80", "127.0.0.1:99999999", "127.0.0.1:x", "127.0.0.1 ", " 127.0.0.1",
     "127.0.0.1\n", "[evil.test]", "[::1", "::1", "::1]", "[::1]evil.test", "[::1%25lo]", "[ops.test]", "[localhost]", "１２７.0.0.1", "ｌocalhost",
     "a" * 5000],
)  # fmt: skip
def test_any_other_host_is_refused(host: str) -> None:
    for auth in (LOCAL, LOCKED, EVERY):
        why = auth.cross_site_reason("GET", {"Host": host}, navigates=True)
        assert "unknown host" in why
        assert len(why) < 1500
        assert why.isascii() and why.isprintable()


def test_a_request_without_host_is_refused() -> None:
    assert LOCAL.cross_site_reason("GET", {}, navigates=True)


@given(st.text(st.characters(exclude_characters="0123456789"), max_size=60))
def test_no_name_without_digits_is_let_in_but_localhost(host: str) -> None:
    known = LOCAL.cross_site_reason("GET", {"Host": host}, navigates=False) == ""
    name = host.lower().removesuffix(":").removesuffix(".")
    assert known == (name == "localhost" or (host.startswith("[::") and known))


@pytest.mark.parametrize("origin", [f"http://{HOST}", f"https://{HOST}", f"HTTP://{HOST}"])
def test_its_own_origin_is_let_in(origin: str) -> None:
    assert LOCAL.cross_site_reason("POST", {"Host": HOST, "Origin": origin}, navigates=False) == ""


@pytest.mark.parametrize(
    "origin",
    ["", "null", "http://evil.test", "http://127.0.0.1", "http://127.0.0.1:8080", "http://localhost:9091", f"ftp://{HOST}", f"http://{HOST}/",
     f"http://{HOST}.evil.test", f"http://evil.test@{HOST}", f"http://{HOST},http://{HOST}", HOST, "chrome-extension://abc"],
)  # fmt: skip
def test_any_other_origin_is_refused_whatever_is_asked(origin: str) -> None:
    for method in ("GET", "HEAD", "POST", "OPTIONS"):
        for navigates in (True, False):
            assert "origins" in LOCAL.cross_site_reason(method, {"Host": HOST, "Origin": origin}, navigates=navigates)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "SAME-ORIGIN", "x"])
def test_what_another_site_leads_to_is_refused_but_the_page(site: str) -> None:
    led = {"Host": HOST, "Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}
    assert "sites" in LOCAL.cross_site_reason("GET", led, navigates=False)
    assert LOCAL.cross_site_reason("GET", led, navigates=True) == ""
    assert "sites" in LOCAL.cross_site_reason("POST", led, navigates=True)
    assert "sites" in LOCAL.cross_site_reason("GET", led | {"Sec-Fetch-Mode": "no-cors"}, navigates=True)


@pytest.mark.parametrize("site", ["none", "same-origin"])
def test_a_person_and_the_page_itself_are_let_in(site: str) -> None:
    assert LOCAL.cross_site_reason("POST", {"Host": HOST, "Sec-Fetch-Site": site}, navigates=False) == ""


def test_the_token_opens_and_nothing_else_does() -> None:
    assert LOCKED.is_authenticated(f"Bearer {TOKEN}", "")
    assert LOCKED.is_authenticated(f"bearer  {TOKEN} ", "")
    assert LOCKED.is_authenticated("", LOCKED.cookie())
    for authorization in (
        "",
        "Bearer",
        "Bearer ",
        TOKEN,
        f"Basic {TOKEN}",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}x",
        f"Bearer x {TOKEN}",
    ):
        assert not LOCKED.is_authenticated(authorization, "")
    for cookie in ("", TOKEN, LOCKED.cookie()[:-1], EVERY.cookie(), "\udcff", "ä"):
        assert not LOCKED.is_authenticated("", cookie)
    assert EVERY.cookie() != LOCKED.cookie(), "the same token, another listener"
    assert LOCAL.is_authenticated("", ""), "on loopback none is asked for"


@given(st.text())
def test_no_text_is_taken_for_the_token_or_makes_it_fail(text: str) -> None:
    assert LOCKED.is_authenticated(f"Bearer {text}", text) is (text.strip() == TOKEN)
    assert LOCKED.is_token(text) is (text == TOKEN)
    assert LOCAL.is_token(text) is False, "there is none"
