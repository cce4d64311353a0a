"""The value that a rule of the gateway returns when it turns a request away; the addons make answers of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is answered by the gateway itself instead of a backend."""

    status: int
    """HTTP status of the answer, 400..599 (RFC 9110 section 15)."""
    message: str
    """One sentence for the client: what was wrong and what is allowed. Plain text, never an internal address."""
    reason: str
    """A short fixed slug for logs and metrics, such as `host-malformed`. Never contains client data."""
    headers: tuple[tuple[str, str], ...] = ()
    """Header fields that the answer carries besides the usual ones, such as `Allow`."""
    close: bool = False
    """Whether the client's connection must end after the answer (framing can no longer be trusted)."""
