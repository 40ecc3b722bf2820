"""Tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def table_of(rows: Sequence[Mapping[str, str]]) -> Table:
    """Build a table whose header is the rows' keys; cells are shown as they are, control characters escaped."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in rows[0] if rows else ["nothing to show"]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row.values()))
    return table


def printable(text: str) -> str:
    """Keep a hostile file name from writing to the terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
