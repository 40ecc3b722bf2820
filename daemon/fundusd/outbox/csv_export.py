"""An exam as CSV for spreadsheets and scripts: one line for each eye, one file for each exam."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import SAFETY_WORDS, Eye, Grade
from fundusd.outbox import document_ids

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from fundusd.clinical.exam import Exam, EyeResult
    from fundusd.domain.inference import Release
    from fundusd.outbox.document_ids import Document

MEDIA_TYPE = "text/csv"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would compute


def table(exam: Exam, releases: Mapping[int, Release], at: datetime) -> Document:
    """Write the lines of an exam, `releases` by number; an eye that was not photographed has a line too."""
    out = io.StringIO()
    lines = [_line(exam, eye, releases[eye.decisive.release_id], at) for eye in exam.eyes]
    lines += [_missing(exam, eye, at) for eye in exam.missing]
    writer = csv.DictWriter(out, list(lines[0]))
    writer.writeheader()
    writer.writerows({name: _harmless(value) for name, value in line.items()} for line in lines)
    return document_ids.Document(
        f"{exam.day}_{document_ids.of_exam(exam)}.csv", MEDIA_TYPE, out.getvalue().encode()
    )


def _line(exam: Exam, eye: EyeResult, release: Release, at: datetime) -> dict[str, str]:
    scores = eye.decisive.scores or ("",) * len(Grade)
    read = eye.reading
    return {
        **_head(exam, eye.eye, at),
        "status": "final" if eye.is_read else "preliminary",
        "outcome": eye.outcome,
        "grade": _number(eye.final.grade),
        "grade_label": eye.final.grade.label if eye.final.grade is not None else "",
        "referable": eye.final.referable,
        "reason": eye.reason or "",
        "action": eye.action,
        "missing_fields": " ".join(eye.missing_fields),
        "model_grade": _number(eye.grade),
        "model_referable": eye.referable,
        **{f"score_{grade.value}": str(score) for grade, score in zip(Grade, scores, strict=True)},
        "verdict": read.verdict if read else "",
        "reviewer": read.reviewer if read else "",
        "digest": eye.decisive.digest,
        "model": release.model,
        "revision": release.revision,
        "release": document_ids.of_release(release)[:12],
        "note": SAFETY_WORDS,
    }


def _missing(exam: Exam, eye: Eye, at: datetime) -> dict[str, str]:
    return {
        **_head(exam, eye, at),
        "status": "preliminary",
        "outcome": "missing",
        "referable": "indeterminate",
        "action": "retake",
        "note": SAFETY_WORDS,
    }


def _head(exam: Exam, eye: Eye, at: datetime) -> dict[str, str]:
    return {
        "exam": str(document_ids.of_exam(exam)),
        "day": exam.day.isoformat(),
        "patient_id": exam.patient_id or "",
        "patient_key": exam.patient_key or "",
        "eye": eye,
        "person_referable": exam.final.referable,
        "resulted_at": at.isoformat(timespec="seconds"),
    }


def _number(grade: Grade | None) -> str:
    return "" if grade is None else str(int(grade))


def _harmless(value: str) -> str:
    return f"'{value}" if value.startswith(_FORMULA) else value
