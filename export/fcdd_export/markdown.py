"""The tables of Markdown reports."""

from collections.abc import Iterable, Sequence


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = False) -> list[str]:
    """Return the lines of a Markdown table; bars in cells are escaped, and line breaks become spaces.

    Parameters
    ----------
    head : names of the columns
    rows : as many cells each
    numbers : whether all columns but the first hold numbers, which stand at the right
    """
    rule = "|---|" + ("---:|" if numbers else "---|") * (len(head) - 1)
    head_line, *lines = (
        "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in row) + " |" for row in (head, *rows)
    )
    return [head_line, rule, *lines]
