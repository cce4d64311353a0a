"""Lines of a table and words that filter them, for commands whose results are lists of text."""

from collections.abc import Callable, Mapping, Sequence

from mitmproxy import exceptions
from rich.cells import cell_len, set_cell_size

from livegate.settings.units import duration

MAX_CELL = 60
"""Columns of a terminal that a value takes at most, but for the last of a line."""
GAP = "  "


def format_table(headings: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> list[str]:
    """Lay out rows under their headings, columns aligned, the last one as long as it is; `right` are aligned so."""
    cells = [list(headings), *([_cut(value) for value in row[:-1]] + [row[-1]] for row in rows)]
    widths = [max(cell_len(row[index]) for row in cells) for index in range(len(headings) - 1)]
    made = []
    for row in cells:
        padded = [
            " " * (width - cell_len(value)) + value if name in right else set_cell_size(value, width)
            for name, width, value in zip(headings, widths, row, strict=False)
        ]
        made.append(GAP.join([*padded, row[-1]]).rstrip())
    return made


def _cut(value: str) -> str:
    return value if cell_len(value) <= MAX_CELL else f"{set_cell_size(value, MAX_CELL - 1)}…"


def filters(given: Sequence[str], allowed: Mapping[str, str]) -> dict[str, str]:
    """Read words such as `kind=event`; `allowed` has an example of each. Raises CommandError with what is allowed."""
    found: dict[str, str] = {}
    for word in given:
        name, is_filter, value = word.partition("=")
        if not is_filter or name not in allowed or not value:
            examples = ", ".join(f"{each}={example}" for each, example in allowed.items())
            raise exceptions.CommandError(f"filter {word!r}: allowed are {examples}")
        if name in found:
            raise exceptions.CommandError(f"filter {name} is given twice: {found[name]!r} and {value!r}")
        found[name] = value
    return found


def positive_integer(what: str, text: object, example: str) -> int:
    """Read a number from 1. Raises CommandError that names what it is of."""
    given = str(text).strip()
    if not (given.isascii() and given.isdecimal()) or not int(given[:18]) > 0 or len(given) > 18:  # noqa: PLR2004
        found = f"not {given!r}" if given else "and is missing"
        raise exceptions.CommandError(f"{what} has to be a whole number from 1, {found}; for example: {example}")
    return int(given)


def duration_s(what: str, text: object, example: str) -> float:
    """Read a duration in seconds; a bare number is milliseconds. Raises CommandError that names what it is of."""
    given = str(text).strip()
    if given == "0":
        return 0.0
    try:
        return duration(f"{given}ms" if given.replace(".", "", 1).isdecimal() else given)
    except ValueError as error:
        found = f"not {given!r}" if given else "and is missing"
        raise exceptions.CommandError(
            f"{what} has to be a number of milliseconds, or {error}, {found}; for example: {example}"
        ) from error


def one_of(what: str, text: str, allowed: Sequence[str]) -> str:
    """Read one of several words. Raises CommandError with which these are."""
    if text not in allowed:
        raise exceptions.CommandError(f"{what} has to be one of {', '.join(allowed)}, not {text!r}")
    return text


def reject_extra(given: Sequence[str], what: str) -> None:
    """Raise CommandError when there are more arguments than a command takes."""
    if given:
        raise exceptions.CommandError(f"{what} takes no further argument, such as {given[0]!r}")


def last_matching[T](items: Sequence[T], count: str | None, matches: Callable[[T], bool]) -> list[T]:
    """The last so many of the items that match; all that match when no count is given."""
    found = [item for item in items if matches(item)]
    if count is None:
        return found
    return found[-positive_integer("filter last", count, "last=20") :]
