"""fundusd person: show everything about one person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fundusd.cli import follow_up
from fundusd.cli.audited import AS_THE_SERVICE, NOT_WRITABLE
from fundusd.cli.layout import Command
from fundusd.cli.options import Config, Json, Wide, load
from fundusd.cli.output import as_json, grade_or_reason, local, print_table
from fundusd.cli.release_warning import print_warning, release_ids, release_warning
from fundusd.domain.clinical_terms import SAFETY_WORDS
from fundusd.domain.errors import LedgerForbidden

if TYPE_CHECKING:
    from fundusd.cli.output import Row


def _text(key: str) -> str:
    """Return the key; raise BadParameter if it is no text, as in another encoding."""
    try:
        key.encode()
    except UnicodeEncodeError:
        raise typer.BadParameter("this is not UTF-8 text") from None
    return key


_Key = Annotated[
    str,
    typer.Argument(
        callback=_text,
        metavar="KEY",
        help="A patient_key, its first 12 digits, or a patient identifier stored in clear.",
    ),
]

_NOT_RECORDED = (
    "The history of a person is shown only if the audit trail records it, and this user may not"
    " write the database."
)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(cls=Command)(person)


def person(key: _Key, config: Config = None, json: Json = False, wide: Wide = False) -> None:
    """Show all exams of a person; the query is audited.

    Prints each exam, each eye, what readers reported, and what changed since the previous visit.

    Examples:
      fundusd person 9f86d081884c
      fundusd person PHANTOM-7 --json
    """
    from fundusd.app.open_ledger import opened_ledger
    from fundusd.reports import wording

    with opened_ledger(load(config)) as ledger:
        ledger.check()
        try:
            history = ledger.person(key)
        except NOT_WRITABLE:
            raise LedgerForbidden(_NOT_RECORDED, hint=AS_THE_SERVICE) from None
        warning = release_warning(ledger, release_ids(history["eyes"]))
    print_warning(warning, beside_data=json)
    if json:
        print(as_json(history))
        return
    patient = wording.patient(history["patient_id"], history["patient_key"])
    print(f"Patient {patient}, exams: {len(history['exams'])}")
    for title, name, cells in _TABLES:
        if history[name]:
            print(f"\n{title}")
            print_table([cells(row) for row in history[name]], wide=wide)
    print(SAFETY_WORDS)


def _exam(row: Row) -> dict[str, str]:
    return {
        "exam": str(row["exam_id"]),
        "day": row["day"],
        "doubt about the day": row["day_doubt_label"] or "",
        "referable": row["final_referable"],
        "grade": row["final_grade_label"] or "",
        "missing fields": row["missing_fields"],
        "read by a human": "yes" if row["is_reviewed"] else "no",
    }


def _eye(row: Row) -> dict[str, str]:
    final = row["final_referable"]
    if row["final_grade"] is not None:
        final += f", grade {row['final_grade']}"
    return {
        "exam": str(row["exam_id"]),
        "eye": row["eye"],
        "by the model": row["referable"],
        "grade or reason": grade_or_reason(row),
        "photos": str(row["captures"]),
        "capture": str(row["capture_id"]),
        "final": final,
    }


def _review(row: Row) -> dict[str, str]:
    role = row["role"]
    if row["blinded"]:
        role += ", blinded"
    return {
        "exam": str(row["exam_id"]),
        "eye": row["eye"],
        "day": local(row["reviewed_at"])[:10],
        "purpose": row["purpose"].replace("_", " "),
        "verdict": f"{row['verdict']} {_number(row['grade'])}".strip(),
        "findings": _findings(row),
        "reader": f"{row['reviewer']} ({role})",
    }


def _findings(row: Row) -> str:
    """Return what a reader found beside the grade, and why the reader disagrees."""
    findings = [row["reason"], row["lesion"], row["maculopathy"], row["photocoagulation"]]
    if row["stable_treated"]:
        findings.append("R3S")
    return ", ".join(code.replace("_", " ") for code in findings if code)


def _correction(row: Row) -> dict[str, str]:
    about = f"exam {row['exam_id']}"
    if row["capture_id"] is not None:
        about = f"capture {row['capture_id']}"
    if row["eye"] is not None:
        about += f", eye {row['eye']}"
    if row["other_exam_id"] is not None:
        about += f", exam {row['other_exam_id']}"
    why = (row["reason"] or "").replace("_", " ")
    if row["until"]:
        why += f" until {row['until']}"
    return {
        "exam": str(row["exam_id"]),
        "at": local(row["corrected_at"]),
        "correction": row["kind"],
        "about": about,
        "reason": why,
        "reader": f"{row['reader']} ({row['role']})",
    }


def _change(row: Row) -> dict[str, str]:
    cells = {
        "exam": str(row["exam_id"]),
        "eye": row["eye"],
        "from": f"{row['before_day']}, grade {row['before_grade']}",
        "to": _day_and_grade(row),
        "change": "",
        "": "",
    }
    if row["change"] is not None:
        cells["change"] = f"{row['change']:+d}"
    if not row["same_release"]:
        cells[""] = "another release"
    return cells


def _day_and_grade(row: Row) -> str:
    if row["grade"] is None:
        return f"{row['day']}, no grade"
    return f"{row['day']}, grade {row['grade']}"


def _number(value: int | None) -> str:
    if value is None:
        return ""
    return str(value)


_TABLES = (
    ("Exams", "exams", _exam),
    ("Eyes", "eyes", _eye),
    ("Readings", "reviews", _review),
    ("Corrections", "corrections", _correction),
    ("Follow-ups", "follow_ups", follow_up.cells),
    ("Since the previous visit", "progression", _change),
)
