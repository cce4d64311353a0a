"""Who may ask the admin listener: the rules, as functions on header fields."""

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


class Gatekeeper:
    """Judges requests to one admin listener."""

    def __init__(self, settings: Admin) -> None:
        self.settings = settings
        self._key = os.urandom(32)

    @property
    def open(self) -> bool:
        """Whether no token is asked for."""
        return self.settings.token is None

    def stranger(self, method: str, headers: Mapping[str, str], *, navigates: bool) -> str:
        """Why a browser must have been led here by another site, or empty.

        A Host that is a name could be anybody's (DNS rebinding); an Origin or Sec-Fetch-Site of another site is that
        site's script, which may only lead a person to the page (`navigates`).
        """
        host = headers.get("Host", "")
        if not self._is_ours(host):
            return f"this listener is not called {host[:100]!a}; add the name to admin.hosts"
        origin = headers.get("Origin")
        if origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
            return "requests from other origins are refused"
        site = headers.get("Sec-Fetch-Site", "none")
        leads = navigates and method in _SAFE and headers.get("Sec-Fetch-Mode") == "navigate"
        if site not in ("none", "same-origin") and not leads:
            return "requests from other sites are refused"
        return ""

    def knows(self, authorization: str, cookie: str) -> bool:
        """Whether a request has brought the token, in a field or in the cookie that stands for it."""
        if self.settings.token is None:
            return True
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() == "bearer" and self.is_token(given.strip()):
            return True
        return hmac.compare_digest(cookie.encode("utf-8", "surrogatepass"), self.cookie().encode())

    def is_token(self, given: str) -> bool:
        """Whether a text is the token; takes equally long for all texts of a length."""
        token = self.settings.token or ""
        return bool(token) and hmac.compare_digest(given.encode("utf-8", "surrogatepass"), token.encode())

    def cookie(self) -> str:
        """What a browser gets instead of the token; of no use to another process, nor after a restart."""
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
