"""Problems of settings as values. Loading collects them; `livegate check`, start and reload print them."""

from dataclasses import dataclass

MAX_FOUND_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: its place, what was found there, and what is allowed."""

    file: str
    """The settings file as it was named, or the environment variable."""
    line: int | None
    """From 1; None without a line."""
    key: str
    """Dotted path of the key, such as `services.app.example.com.backend`; empty for the file as a whole."""
    found: str
    allowed: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        key = f" {self.key}:" if self.key else ""
        return f"{place}:{key} found {self.found}, allowed: {self.allowed}"


class SettingsError(Exception):
    """Settings cannot be used; `problems` has every reason, in the order of the file."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.file, problem.line or 0)))
        super().__init__("\n".join(map(str, self.problems)))


def quoted(value: object) -> str:
    """Return a value for the `found` part of a problem: on one line, at most 80 characters."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= MAX_FOUND_CHARACTERS else f"{text[:MAX_FOUND_CHARACTERS]}…"
