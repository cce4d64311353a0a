"""Durations, sizes, rates and ratios as text; used by the settings file and by options of the command line."""

import re
from dataclasses import dataclass

MAX_DURATION_S = 24 * 3600.0
MAX_SIZE_BYTES = 1 << 40
MAX_RATE = 10_000_000

DURATION_PATTERN = r"^(\d{1,6}(\.\d{1,3})?(ms|s|m|h))+$"
SIZE_PATTERN = r"^\d{1,9}(\.\d{1,3})?\s?(B|kB|KB|KiB|MB|MiB|GB|GiB)$"
RATE_PATTERN = r"^[1-9]\d{0,7}\s?(/|per)\s?(second|minute|hour|day)$"

DURATION_ALLOWED = "a duration with its unit, such as 500ms, 10s or 1m30s, above 0 and at most 24h"
SIZE_ALLOWED = "a size with its unit, such as 512B, 32KiB or 1.5MB, above 0 and at most 1024GiB"
RATE_ALLOWED = "a rate such as 100/minute (or second, hour, day), or null for no limit"
RATIO_ALLOWED = "a number from 0 to 1, such as 0.05"

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_WINDOW_S = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


@dataclass(frozen=True, slots=True)
class Rate:
    """Number of requests per window of time."""

    limit: int
    window_s: int

    def __str__(self) -> str:
        unit = next((unit for unit, seconds in _WINDOW_S.items() if seconds == self.window_s), f"{self.window_s}s")
        return f"{self.limit}/{unit}"


def duration(text: object) -> float:
    """Return the seconds of a duration. Raise ValueError with the allowed form."""
    if not isinstance(text, str) or not re.fullmatch(DURATION_PATTERN, text):
        raise ValueError(DURATION_ALLOWED)
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if not 0 < seconds <= MAX_DURATION_S:
        raise ValueError(DURATION_ALLOWED)
    return seconds


def size(text: object) -> int:
    """Return the bytes of a size. Raise ValueError with the allowed form."""
    if not isinstance(text, str) or not re.fullmatch(SIZE_PATTERN, text):
        raise ValueError(SIZE_ALLOWED)
    number, unit = re.findall(r"([\d.]+)\s?(\w+)", text)[0]
    value = int(float(number) * _BYTES[unit])
    if not 0 < value <= MAX_SIZE_BYTES:
        raise ValueError(SIZE_ALLOWED)
    return value


def rate(text: object) -> Rate:
    """Return a rate. Raise ValueError with the allowed form."""
    if not isinstance(text, str) or not re.fullmatch(RATE_PATTERN, text):
        raise ValueError(RATE_ALLOWED)
    number, unit = re.findall(r"(\d+)\s?(?:/|per)\s?(\w+)", text)[0]
    if int(number) > MAX_RATE:
        raise ValueError(RATE_ALLOWED)
    return Rate(int(number), _WINDOW_S[unit])


def ratio(value: object) -> float:
    """Return a number from 0 to 1. Raise ValueError with the allowed range."""
    try:
        found = float(str(value)) if not isinstance(value, bool) else -1.0
    except ValueError:
        raise ValueError(RATIO_ALLOWED) from None
    if not 0 <= found <= 1:
        raise ValueError(RATIO_ALLOWED)
    return found
