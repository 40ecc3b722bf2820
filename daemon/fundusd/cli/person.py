"""fundusd person: everything about one person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fundusd.cli.options import (
    Config,
    Json,
    as_json,
    grade_or_reason,
    load,
    local,
    print_tables,
)
from fundusd.domain.clinical_terms import SAFETY_WORDS

if TYPE_CHECKING:
    from fundusd.cli.options import Row


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(person)


def person(
    key: Annotated[
        str,
        typer.Argument(
            metavar="KEY",
            help="A patient_key or its first 12 digits, or a patient id kept in clear.",
        ),
    ],
    config: Config = None,
    json: Json = False,
) -> None:
    """Show all exams of a person: each eye, what readers said, how it went on. That you asked goes into the audit log.

    Examples: fundusd person 9f86d081884c; fundusd person PHANTOM-7 --json
    """
    from fundusd.app.open_ledger import opened_ledger
    from fundusd.reports import wording

    with opened_ledger(load(config)) as ledger:
        ledger.check()
        told = ledger.person(key)
    if json:
        print(as_json(told))
        return
    print(
        f"Patient {wording.patient(told['patient_id'], told['patient_key'])}, exams: {len(told['exams'])}"
    )
    tables = {
        "Exams": [_exam(row) for row in told["exams"]],
        "Eyes": [_eye(row) for row in told["eyes"]],
        "Reviews": [review_row(row) for row in told["reviews"]],
        "Since the visit before": [_change(row) for row in told["progression"]],
    }
    print_tables({title: rows for title, rows in tables.items() if rows})
    print(SAFETY_WORDS)


def _exam(row: Row) -> dict[str, str]:
    return {
        "exam": str(row["exam_id"]),
        "day": row["day"],
        "referable": row["final_referable"],
        "grade": row["final_grade_label"] or "",
        "missing_fields": row["missing_fields"],
        "read by a human": "yes" if row["is_reviewed"] else "no",
    }


def _eye(row: Row) -> dict[str, str]:
    return {
        "exam": str(row["exam_id"]),
        "eye": row["eye"],
        "by the model": row["referable"],
        "grade or reason": grade_or_reason(row),
        "photographs": str(row["captures"]),
        "decisive capture": str(row["capture_id"]),
        "what counts": row["final_referable"]
        + ("" if row["final_grade"] is None else f", grade {row['final_grade']}"),
    }


def review_row(row: Row) -> dict[str, str]:
    """Return the cells of a review in a table."""
    return {
        "exam": str(row["exam_id"]),
        "eye": row["eye"],
        "at": local(row["reviewed_at"]),
        "verdict": row["verdict"],
        "grade": "" if row["grade"] is None else str(row["grade"]),
        "reason": row["reason"] or "",
        "reviewer": f"{row['reviewer']} ({row['role']}{', blinded' if row['blinded'] else ''})",
    }


def _change(row: Row) -> dict[str, str]:
    return {
        "exam": str(row["exam_id"]),
        "eye": row["eye"],
        "from": f"{row['before_day']}, grade {row['before_grade']}",
        "to": f"{row['day']}, " + ("no grade" if row["grade"] is None else f"grade {row['grade']}"),
        "change": "" if row["change"] is None else f"{row['change']:+d}",
        "": "" if row["same_release"] else "another release",
    }
