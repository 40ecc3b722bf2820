"""Put photographs that older versions put into wrong exams into those of their visits.

Versions with schema revision 0001 put all photographs of a person and day into one exam, whatever
their studies, and ignored dates without a time. The photographs are assigned as new ones would be.
What people have joined or parted is left alone. Until revision 0005, a person was another one under
a number without its issuer; exams of such numbers are given to the persons whom they mean.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.domain.delivery import DeliveryState, DocumentKind
from fundusd.ledger import bare_numbers, visits
from fundusd.ledger.database import epoch_now, insert_or_update
from fundusd.ledger.result_columns import IS_RESULT_OF_JOB
from fundusd.ledger.tables import capture, delivery, exam, job, result, sent_document

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from fundusd.ledger.path_metadata import PathMetadata

    Row = Mapping[Any, Any]

_SLICE = 500  # exams or captures in one statement


def fill_days(connection: sa.Connection, paths: PathMetadata) -> None:
    """Store the days that names give without a time."""
    query = sa.select(capture.c.id, capture.c.camera_id, capture.c.path)
    query = query.where(capture.c.acquired_day.is_(None))
    rows = connection.execute(query.order_by(capture.c.id)).all()
    for first in range(0, len(rows), _SLICE):
        known = rows[first : first + _SLICE]
        columns = paths.columns((row.camera_id, bytes(row.path)) for row in known)
        days = []
        for row in known:
            day = columns[row.camera_id, bytes(row.path)]["acquired_day"]
            if day is not None:
                days.append({"at_id": row.id, "acquired_day": day})
        if days:
            _update(connection, days)


def regroup(connection: sa.Connection) -> set[int]:
    """Assign the photographs of wrong exams anew, and return the numbers of these exams.

    The exams are not judged.
    """
    given = bare_numbers.give(connection)
    count = sa.func.count()
    several = sa.select(capture.c.exam_id).where(capture.c.exam_id.is_not(None))
    several = several.group_by(capture.c.exam_id).having(count > 1).order_by(capture.c.exam_id)
    numbers = sorted({*connection.scalars(several), *given})
    wrong = set(given)
    for first in range(0, len(numbers), _SLICE):
        wrong |= _regroup(connection, numbers[first : first + _SLICE], given)
    return wrong


def _regroup(connection: sa.Connection, ids: Sequence[int], given: Collection[int]) -> set[int]:
    by_exam: dict[int, list[Row]] = {}
    for row in _captures(connection, ids):
        by_exam.setdefault(row["exam_id"], []).append(row)
    arranged = _arranged(connection, ids)
    files: list[Row] = []
    for number, of_exam in by_exam.items():
        if number not in arranged and (number in given or _is_mixed(of_exam)):
            files += of_exam
    if not files:
        return set()
    numbers = [row["id"] for row in files]
    # otherwise a photograph without a study would remain beside itself
    connection.execute(sa.update(capture).where(capture.c.id.in_(numbers)).values(exam_id=None))
    assigned = visits.assign(connection, files, [row["study_uid"] for row in files])
    changed = []
    pairs: set[tuple[int, int]] = set()
    for row, number in zip(files, assigned, strict=True):
        changed.append({"at_id": row["id"], "exam_id": number})
        pairs.add((row["exam_id"], number))
    _update(connection, changed)
    moves = {(before, after) for before, after in pairs if before != after}
    for before, after in sorted(moves):
        _deliver_too(connection, before, after)
        _move_reports(connection, before, after)
    return {before for before, _ in moves}


def _update(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
    connection.execute(sa.update(capture).where(capture.c.id == sa.bindparam("at_id")), rows)


def _captures(connection: sa.Connection, exam_ids: Sequence[int]) -> list[Row]:
    """Return the captures of exams, with what decides to which visit they belong."""
    of_exam = (exam.c.patient_key.label("person_key"), exam.c.bare_key)
    query = (
        sa.select(capture, *of_exam, job.c.lane, result.c.content)
        .join(exam, exam.c.id == capture.c.exam_id)
        .join(job, job.c.id == capture.c.job_id)
        .outerjoin(result, IS_RESULT_OF_JOB)
        .where(capture.c.exam_id.in_(exam_ids))
        .order_by(capture.c.id)
    )
    rows = connection.execute(query).mappings().all()
    since = visits.first_received(connection, rows)
    files: list[Row] = []
    for row in rows:
        study_uid = orjson.loads(row["content"] or "{}").get("study_uid")
        known = {"study_uid": study_uid, "first_received_at": since[row["digest"]]}
        if row["patient_key"] != row["bare_key"]:  # otherwise the number means the person
            known["person_key"] = None
        files.append(dict(row) | known)
    return files


def _arranged(connection: sa.Connection, exam_ids: Sequence[int]) -> set[int]:
    """Return those exams into which people have joined others or put photographs."""
    joined = sa.select(exam.c.joined_into).where(exam.c.joined_into.in_(exam_ids))
    placed = sa.select(capture.c.exam_id).where(
        capture.c.exam_id.in_(exam_ids), capture.c.placed_exam_id.is_not(None)
    )
    return set(connection.scalars(sa.union(joined, placed)))


def _is_mixed(files: Sequence[Row]) -> bool:
    studies = {file["study_uid"] for file in files} - {None}
    visit_keys = {visits.arrival_of(file, file["study_uid"]).key for file in files}
    return len(studies) > 1 or len(visit_keys) > 1


def _deliver_too(connection: sa.Connection, exam_id: int, new_id: int) -> None:
    """Queue documents about a new exam for those who were sent some about its photographs."""
    columns = delivery.c["receiver", "document", "camera_id"]
    query = sa.select(*columns).where(delivery.c.exam_id == exam_id)
    for row in connection.execute(query).mappings().all():
        values = {
            **row,
            "exam_id": new_id,
            "state": DeliveryState.QUEUED,
            "changes": 1,
            "attempts": 0,
            "created_at": datetime.now(UTC),
            "available_at": epoch_now(),
        }
        insert = insert_or_update(connection.dialect.name, delivery).values(values)
        again = {"state": DeliveryState.QUEUED, "attempts": 0, "changes": delivery.c.changes + 1}
        key = [delivery.c.receiver, delivery.c.exam_id]
        connection.execute(insert.on_conflict_do_update(index_elements=key, set_=again))


def _move_reports(connection: sa.Connection, exam_id: int, new_id: int) -> None:
    """Let the next structured reports on a new exam replace those on its photographs."""
    of_new = connection.scalars(
        sa.select(capture.c.digest).where(capture.c.exam_id == new_id)
    ).all()
    query = sa.select(sent_document.c.id, sent_document.c.photographs).where(
        sent_document.c.exam_id == exam_id, sent_document.c.document == DocumentKind.SR
    )
    for row in connection.execute(query).all():
        marks = row.photographs.split()
        if marks and all(any(digest.startswith(mark) for digest in of_new) for mark in marks):
            is_meant = sent_document.c.id == row.id
            connection.execute(sa.update(sent_document).where(is_meant).values(exam_id=new_id))
