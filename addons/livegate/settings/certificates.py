"""Reads and checks PEM files on load, so that a bad file is a problem of the settings and not a failed handshake."""

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from livegate.settings.addresses import DEFAULT
from livegate.settings.model import Certificate

MAX_PEM_BYTES = 1024 * 1024
PEM_ALLOWED = "a PEM file with the certificate, its chain and its unencrypted private key"


def read_certificate(pattern: str, path: Path, now: datetime | None = None) -> Certificate:
    """Return the certificate for a canonical host pattern. Raise ValueError with what is allowed.

    Checks that the file can be read, the key belongs to the leaf, the leaf is valid now, and one of its subject
    alternative names covers the pattern (RFC 9525 section 6.3; the common name is ignored).
    """
    pem = _read(path, PEM_ALLOWED)
    try:
        chain = x509.load_pem_x509_certificates(pem)
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        raise ValueError(PEM_ALLOWED) from None
    leaf = chain[0]
    encoding = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if leaf.public_key().public_bytes(*encoding) != key.public_key().public_bytes(*encoding):
        raise ValueError("a private key that belongs to the first certificate of the file")
    moment = now or datetime.now(UTC)
    if not leaf.not_valid_before_utc <= moment <= leaf.not_valid_after_utc:
        first, last = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        raise ValueError(
            f"a certificate that is valid today; this one is valid from {first:%Y-%m-%d} to {last:%Y-%m-%d}"
        )
    covered = _names(leaf)
    if pattern != DEFAULT and not _covers(covered, pattern):
        raise ValueError(f"a certificate for {pattern}; this one is for {', '.join(sorted(covered)) or 'no name'}")
    return Certificate(pattern, path, leaf.not_valid_after_utc.timestamp(), pem, pem)


def check_authority(path: Path) -> None:
    """Check a file of trusted certificates. Raise ValueError with what is allowed."""
    allowed = "a PEM file with at least one CA certificate"
    pem = _read(path, allowed)
    try:
        x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise ValueError(allowed) from None


def _read(path: Path, allowed: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_PEM_BYTES)
    except OSError as error:
        raise ValueError(f"{allowed}; {path} cannot be read: {error.strerror}") from None


def _names(leaf: x509.Certificate) -> set[str]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return {name.lower() for name in names.get_values_for_type(x509.DNSName)} | addresses


def _covers(covered: set[str], pattern: str) -> bool:
    parent = pattern.partition(".")[2]
    return pattern.strip("[]") in covered or (not pattern.startswith("*.") and f"*.{parent}" in covered)
