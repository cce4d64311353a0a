"""Asks a gateway's admin listener for what `livegate top` shows."""

import http.client
import json
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 5.0
MAX_RESPONSE_BYTES = 32 * 1024 * 1024
MAX_PAGES = 20
"""Of sessions; a gateway keeps fewer."""
TOKEN_VARIABLE = "LIVEGATE_ADMIN_TOKEN"  # noqa: S105 - a name


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a gateway has told; the shapes are those of page/openapi.json."""

    version: str
    overview: dict[str, Any]
    sessions: list[dict[str, Any]]
    incidents: list[dict[str, Any]]
    """The last ones, oldest first."""


class UnavailableError(Exception):
    """Nobody answers at the moment; it may be well to ask again."""


class RejectedError(Exception):
    """The gateway does not answer this question, however often it is asked. Says what to do."""


class Client:
    """One gateway."""

    def __init__(self, url: str, token: str | None) -> None:
        """Raises ValueError for a URL that is none."""
        self.url = url if "://" in url else f"http://{url}"
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError(f"{url!r} is no URL of an admin listener, such as http://127.0.0.1:9091")
        if token is not None and not (token.isascii() and token.isprintable()):
            raise ValueError("the token has to be visible ASCII characters, as admin.token of the settings")
        self._parts, self._port = parts, parts.port
        self._headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})

    def fetch(self) -> Snapshot:
        """Ask for everything. Blocks for some seconds at most. Raises GoneError and TurnedAwayError."""
        conn = self._connection()
        try:
            overview = self._get(conn, "/api/v1/overview")
            incidents = self._get(conn, "/api/v1/incidents")["incidents"]
            version = self._get(conn, "/version")["livegate"]
            return Snapshot(version, overview, self._sessions(conn), incidents)
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(_why(error)) from None
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
        return f"what answers at {self.url} is not livegate's admin listener (see `admin.listen` of its settings)"

    def _get(self, conn: http.client.HTTPConnection, path: str) -> Any:
        conn.request("GET", path, headers=self._headers)
        response = conn.getresponse()
        body = response.read(MAX_RESPONSE_BYTES)
        if response.status == HTTPStatus.UNAUTHORIZED:
            known = "Authorization" in self._headers
            raise RejectedError(
                f"{self.url} {'does not know this token' if known else 'wants a token'}: it is admin.token of the "
                f"gateway's settings; give it by --token or {TOKEN_VARIABLE}"
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


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_S:g} s"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
