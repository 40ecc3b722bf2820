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


def ended_by() -> sa.ColumnElement[int | None]:
    """Return the number of the capture with which a file's place ended, or NULL.

    That is the capture of the file at its next place, or of the file that was written over it. A
    file that has left the inbox keeps its place: a file that takes its path is a retake of it.
    """
    later = capture.alias()
    first = sa.select(sa.func.min(later.c.id)).correlate(capture)
    # all earlier places of a file lead to its present one, so the next one is among them
    is_next = sa.or_(later.c.moved_to == capture.c.moved_to, later.c.id == capture.c.moved_to)
    moved = first.where(later.c.id > capture.c.id, is_next)
    overwritten = first.where(
        later.c.camera_id == capture.c.camera_id,
        later.c.path == capture.c.path,
        later.c.revision > capture.c.revision,
    )
    return sa.case(
        (capture.c.moved_to.is_not(None), moved.scalar_subquery()),
        (capture.c.superseded, overwritten.scalar_subquery()),
    )


def place(row: Row) -> Place:
    """Return the place of a capture, given its row with `ended_by`.

    Of a file whose path an ignored one has taken, nobody knows when that was.
    """
    until = row["ended_by"]
    if until is None:
        until = row["id"] + 1 if row["superseded"] else STILL
    return Place(row["camera_id"], stem(row["path_text"]), row["id"], until)


def moved(connection: sa.Connection, exam_ids: Collection[int]) -> Moved:
    """Return what is known of the earlier places of files that are, or were, in exams."""
    now, here, there = capture.alias(), exam.alias(), exam.alias()
    query = (
        sa.select(
            *capture.c["id", "exam_id", "camera_id", "path_text", "digest", "excluded", "moved_to"],
            capture.c.superseded,
            ended_by().label("ended_by"),
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
