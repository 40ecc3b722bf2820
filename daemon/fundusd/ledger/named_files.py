"""Give photographs of which only the name has the patient's number to the person whom it means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.ledger import follow_ups, joins, visits
from fundusd.ledger.result_columns import IS_RESULT_OF_JOB
from fundusd.ledger.tables import capture, exam, job, result

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    Row = Mapping[Any, Any]
    Place = tuple[str, str, str]  # the key of the bare number, camera and day
    PatientDay = tuple[str, str]  # the key of a patient or of a bare number, and the day
    Files = dict[int, list[dict[Any, Any]]]  # by exam

_GIVEN = "given"  # begins the key of an exam that no new photograph belongs to


def of_exams(connection: sa.Connection, which: sa.ColumnElement[bool]) -> Files:
    """Return the captures of exams that were not joined into others, by exam.

    Each has the `place` that its exam and camera give, and what decides to which visit it belongs;
    `is_only_named` says that its header names no patient.
    """
    query = (
        sa.select(
            capture,
            *(exam.c.key, exam.c.day, exam.c.patient_key.label("number")),
            *(job.c.lane, result.c.content),
        )
        .join(exam, exam.c.id == capture.c.exam_id)
        .join(job, job.c.id == capture.c.job_id)
        .outerjoin(result, IS_RESULT_OF_JOB)
        .where(which, exam.c.joined_into.is_(None))
        .order_by(capture.c.id)
    )
    files: Files = {}
    for row in connection.execute(query).mappings():
        header = orjson.loads(row["content"] or "{}")
        file = dict(row) | {"place": (row["number"], row["camera_id"], row["day"])}
        file |= {"is_only_named": not header.get("patient_key")}
        file |= {"study_uid": header.get("study_uid")}
        files.setdefault(row["exam_id"], []).append(file)
    return files


def of_days(connection: sa.Connection, days: Collection[PatientDay]) -> Files:
    """Return the captures of the exams that came under bare numbers."""
    if not days:
        return {}
    numbers, of_days = {number for number, _ in days}, {day for _, day in days}
    return of_exams(connection, sa.and_(exam.c.patient_key.in_(numbers), exam.c.day.in_(of_days)))


def give_exams(connection: sa.Connection, persons: Mapping[Place, str], files: Files) -> set[int]:
    """Give exams all of whose photographs are of the person to the person; return these exams.

    Those remain of which the person has the visit: their photographs are to be moved into it. What
    people have arranged, however, is given as it is, with the exams that were joined into it.
    """
    whole = _whole(persons, files)
    if not whole:
        return set()
    of_persons = _days_of(connection, set(whole.values()))
    arranged = _arranged(connection, {number: files[number] for number in whole})
    given = set()
    for number, person in whole.items():
        if number in arranged or (person, files[number][0]["day"]) not in of_persons:
            given.add(number)
    members = joins.members(connection, given)
    query = sa.select(*exam.c["id", "key", "day", "patient_key"]).where(exam.c.id.in_(members))
    changed = []
    for row in connection.execute(query).mappings():
        final = members[row["id"]]
        number, person = files[final][0]["number"], whole[final]
        if row["patient_key"] != number:
            continue  # a member of an unknown patient
        key = _key(row, person)
        if (person, row["day"]) in of_persons and key != row["key"]:
            key = f"{_GIVEN}:{row['id']}"
        columns = {"patient_key": person, "key": key, "bare_key": number}
        changed.append({"at_id": row["id"], **columns})
    _update_exams(connection, changed)
    return given


def _whole(persons: Mapping[Place, str], files: Files) -> dict[int, str]:
    """Return the persons of exams all of whose photographs are of one of these, by exam."""
    whole: dict[int, str] = {}
    for number, of_exam in files.items():
        keys = {persons.get(file["place"]) if file["is_only_named"] else None for file in of_exam}
        person = keys.pop()
        if person is not None and not keys:
            whole[number] = person
    return whole


def _key(row: Row, person: str) -> str:
    kind, _, rest = row["key"].partition(f":{row['patient_key']}:")
    return f"{kind}:{person}:{rest}" if rest else str(row["key"])


def _days_of(connection: sa.Connection, persons: Collection[str]) -> set[PatientDay]:
    query = sa.select(exam.c.patient_key, exam.c.day).where(exam.c.patient_key.in_(persons))
    return {(patient_key, day) for patient_key, day in connection.execute(query.distinct())}


def _arranged(connection: sa.Connection, files: Files) -> set[int]:
    """Return those exams into which people have joined others or put photographs."""
    arranged = set()
    for number, of_exam in files.items():
        if any(file["placed_exam_id"] is not None for file in of_exam):
            arranged.add(number)
    query = sa.select(exam.c.joined_into).where(exam.c.joined_into.in_(files))
    return arranged | (set(connection.scalars(query)) if files else set())


def move(connection: sa.Connection, persons: Mapping[Place, str], files: Files) -> set[int]:
    """Move photographs of persons into their visits; return the exams that lost or got some.

    Follow-ups of eyes that have no photograph left go along.
    """
    arranged = _arranged(connection, files)
    moving = []
    for number, of_exam in files.items():
        for file in of_exam:
            if number not in arranged and file["is_only_named"] and file["place"] in persons:
                moving.append(file)
    if not moving:
        return set()
    since = visits.first_received(connection, moving)
    moved: list[dict[Any, Any]] = []
    for file in moving:
        person = {"patient_key": persons[file["place"]]}
        moved.append(file | person | {"first_received_at": since[file["digest"]]})
    ids = visits.assign(connection, moved, [file["study_uid"] for file in moved])
    changed = []
    numbers: dict[int, dict[str, Any]] = {}
    for file, exam_id in zip(moved, ids, strict=True):
        file["exam_id"] = exam_id
        changed.append({"at_id": file["id"], "exam_id": exam_id})
        numbers[exam_id] = {"at_id": exam_id, "bare_key": file["number"]}
    connection.execute(sa.update(capture).where(capture.c.id == sa.bindparam("at_id")), changed)
    _update_exams(connection, list(numbers.values()))
    follow_ups.move_renamed(connection, moved, {file["id"]: file for file in moving})
    return {*ids, *(file["exam_id"] for file in moving)}


def _update_exams(connection: sa.Connection, changed: list[dict[str, Any]]) -> None:
    if changed:
        connection.execute(sa.update(exam).where(exam.c.id == sa.bindparam("at_id")), changed)
