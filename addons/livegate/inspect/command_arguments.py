"""Parser of the arguments of `liveview.*` commands. Every error is a CommandError with an example."""

from collections.abc import Callable, Mapping, Sequence

from mitmproxy import exceptions

from livegate.settings.units import duration

MAX_DIGITS = 18


def parse_filters(words: Sequence[str], examples: Mapping[str, str]) -> dict[str, str]:
    """Parse words such as `kind=event`; `examples` has an example for each name that is allowed."""
    filters: dict[str, str] = {}
    for word in words:
        name, is_filter, value = word.partition("=")
        if not is_filter or name not in examples or not value:
            allowed = ", ".join(f"{each}={example}" for each, example in examples.items())
            raise exceptions.CommandError(f"filter {word!r}: allowed are {allowed}")
        if name in filters:
            raise exceptions.CommandError(f"filter {name} is given twice: {filters[name]!r} and {value!r}")
        filters[name] = value
    return filters


def positive_integer(name: str, text: object, example: str) -> int:
    """Parse an integer from 1."""
    value = str(text).strip()
    if not value:
        raise exceptions.CommandError(f"{name} is missing; for example: {example}")
    if not (value.isascii() and value.isdecimal() and len(value) <= MAX_DIGITS and int(value) > 0):
        raise exceptions.CommandError(f"{name} must be a whole number from 1, not {value!r}; for example: {example}")
    return int(value)


def duration_s(name: str, text: object, example: str) -> float:
    """Parse a duration and return it in seconds; a number without a unit is in milliseconds."""
    value = str(text).strip()
    if not value:
        raise exceptions.CommandError(f"{name} is missing; for example: {example}")
    if value == "0":
        return 0.0
    try:
        return duration(f"{value}ms" if value.replace(".", "", 1).isdecimal() else value)
    except ValueError as error:
        raise exceptions.CommandError(
            f"{name} must be a number of milliseconds or {error}, not {value!r}; for example: {example}"
        ) from error


def one_of(name: str, text: str, allowed: Sequence[str]) -> str:
    """Return `text` when it is one of the allowed words."""
    if text not in allowed:
        raise exceptions.CommandError(f"{name} must be one of {', '.join(allowed)}, not {text!r}")
    return text


def reject_extra(arguments: Sequence[str], command: str) -> None:
    """Reject arguments beyond those that a command has."""
    if arguments:
        raise exceptions.CommandError(f"{command} takes no argument {arguments[0]!r}")


def last_matching[T](items: Sequence[T], count: str | None, matches: Callable[[T], bool]) -> list[T]:
    """Return the last `count` items that match; without a count, all that match."""
    matching = [item for item in items if matches(item)]
    if count is None:
        return matching
    return matching[-positive_integer("filter last", count, "last=20") :]
