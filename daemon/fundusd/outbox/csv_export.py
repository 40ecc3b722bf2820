"""An exam as CSV for spreadsheets and scripts: one file per exam, one row per eye."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import SAFETY_WORDS, Eye, Grade
from fundusd.outbox import codes, document_ids, safety_notes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from fundusd.clinical.exam import Exam, EyeResult
    from fundusd.clinical.reading import Reading
    from fundusd.domain.inference import Release
    from fundusd.outbox.document_ids import Document

MEDIA_TYPE = "text/csv"
# a spreadsheet evaluates a cell that starts with one of these
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def table(exam: Exam, releases: Mapping[int, Release], at: datetime) -> Document:
    """Return an exam as CSV, with a row for each eye, even if the eye was not photographed.

    `releases` are keyed by number. `at` is the time at which the result was reached.
    """
    rows = list(_rows(exam, releases, at))
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    for row in rows:
        writer.writerow({column: _without_formula(value) for column, value in row.items()})
    name = f"{exam.day}_{document_ids.exam_uuid(exam)}.csv"
    return document_ids.Document(name, MEDIA_TYPE, out.getvalue().encode())


def _rows(exam: Exam, releases: Mapping[int, Release], at: datetime) -> Iterator[dict[str, str]]:
    for eye in exam.eyes:
        yield _row(exam, eye, releases[eye.decisive.release_id], at)
    for missing in exam.missing:
        yield _row_of_missing_eye(exam, missing, at)


def _row(exam: Exam, eye: EyeResult, release: Release, at: datetime) -> dict[str, str]:
    return {
        **_exam_columns(exam, eye.eye, at),
        "status": codes.STATUS[eye.is_read],
        "outcome": eye.outcome,
        "grade": _number(eye.final.grade),
        "grade_label": _label(eye.final.grade),
        "referable": eye.final.referable,
        "reason": eye.reason or "",
        "action": eye.action,
        "missing_fields": " ".join(eye.missing_fields),
        "model_grade": _number(eye.grade),
        "model_referable": eye.referable,
        **_score_columns(eye),
        **_reading_columns(eye.reading),
        "digest": eye.decisive.digest,
        "model": release.model,
        "revision": release.revision,
        "release": document_ids.release_digest(release)[:12],
        "note": safety_notes.note([release]),
    }


def _row_of_missing_eye(exam: Exam, eye: Eye, at: datetime) -> dict[str, str]:
    return {
        **_exam_columns(exam, eye, at),
        "status": "preliminary",
        "outcome": "missing",
        "referable": "indeterminate",
        "action": "retake",
        "note": SAFETY_WORDS,
    }


def _exam_columns(exam: Exam, eye: Eye, at: datetime) -> dict[str, str]:
    return {
        "exam": str(document_ids.exam_uuid(exam)),
        "day": exam.day.isoformat(),
        "patient_id": exam.patient_id or "",
        "patient_key": exam.patient_key or "",
        "eye": eye,
        "person_referable": exam.final.referable,
        "resulted_at": at.isoformat(timespec="seconds"),
    }


def _score_columns(eye: EyeResult) -> dict[str, str]:
    scores = eye.decisive.scores or ("",) * len(Grade)
    return {f"score_{grade.value}": str(score) for grade, score in zip(Grade, scores, strict=True)}


def _reading_columns(reading: Reading | None) -> dict[str, str]:
    if reading is None:
        return {"verdict": "", "reviewer": ""}
    return {"verdict": reading.verdict, "reviewer": reading.reviewer}


def _number(grade: Grade | None) -> str:
    if grade is None:
        return ""
    return str(int(grade))


def _label(grade: Grade | None) -> str:
    if grade is None:
        return ""
    return grade.label


def _without_formula(value: str) -> str:
    """Return the text of a cell in a form that a spreadsheet shows but does not evaluate."""
    if value.startswith(_FORMULA):
        return f"'{value}"
    return value
