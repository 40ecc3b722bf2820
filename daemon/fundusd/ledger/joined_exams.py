"""Join exams that are one visit, and part photographs from an exam that they do not belong to.

Both are corrections, which are never changed; only a later one undoes them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.domain.errors import RequestError
from fundusd.domain.readings import CorrectionKind
from fundusd.ledger import (
    bare_numbers,
    captures,
    correction_checks,
    corrections,
    exams,
    follow_ups,
    moved_files,
    photographs,
    related_exams,
    shared_numbers,
    visits,
)
from fundusd.ledger.result_columns import IS_RESULT_OF_JOB
from fundusd.ledger.tables import capture, correction, exam, follow_up, job, result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundusd.clinical.exam import Exam
    from fundusd.ledger.corrections import Corrector
    from fundusd.ledger.transactions import Recording

    Row = Mapping[Any, Any]


def join(recording: Recording, exam_id: int, into_id: int, by: Corrector) -> Exam:
    """Join an exam into another one, and return the other one.

    All its captures, those that arrive later, and its open follow-ups belong to the other exam. Its
    readings follow their photographs and are former ones there. Raises RequestError if the exams
    are of two patients.
    """
    connection = recording.connection
    source, target = _exam_row(connection, exam_id), _exam_row(connection, into_id)
    _require_joinable(source, target)
    if target["joined_into"] is not None:
        if visits.followed(connection, [into_id])[into_id] != exam_id:
            raise RequestError(
                f"Exam {into_id} was joined into exam {target['joined_into']}.",
                hint=f"Join exam {exam_id} into exam {target['joined_into']}.",
            )
        _set_exam(connection, into_id, joined_into=None)  # it is joined back
    if target["study_uid"] is None:
        _set_exam(connection, into_id, study_uid=source["study_uid"])
    named = _keep_as_persons(connection, source, target)
    of_source = sa.update(capture).where(capture.c.exam_id == exam_id)
    connection.execute(of_source.values(exam_id=into_id, placed_exam_id=into_id))
    needed = sa.update(follow_up).where(follow_up.c.exam_id == exam_id)
    connection.execute(needed.where(follow_up.c.closed_at.is_(None)).values(exam_id=into_id))
    _set_exam(connection, exam_id, joined_into=into_id)
    _flag_shared(recording, into_id)
    of_exam = {"id": None, "exam_id": exam_id, "patient_key": target["patient_key"]}
    corrections.record(recording, CorrectionKind.JOIN, by, of_exam, named, other_exam_id=into_id)
    return corrections.existing(connection, into_id)


def _keep_as_persons(connection: sa.Connection, source: Row, target: Row) -> Sequence[Row]:
    """Say of the photographs of a number that they are those of the person whose exam they join.

    Return these photographs.
    """
    if source["patient_key"] is None or source["patient_key"] != target["bare_key"]:
        return []
    is_of_number = capture.c.patient_key == source["patient_key"]
    query = sa.select(capture).where(capture.c.exam_id == source["id"], is_of_number)
    files = connection.execute(query.order_by(capture.c.id)).mappings().all()
    corrections.say_belongs(connection, files)
    return files


def _require_joinable(source: Row, target: Row) -> None:
    source_id, target_id = source["id"], target["id"]
    if source_id == target_id:
        raise RequestError(
            f"Exam {source_id} cannot be joined into itself.", hint="Give two exams."
        )
    if source["joined_into"] is not None:
        raise RequestError(
            f"Exam {source_id} was joined into exam {source['joined_into']} already.",
            hint=f"fundusd report exam {source['joined_into']} shows its photographs.",
        )
    if not source["patient_key"] and not target["patient_key"]:
        raise RequestError(
            f"The patients of exams {source_id} and {target_id} are not known, so they may be two "
            "people.",
            hint="Rename the files so that they name the patient, or join each exam into one of a "
            "known patient.",
        )
    if source["patient_key"] and not target["patient_key"]:
        raise RequestError(
            f"The patient of exam {target_id} is not known, but that of exam {source_id} is.",
            hint=f"Join them the other way round: exam {target_id} into exam {source_id}.",
        )
    if source["bare_key"] and source["bare_key"] == target["patient_key"]:
        raise RequestError(
            f"Exam {target_id} gives only the number of the patient of exam {source_id}.",
            hint=f"Join them the other way round: exam {target_id} into exam {source_id}.",
        )
    if source["patient_key"] not in {None, target["patient_key"], target["bare_key"]}:
        raise RequestError(
            f"Exams {source_id} and {target_id} are of two different patients.",
            hint="Only exams of one patient can be joined. Part a photograph that is in the wrong "
            "exam, or exclude it (not_this_patient).",
        )


def part(recording: Recording, capture_id: int, by: Corrector) -> Exam:
    """Part a photograph from its exam into an exam of its own, and return the new exam.

    Open follow-ups of an eye that has no other photograph go along.
    """
    connection = recording.connection
    files = photographs.files_of(connection, capture_id)
    numbers = [file["id"] for file in files]
    old_id = files[0]["exam_id"]
    others = sa.select(capture.c.id).where(
        capture.c.exam_id == old_id, moved_files.counts(), capture.c.id.not_in(numbers)
    )
    if connection.scalar(others.limit(1)) is None:
        raise RequestError(
            f"Capture {capture_id} is the only photograph of exam {old_id}.",
            hint="There is nothing to part it from.",
        )
    left = follow_ups.places_of(connection, files)
    concerned = related_exams.related(connection, [old_id])
    new_id = _insert_parted(connection, files[0], _exam_row(connection, old_id))
    corrections.change(connection, files, exam_id=new_id, placed_exam_id=new_id, belongs=False)
    follow_ups.move_lost(connection, left, new_id)
    exams.rejudge(recording, concerned)
    corrections.record(recording, CorrectionKind.PART, by, files[0], files, other_exam_id=new_id)
    return corrections.existing(connection, new_id)


def belongs_to_other(recording: Recording, capture_id: int, by: Corrector) -> Exam:
    """Say that a photograph is of the other patient whom its sources name; return their exam.

    It is moved into the exam of that patient and of the day that the same source names, which is
    created if there is none. To undo this, say it again. Raises RequestError if its sources do not
    name two patients, or if its name gives a number that several other patients of the day have.
    """
    connection = recording.connection
    files = photographs.files_of(connection, capture_id)
    given = files[0]
    correction_checks.require_known_person(connection, given)
    arriving, number = _arriving(connection, given), _other_number(connection, given)
    correction_checks.require_no_other_exam(connection, files)
    if number == given["other_patient_key"] and given["other_acquired_day"]:
        arriving["acquired_day"] = given["other_acquired_day"]
    content = _content(connection, given)
    arriving["patient_key"], arriving["bare_key"] = number, bare_numbers.number_in(content, number)
    if meant := _patient_meant(connection, arriving, number):
        arriving["person_key"], arriving["bare_key"] = meant, number
    concerned = related_exams.related(connection, [given["exam_id"]])
    if arriving["bare_key"] is not None:
        person, number = arriving.get("person_key") or number, arriving["bare_key"]
        concerned |= bare_numbers.note_person(connection, arriving, person, number)
    [new_id] = visits.assign(connection, [arriving], [content.get("study_uid")])
    left = follow_ups.places_of(connection, files)
    placed = {"exam_id": new_id, "placed_exam_id": new_id, "belongs": True, "excluded": None}
    corrections.change(connection, files, **placed)
    follow_ups.move_lost(connection, left, new_id)
    _flag_shared(recording, new_id)
    exams.rejudge(recording, concerned)
    corrections.record(recording, CorrectionKind.BELONGS, by, given, files, other_exam_id=new_id)
    return corrections.existing(connection, new_id)


def _other_number(connection: sa.Connection, given: Row) -> str:
    """Return the key that a photograph's sources give for another patient than that of its exam.

    It is the number of the exam's patient if other patients have the same.
    """
    old = _exam_row(connection, given["exam_id"])
    of_old = {old["patient_key"], old["bare_key"]}
    named = {given["patient_key"], given["other_patient_key"]} - {None, *of_old}
    if given["other_patient_key"] and len(named) == 1:
        return str(named.pop())
    numbers = shared_numbers.shared(connection, [old["id"]])
    if given["patient_key"] == old["bare_key"] and any(
        of.number == old["bare_key"] for of in numbers
    ):
        return str(old["bare_key"])
    raise RequestError(
        f"The sources of capture {given['id']} name only one patient.",
        hint="Exclude it if it is not of this patient (not_this_patient), or rename its file.",
    )


def _arriving(connection: sa.Connection, given: Row) -> dict[Any, Any]:
    """Return a capture as it was when it was assigned to its exam for the first time."""
    lane = connection.scalar(sa.select(job.c.lane).where(job.c.id == given["job_id"]))
    since = visits.first_received(connection, [given])[given["digest"]]
    return dict(given) | {"lane": lane, "first_received_at": since, "placed_exam_id": None}


def _patient_meant(connection: sa.Connection, row: Row, number: str) -> str | None:
    """Return the key of the other patient of the day who has a number, or None if nobody has it."""
    day = visits.arrival_of(row, None).day.isoformat()
    own = connection.scalar(sa.select(exam.c.patient_key).where(exam.c.id == row["exam_id"]))
    meant = sorted(
        bare_numbers.persons(connection, {(number, day)}).get((number, day), set()) - {own}
    )
    if len(meant) > 1:
        raise RequestError(
            f"The name of capture {row['id']} gives a number that several patients of {day} have.",
            hint=f"Find out whose it is. If it is of the patient of exam {row['exam_id']}, say so: "
            f"fundusd correct belongs {row['id']}. Otherwise export it again with the right "
            "patient in its header.",
        )
    return meant[0] if meant else None


def _exam_row(connection: sa.Connection, exam_id: int) -> Row:
    corrections.existing(connection, exam_id)
    return connection.execute(sa.select(exam).where(exam.c.id == exam_id)).mappings().one()


def _flag_shared(recording: Recording, exam_id: int) -> None:
    """Warn of photographs of an exam whose bytes another patient has, too, and judge their exams.

    A person has just given the exam photographs that came without its patient.
    """
    query = sa.select(capture).where(capture.c.exam_id == exam_id)
    rows = [dict(row) for row in recording.connection.execute(query).mappings()]
    exams.rejudge(recording, captures.flag_shared(recording.connection, rows))


def _set_exam(connection: sa.Connection, exam_id: int, **columns: Any) -> None:
    connection.execute(sa.update(exam).where(exam.c.id == exam_id).values(**columns))


def _insert_parted(connection: sa.Connection, row: Row, old: Row) -> int:
    """Insert an exam for a capture that is parted from its exam, and return its number.

    A capture that came under a bare number remains one of the person whom the number means.
    """
    content = _content(connection, row)
    keys = {"patient_key": row["patient_key"]}
    keys["bare_key"] = bare_numbers.number_in(content, row["patient_key"])
    if row["patient_key"] and row["patient_key"] in {old["patient_key"], old["bare_key"]}:
        keys = {"patient_key": old["patient_key"], "bare_key": old["bare_key"]}
    before = sa.select(sa.func.count()).where(
        correction.c.capture_id == row["id"], correction.c.kind == CorrectionKind.PART
    )
    times = connection.execute(before).scalar_one()
    columns = {
        "key": f"parted:{row['id']}:{times + 1}",
        "study_uid": content.get("study_uid"),
        **keys,
        "day": visits.arrival_of(_arriving(connection, row), None).day.isoformat(),
        "created_at": datetime.now(UTC),
    }
    inserted = sa.insert(exam).values(columns).returning(exam.c.id)
    return int(connection.execute(inserted).scalar_one())


def _content(connection: sa.Connection, row: Row) -> dict[str, Any]:
    """Return the metadata and measures of a capture, as its result holds them."""
    query = sa.select(result.c.content).join(job, IS_RESULT_OF_JOB)
    content = connection.scalar(query.where(job.c.id == row["job_id"]))
    metadata: dict[str, Any] = orjson.loads(content or "{}")
    return metadata
