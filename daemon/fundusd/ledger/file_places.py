"""Read where the files of captures are and were, to find the files of one photograph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from fundusd.clinical.same_photograph import STILL, Place
from fundusd.domain.readings import ExclusionReason
from fundusd.ledger.exam_rows import stem
from fundusd.ledger.same_patient import is_same_patient, keys_of
from fundusd.ledger.tables import capture, exam

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    Row = Mapping[Any, Any]


class Moved(NamedTuple):
    """The earlier places of files, and the places of files that are not the patient's any more.

    These have been excluded there, or renamed to another patient.
    """

    places: dict[int, list[Place]]  # by the capture that the file is now
    left: dict[int, list[tuple[str, Place]]]  # by exam, with the digests

    def is_beside_excluded(self, row: Row, places: Sequence[Place]) -> bool:
        """Return whether a capture is of a photograph that has left its exam as another patient's.

        `places` are those where its file is and was.
        """
        for digest, place in self.left.get(row["exam_id"], ()):
            if digest == row["digest"] or place.is_shared_with(places):
                return True
        return False


def taken_by() -> sa.ColumnElement[int | None]:
    """Return the number of the capture whose file was written over that of a capture, or NULL."""
    later = capture.alias()
    query = sa.select(sa.func.min(later.c.id)).where(
        later.c.camera_id == capture.c.camera_id,
        later.c.path == capture.c.path,
        later.c.revision > capture.c.revision,
    )
    is_overwritten = sa.and_(capture.c.superseded, capture.c.moved_to.is_(None))
    return sa.case((is_overwritten, query.correlate(capture).scalar_subquery()))


def place(row: Row) -> Place:
    """Return the place of a capture, given its row with `taken_by`.

    Of a file whose path an ignored one has taken, nobody knows when that was.
    """
    until = STILL
    if row["moved_to"] is not None:
        until = row["moved_to"]
    elif row["superseded"]:
        until = row["taken_by"] or row["id"] + 1
    return Place(row["camera_id"], stem(row["path_text"]), row["id"], until)


def moved(connection: sa.Connection, exam_ids: Collection[int]) -> Moved:
    """Return what is known of the earlier places of files that are, or were, in exams."""
    now, here, there = capture.alias(), exam.alias(), exam.alias()
    query = (
        sa.select(
            *capture.c["id", "exam_id", "camera_id", "path_text", "digest", "excluded", "moved_to"],
            now.c.exam_id.label("is_in"),
            sa.not_(is_same_patient(keys_of(here), keys_of(there))).label("is_renamed"),
        )
        .join(now, now.c.id == capture.c.moved_to)
        .outerjoin(here, here.c.id == capture.c.exam_id)
        .outerjoin(there, there.c.id == now.c.exam_id)
    )
    both = sa.union(query.where(now.c.exam_id.in_(exam_ids)), query.where(_was_in(exam_ids)))
    places: dict[int, list[Place]] = {}
    left: dict[int, list[tuple[str, Place]]] = {}
    for row in connection.execute(both).mappings():
        places.setdefault(row["moved_to"], []).append(place(row))
        is_excluded = row["excluded"] == ExclusionReason.NOT_THIS_PATIENT
        is_elsewhere = row["is_in"] not in {None, row["exam_id"]}
        if row["is_renamed"] or (is_excluded and is_elsewhere):
            left.setdefault(row["exam_id"], []).append((row["digest"], place(row)))
    return Moved(places, left)


def _was_in(exam_ids: Collection[int]) -> sa.ColumnElement[bool]:
    return sa.and_(capture.c.exam_id.in_(exam_ids), capture.c.moved_to.is_not(None))
