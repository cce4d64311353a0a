"""A refusal as a value: returned by the rules of the gateway, made a response by `pipeline.exchange.responses`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """Reason for which the gateway itself responds to a request, instead of a backend."""

    status: int
    """HTTP status of the response, 400..599 (RFC 9110 section 15), or 308 for a redirect."""
    message: str
    """One sentence for the client: the problem and what is allowed. Plain text, never an internal address."""
    reason: str
    """A short fixed slug for logs and metrics, such as `host-malformed`. Never contains client data."""
    headers: tuple[tuple[str, str], ...] = ()
    """Additional header fields of the response, such as `Allow`."""
    close: bool = False
    """Whether the response closes the client's connection, because its framing can no longer be trusted."""
