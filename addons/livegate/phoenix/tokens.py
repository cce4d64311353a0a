"""Reads the signed `session` token of a LiveView. It is signed, not encrypted, so that no key is needed.

Returns names only, neither signatures nor values of a session. Follows Phoenix.Token, Plug.Crypto.MessageVerifier
(`SFMyNTY` is HS256 in base64) and Phoenix.LiveView.Static 0.18 to 1.2.
"""

import base64
import binascii
from dataclasses import dataclass

from livegate.phoenix.etf import TermError, read_term

PREFIX = "SFMyNTY."
MAX_TOKEN_CHARACTERS = 64 * 1024
"""Characters of a token; longer ones are not read."""
_ELIXIR = "Elixir."


@dataclass(frozen=True, slots=True)
class SessionToken:
    """`session` token of a join, which identifies the LiveView."""

    id: str | None
    view: str | None
    """Module without the prefix `Elixir.`; so are the router and the root view."""
    router: str | None
    live_session: str | None
    root_view: str | None
    is_child: bool
    session_keys: tuple[str, ...]
    signed_at: float | None
    """Seconds since the epoch."""


def is_signed(token: str) -> bool:
    """Return whether a token is one of Phoenix's. It contains its signing time, so that page loads never share one."""
    return token.startswith(PREFIX) and len(token) <= MAX_TOKEN_CHARACTERS


def read_session(token: str) -> SessionToken | None:
    """Read the `session` of a join; None if it is not one of Phoenix's."""
    found = _signed(token)
    if found is None:
        return None
    value, signed_at = found
    session = value.get("session")
    return SessionToken(
        id=_text(value.get("id")),
        view=_module(value.get("view")),
        router=_module(value.get("router")),
        live_session=_text(value.get("live_session_name")),
        root_view=_module(value.get("root_view")),
        is_child=value.get("parent_pid") is not None,
        session_keys=_keys(session),
        signed_at=signed_at,
    )


def _signed(token: str) -> tuple[dict[str, object], float | None] | None:
    """Return the map that Phoenix.Token signed, with keys as text, and the time of signing in seconds."""
    term = _payload(token)
    if not isinstance(term, tuple) or len(term) < 2:
        return None
    value, signed_at = term[0], term[1]
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], dict):
        value = value[1]  # after LiveView's version number of the format
    if not isinstance(value, dict):
        return None
    fields = {_text(key) or "": found for key, found in value.items()}
    return fields, signed_at / 1000 if isinstance(signed_at, int) else None


def _payload(token: str) -> object:
    if not token.startswith(PREFIX) or len(token) > MAX_TOKEN_CHARACTERS:
        return None
    encoded = token[len(PREFIX) :].partition(".")[0]
    try:
        return read_term(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (TermError, binascii.Error, ValueError):
        return None


def _text(value: object) -> str | None:
    """Return an atom or a binary as text; None for any other value."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value) if isinstance(value, str) else None


def _module(value: object) -> str | None:
    name = _text(value)
    return name.removeprefix(_ELIXIR) if name is not None else None


def _keys(value: object) -> tuple[str, ...]:
    return tuple(_text(key) or repr(key) for key in value) if isinstance(value, dict) else ()
