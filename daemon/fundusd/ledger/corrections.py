"""Record what people correct: eyes, photographs that do not count, and absent eyes.

A correction is a row that is never changed; only a later correction undoes it. Each is recorded in
one transaction with the new results of all exams that it concerns.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from fundusd.domain.clinical_terms import Eye
from fundusd.domain.errors import RequestError
from fundusd.domain.readings import AbsenceReason, CorrectionKind, ExclusionReason
from fundusd.ledger import (
    audit,
    correction_checks,
    exam_queries,
    exams,
    follow_ups,
    photographs,
)
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.tables import capture, correction, exam, storable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fundusd.clinical.exam import Exam
    from fundusd.ledger.transactions import Recording

    Row = Mapping[Any, Any]


class Corrector(NamedTuple):
    """The reader who corrects something."""

    reader: str
    role: str


# -- photographs


def correct_eye(recording: Recording, capture_id: int, eye: Eye, by: Corrector) -> Exam:
    """Say which eye a photograph shows, and return its exam.

    This also confirms the eye of a photograph whose pixels contradict it. Like `exclude`, `include`
    and `part`, it changes all files of the photograph, and raises RequestError if its file was
    moved or it has no exam yet. Follow-ups of an eye that has no photograph left
    become those of this eye.
    """
    files = photographs.files_of(recording.connection, capture_id)
    left = follow_ups.places_of(recording.connection, files)
    change(recording.connection, files, corrected_eye=eye)
    follow_ups.move_lost(recording.connection, left, files[0]["exam_id"], eye)
    return record(recording, CorrectionKind.EYE, by, files[0], files, eye=eye)


def exclude(recording: Recording, capture_id: int, reason: ExclusionReason, by: Corrector) -> Exam:
    """Exclude a photograph from its exam, and return the exam."""
    files = photographs.files_of(recording.connection, capture_id)
    if reason is ExclusionReason.RETAKEN:
        correction_checks.require_replaceable(recording.connection, files)
    change(recording.connection, files, excluded=reason, belongs=False)
    return record(recording, CorrectionKind.EXCLUDE, by, files[0], files, reason=reason)


def include(recording: Recording, capture_id: int, by: Corrector) -> Exam:
    """Let a photograph that was excluded count again, and return its exam."""
    files = photographs.files_of(recording.connection, capture_id)
    if all(file["excluded"] is None for file in files):
        raise RequestError(
            f"Capture {capture_id} is not excluded.",
            hint=f"fundusd show {capture_id} shows what is known about it.",
        )
    change(recording.connection, files, excluded=None)
    return record(recording, CorrectionKind.INCLUDE, by, files[0], files)


def belongs(recording: Recording, capture_id: int, by: Corrector) -> Exam:
    """Say that a photograph belongs to its exam, and return the exam.

    Its sources name two patients, its bytes came with another patient or visit too, or its date is
    another one. `exclude` undoes it, and it undoes an exclusion as not_this_patient.
    """
    files = photographs.files_of(recording.connection, capture_id)
    correction_checks.require_doubt(recording.connection, files)
    correction_checks.require_known_person(recording.connection, files[0])
    correction_checks.require_no_other_exam(recording.connection, files)
    say_belongs(recording.connection, files)
    return record(recording, CorrectionKind.BELONGS, by, files[0], files)


def say_belongs(connection: sa.Connection, files: Sequence[Row]) -> None:
    """Store that files belong to their exam, and so are not another patient's."""
    change(connection, files, belongs=True)
    disowned = [file for file in files if file["excluded"] == ExclusionReason.NOT_THIS_PATIENT]
    change(connection, disowned, excluded=None)


# -- eyes that a person lacks


def absent(
    recording: Recording,
    exam_id: int,
    eye: Eye,
    reason: AbsenceReason,
    by: Corrector,
    until: date | None = None,
) -> Exam:
    """Say that a person lacks an eye, and return the exam.

    This applies to all exams of the patient up to the day `until`, or to this exam if the patient
    is not known.
    """
    said_of = _not_joined(recording.connection, exam_id)
    _require_one_eye(eye)
    if until is not None and until < said_of.day:
        raise RequestError(
            f"The last day, {until}, is before the day of exam {exam_id}, {said_of.day}.",
            hint="Give a later day, or leave out --until if the eye is absent for good.",
        )
    last = None if until is None else until.isoformat()
    of_exam = _of_exam(said_of)
    return record(recording, CorrectionKind.ABSENT, by, of_exam, eye=eye, reason=reason, until=last)


def present(recording: Recording, exam_id: int, eye: Eye, by: Corrector) -> Exam:
    """Take back that a person lacks an eye, and return the exam."""
    said_of = _not_joined(recording.connection, exam_id)
    _require_one_eye(eye)
    if eye not in said_of.absent:
        raise RequestError(
            f"Eye {eye} of exam {exam_id} is not said to be absent.",
            hint="fundusd person shows the corrections of a patient.",
        )
    return record(recording, CorrectionKind.PRESENT, by, _of_exam(said_of), eye=eye)


def _require_one_eye(eye: Eye) -> None:
    if eye is Eye.UNKNOWN:
        raise RequestError(
            "Only the right or the left eye can be absent.", hint="Give R or L as the eye."
        )


def _not_joined(connection: sa.Connection, exam_id: int) -> Exam:
    """Return an exam; raises RequestError if there is none, or it was joined into another."""
    exam = existing(connection, exam_id)
    if exam.joined_into is not None:
        raise RequestError(
            f"Exam {exam_id} was joined into exam {exam.joined_into}.",
            hint=f"Give exam {exam.joined_into}.",
        )
    return exam


def existing(connection: sa.Connection, exam_id: int) -> Exam:
    """Return an exam; raises RequestError if no exam has this number."""
    exam = exam_queries.exam_by_id(connection, exam_id)
    if exam is None:
        raise RequestError(
            f"There is no exam {exam_id}.", hint="fundusd worklist and person show exams."
        )
    return exam


def _of_exam(said_of: Exam) -> dict[str, Any]:
    return {"id": None, "exam_id": said_of.exam_id, "patient_key": said_of.patient_key}


# -- rows


def change(connection: sa.Connection, files: Iterable[Row], **columns: Any) -> None:
    """Change columns of captures."""
    numbers = [file["id"] for file in files]
    connection.execute(sa.update(capture).where(capture.c.id.in_(numbers)).values(**columns))


def record(
    recording: Recording,
    kind: CorrectionKind,
    by: Corrector,
    about: Row,
    files: Sequence[Row] = (),
    **said: Any,
) -> Exam:
    """Store a correction about a photograph or an exam, judge the exams concerned, and return it.

    `about` has the number of the capture or None as `id`, `exam_id` and `patient_key`; `files` are
    those of the photograph.
    """
    connection = recording.connection
    exam_id, patient_key = about["exam_id"], about["patient_key"]
    row = {
        "kind": kind,
        "exam_id": exam_id,
        "patient_key": patient_key,
        "capture_id": about["id"],
        "reader": storable(by.reader),
        "role": storable(by.role),
        "created_at": datetime.now(UTC),
    }
    inserted = sa.insert(correction).values(row | said).returning(correction.c.id)
    detail: dict[str, Any] = {"correction_id": connection.execute(inserted).scalar_one()}
    for name in ("kind", "capture_id", "other_exam_id", "eye", "reason", "until"):
        detail[name] = said.get(name, row.get(name))
    detail |= {"reviewer": by.reader, "role": by.role, "corrected": _states(connection, files)}
    entry = audit.Entry(
        AuditEvent.CORRECTION_RECORDED,
        "exam",
        exam_id,
        patient_key,
        digest=about.get("digest"),
        detail=detail,
    )
    audit.append(connection, entry)
    concerned = {exam_id, said.get("other_exam_id")}
    if kind in exam_queries.ABSENCES and patient_key:
        concerned |= set(_exams_of(connection, patient_key))
    exams.rejudge(recording, concerned)
    return existing(connection, exam_id)


def _states(connection: sa.Connection, files: Iterable[Row]) -> dict[str, list[Any]]:
    """Return what has been corrected about each file, by its number."""
    query = sa.select(capture).where(capture.c.id.in_([file["id"] for file in files]))
    rows = connection.execute(query.order_by(capture.c.id)).mappings()
    return {str(row["id"]): audit.corrected_state(row) for row in rows}


def _exams_of(connection: sa.Connection, patient_key: str) -> Sequence[int]:
    numbers = sa.select(exam.c.bare_key).where(exam.c.patient_key == patient_key)
    is_of_patient = sa.or_(
        exam.c.patient_key == patient_key,
        exam.c.bare_key == patient_key,
        exam.c.patient_key.in_(numbers.where(exam.c.bare_key.is_not(None))),
    )
    query = sa.select(exam.c.id).where(is_of_patient)
    return connection.scalars(query.order_by(exam.c.id)).all()
