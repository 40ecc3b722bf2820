"""Tables for the terminal, and one line per row for everything else."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    Row = Mapping[str, str]

NOTHING = "nothing to show"
_GAP = "  "  # between columns


def table_lines(
    rows: Sequence[Row], width: int | None = None, drop: Sequence[str] = (), remedy: str = ""
) -> list[str]:
    """Return rows as the lines of a table, with their keys as the header.

    If `width` is None, there is one line per row, with all columns. Otherwise, cells are wrapped
    between words to fit into `width` characters, and columns are left out if that does not suffice:
    first those in `drop`, in this order, then the last ones. A last line names them, followed by
    `remedy`. Control characters in cells are escaped.
    """
    if not rows:
        return [NOTHING]
    cells = [{name: printable(cell) for name, cell in row.items()} for row in rows]
    longest = {name: _longest([name, *_column(cells, name)]) for name in cells[0]}
    if width is None:
        return _lines(cells, longest)
    longest_words = {}
    for name in cells[0]:
        words = [word for text in (name, *_column(cells, name)) for word in text.split()]
        longest_words[name] = _longest(words)
    kept = _kept(longest_words, width, drop)
    lines = _lines(cells, _widths(kept, longest_words, longest, width), ruled=True)
    left_out = [name for name in cells[0] if name not in kept]
    if left_out:
        lines.append(f"Left out to fit the terminal: {', '.join(left_out)}{remedy}.")
    return lines


def _column(rows: Iterable[Row], name: str) -> list[str]:
    return [row[name] for row in rows]


def _longest(texts: Iterable[str]) -> int:
    return max(map(_cells_of, texts), default=0)


def _kept(needed: Mapping[str, int], width: int, drop: Sequence[str]) -> list[str]:
    """Return the columns to show, given the width that each of them needs."""
    kept = list(needed)
    droppable = [name for name in drop if name in needed]
    droppable += [name for name in reversed(kept) if name not in droppable]
    for name in droppable[: len(kept) - 1]:
        if _total(needed, kept) <= width:
            break
        kept.remove(name)
    return kept


def _total(widths: Mapping[str, int], names: Collection[str]) -> int:
    return sum(widths[name] for name in names) + len(_GAP) * (len(names) - 1)


def _widths(
    kept: Sequence[str], least: Mapping[str, int], most: Mapping[str, int], width: int
) -> dict[str, int]:
    """Return the width of each column, from its longest word to its longest cell.

    The columns that lack least get their full width first.
    """
    spare = max(0, width - _total(least, kept))
    widths = {}
    for name in sorted(kept, key=lambda name: most[name] - least[name]):
        extra = min(spare, most[name] - least[name])
        widths[name] = least[name] + extra
        spare -= extra
    return {name: widths[name] for name in kept}


def _lines(rows: Iterable[Row], widths: Mapping[str, int], *, ruled: bool = False) -> list[str]:
    lines = _wrapped({name: name for name in widths}, widths)
    if ruled:
        lines.append(_GAP.join("─" * width for width in widths.values()))
    for row in rows:
        lines += _wrapped(row, widths)
    return lines


def _wrapped(row: Row, widths: Mapping[str, int]) -> list[str]:
    """Return the lines of a row whose cells are wrapped to the widths of their columns."""
    columns = {name: _wrap(row[name], width) for name, width in widths.items()}
    lines = []
    for number in range(max(map(len, columns.values()))):
        parts = []
        for name, texts in columns.items():
            text = texts[number] if number < len(texts) else ""
            parts.append(text + " " * (widths[name] - _cells_of(text)))
        lines.append(_GAP.join(parts).rstrip())
    return lines


def _wrap(text: str, width: int) -> list[str]:
    """Return the lines of a text that is wrapped between words."""
    if _cells_of(text) <= width:
        return [text]
    lines = [""]
    for word in text.split():
        if lines[-1] and _cells_of(lines[-1]) + 1 + _cells_of(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".lstrip()
    return lines


def _cells_of(text: str) -> int:
    """Return how many cells of a terminal a text takes up."""
    if text.isascii():
        return len(text)
    count = 0
    for char in text:
        if unicodedata.east_asian_width(char) in "WF":
            count += 2
        elif not unicodedata.combining(char):
            count += 1
    return count


def printable(text: str) -> str:
    """Return text with its control characters escaped, so that it cannot control the terminal."""
    if text.isprintable():
        return text
    parts = []
    for char in text:
        if char.isprintable():
            parts.append(char)
        else:
            parts.append(repr(char)[1:-1])
    return "".join(parts)
