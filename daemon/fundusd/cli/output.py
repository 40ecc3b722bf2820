"""Print JSON, CSV and tables, and format times, paths and grades as text."""

from __future__ import annotations

import csv
import itertools
import json
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.eye_reasons import EyeReason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Row = Mapping[str, Any]
    Cells = Callable[[Row], Mapping[str, str]]

_DELETE = "\x7f"
_NOT_ASCII = re.compile(r"[^\x00-\x7e]")


def as_json(value: Any) -> str:
    """Return a value as indented JSON text, with times in ISO 8601.

    Characters that could control a terminal are escaped, also those that JSON allows in strings,
    and characters that standard output cannot encode.
    """
    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
    text = orjson.dumps(value, default=str, option=options).decode()
    return _NOT_ASCII.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if character.isprintable() and _is_encodable(character):
        return character
    return json.dumps(character)[1:-1] if character != _DELETE else "\\u007f"


def _is_encodable(character: str) -> bool:
    try:
        character.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def print_csv(rows: Iterable[Row]) -> None:
    """Print rows as CSV, with the keys of the first row as the header.

    If there are no rows, nothing is printed.
    """
    rows = iter(rows)
    first = next(rows, None)
    if first is not None:
        writer = csv.DictWriter(sys.stdout, list(first))
        writer.writeheader()
        writer.writerows(itertools.chain([first], rows))


def print_table(rows: Iterable[Row], cells: Cells, title: str = "") -> None:
    """Print rows as a table below a title.

    `cells` returns the cells of a row, keyed by column heading.
    """
    from rich.console import Console

    from fundusd.reports.terminal_table import table_of

    console = Console(highlight=False)
    if title:
        console.print(f"\n{title}")
    console.print(table_of([cells(row) for row in rows]))


def print_lines(rows: Sequence[Mapping[str, Sequence[str]]], wrapping: str) -> None:
    """Print rows whose cells are lists of lines; only the column `wrapping` becomes narrower."""
    from rich.console import Console

    from fundusd.reports.terminal_table import table_of_lines

    Console(highlight=False).print(table_of_lines(rows, wrapping))


def local(at: datetime | None) -> str:
    """Return a time as text in local time, or "" for None."""
    if at is None:
        return ""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def age(at: datetime | None) -> str:
    """Return the time that has passed since `at`, such as "12 s ago", or "never" for None."""
    if at is None:
        return "never"
    return f"{max(0, round((datetime.now(UTC) - at).total_seconds()))} s ago"


def path_text(path: bytes) -> str:
    """Return the path of a camera's file as text, with undecodable bytes escaped."""
    return path.decode("utf-8", "backslashreplace")


def grade_or_reason(row: Row) -> str:
    """Return an eye's grade, reason and missing fields as text.

    A value that the eye does not have is left out.
    """
    parts = []
    if row["grade"] is not None:
        parts.append(row["grade_label"])
    if row["reason"]:
        parts.append(reason_words(row["reason"]))
    if row["missing_fields"]:
        parts.append(f"missing: {row['missing_fields']}")
    return ", ".join(parts)


def reason_words(code: str) -> str:
    """Return the reason of a photograph or of an eye in the words that staff read."""
    if code in list(EyeReason):
        return EyeReason(code).wording
    return Reason(code).wording
