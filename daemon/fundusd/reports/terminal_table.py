"""Tables for the terminal."""

from __future__ import annotations

from shutil import get_terminal_size
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LONGEST_WORD = 13  # as long as "indeterminate"
_PADDING = 3  # of a column


def table_of(rows: Sequence[Mapping[str, str]]) -> Table:
    """Return rows as a table with their keys as the header.

    Cells are not interpreted as markup, and control characters in cells are escaped. Words are
    broken only if they are long, or if the terminal is too narrow.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    if not rows:
        table.add_column("nothing to show", overflow="fold")
        return table
    for name, width in _widths(rows).items():
        table.add_column(name, overflow="fold", min_width=width)
    for row in rows:
        table.add_row(*[Text(printable(cell)) for cell in row.values()])
    return table


def _widths(rows: Sequence[Mapping[str, str]]) -> dict[str, int | None]:
    """Return the width of the longest word in each column, or None for all if they do not fit."""
    widths: dict[str, int | None] = {}
    needed = 1
    for name in rows[0]:
        words = [word for row in rows for word in printable(row[name]).split()]
        longest = max((len(word) for word in (*words, *name.split())), default=1)
        widths[name] = min(longest, _LONGEST_WORD)
        needed += min(longest, _LONGEST_WORD) + _PADDING
    if needed > get_terminal_size().columns:
        return dict.fromkeys(widths)
    return widths


def table_of_lines(rows: Sequence[Mapping[str, Sequence[str]]], wrapping: str) -> Table:
    """Return rows whose cells are lists of lines as a table with their keys as the header.

    Only the column `wrapping` becomes narrower on a narrow terminal, so that no word of the other
    columns is broken.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    if not rows:
        return table_of([])
    for name in rows[0]:
        table.add_column(name, overflow="fold", no_wrap=name != wrapping)
    for row in rows:
        texts = []
        for lines in row.values():
            texts.append(Text("\n".join(printable(line) for line in lines)))
        table.add_row(*texts)
    return table


def printable(text: str) -> str:
    """Return text with its control characters escaped, so that it cannot control the terminal."""
    parts = []
    for char in text:
        if char.isprintable():
            parts.append(char)
        else:
            parts.append(repr(char)[1:-1])
    return "".join(parts)
