"""The captures that a command names by numbers and ranges."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from fundusd.cli.options import LARGEST_NUMBER
from fundusd.domain.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundusd.cli.output import Row
    from fundusd.ledger import Ledger

_NUMBER_OR_RANGE = re.compile(r"(\d+)(?:-(\d+))?", re.ASCII)
_NAMED = 5  # captures that a refusal names

Span = tuple[int, int]
Captures = Annotated[
    list[str],
    typer.Argument(
        metavar="CAPTURE...",
        help="Numbers of captures, as results show them, and ranges such as 12-40.",
    ),
]


def spans_of(words: Sequence[str]) -> list[Span]:
    """Return the first and last number that each word names; raises BadParameter if it is none."""
    spans = []
    for word in words:
        match = _NUMBER_OR_RANGE.fullmatch(word)
        if match is None:
            raise typer.BadParameter(
                f"'{word}' is neither the number of a capture nor a range such as 12-40"
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if first < 1 or last < first:
            raise typer.BadParameter(f"'{word}' must go up, from a number of at least 1")
        if last > LARGEST_NUMBER:
            raise typer.BadParameter(f"'{word}' must be at most {LARGEST_NUMBER}")
        spans.append((first, last))
    return spans


def excludable(ledger: Ledger, spans: Sequence[Span]) -> list[int]:
    """Return the numbers of the captures to be excluded.

    Those of a range are the captures that belong to an exam, were not replaced and are not excluded
    yet. Raises RequestError if one of these was graded, is of a known patient or waits for its
    result: nobody may exclude such a capture without having named it.
    """
    numbers: list[int] = []
    for first, last in spans:
        if first == last:
            numbers.append(first)
            continue
        for row in _in_range(ledger, first, last):
            if row["exam_id"] is not None and not row["excluded"]:
                numbers.append(row["capture_id"])
    return list(dict.fromkeys(numbers))


def _in_range(ledger: Ledger, first: int, last: int) -> Sequence[Row]:
    from fundusd.ledger import ViewQuery

    of_current = {"superseded": False}
    query = ViewQuery(
        "v_result", ("capture_id",), of_current, ("capture_id", first), limit=last - first + 1
    )
    rows = [row for row in ledger.ask(query) if row["capture_id"] <= last]
    known = _of_known_patients(ledger, rows)
    to_name = []
    for row in rows:
        if not row["excluded"] and (row["exam_id"] in known or _has_to_be_named(row)):
            to_name.append(row["capture_id"])
    if to_name:
        more = f" and {len(to_name) - _NAMED} more" if len(to_name) > _NAMED else ""
        raise RequestError(
            f"Of the range {first}-{last}, these captures were graded, are of a known patient or "
            f"wait for their results: {', '.join(map(str, to_name[:_NAMED]))}{more}.",
            hint="Leave them out of the range, or name each of them by its number.",
        )
    return rows


def _of_known_patients(ledger: Ledger, rows: Sequence[Row]) -> set[int]:
    """Return those exams that are of known patients, to whom people may have joined captures."""
    from fundusd.ledger import ViewQuery

    exams = {row["exam_id"] for row in rows} - {None}
    if not exams:
        return set()
    query = ViewQuery("v_person_exam", ("exam_id",), since=("exam_id", min(exams)))
    return {row["exam_id"] for row in ledger.ask(query) if row["patient_key"] is not None} & exams


def _has_to_be_named(row: Row) -> bool:
    is_open = row["outcome"] is None
    return is_open or row["grade"] is not None or row["patient_key"] is not None
