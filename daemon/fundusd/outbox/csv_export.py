"""An exam as CSV for spreadsheets and scripts: one file per exam, one row per eye."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import SAFETY_WORDS, Action, Eye, Grade, Referable
from fundusd.domain.delivery import DocumentKind, DocumentStatus, SentDocument
from fundusd.domain.readings import AbsenceReason
from fundusd.outbox import document_ids, document_status, eye_values, safety_notes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fundusd.clinical.exam import Absence
    from fundusd.clinical.eye_result import EyeResult
    from fundusd.clinical.reading import Reading
    from fundusd.ledger.document_content import DocumentContent
    from fundusd.outbox.document_ids import Document

MEDIA_TYPE = "text/csv"
_COLUMNS = (
    *(
        "exam",
        "day",
        "day_doubt",
        "patient_id",
        "patient_key",
        "eye",
        "person_referable",
        "resulted_at",
    ),
    *("status", "outcome", "grade", "grade_label", "referable", "reason", "action"),
    *("missing_fields", "warnings", "model_grade", "model_referable"),
    *(f"score_{grade.value}" for grade in Grade),
    *("verdict", "reviewer", "lesion", "maculopathy", "photocoagulation", "stable_treated"),
    *("digest", "model", "revision", "release", "note"),
)
# a spreadsheet evaluates a cell that starts with one of these
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def table(content: DocumentContent) -> Document:
    """Return an exam as CSV, with a row for each eye, even if the eye was not photographed."""
    name = _name(content)
    rows, sent = [], []
    counting = {eye.eye for eye in content.exam.counting}
    for eye in content.exam.eyes:
        record = _record(content, eye, f"{name}#{eye.eye}")
        sent.append(record)
        if eye.eye in counting:
            rows.append(_row(content, eye, record.status))
    if content.exam.joined_into is not None:
        return _document(name, (), sent)
    for missing in content.exam.missing:
        rows.append(_row_without_photograph(content, missing, "missing", Action.RETAKE))
    for stated in content.exam.absences:
        if stated.eye not in counting:
            rows.append(_row_of_absent(content, stated))
    return _document(name, rows, sent)


def withdrawals(content: DocumentContent) -> Iterator[Document]:
    """Yield a file without rows in place of each one that was sent under another name.

    Older versions named exams in another way. A withdrawal that the receiver has confirmed is not
    repeated.
    """
    former: dict[str, list[SentDocument]] = {}
    for record in content.sent:
        name = record.identifier.partition("#")[0]
        is_done = record.status is DocumentStatus.ENTERED_IN_ERROR and record.is_accepted
        if name != _name(content) and not is_done:
            withdrawn = replace(record, status=DocumentStatus.ENTERED_IN_ERROR, is_accepted=False)
            former.setdefault(name, []).append(withdrawn)
    for name, sent in former.items():
        yield _document(name, (), sent)


def _document(
    name: str, rows: Iterable[Mapping[str, str]], sent: Iterable[SentDocument]
) -> Document:
    out = io.StringIO()
    writer = csv.DictWriter(out, _COLUMNS)
    writer.writeheader()
    for row in rows:
        writer.writerow({column: _without_formula(value) for column, value in row.items()})
    return document_ids.Document(name, MEDIA_TYPE, out.getvalue().encode(), tuple(sent))


def _name(content: DocumentContent) -> str:
    return f"{content.exam.day}_{document_ids.exam_uuid(content.exam)}.csv"


def _record(content: DocumentContent, eye: EyeResult, identifier: str) -> SentDocument:
    exam = content.exam
    verdict = document_ids.verdict_digest(exam, eye, content.releases[eye.decisive.release_id])
    marks = document_ids.photograph_marks([eye])
    last = document_status.last_sent(content.sent, identifier)
    status = document_status.next_status(last, verdict, marks, is_final=exam.is_settled(eye))
    return SentDocument(DocumentKind.CSV, eye.eye, identifier, status, verdict, marks)


def _row(content: DocumentContent, eye: EyeResult, status: str) -> dict[str, str]:
    release = content.releases[eye.decisive.release_id]
    grade = eye_values.final_grade(eye)
    return {
        **_exam_columns(content, eye.eye),
        "status": status,
        "outcome": eye.outcome,
        "grade": _number(grade),
        "grade_label": _label(grade),
        "referable": eye.final.referable,
        "reason": eye.open_reason or "",
        "action": eye.action,
        "missing_fields": " ".join(eye.missing_fields),
        "warnings": "; ".join(eye_values.warnings(eye)),
        "model_grade": _number(eye_values.model_grade(eye)),
        "model_referable": eye_values.model_referable(eye) or "",
        **_score_columns(eye),
        **_reading_columns(eye_values.reading(eye)),
        "digest": eye.decisive.digest,
        "model": release.model,
        "revision": release.revision,
        "release": document_ids.release_digest(release)[:12],
        "note": safety_notes.note([release]),
    }


def _row_without_photograph(
    content: DocumentContent, eye: Eye, outcome: str, action: Action
) -> dict[str, str]:
    return {
        **_exam_columns(content, eye),
        "status": DocumentStatus.PRELIMINARY,
        "outcome": outcome,
        "referable": Referable.INDETERMINATE,
        "action": action,
        "note": SAFETY_WORDS,
    }


def _row_of_absent(content: DocumentContent, stated: Absence) -> dict[str, str]:
    """Return the row of an eye that does not count, even if a photograph of it was graded."""
    is_impossible = stated.eye in content.exam.impossible
    is_prosthesis = stated.reason is AbsenceReason.PROSTHESIS
    action = Action.NONE if is_prosthesis and not is_impossible else Action.REFER_READER
    row = _row_without_photograph(content, stated.eye, "absent", action)
    remarks = [f"{eye_values.absence(stated)}."]
    if is_impossible:
        remarks.append("Photographed, but said to be absent.")
    return row | {"reason": stated.reason, "note": " ".join([*remarks, SAFETY_WORDS])}


def _exam_columns(content: DocumentContent, eye: Eye) -> dict[str, str]:
    exam = content.exam
    return {
        "exam": str(document_ids.exam_uuid(exam)),
        "day": exam.day.isoformat(),
        "day_doubt": exam.day_doubt,
        "patient_id": exam.patient_id or "",
        "patient_key": exam.patient_key or "",
        "eye": eye,
        "person_referable": exam.final.referable,
        "resulted_at": content.resulted_at.isoformat(timespec="seconds"),
    }


def _score_columns(eye: EyeResult) -> dict[str, str]:
    scores = eye_values.scores(eye) or ("",) * len(Grade)
    return {f"score_{grade.value}": str(score) for grade, score in zip(Grade, scores, strict=True)}


def _reading_columns(reading: Reading | None) -> dict[str, str]:
    if reading is None:
        return {}
    return {
        "verdict": reading.verdict,
        "reviewer": reading.reviewer,
        "lesion": reading.lesion or "",
        "maculopathy": reading.maculopathy or "",
        "photocoagulation": reading.photocoagulation or "",
        "stable_treated": "yes" if reading.is_stable_treated else "",
    }


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
