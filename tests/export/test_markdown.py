"""Tables of Markdown reports."""

from fcdd_export.markdown import markdown_table


def test_a_table_has_a_rule_below_its_head_and_as_many_lines_as_rows() -> None:
    assert markdown_table(["layer", "error"], [["a", "1"], ["b", "2"]]) == [
        "| layer | error |",
        "|---|---|",
        "| a | 1 |",
        "| b | 2 |",
    ]


def test_numbers_stand_at_the_right_and_their_names_at_the_left() -> None:
    assert markdown_table(["", "p50", "p95"], [], numbers=True)[1] == "|---|---:|---:|"


def test_a_cell_cannot_end_its_row_or_begin_another_cell() -> None:
    assert markdown_table(["what"], [["a|b\nc"]])[2] == "| a\\|b c |"
