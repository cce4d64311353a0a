"""Errors of connections and sockets in words."""

import os
import ssl


def error_text(error: Exception) -> str:
    """Return why a connection failed, in lower case.

    asyncio's own text names the address that the caller already knows, so the errno's text is preferred; but the errno
    of an SSLError is OpenSSL's, not the operating system's.
    """
    number = getattr(error, "errno", None) or 0
    if number > 0 and not isinstance(error, ssl.SSLError):
        return os.strerror(number).lower()
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
