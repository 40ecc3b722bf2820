"""Find the person whom a number means that is given without its issuer.

Headers may name the issuer of a patient's number, and names of files do not, so that a person has
another key by a name than by a header. A photograph whose header names no patient, for instance
because the file is damaged, is of the person whose photographs from the same camera and day bear
the same number, unless there are two of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from fundusd.ledger import named_files, related_exams, visits
from fundusd.ledger.captures import flag_shared
from fundusd.ledger.exam_queries import ABSENCES
from fundusd.ledger.tables import capture, correction, exam

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from fundusd.ledger.named_files import Files, PatientDay, Place

    Row = Mapping[Any, Any]
    Persons = dict[Place, set[str]]  # the keys of those whose headers give this number

_SLICE = 500  # exams in one statement


class Given(NamedTuple):
    """What came under bare numbers, and is given to the persons whom they mean."""

    persons: dict[Place, str]
    exam_ids: set[int]  # exams that have been given
    files: Files  # photographs in the exams of bare numbers, of which some are to be moved
    related: set[int]  # exams that depended on these while they were of bare numbers


def resolve(
    connection: sa.Connection, captures: Sequence[dict[Any, Any]], headers: Sequence[Row]
) -> Given:
    """Give captures, and exams that have no header with a patient, the keys of those they mean.

    `headers` are the contents of the captures. This is done before the captures are assigned;
    `remember` has to be called afterwards.
    """
    bare: list[tuple[dict[Any, Any], Place]] = []
    named: Persons = {}
    for row, header in zip(captures, headers, strict=True):
        if number := _number(row, header):
            named.setdefault(_place(number, row), set()).add(row["patient_key"])
        elif row["patient_key"] and not header.get("patient_key"):
            bare.append((row, _place(row["patient_key"], row)))
    persons = _known_persons(connection, {*named, *(place for _, place in bare)})
    for place, keys in named.items():
        persons.setdefault(place, set()).update(keys)
    with_issuer = {place for place, keys in persons.items() if keys != {_day_of(place)[0]}}
    files = named_files.of_days(connection, {_day_of(place) for place in with_issuer})
    for file in (file for of_exam in files.values() for file in of_exam):
        if not file["is_only_named"]:  # the header gives the number without an issuer
            persons.setdefault(file["place"], set()).add(file["number"])
    only = {place: next(iter(persons[place])) for place in with_issuer if len(persons[place]) == 1}
    for row, place in bare:
        row["patient_key"] = only.get(place, row["patient_key"])
    related = related_exams.related(connection, files) if files else set()
    return Given(only, named_files.give_exams(connection, only, files), files, related)


def _number(row: Row, header: Row) -> str | None:
    """Return the key that the number in a header has without an issuer, or None."""
    if not row["patient_key"] or header.get("patient_key") != row["patient_key"]:
        return None
    number: str = header.get("bare_key") or row["patient_key"]
    return number


def _place(number: str, row: Row) -> Place:
    return number, row["camera_id"], visits.arrival_of(row, None).day.isoformat()


def remember(
    connection: sa.Connection, captures: Sequence[Row], headers: Sequence[Row], given: Given
) -> set[int | None]:
    """Store the bare numbers of the persons of exams to which captures have been assigned.

    Photographs of these persons that are in exams of the bare numbers are moved into their visits.
    Return the exams that have changed.
    """
    ambiguous = _store_numbers(connection, captures, headers)
    assigned = {row["id"] for row in captures}
    files: Files = {}
    for exam_id, of_exam in given.files.items():
        if exam_id not in given.exam_ids:
            files[exam_id] = [file for file in of_exam if file["id"] not in assigned]
    changed = given.exam_ids | named_files.move(connection, given.persons, files)
    if not changed:
        return ambiguous
    rows = [file for of_exam in given.files.values() for file in of_exam]
    return changed | ambiguous | given.related | flag_shared(connection, rows)


def _store_numbers(
    connection: sa.Connection, captures: Sequence[Row], headers: Sequence[Row]
) -> set[int | None]:
    """Store bare numbers; return the exams for which absences do not count any more.

    They were said of numbers that several persons have now.
    """
    numbers: set[tuple[int, str, str]] = set()  # exam, patient and bare number
    for row, header in zip(captures, headers, strict=True):
        number = _bare_key(row, header)
        if number:
            numbers.add((row["exam_id"], row["patient_key"], number))
    if not numbers:
        return set()
    statement = sa.update(exam).where(
        exam.c.id == sa.bindparam("at_id"),
        exam.c.patient_key == sa.bindparam("of_person"),
        exam.c.bare_key.is_(None),
    )
    names = ("at_id", "of_person", "bare_key")
    connection.execute(
        statement, [dict(zip(names, values, strict=True)) for values in sorted(numbers)]
    )
    second = exam.alias()
    has_absence = sa.exists().where(
        correction.c.patient_key == exam.c.bare_key, correction.c.kind.in_(ABSENCES)
    )
    is_of_two = sa.exists().where(
        second.c.bare_key == exam.c.bare_key, second.c.patient_key != exam.c.patient_key
    )
    of_numbers = exam.c.bare_key.in_({number for _, _, number in numbers})
    query = sa.select(exam.c.id).where(of_numbers, has_absence, is_of_two)
    return set(connection.scalars(query))


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
    for number in _only_named(connection, cameras):
        if len(persons[number]) == 1:
            [keys[number]] = persons[number]
    return keys


def _only_named(connection: sa.Connection, cameras: Mapping[int, set[str]]) -> set[int]:
    """Return those exams whose photographs are only named, and all of one of these cameras."""
    numbers = sorted(cameras)
    only_named: set[int] = set()
    for first in range(0, len(numbers), _SLICE):
        ids = numbers[first : first + _SLICE]
        for number, of_exam in named_files.of_exams(connection, exam.c.id.in_(ids)).items():
            of_files = {file["camera_id"] for file in of_exam}
            are_of_camera = len(of_files) == 1 and of_files <= cameras[number]
            if are_of_camera and all(file["is_only_named"] for file in of_exam):
                only_named.add(number)
    return only_named


def _bare_key(row: Row, header: Row) -> str | None:
    """Return the key of the number in a header that names an issuer, or None."""
    number: str | None = header.get("bare_key")
    is_of_header = header.get("patient_key") == row["patient_key"]
    return number if is_of_header and number != row["patient_key"] else None


def _known_persons(connection: sa.Connection, places: Collection[Place]) -> Persons:
    if not places:
        return {}
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
