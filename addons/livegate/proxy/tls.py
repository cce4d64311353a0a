"""OpenSSL connections: with certificates from the settings for clients, with their own trust anchors for backends."""

import ipaddress
from functools import lru_cache
from pathlib import Path
from typing import Any

import certifi
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from mitmproxy.net import tls as net_tls
from OpenSSL import SSL

ALPN_HTTP1 = b"http/1.1"
MODERN_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"
"""For TLS 1.2. All ciphers of TLS 1.3 are allowed."""


def _choose_alpn(_: SSL.Connection, offered: list[bytes]) -> Any:
    return ALPN_HTTP1 if ALPN_HTTP1 in offered else SSL.NO_OVERLAPPING_PROTOCOLS


@lru_cache(64)
def client_side_context(chain_pem: bytes, key_pem: bytes) -> SSL.Context:
    """Return a context for clients: TLS 1.2 or newer, HTTP/1.1 only, the given chain (leaf first) and key.

    Raises ValueError or SSL.Error if chain and key do not match; the settings check that first.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(MODERN_CIPHERS.encode())
    context.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    leaf, *issuers = x509.load_pem_x509_certificates(chain_pem)
    context.use_certificate(leaf)
    for issuer in issuers:
        context.add_extra_chain_cert(issuer)
    key: Any = load_pem_private_key(key_pem, None)
    context.use_privatekey(key)
    context.check_privatekey()
    context.set_alpn_select_callback(_choose_alpn)
    return context


def accept(chain_pem: bytes, key_pem: bytes) -> SSL.Connection:
    """Return a connection that accepts a client's handshake."""
    conn = SSL.Connection(client_side_context(chain_pem, key_pem))
    conn.set_accept_state()
    return conn


@lru_cache(64)
def _backend_side_context(ca_file: str, ca_changed_ns: int, *, verify: bool) -> SSL.Context:
    del ca_changed_ns  # part of the cache key, so that a renewed CA file gets a new context
    return net_tls.create_proxy_server_context(
        method=net_tls.Method.TLS_CLIENT_METHOD,
        min_version=net_tls.Version.TLS1_2,
        max_version=net_tls.Version.UNBOUNDED,
        cipher_list=None,
        ecdh_curve=None,
        verify=net_tls.Verify.VERIFY_PEER if verify else net_tls.Verify.VERIFY_NONE,
        ca_path=None,
        ca_pemfile=ca_file,
        client_cert=None,
        legacy_server_connect=False,
    )


def connect(server_name: str, ca_file: Path | None, *, verify: bool) -> SSL.Connection:
    """Return a connection that starts a handshake with a backend and accepts only a certificate for `server_name`.

    `server_name` is a DNS name or an IP address; names are sent as SNI (RFC 6066 section 3 forbids addresses there).
    """
    trusted = Path(ca_file or certifi.where())
    conn = SSL.Connection(_backend_side_context(str(trusted), trusted.stat().st_mtime_ns, verify=verify))
    _expect_name(conn, server_name)
    conn.set_alpn_protos([ALPN_HTTP1])
    conn.set_connect_state()
    return conn


def _expect_name(conn: SSL.Connection, server_name: str) -> None:
    """Make OpenSSL check the certificate's name. pyOpenSSL has no public call for it; mitmproxy does the same."""
    lib: Any = SSL._lib  # type: ignore[attr-defined]  # private in pyOpenSSL
    parameters = lib.SSL_get0_param(conn._ssl)
    lib.X509_VERIFY_PARAM_set_hostflags(parameters, lib.X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS)
    try:
        address = ipaddress.ip_address(server_name).packed
    except ValueError:
        name = server_name.encode("ascii")
        conn.set_tlsext_host_name(name)
        accepted = lib.X509_VERIFY_PARAM_set1_host(parameters, name, len(name))
    else:
        accepted = lib.X509_VERIFY_PARAM_set1_ip(parameters, address, len(address))
    SSL._openssl_assert(accepted == 1)
