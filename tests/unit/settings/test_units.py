"""Durations, sizes, rates and ratios."""

from collections.abc import Callable

import pytest

from livegate.settings import Rate
from livegate.settings.units import duration, rate, ratio, size


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        (duration, "1ms", 0.001), (duration, "1.5s", 1.5), (duration, "2m", 120.0), (duration, "1h30m", 5400.0), (duration, "24h", 86400.0),
        (size, "512B", 512), (size, "32KiB", 32768), (size, "1.5MB", 1_500_000), (size, "3000 kB", 3_000_000), (size, "1024GiB", 1 << 40),
        (rate, "1/second", Rate(1, 1)), (rate, "100/minute", Rate(100, 60)), (rate, "5 per hour", Rate(5, 3600)), (rate, "7/day", Rate(7, 86400)),
        (ratio, "0", 0.0), (ratio, "0.25", 0.25), (ratio, 1, 1.0),
    ],
)  # fmt: skip
def test_quantities_are_read_in_base_units(parse: Callable[[object], object], text: object, expected: object) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("parse", "values"),
    [
        (duration, ["", "0s", "25h", "10", 10, "s", "-1s", "1 s", "1d", True, None, ["1s"], "1s\n"]),
        (size, ["", "0B", "1", 1, "1TB", "-1B", "9999999999B", "999999999GiB", None, "1.0001KiB"]),
        (rate, ["", "0/minute", "1/week", "5", 5, "99999999/day", "1  / second", None]),
        (ratio, ["", "1.5", -1, "nan", True, "some", None]),
    ],
)
def test_what_has_no_unit_or_is_out_of_bounds_is_refused(
    parse: Callable[[object], object], values: list[object]
) -> None:
    for value in values:
        with pytest.raises(ValueError, match=r"such as"):
            parse(value)


def test_a_rate_prints_as_it_is_written() -> None:
    assert [str(rate(text)) for text in ("5 per hour", "100/minute")] == ["5/hour", "100/minute"]
    assert str(Rate(3, 90)) == "3/90s"
