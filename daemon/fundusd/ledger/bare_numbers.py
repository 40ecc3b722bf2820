"""Find the person whom a number means that is given without its issuer.

Headers may name the issuer of a patient's number, and names of files do not, so that a person has
another key by a name than by a header. A number without an issuer means the person who has this
number and an issuer on that day, unless there are several.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.ledger import audit, joins, moved_files, visits
from fundusd.ledger.exam_queries import ABSENCES
from fundusd.ledger.tables import capture, correction, exam

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    Row = Mapping[Any, Any]
    NumberOfDay = tuple[str, str]  # the key that a number has without an issuer, and the day

_GIVEN = "given"  # begins the key of an exam that no new photograph belongs to


def resolve(
    connection: sa.Connection, captures: Sequence[dict[Any, Any]], headers: Sequence[Row]
) -> set[int]:
    """Say of captures which persons their numbers mean, before they are assigned to exams.

    The person goes to `person_key`, and the number, if it is another key, to `bare_key`. A capture
    whose number several persons have `is_beside` them; one that is tried again remains the
    person's. Exams of the numbers are given to the persons whom they mean; return these, and others
    that have to be judged for it. `headers` are the contents of the captures.
    """
    bare: list[tuple[dict[Any, Any], NumberOfDay]] = []
    named: dict[NumberOfDay, set[str]] = {}
    for row, header in zip(captures, headers, strict=True):
        if not row["patient_key"]:
            continue
        day = visits.arrival_of(row, None).day.isoformat()
        if number := number_in(header, row["patient_key"]):
            row["bare_key"] = number
            named.setdefault((number, day), set()).add(row["patient_key"])
        else:
            bare.append((row, (row["patient_key"], day)))
    known = persons(connection, {*named, *(of_day for _, of_day in bare)})
    newly_shared = set()
    for of_day, keys in named.items():
        present = known.setdefault(of_day, set())
        if present and keys - present:
            newly_shared.add(of_day)
        present |= keys
    _forget_of_shared(connection, newly_shared)
    for row, of_day in bare:
        keys = known.get(of_day, set())
        if len(keys) == 1:
            [row["person_key"]], row["bare_key"] = keys, row["patient_key"]
        row["is_beside"] = len(keys) > 1
    _keep_persons(connection, [row for row, _ in bare if row["exam_id"] is not None])
    return _give_exams(connection, known) | _of_absences(connection, {key for key, _ in named})


def note_person(connection: sa.Connection, row: Row, person: str, number: str) -> set[int]:
    """Note that a person will have the number of a capture; return the exams to be judged for it.

    Until now, the number may have been that of another person alone.
    """
    of_day = (number, visits.arrival_of(row, None).day.isoformat())
    known = persons(connection, {of_day}).get(of_day, set())
    if known and person not in known:
        _forget_of_shared(connection, {of_day})
    return _of_absences(connection, {number})


def _of_absences(connection: sa.Connection, numbers: Collection[str]) -> set[int]:
    """Return the exams of these numbers, and of persons who have them, if an absence was said.

    What was said of a number, or of the only person, no longer counts for both if another person
    has the number, too.
    """
    if not numbers:
        return set()
    is_of_number = sa.or_(exam.c.bare_key.in_(numbers), exam.c.patient_key.in_(numbers))
    rows = connection.execute(sa.select(*exam.c["id", "patient_key"]).where(is_of_number)).all()
    keys = {*numbers, *(row.patient_key for row in rows)}
    query = sa.select(correction.c.id).where(
        correction.c.patient_key.in_(keys), correction.c.kind.in_(ABSENCES)
    )
    was_said = connection.execute(query.limit(1)).first() is not None
    return {row.id for row in rows} if was_said else set()


def _keep_persons(connection: sa.Connection, captures: Sequence[dict[Any, Any]]) -> None:
    """Say of captures of numbers that have an exam that they mean its person, as they did."""
    if not captures:
        return
    query = sa.select(*exam.c["id", "patient_key", "bare_key"])
    query = query.where(exam.c.id.in_({row["exam_id"] for row in captures}))
    exams = {row.id: row for row in connection.execute(query)}
    for row in captures:
        before = exams[row["exam_id"]]
        if row["patient_key"] == before.bare_key:
            row["person_key"], row["bare_key"] = before.patient_key, before.bare_key
            row["is_beside"] = False


def number_in(header: Row, patient_key: str | None) -> str | None:
    """Return the key that a patient's number has without the issuer that a header names, or None.

    `header` is the content of a result; it may name another patient.
    """
    number: str | None = header.get("bare_key")
    is_of_header = patient_key is not None and header.get("patient_key") == patient_key
    return number if is_of_header and number != patient_key else None


def persons(
    connection: sa.Connection, numbers: Collection[NumberOfDay]
) -> dict[NumberOfDay, set[str]]:
    """Return the keys of the persons who have numbers with an issuer, where there are any.

    Those of whom no photograph is left are not counted.
    """
    if not numbers:
        return {}
    keys, days = {key for key, _ in numbers}, {day for _, day in numbers}
    has_photographs = sa.exists().where(capture.c.exam_id == exam.c.id)
    query = sa.select(*exam.c["bare_key", "day", "patient_key"]).where(
        exam.c.bare_key.in_(keys),
        exam.c.day.in_(days),
        sa.or_(has_photographs, exam.c.joined_into.is_not(None)),
    )
    known: dict[NumberOfDay, set[str]] = {}
    for row in connection.execute(query.distinct()):
        known.setdefault((row.bare_key, row.day), set()).add(row.patient_key)
    return known


def give(connection: sa.Connection) -> set[int]:
    """Give exams of numbers that are stored beside those of the persons whom they mean."""
    named = exam.alias()
    is_of_number = sa.and_(named.c.bare_key == exam.c.patient_key, named.c.day == exam.c.day)
    query = sa.select(*exam.c["patient_key", "day"]).join(named, is_of_number)
    numbers = {(row.patient_key, row.day) for row in connection.execute(query.distinct())}
    return _give_exams(connection, persons(connection, numbers))


def _give_exams(connection: sa.Connection, known: Mapping[NumberOfDay, set[str]]) -> set[int]:
    """Give exams of numbers to the persons whom they mean, and return these exams.

    The exams that were joined into them are given, too.
    """
    single = {of_day: keys for of_day, keys in known.items() if len(keys) == 1}
    if not single:
        return set()
    query = sa.select(*exam.c["id", "patient_key", "day"]).where(
        exam.c.patient_key.in_({key for key, _ in single}),
        exam.c.day.in_({day for _, day in single}),
    )
    of_numbers = {}
    for row in connection.execute(query):
        if (row.patient_key, row.day) in single:
            of_numbers[row.id] = row
    final = visits.followed(connection, of_numbers)
    members = joins.members(connection, set(final.values()))
    query = sa.select(*exam.c["id", "key", "patient_key"]).where(exam.c.id.in_(members))
    rows = {row.id: row for row in connection.execute(query)} if members else {}
    meant: dict[int, str] = {}
    for number, row in of_numbers.items():
        if rows[final[number]].patient_key == row.patient_key:  # not joined into the person's
            [meant[final[number]]] = single[row.patient_key, row.day]
    persons_of = {}
    for member, at in members.items():
        if at in meant and rows[member].patient_key == rows[at].patient_key:
            persons_of[member] = meant[at]
    _update_exams(connection, rows, persons_of)
    _forget_membership(connection, {number: rows[number].patient_key for number in meant})
    return set(meant)


def _update_exams(
    connection: sa.Connection, rows: Mapping[int, Any], meant: Mapping[int, str]
) -> None:
    """Store the persons of exams, with the numbers under which the exams came."""
    taken = sa.select(exam.c.key).where(exam.c.patient_key.in_(meant.values()))
    keys = set(connection.scalars(taken)) if meant else set()
    changed = []
    for exam_id, person in sorted(meant.items()):
        row = rows[exam_id]
        kind, _, rest = row.key.partition(f":{row.patient_key}:")
        key = f"{kind}:{person}:{rest}" if rest else row.key
        if key in keys and key != row.key:
            key = f"{_GIVEN}:{exam_id}"
        keys.add(key)
        of_person = {"patient_key": person, "key": key, "bare_key": row.patient_key}
        changed.append({"at_id": exam_id, **of_person})
    if changed:
        connection.execute(sa.update(exam).where(exam.c.id == sa.bindparam("at_id")), changed)


def _forget_of_shared(connection: sa.Connection, numbers: Collection[NumberOfDay]) -> None:
    """Forget the same in the exams of persons with whom another one now shares a number.

    What was said before does not say which of them a photograph is of.
    """
    if not numbers:
        return
    query = sa.select(*exam.c["id", "bare_key", "day"]).where(
        exam.c.bare_key.in_({number for number, _ in numbers}),
        exam.c.day.in_({day for _, day in numbers}),
    )
    rows = [row for row in connection.execute(query) if (row.bare_key, row.day) in numbers]
    final = visits.followed(connection, [row.id for row in rows])
    _forget_membership(connection, {final[row.id]: row.bare_key for row in rows})


def _forget_membership(connection: sa.Connection, numbers: Mapping[int, str]) -> None:
    """Forget that photographs of numbers, by exam, were said to belong to these exams.

    That was said before anybody knew whose the exams are.
    """
    query = sa.select(capture).where(capture.c.exam_id.in_(numbers), capture.c.belongs)
    entries, ids = [], []
    for row in connection.execute(query.order_by(capture.c.id)).mappings():
        if numbers[row["exam_id"]] in {row["patient_key"], row["other_patient_key"]}:
            ids.append(row["id"])
            entries.append(moved_files.forgotten({**row, "belongs": False}))
    if ids:
        of_these = sa.update(capture).where(capture.c.id.in_(ids))
        connection.execute(of_these.values(belongs=False))
        audit.append(connection, *entries)
