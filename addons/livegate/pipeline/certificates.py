"""TLS to clients with the certificates of the settings, and to backends with each service's own trust anchors."""

import logging

from mitmproxy import connection, tls

from livegate.mitm.layers.upstream import upstream_of
from livegate.proxy import tls as openssl
from livegate.settings import CurrentSettings

logger = logging.getLogger(__name__)


class Certificates:
    """Hand mitmproxy ready OpenSSL connections. A host without a certificate gets one of mitmproxy's own CA."""

    def __init__(self, current: CurrentSettings) -> None:
        self._current = current

    def tls_start_client(self, tls_start: tls.TlsData) -> None:
        if tls_start.ssl_conn is not None or not self._current.loaded:
            return
        certificate = self._current.value.tls.certificates.match(tls_start.conn.sni or "")
        if certificate is not None:
            tls_start.ssl_conn = openssl.accept(certificate.chain_pem, certificate.key_pem)

    def tls_start_server(self, tls_start: tls.TlsData) -> None:
        server = tls_start.conn
        upstream = upstream_of.get(server) if isinstance(server, connection.Server) else None
        if tls_start.ssl_conn is not None or upstream is None:
            return
        try:
            tls_start.ssl_conn = openssl.connect(
                upstream.server_name or upstream.host, upstream.ca_file, verify=upstream.verify
            )
        except (OSError, ValueError, RuntimeError) as error:
            # Without an `ssl_conn`, mitmproxy fails this connection to the backend, as it should.
            logger.error("cannot start TLS to %s:%d: %s", upstream.host, upstream.port, error)
