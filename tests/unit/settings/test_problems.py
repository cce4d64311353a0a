"""Problems as text."""

from livegate.settings import Problem, SettingsError
from livegate.settings.problems import quoted


def test_values_are_quoted_on_one_short_line() -> None:
    assert quoted(None) == "nothing"
    assert (quoted({}), quoted([1]), quoted(True)) == ("a mapping", "a list", "true")
    assert quoted("a\nb") == "'a\\nb'"
    assert len(quoted("x" * 500)) < 100


def test_an_error_has_all_problems_in_the_order_of_the_file() -> None:
    late = Problem("f.yaml", 7, "log.level", "'loud'", "debug, info, warning or error")
    early = Problem("f.yaml", 2, "listen", "8080", "an address and port")
    whole = Problem("f.yaml", None, "", "no services", "at least one entry under services")
    error = SettingsError([late, early, whole])
    assert error.problems == (whole, early, late)
    assert str(error).splitlines() == [
        "f.yaml: found no services, allowed: at least one entry under services",
        "f.yaml:2: listen: found 8080, allowed: an address and port",
        "f.yaml:7: log.level: found 'loud', allowed: debug, info, warning or error",
    ]
