"""Write values into CSV so that neither a spreadsheet nor a terminal obeys them."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from typing import Any

from fundusd.reports.terminal_table import printable

_FORMULA = re.compile(r"\s*[=+\-@\t\r]")  # spreadsheets pass over spaces before a formula
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def csv_cell(value: Any) -> Any:
    """Return a value as CSV has it.

    >>> csv_cell("=1+1"), csv_cell("-1.5"), csv_cell(None)
    ("'=1+1", '-1.5', None)
    """
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if not isinstance(value, str):
        return value
    text = printable(value)
    narrow = unicodedata.normalize("NFKC", value)  # some spreadsheets also take wide signs
    if _FORMULA.match(narrow) and not _NUMBER.fullmatch(value):
        return f"'{text}"
    return text
