"""Access rules of the admin listener, as functions of header fields."""

import hashlib
import hmac
import os
import re
from collections.abc import Mapping
from ipaddress import ip_address

from livegate.pipeline.headers import ADMIN_COOKIE
from livegate.settings import Admin

COOKIE = ADMIN_COOKIE.decode()
_SAFE = frozenset({"GET", "HEAD"})
_HOST = re.compile(r"(?P<name>\[(?P<v6>[0-9A-Fa-f:.]{2,45})\]|[A-Za-z0-9_.-]{1,254})(?::[0-9]{0,5})?")


class AdminAuth:
    """Authentication of requests to one admin listener, and protection against other sites."""

    def __init__(self, settings: Admin) -> None:
        self.settings = settings
        self._key = os.urandom(32)

    def cross_site_reason(self, method: str, headers: Mapping[str, str], *, navigates: bool) -> str:
        """Return why a request may come from another site, or an empty string.

        An unknown name in Host may be an attacker's (DNS rebinding). A foreign Origin or Sec-Fetch-Site belongs to
        another site's script; only links to the page are allowed (`navigates`).
        """
        host = headers.get("Host", "")
        if not self._is_ours(host):
            return f"unknown host {host[:100]!a}; add the name to admin.hosts"
        origin = headers.get("Origin")
        if origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
            return "requests from other origins are refused"
        site = headers.get("Sec-Fetch-Site", "none")
        is_link = navigates and method in _SAFE and headers.get("Sec-Fetch-Mode") == "navigate"
        if site not in ("none", "same-origin") and not is_link:
            return "requests from other sites are refused"
        return ""

    def is_authenticated(self, authorization: str, cookie: str) -> bool:
        """Return whether a request has the token, or the cookie of the login; true if no token is set."""
        if self.settings.token is None:
            return True
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer" and self.is_token(token.strip()):
            return True
        return hmac.compare_digest(cookie.encode("utf-8", "surrogatepass"), self.cookie().encode())

    def is_token(self, text: str) -> bool:
        """Compare a text with the token in constant time."""
        token = self.settings.token or ""
        return bool(token) and hmac.compare_digest(text.encode("utf-8", "surrogatepass"), token.encode())

    def cookie(self) -> str:
        """Return the value of the login cookie: a keyed hash of the token. The key is random per process."""
        return hmac.new(self._key, (self.settings.token or "").encode(), hashlib.sha256).hexdigest()

    def _is_ours(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match["name"].lower().removesuffix(".")
        if match["v6"] is None and name in ("localhost", self.settings.listen.host, *self.settings.hosts):
            return bool(name)
        try:
            ip_address(match["v6"] or name)
        except ValueError:
            return False
        return True
