"""What is wrong with settings, as values: made while they are read, printed by `livegate check` and at start."""

from dataclasses import dataclass

MAX_FOUND_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it is, what was found there, what would be right."""

    file: str
    """The settings file as it was named, or the environment variable."""
    line: int | None
    """From 1; None where there are no lines."""
    key: str
    """Dotted path of the key, such as `services.app.example.com.backend`; empty for the file as a whole."""
    found: str
    allowed: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        key = f" {self.key}:" if self.key else ""
        return f"{place}:{key} found {self.found}, allowed: {self.allowed}"


class SettingsError(Exception):
    """Settings that cannot be used, with every problem that was found."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.file, problem.line or 0)))
        super().__init__("\n".join(map(str, self.problems)))


def shown(value: object) -> str:
    """A value as it is quoted in a problem: short, on one line."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= MAX_FOUND_CHARACTERS else f"{text[:MAX_FOUND_CHARACTERS]}…"
