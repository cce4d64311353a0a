"""Text table for the results of commands; columns align by the cells that a terminal uses."""

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

MAX_CELLS = 60
"""Width of a value in terminal cells. Longer values are cut, except in the last column."""
GAP = "  "


def format_table(headings: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> list[str]:
    """Return the lines of a table. Columns whose heading is in `right` are right-aligned."""
    cells = [list(headings), *([_cut(value) for value in row[:-1]] + [row[-1]] for row in rows)]
    widths = [max(cell_len(row[index]) for row in cells) for index in range(len(headings) - 1)]
    lines = []
    for row in cells:
        padded = [
            " " * (width - cell_len(value)) + value if name in right else set_cell_size(value, width)
            for name, width, value in zip(headings, widths, row, strict=False)
        ]
        lines.append(GAP.join([*padded, row[-1]]).rstrip())
    return lines


def _cut(value: str) -> str:
    return value if cell_len(value) <= MAX_CELLS else f"{set_cell_size(value, MAX_CELLS - 1)}…"
