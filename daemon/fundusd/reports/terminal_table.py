"""Tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def table_of(rows: Sequence[Mapping[str, str]]) -> Table:
    """Return rows as a table with their keys as the header.

    Cells are not interpreted as markup, and control characters in cells are escaped.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    if not rows:
        table.add_column("nothing to show", overflow="fold")
        return table
    for name in rows[0]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*[Text(printable(cell)) for cell in row.values()])
    return table


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
