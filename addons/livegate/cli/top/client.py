"""HTTP client of a gateway's admin listener, for `livegate top`."""

import http.client
import json
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from livegate.os_errors import error_text

TIMEOUT_S = 5.0
MAX_RESPONSE_BYTES = 32 * 1024 * 1024
MAX_PAGES = 20
"""Pages of sessions per snapshot; a gateway keeps fewer."""
TOKEN_VARIABLE = "LIVEGATE_ADMIN_TOKEN"  # noqa: S105 - a name


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State of a gateway at one moment, in the shapes of admin/page/openapi.json."""

    version: str
    overview: dict[str, Any]
    sessions: list[dict[str, Any]]
    incidents: list[dict[str, Any]]
    """The latest ones, oldest first."""


class UnavailableError(Exception):
    """No response at the moment; a retry may succeed."""


class RejectedError(Exception):
    """A retry cannot succeed. The message says what to do."""


class Client:
    """Client of one gateway."""

    def __init__(self, url: str, token: str | None) -> None:
        """Raise ValueError for an invalid URL or token."""
        self.url = url if "://" in url else f"http://{url}"
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError(f"{url!r} is not the URL of an admin listener, such as http://127.0.0.1:9091")
        if token is not None and not (token.isascii() and token.isprintable()):
            raise ValueError("the token must be visible ASCII characters, like `admin.token` in the settings")
        self._parts, self._port = parts, parts.port
        self._headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})

    def fetch(self) -> Snapshot:
        """Fetch everything; each request blocks for at most TIMEOUT_S. Raises UnavailableError and RejectedError."""
        conn = self._connection()
        try:
            overview = self._get(conn, "/api/v1/overview")
            incidents = self._get(conn, "/api/v1/incidents")["incidents"]
            version = self._get(conn, "/version")["livegate"]
            return Snapshot(version, overview, self._sessions(conn), incidents)
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(_error_text(error)) from None
        except (KeyError, TypeError, AttributeError):
            raise RejectedError(self._not_livegate) from None
        finally:
            conn.close()

    def _sessions(self, conn: http.client.HTTPConnection) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for _ in range(MAX_PAGES):
            after = found[-1]["number"] if found else 0
            page = self._get(conn, f"/api/v1/sessions?after={after}")
            found += page["sessions"]
            if not page["more"]:
                break
        return found

    def _connection(self) -> http.client.HTTPConnection:
        host = self._parts.hostname or ""
        if self._parts.scheme == "http":
            return http.client.HTTPConnection(host, self._port, timeout=TIMEOUT_S)
        return http.client.HTTPSConnection(host, self._port, timeout=TIMEOUT_S, context=ssl.create_default_context())

    @property
    def _not_livegate(self) -> str:
        return f"{self.url} is not livegate's admin listener (see `admin.listen` in its settings)"

    def _get(self, conn: http.client.HTTPConnection, path: str) -> Any:
        conn.request("GET", path, headers=self._headers)
        response = conn.getresponse()
        body = response.read(MAX_RESPONSE_BYTES)
        if response.status == HTTPStatus.UNAUTHORIZED:
            known = "Authorization" in self._headers
            raise RejectedError(
                f"{self.url} {'rejects this token' if known else 'requires a token'}: pass `admin.token` of the "
                f"gateway's settings in {TOKEN_VARIABLE} or with --token"
            )
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            raise RejectedError(self._not_livegate) from None
        if response.status == HTTPStatus.OK:
            return value
        reason = str(value.get("error", "")) if isinstance(value, dict) else ""
        if response.status == HTTPStatus.SERVICE_UNAVAILABLE:
            raise UnavailableError(reason)
        if response.status == HTTPStatus.FORBIDDEN and reason:
            raise RejectedError(f"{self.url}: {reason}")
        raise RejectedError(self._not_livegate)


def _error_text(error: Exception) -> str:
    return f"no response within {TIMEOUT_S:g} s" if isinstance(error, TimeoutError) else error_text(error)
