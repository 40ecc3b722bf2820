"""Tables fit their terminal by leaving columns out, and no word is ever broken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundusd.reports.terminal_table import NOTHING, table_lines

ROWS = [
    {"id": "1", "path": "P1/Zoë_OD.jpg", "result": "moderate diabetic retinopathy", "note": "x"},
    {"id": "22", "path": "P2/a.jpg", "result": "none", "note": "a longer note"},
]


def test_without_a_width_every_row_is_one_line_with_all_columns() -> None:
    assert table_lines(ROWS) == [
        "id  path           result                         note",
        "1   P1/Zoë_OD.jpg  moderate diabetic retinopathy  x",
        "22  P2/a.jpg       none                           a longer note",
    ]


def test_cells_are_wrapped_between_words() -> None:
    assert table_lines(ROWS, 42) == [
        "id  path           result       note",
        "──  ─────────────  ───────────  ──────────",
        "1   P1/Zoë_OD.jpg  moderate     x",
        "                   diabetic",
        "                   retinopathy",
        "22  P2/a.jpg       none         a longer",
        "                                note",
    ]


def test_columns_are_left_out_in_the_order_given_and_named() -> None:
    lines = table_lines(ROWS, 30, ("note", "path"), "; --wide shows all")
    assert lines[0] == "id  path           result"
    assert lines[-1] == "Left out to fit the terminal: note; --wide shows all."
    assert table_lines(ROWS, 20, drop=("note", "path"))[0] == "id  result"
    assert table_lines(ROWS, 8, drop=("note", "path"))[0] == "id"


@pytest.mark.parametrize("width", [None, 40])
def test_control_characters_are_escaped_and_wide_characters_are_counted(width: int | None) -> None:
    rows = [{"name": "a\x1b[2J\nb", "eye": "R"}, {"name": "眼科", "eye": "L"}]
    lines = table_lines(rows, width)
    assert lines[-2] == "a\\x1b[2J\\nb  R"
    assert lines[-1] == "眼科         L"


def test_no_rows_are_said_so() -> None:
    assert table_lines([]) == table_lines([], 80) == [NOTHING]


@given(
    st.lists(
        st.fixed_dictionaries(
            {name: st.text("ab _-.é", max_size=40) for name in ("one", "two", "three", "four")}
        ),
        min_size=1,
        max_size=4,
    ),
    st.integers(1, 100),
)
def test_no_word_is_broken_at_any_width(rows: list[dict[str, str]], width: int) -> None:
    lines = table_lines(rows, width)
    shown = lines[0].split()
    words = " ".join(lines).split()
    for row in rows:
        for name in shown:
            assert set(row[name].split()) <= set(words)
    if len(shown) > 1:
        assert max(map(len, lines[:2])) <= width
