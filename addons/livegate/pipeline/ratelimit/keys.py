"""Keys of users and addresses for rate limiting. They reveal no credential."""

import functools
import hashlib
import secrets
from collections.abc import Sequence

MAX_COOKIE_CHARACTERS = 16_384
"""Characters of the Cookie fields searched for a session cookie. Beyond, they are ignored to bound the time."""
DIGEST_BYTES = 16

# Trap: random per process, so two processes have different keys for one user. A shared storage needs a shared secret.
_PROCESS_KEY = secrets.token_bytes(32)


@functools.lru_cache(maxsize=4096)
def address_key(address: str) -> str:
    """Return the key of an address. Cached, because most requests come from an address that was seen before."""
    return hash_key("address", address)


def hash_key(kind: str, secret: str) -> str:
    """Return a keyed BLAKE2b digest, so that stored keys reveal no credential. The hash key is random per process."""
    digest = hashlib.blake2b(secret.encode("utf-8", "surrogateescape"), key=_PROCESS_KEY, digest_size=DIGEST_BYTES)
    return f"{kind}:{digest.hexdigest()}"


def user_key(*, user_id: str | None, authorization: str | None, cookies: Sequence[str], address: str) -> str:
    """Return the key of a user.

    The first of these decides: X-User-ID (of a trusted proxy only), Authorization, session cookie, client address.
    """
    if user_id:
        return hash_key("user-id", user_id)
    if authorization:
        return hash_key("authorization", authorization)
    session = session_cookie(cookies)
    return hash_key("session", session) if session else address_key(address)


def session_cookie(cookies: Sequence[str]) -> str | None:
    """Return the first session cookie as `name=value`: `*_session` or `_*_key`, as Phoenix and Rails name them."""
    for pair in "; ".join(cookies)[:MAX_COOKIE_CHARACTERS].split(";"):
        name, _, value = pair.strip().partition("=")
        if value and (name.endswith("_session") or (name.startswith("_") and name.endswith("_key"))):
            return f"{name}={value}"
    return None
