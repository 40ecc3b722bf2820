"""Print JSON, CSV and tables, and format times, paths and grades as text."""

from __future__ import annotations

import csv
import json
import re
import sys
from datetime import UTC, datetime
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

import orjson

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.eye_reasons import EyeReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Row = Mapping[str, Any]

_DELETE = "\x7f"
_NOT_ASCII = re.compile(r"[^\x00-\x7e]")


def as_json(value: Any) -> str:
    """Return a value as indented JSON text, with times in ISO 8601.

    Characters that could control a terminal are escaped, also those that JSON allows in strings,
    and characters that standard output cannot encode.
    """
    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z
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


def print_csv(rows: Iterable[Row], columns: Sequence[str]) -> None:
    """Print rows as CSV below a header with the names of the columns.

    Times are in ISO 8601, as in JSON. Text cannot control a terminal or be run by a spreadsheet:
    control characters are escaped, and text that a spreadsheet would take for a formula begins with
    an apostrophe.
    """
    from fundusd.cli.csv_cells import csv_cell

    writer = csv.writer(sys.stdout)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([csv_cell(row[name]) for name in columns])


def print_table(
    rows: Sequence[Mapping[str, str]], drop: Sequence[str] = (), *, wide: bool = False
) -> None:
    """Print rows, whose keys are the headings, as a table that fits the terminal.

    The columns in `drop` are left out first if the terminal is too narrow. If `wide` is true, or if
    the output is not a terminal, every row is one line with all columns.
    """
    from fundusd.reports.terminal_table import table_lines

    width = None
    if not wide and sys.stdout.isatty():
        width = get_terminal_size().columns
    for line in table_lines(rows, width, drop, "; --wide shows all"):
        print(line)


def local(at: datetime | None) -> str:
    """Return a time as ISO 8601 in local time, with its offset, or "" for None."""
    if at is None:
        return ""
    return at.astimezone().isoformat(timespec="seconds")


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
