"""Tables of commands."""

from collections.abc import Sequence

from livegate.inspect.text_table import format_table


def test_columns_are_aligned_by_what_a_terminal_shows() -> None:
    rows: Sequence[Sequence[str]] = [("日本", "1 ms", "x"), ("a" * 200, "20 ms", "a long detail that is not cut " * 4)]
    lines = format_table(("event", "round trip", "detail"), rows, ("round trip",))
    assert lines[1] == f"日本{' ' * 56}        1 ms  x"
    assert lines[2].startswith("a" * 59 + "…       20 ms  a long detail")
    assert lines[2].endswith("is not cut")
