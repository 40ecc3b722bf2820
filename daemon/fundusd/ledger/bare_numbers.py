"""Find the person whom a number means that is given without its issuer.

Headers may name the issuer of a patient's number, and names of files do not, so that a person has
another key by a name than by a header. A photograph whose header names no patient, for instance
because the file is damaged, is of the person whose photographs from the same camera and day bear
the same number, unless there are two of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.ledger import visits
from fundusd.ledger.result_columns import IS_RESULT_OF_JOB
from fundusd.ledger.tables import capture, exam, job, result

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    Row = Mapping[Any, Any]
    Place = tuple[str, str, str]  # the key of the bare number, camera and day
    PatientDay = tuple[str, str]  # the key of a patient or of a bare number, and the day
    Exams = dict[PatientDay, list[Any]]
    Persons = dict[Place, set[str]]  # the keys of those whose headers give this number


def resolve(
    connection: sa.Connection, captures: Sequence[dict[Any, Any]], headers: Sequence[Row]
) -> None:
    """Give captures, and exams that have no header with a patient, the keys of those they mean.

    `headers` are the contents of the captures. This is done before the captures are assigned.
    """
    bare: list[tuple[dict[Any, Any], Place]] = []
    named: Persons = {}
    for row, header in zip(captures, headers, strict=True):
        if number := _bare_key(row, header):
            named.setdefault(_place(number, row), set()).add(row["patient_key"])
        elif row["patient_key"] and not header.get("patient_key"):
            bare.append((row, _place(row["patient_key"], row)))
    if not bare and not named:
        return
    persons = _known_persons(connection, {*named, *(place for _, place in bare)})
    for place, keys in named.items():
        persons.setdefault(place, set()).update(keys)
    exams = _exams_of(connection, {_day_of(place) for place in persons})
    _give_exams(connection, {place: persons[place] for place in named}, exams)
    for row, place in bare:
        if len(persons.get(place, ())) == 1 and not exams.get(_day_of(place)):
            [row["patient_key"]] = persons[place]


def _place(number: str, row: Row) -> Place:
    return number, row["camera_id"], visits.arrival_of(row, None).day.isoformat()


def remember(connection: sa.Connection, captures: Sequence[Row], headers: Sequence[Row]) -> None:
    """Store the bare numbers of the persons of exams to which captures have been assigned."""
    numbers: set[tuple[int, str, str]] = set()  # exam, patient and bare number
    for row, header in zip(captures, headers, strict=True):
        number = _bare_key(row, header)
        if number:
            numbers.add((row["exam_id"], row["patient_key"], number))
    if not numbers:
        return
    statement = sa.update(exam).where(
        exam.c.id == sa.bindparam("at_id"),
        exam.c.patient_key == sa.bindparam("of_person"),
        exam.c.bare_key.is_(None),
    )
    names = ("at_id", "of_person", "bare_key")
    connection.execute(
        statement, [dict(zip(names, values, strict=True)) for values in sorted(numbers)]
    )


def meant(connection: sa.Connection) -> dict[int, str]:
    """Return the keys of the persons whom exams mean that came under a bare number, by exam.

    Older versions have left these exams beside those of the persons.
    """
    named = exam.alias()
    query = (
        sa.select(exam.c.id, named.c.patient_key, capture.c.camera_id)
        .join(named, sa.and_(named.c.bare_key == exam.c.patient_key, named.c.day == exam.c.day))
        .join(capture, capture.c.exam_id == named.c.id)
        .where(exam.c.joined_into.is_(None))
    )
    persons: dict[int, set[str]] = {}
    cameras: dict[int, set[str]] = {}
    for number, patient_key, camera_id in connection.execute(query.distinct()):
        persons.setdefault(number, set()).add(patient_key)
        cameras.setdefault(number, set()).add(camera_id)
    keys: dict[int, str] = {}
    for number, of_exam in persons.items():
        is_of_camera = any(_is_only_named(connection, number, name) for name in cameras[number])
        if len(of_exam) == 1 and is_of_camera:
            [keys[number]] = of_exam
    return keys


def _bare_key(row: Row, header: Row) -> str | None:
    """Return the key of the number in a header that names an issuer, or None."""
    number: str | None = header.get("bare_key")
    is_of_header = header.get("patient_key") == row["patient_key"]
    return number if is_of_header and number != row["patient_key"] else None


def _known_persons(connection: sa.Connection, places: Collection[Place]) -> Persons:
    query = sa.select(*exam.c["id", "bare_key", "day", "patient_key", "joined_into"]).where(
        exam.c.bare_key.in_({number for number, _, _ in places}),
        exam.c.day.in_({day for _, _, day in places}),
    )
    exams = connection.execute(query).all()
    joined = [row.id for row in exams if row.joined_into is not None]
    final = visits.followed(connection, joined)
    cameras = _cameras(connection, {final.get(row.id, row.id) for row in exams})
    persons: Persons = {}
    for row in exams:
        for camera_id in cameras.get(final.get(row.id, row.id), ()):
            persons.setdefault((row.bare_key, camera_id, row.day), set()).add(row.patient_key)
    return persons


def _cameras(connection: sa.Connection, exam_ids: Collection[int]) -> dict[int, set[str]]:
    """Return, by exam, the cameras of its photographs."""
    cameras: dict[int, set[str]] = {}
    if exam_ids:
        query = sa.select(capture.c.exam_id, capture.c.camera_id)
        query = query.where(capture.c.exam_id.in_(exam_ids)).distinct()
        for exam_id, camera_id in connection.execute(query):
            cameras.setdefault(exam_id, set()).add(camera_id)
    return cameras


def _day_of(place: Place) -> PatientDay:
    number, _, day = place
    return number, day


def _exams_of(connection: sa.Connection, days: Collection[PatientDay]) -> Exams:
    """Return the exams of patients on days; also those that were joined into other ones."""
    query = sa.select(*exam.c["id", "key", "patient_key", "day", "joined_into"]).where(
        exam.c.patient_key.in_({patient_key for patient_key, _ in days}),
        exam.c.day.in_({day for _, day in days}),
    )
    exams: Exams = {}
    for row in connection.execute(query.order_by(exam.c.id)):
        if (row.patient_key, row.day) in days:
            exams.setdefault((row.patient_key, row.day), []).append(row)
    return exams


def _give_exams(connection: sa.Connection, persons: Persons, exams: Exams) -> None:
    """Give the exams that came under a bare number to the only person who has the number.

    These exams are taken out of `exams`, those under the numbers.
    """
    only = {place: next(iter(keys)) for place, keys in persons.items() if len(keys) == 1}
    if not exams or not only:
        return
    of_persons = _exams_of(connection, {(person, day) for (_, _, day), person in only.items()})
    for place, person in only.items():
        number, camera_id, day = place
        if of_persons.get((person, day)):
            continue  # also if it was joined into another one: it still has the key
        for row in list(exams.get((number, day), ())):
            if row.joined_into is None and _is_only_named(connection, row.id, camera_id):
                columns = {"patient_key": person, "key": row.key.replace(number, person)}
                columns["bare_key"] = number
                connection.execute(sa.update(exam).where(exam.c.id == row.id).values(columns))
                exams[number, day].remove(row)
                of_persons.setdefault((person, day), []).append(row)


def _is_only_named(connection: sa.Connection, exam_id: int, camera_id: str) -> bool:
    """Return whether all photographs of an exam are of one camera, and no header has a patient."""
    query = (
        sa.select(capture.c.camera_id, result.c.content)
        .join(job, job.c.id == capture.c.job_id)
        .outerjoin(result, IS_RESULT_OF_JOB)
        .where(capture.c.exam_id == exam_id)
    )
    for row in connection.execute(query):
        if row.camera_id != camera_id or orjson.loads(row.content or "{}").get("patient_key"):
            return False
    return True
