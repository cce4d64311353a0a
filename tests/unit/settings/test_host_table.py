"""Routes and certificates by name, certificates by their content, and the watch on the disk."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certificates import Authority, pem_of_key
from livegate.settings import HostTable, load_settings, watch
from livegate.settings.certificates import check_authority, read_certificate

LABEL = st.sampled_from(["a", "b", "c", "x-1"])
NAME = st.lists(LABEL, min_size=1, max_size=4).map(".".join)


def naive(names: list[str], host: str) -> str | None:
    host = host.lower().removesuffix(".")
    if host in names:
        return host
    fitting = [name for name in names if name.startswith("*.") and host.endswith(name[1:]) and host != name[1:]]
    longest = max(fitting, key=len, default=None)
    return longest or ("default" if "default" in names else None)


@given(st.lists(NAME | NAME.map("*.{}".format) | st.just("default"), unique=True, max_size=8), NAME)
def test_a_match_is_what_a_naive_search_finds(names: list[str], host: str) -> None:
    assert HostTable({name: name for name in names}).match(host) == naive(names, host)


@pytest.mark.parametrize("host", ["", ".", "..", ".a", "evilpreview.test", "preview.test", "a" * 10_000])
def test_a_wildcard_matches_nothing_but_names_below_it(host: str) -> None:
    assert HostTable({"*.preview.test": 1}).match(host) is None


def test_an_exact_name_wins_over_the_longest_wildcard_and_that_over_the_default() -> None:
    table = HostTable({name: name for name in ("a.test", "*.test", "*.b.test", "default")})
    hosts = ("A.test.", "x.test", "x.b.test", "other", "")
    assert [table.match(host) for host in hosts] == ["a.test", "*.test", "*.b.test", "default", "default"]
    assert list(table) == ["a.test", "*.test", "*.b.test", "default"]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.mark.parametrize(
    ("pattern", "names", "good"),
    [
        ("a.test", ["a.test"], True),
        ("a.test", ["*.test"], True),
        ("a.test", ["b.test"], False),
        ("a.b.test", ["*.test"], False),
        ("*.test", ["*.test"], True),
        ("*.test", ["a.test"], False),
        ("127.0.0.1", ["127.0.0.1"], True),
        ("[::1]", ["::1"], True),
        ("a.test", [], False),
        ("default", ["whatever.test"], True),
    ],
)
def test_a_certificate_has_to_cover_its_name(
    tmp_path: Path, authority: Authority, pattern: str, names: list[str], good: bool
) -> None:
    authority.write(tmp_path / "c.pem", *names)
    if good:
        assert read_certificate(pattern, tmp_path / "c.pem").pattern == pattern
        return
    with pytest.raises(ValueError, match="a certificate for"):
        read_certificate(pattern, tmp_path / "c.pem")


def test_a_certificate_has_to_be_in_date_with_its_own_key(tmp_path: Path, authority: Authority) -> None:
    file = tmp_path / "c.pem"
    authority.write(file, "a.test", days=(-5, -1))
    with pytest.raises(ValueError, match="valid today"):
        read_certificate("a.test", file)
    assert read_certificate("a.test", file, datetime.now(UTC) - timedelta(days=3))
    authority.write(file, "a.test", days=(1, 5))
    with pytest.raises(ValueError, match="valid today"):
        read_certificate("a.test", file)
    chain, _, _ = authority.leaf("a.test")
    file.write_bytes(chain + pem_of_key(authority.key))
    with pytest.raises(ValueError, match="private key that belongs"):
        read_certificate("a.test", file)
    for content in (b"", b"nonsense", chain, pem_of_key(authority.key)):
        file.write_bytes(content)
        with pytest.raises(ValueError, match="PEM file"):
            read_certificate("a.test", file)
    with pytest.raises(ValueError, match="No such file"):
        read_certificate("a.test", tmp_path / "missing.pem")


def test_an_authority_file_has_to_hold_one(tmp_path: Path, authority: Authority) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(authority.pem)
    check_authority(file)
    file.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="at least one CA"):
        check_authority(file)


def test_files_that_the_settings_name_are_watched_and_relative_to_them(tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "sub").mkdir()
    authority.write(tmp_path / "sub" / "a.pem", "a.test")
    (tmp_path / "sub" / "ca.pem").write_bytes(authority.pem)
    file = tmp_path / "sub" / "gateway.yaml"
    file.write_text(
        "services: {a.test: {backend: 'https://x', tls: {ca_file: ca.pem}}}\ntls: {certificates: {A.test: a.pem}}\n"
    )
    settings = load_settings(file, {})
    assert {path.name for path in settings.watched} == {"gateway.yaml", "a.pem", "ca.pem"}
    file.write_text(file.read_text().replace("A.test: a.pem", "A.test: a.pem, a.test.: a.pem"))
    with pytest.raises(Exception, match="each host once"):
        load_settings(file, {})


async def test_the_watch_tells_of_changes_and_only_of_changes(tmp_path: Path) -> None:
    (tmp_path / "certs").mkdir()
    main, named, late = tmp_path / "gateway.yaml", tmp_path / "certs" / "a.pem", tmp_path / "late"
    main.write_text("1")
    named.write_text("1")
    seen: asyncio.Queue[int] = asyncio.Queue()
    watched = {named}
    stop = asyncio.Event()
    task = asyncio.create_task(watch(main, lambda: watched, lambda: seen.put_nowait(1), stop))

    async def until_seen(change) -> None:
        """Repeat a change until it is told: the watch needs a moment to begin."""
        for number in range(100):
            change(str(number))
            try:
                await asyncio.wait_for(seen.get(), 0.5)
            except TimeoutError:
                continue
            else:
                return
        raise AssertionError("the change was not seen")

    try:
        await until_seen(main.write_text)
        await until_seen(named.write_text)
        late.mkdir()
        watched.add(late / "b.pem")
        await until_seen(main.write_text)
        await until_seen((late / "b.pem").write_text)
        named.unlink()
        await asyncio.wait_for(seen.get(), 10)
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)
    await asyncio.wait_for(watch(main, lambda: watched, lambda: None, stop), 10)
