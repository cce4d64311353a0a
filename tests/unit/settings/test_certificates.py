"""Certificates and CA files, checked when settings are loaded."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certificates import Authority, pem_of_key
from livegate.settings.certificates import check_authority, read_certificate


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


def test_a_certificate_has_to_be_valid_today_with_its_own_key(tmp_path: Path, authority: Authority) -> None:
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
