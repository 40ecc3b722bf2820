"""Assign captures to exams: find the visit that each capture belongs to, or create it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.clinical import visit
from fundusd.clinical.acquisition_day import is_reset
from fundusd.clinical.visit import Visit
from fundusd.ledger.exam_rows import stem
from fundusd.ledger.tables import capture, exam

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    Row = Mapping[Any, Any]
    Visits = dict[str, list[Visit]]  # by the key that the visits of a person and day share
    Twins = dict[tuple[str, ...], Visit]

_MOST_JOINS = 100  # exams that people joined one into another; guards against a circle


@dataclass(frozen=True, slots=True)
class Arrival:
    """A capture that looks for its visit."""

    key: str  # shared by the visits of one person and day
    day: date
    patient_key: str | None  # of the person whom a number without an issuer means
    bare_key: str | None  # of the number without its issuer, if that is another key
    study_uid: str | None
    digest: str
    camera_id: str
    stem: str

    @property
    def marks(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return what another file of the same photograph has in common with this one."""
        return (self.key, self.digest), (self.key, self.camera_id, self.stem)


def assign(
    connection: sa.Connection, captures: Sequence[Row], study_uids: Sequence[str | None]
) -> list[int]:
    """Return the number of each capture's exam, creating the exams that do not exist yet.

    A capture that a person has placed belongs to that exam, one with `kept_exam_id` stays in that
    exam, and the captures of an exam that was joined into another one belong to that other exam.
    """
    arrivals: dict[int, Arrival] = {}  # by position
    placed: dict[int, int] = {}
    for position, (row, study_uid) in enumerate(zip(captures, study_uids, strict=True)):
        exam_id = row.get("placed_exam_id") or row.get("kept_exam_id")
        if exam_id is None:
            arrivals[position] = arrival_of(row, study_uid)
        else:
            placed[position] = exam_id
    chosen = _choose(connection, arrivals)
    final = followed(connection, placed.values())
    ids = []
    for position in range(len(captures)):
        ids.append(final[placed[position]] if position in placed else chosen[position])
    return ids


def arrival_of(row: Row, study_uid: str | None) -> Arrival:
    """Return what decides to which visit a capture belongs.

    `bare_numbers.resolve` has to be called before, because a number may mean a person.
    """
    received_day = _received_day(row)
    acquired_day = row.get("acquired_day") and date.fromisoformat(row["acquired_day"])
    acquired_day = credible_day(acquired_day, received_day)
    day = visit.day_of_visit(acquired_day, received_day)
    shot = stem(row["path_text"])
    patient_key, bare_key = row.get("person_key") or row["patient_key"], row.get("bare_key")
    if patient_key:
        # of old photographs without a date nobody knows whether they belong together, and they
        # must not make up for one that is missing today
        is_undated = acquired_day is None and row.get("lane", 0) != 0
        # the documents about an exam are named by its key, which the exam of the person had before
        # the number was known to be that of the person
        kind = "undated" if is_undated else "beside" if row.get("is_beside") else "patient"
        key = f"{kind}:{patient_key}:{day}"
    elif study_uid:
        key = f"study:{study_uid}:{day}"
    else:
        key = f"shot:{row['camera_id']}:{day}:{shot}"
    of_patient = (patient_key, bare_key)
    return Arrival(key, day, *of_patient, study_uid, row["digest"], row["camera_id"], shot)


def credible_day(acquired_day: date | None, received_day: date) -> date | None:
    """Return the day on which a photograph was taken, or None if its clock had been reset."""
    if acquired_day and acquired_day != received_day and is_reset(acquired_day):
        return None  # otherwise all visits with this clock would be one
    return acquired_day


def first_received(connection: sa.Connection, captures: Sequence[Row]) -> dict[str, datetime]:
    """Return, by digest, the time at which its bytes were first received.

    If the same bytes are exported again, the time stays the same.
    """
    digests = {row["digest"] for row in captures}
    query = (
        sa.select(capture.c.digest, sa.func.min(capture.c.received_at))
        .where(capture.c.digest.in_(digests))
        .group_by(capture.c.digest)
    )
    return dict(connection.execute(query).all())


def _received_day(row: Row) -> date:
    """Return the clinic's date on which the bytes of a capture were first received."""
    first = row.get("first_received_at")
    if first is not None:
        return first.astimezone().date()  # type: ignore[no-any-return]  # a row's value
    return date.fromisoformat(row["local_day"])


# -- choosing


def _choose(connection: sa.Connection, arrivals: Mapping[int, Arrival]) -> dict[int, int]:
    """Return the number of the exam that each arrival belongs to, by position.

    Captures with a study are assigned first, so that the order within a batch matters less.
    """
    visits = _known_visits(connection, arrivals.values())
    twins = _known_twins(connection, arrivals.values(), visits)
    chosen: dict[int, Visit] = {}
    new: dict[str, Arrival] = {}
    filled: dict[int, str] = {}
    for position in sorted(arrivals, key=lambda position: arrivals[position].study_uid is None):
        arrival = arrivals[position]
        beside = visits.setdefault(arrival.key, [])
        joined = _existing(arrival, beside, twins)
        if joined is None:
            joined = Visit(_new_key(arrival, beside), arrival.study_uid)
            beside.append(joined)
            new[joined.key] = arrival
        elif joined.study_uid is None and arrival.study_uid is not None:
            joined.study_uid = arrival.study_uid
            if joined.exam_id is not None:
                filled[joined.exam_id] = arrival.study_uid
        for mark in arrival.marks:
            twins[mark] = joined
        chosen[position] = joined
    ids = _insert(connection, new)
    _fill_studies(connection, filled)
    return {position: joined.final_id or ids[joined.key] for position, joined in chosen.items()}


def _existing(arrival: Arrival, beside: Sequence[Visit], twins: Twins) -> Visit | None:
    if arrival.study_uid is not None:
        return visit.of_study(beside, arrival.study_uid)
    twin = None
    for mark in arrival.marks:
        twin = twin or twins.get(mark)
    return visit.without_study(beside, twin)


def _new_key(arrival: Arrival, beside: Sequence[Visit]) -> str:
    """Return the key of a new exam; the first one of a person and day has the shared key."""
    taken = {other.key for other in beside}
    if arrival.key not in taken:
        return arrival.key
    key = of_study = f"{arrival.key}:{arrival.study_uid or 'no-study'}"
    # a person may have joined a study into the exam of the photographs without one
    numbers = itertools.count(2)
    while key in taken:
        key = f"{of_study}:{next(numbers)}"
    return key


# -- the visits that are stored


def _known_visits(connection: sa.Connection, arrivals: Collection[Arrival]) -> Visits:
    patients, days, keys = set(), set(), set()
    for arrival in arrivals:
        if arrival.patient_key:
            patients.add(arrival.patient_key)
            days.add(arrival.day.isoformat())
        else:
            keys.add(arrival.key)
    rows: list[Row] = []
    query = sa.select(exam).order_by(exam.c.id)
    if patients:
        of_patients = sa.and_(exam.c.patient_key.in_(patients), exam.c.day.in_(days))
        rows += connection.execute(query.where(of_patients)).mappings()
    if keys:
        rows += connection.execute(query.where(exam.c.key.in_(keys))).mappings()
    joined = [row["id"] for row in rows if row["joined_into"] is not None]
    final = followed(connection, joined)
    visits: Visits = {}
    for row in rows:
        number = row["id"]
        known = Visit(row["key"], row["study_uid"], number, final.get(number, number))
        known.is_arranged = number in final
        visits.setdefault(_shared_key(row), []).append(known)
    if any(arrival.study_uid for arrival in arrivals):
        _mark_arranged(connection, visits)
    return visits


def _shared_key(row: Row) -> str:
    """Return the key that all exams of the same person and day share."""
    if row["patient_key"]:
        kind = row["key"].partition(":")[0]
        return f"{kind}:{row['patient_key']}:{row['day']}"
    return str(row["key"])


def _mark_arranged(connection: sa.Connection, visits: Visits) -> None:
    """Mark those visits without a study that people have joined others or put photographs into."""
    open_visits: dict[int, Visit] = {}
    for beside in visits.values():
        for known in beside:
            if known.study_uid is None and known.exam_id is not None:
                open_visits[known.exam_id] = known
    if not open_visits:
        return
    joined = sa.select(exam.c.joined_into).where(exam.c.joined_into.in_(open_visits))
    placed = sa.select(capture.c.exam_id).where(
        capture.c.exam_id.in_(open_visits), capture.c.placed_exam_id.is_not(None)
    )
    for number in connection.scalars(sa.union(joined, placed)):
        open_visits[number].is_arranged = True


def _known_twins(connection: sa.Connection, arrivals: Iterable[Arrival], visits: Visits) -> Twins:
    """Return, by its marks, the visit of each photograph on those days that have a study.

    Only captures without a study need them.
    """
    by_exam: dict[int | None, tuple[str, Visit]] = {}
    for arrival in arrivals:
        beside = visits.get(arrival.key, [])
        if arrival.study_uid is None and any(known.study_uid for known in beside):
            for known in beside:
                by_exam[known.final_id] = by_exam[known.exam_id] = (arrival.key, known)
    twins: Twins = {}
    if not by_exam:
        return twins
    columns = capture.c["exam_id", "digest", "camera_id", "path_text"]
    query = sa.select(*columns).where(capture.c.exam_id.in_(by_exam)).order_by(capture.c.id)
    for row in connection.execute(query):
        key, known = by_exam[row.exam_id]
        twins[key, row.digest] = known
        twins[key, row.camera_id, stem(row.path_text)] = known
    return twins


def followed(connection: sa.Connection, ids: Iterable[int]) -> dict[int, int]:
    """Return, for each exam, the exam into which people have joined it, or the exam itself."""
    final = {number: number for number in ids}
    for _ in range(_MOST_JOINS):
        query = sa.select(exam.c.id, exam.c.joined_into).where(
            exam.c.id.in_(set(final.values())), exam.c.joined_into.is_not(None)
        )
        joined: dict[int, int] = dict(connection.execute(query).all()) if final else {}
        if not joined:
            break
        for number, at in final.items():
            final[number] = joined.get(at, at)
    return final


def _insert(connection: sa.Connection, new: Mapping[str, Arrival]) -> dict[str, int]:
    """Insert new exams, and return their numbers by key."""
    if not new:
        return {}
    rows = []
    for key, arrival in new.items():
        columns: dict[str, Any] = {"key": key, "created_at": datetime.now(UTC)}
        columns |= {"patient_key": arrival.patient_key, "bare_key": arrival.bare_key}
        columns |= {"day": arrival.day.isoformat(), "study_uid": arrival.study_uid}
        rows.append(columns)
    statement = sa.insert(exam).returning(exam.c.key, exam.c.id)
    return dict(connection.execute(statement, rows).all())


def _fill_studies(connection: sa.Connection, filled: Mapping[int, str]) -> None:
    if filled:
        rows = [{"at_id": number, "study_uid": uid} for number, uid in filled.items()]
        connection.execute(sa.update(exam).where(exam.c.id == sa.bindparam("at_id")), rows)
