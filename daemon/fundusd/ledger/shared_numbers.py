"""Photographs that name only a number which several persons of the day have.

Names give a patient's number without the issuer that headers may name. As long as one person has
the number, a photograph without a patient in its header is that person's (see `bare_numbers`). If
the same camera photographed two such persons on that day, it may be of either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import sqlalchemy as sa

from fundusd.clinical.same_photograph import photographs
from fundusd.ledger import file_places, joins, moved_files, visits
from fundusd.ledger.result_columns import IS_RESULT_OF_JOB
from fundusd.ledger.tables import capture, exam, job, result, sighting

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from fundusd.clinical.same_photograph import Place

    Row = Mapping[Any, Any]


class Question(NamedTuple):
    """A photograph that may be of the patient of another exam, who has the same number."""

    capture_id: int
    exam_id: int  # its own
    claimant_id: int
    belongs: bool  # a person has said that it belongs to its own exam
    excluded: str | None


class _Pair(NamedTuple):
    """Two exams of different patients with the same number on one day, as they were joined."""

    exam_id: int
    claimant_id: int
    day: str
    patient_key: str  # of the claimant


class _File(NamedTuple):
    row: Row
    header_key: str | None  # of the patient in its header
    is_only_named: bool
    places: Sequence[Place]  # where it is and was


def is_same_number(first: sa.FromClause, second: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return the condition that two exams are of persons with the same number on the same day."""
    is_number = sa.or_(
        first.c.bare_key == second.c.bare_key,
        first.c.bare_key == second.c.patient_key,
        first.c.patient_key == second.c.bare_key,
    )
    return sa.and_(is_number, first.c.day == second.c.day)


def questions(connection: sa.Connection, exam_ids: Collection[int]) -> list[Question]:
    """Return the photographs of these exams, or of others, that may be of two of their patients.

    A photograph of which another file names the patient in its header is of nobody else, also if
    that file has been renamed or overwritten since.
    """
    pairs = _pairs(connection, exam_ids)
    if not pairs:
        return []
    files = _files(connection, {number for pair in pairs for number in pair[:2]})
    owners = _owners(files)
    cameras: dict[tuple[int, str], set[str]] = {}  # of the photographs of a patient in an exam
    for file in files:
        if file.header_key is not None:
            patient = (file.row["exam_id"], file.header_key)
            cameras.setdefault(patient, set()).add(file.row["camera_id"])
    asked: list[Question] = []
    for pair in sorted(pairs):
        of_claimant = cameras.get((pair.claimant_id, pair.patient_key), set())
        for file in files:
            row = file.row
            is_of_day = pair.day in {row["day"], row["acquired_day"] or row["local_day"]}
            is_here = row["exam_id"] == pair.exam_id and is_of_day and file.is_only_named
            named = owners[row["id"]] or {pair.patient_key}
            if is_here and row["camera_id"] in of_claimant and pair.patient_key in named:
                state = (row["belongs"], row["excluded"])
                asked.append(Question(row["id"], pair.exam_id, pair.claimant_id, *state))
    return asked


def _owners(files: Sequence[_File]) -> dict[int, set[str]]:
    """Return, by capture, the patients whom the headers of a photograph's files name."""
    owners: dict[int, set[str]] = {}
    digests = [file.row["digest"] for file in files]
    for numbers in photographs(digests, [file.places for file in files]):
        of_photograph = [files[number] for number in numbers]
        keys = {file.header_key for file in of_photograph if file.header_key is not None}
        owners |= {file.row["id"]: keys for file in of_photograph}
    return owners


def _pairs(connection: sa.Connection, exam_ids: Collection[int]) -> set[_Pair]:
    """Return pairs of which at least one is among these exams, in both orders."""
    members = joins.members(connection, exam_ids)
    own, other = exam.alias(), exam.alias()
    keys = (own.c.id, own.c.patient_key, own.c.day)
    query = (
        sa.select(*keys, other.c.id.label("other_id"), other.c.patient_key.label("other_key"))
        .join(other, is_same_number(own, other))
        .where(own.c.id.in_(members), own.c.patient_key != other.c.patient_key)
    )
    rows = connection.execute(query).all()
    final = visits.followed(connection, {row.other_id for row in rows})
    pairs: set[_Pair] = set()
    for row in rows:
        at, other_at = members[row.id], final[row.other_id]
        pairs.add(_Pair(at, other_at, row.day, row.other_key))
        pairs.add(_Pair(other_at, at, row.day, row.patient_key))
    return {pair for pair in pairs if pair.exam_id != pair.claimant_id}


def _files(connection: sa.Connection, exam_ids: Collection[int]) -> Sequence[_File]:
    """Return the files of exams that count, and whether only their names give the patient."""
    of_capture = capture.c[
        *("id", "exam_id", "camera_id", "path_text", "patient_key", "acquired_day"),
        *("local_day", "belongs", "excluded", "digest", "superseded", "received_at"),
    ]
    seen = sa.select(sa.func.max(sighting.c.missing_since))
    missing_since = seen.where(sighting.c.capture_id == capture.c.id).scalar_subquery()
    query = (
        sa.select(
            *of_capture,
            *(exam.c.day, exam.c.bare_key, exam.c.patient_key.label("of_exam")),
            *(result.c.content, file_places.ended_by().label("ended_by")),
            missing_since.label("missing_since"),
        )
        .select_from(capture)
        .join(exam, exam.c.id == capture.c.exam_id)
        .join(job, job.c.id == capture.c.job_id)
        .outerjoin(result, IS_RESULT_OF_JOB)
        .where(capture.c.exam_id.in_(exam_ids), moved_files.counts())
        .order_by(capture.c.id)
    )
    former = file_places.moved(connection, exam_ids).places
    files = []
    rows = connection.execute(query).mappings().all()
    for row in rows:
        header_key = orjson.loads(row["content"] or "{}").get("patient_key")
        is_of_number = row["patient_key"] in {row["of_exam"], row["bare_key"]} - {None}
        is_only_named = header_key is None and is_of_number
        here = file_places.place(row)
        if row["missing_since"] is not None:
            here = _left(here, row["missing_since"], rows)
        places = [here, *former.get(row["id"], ())]
        files.append(_File(row, header_key, is_only_named, places))
    return files


def _left(place: Place, since: datetime, rows: Sequence[Row]) -> Place:
    """Return the place of a file that has left the inbox, where what came later was not beside it.

    The header of such a file does not say whose photograph the later one is.
    """
    later = [row["id"] for row in rows if row["received_at"] >= since]
    return place._replace(until=min([place.until, *later]))
