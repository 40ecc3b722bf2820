"""Find the files of a photograph, which are corrected together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.clinical.same_photograph import photographs
from fundusd.domain.errors import RequestError
from fundusd.domain.jobs import JobState
from fundusd.ledger import file_places, moved_files
from fundusd.ledger.tables import capture, job

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Row = Mapping[Any, Any]


def files_of(connection: sa.Connection, capture_id: int) -> Sequence[Row]:
    """Return the files of a photograph in its exam that count, the given one first.

    They have the same bytes, or have had the same path without suffix (`same_photograph`). Raises
    RequestError if there is no such capture, if it has no exam yet, or if its file was moved and
    can be corrected there.
    """
    given = _correctable(connection, capture_id)
    query = sa.select(capture, file_places.ended_by().label("ended_by")).where(
        capture.c.exam_id == given["exam_id"], capture.c.id != capture_id, moved_files.counts()
    )
    files = [given, *connection.execute(query.order_by(capture.c.id)).mappings()]
    former = file_places.moved(connection, [given["exam_id"]]).places
    places = [[file_places.place(file), *former.get(file["id"], ())] for file in files]
    same, *_ = photographs([file["digest"] for file in files], places)
    return [files[number] for number in same]


def _correctable(connection: sa.Connection, capture_id: int) -> Row:
    moved = capture.alias()
    query = (
        sa.select(
            capture,
            moved_files.counts().label("counts"),
            moved.c.exam_id.label("is_in"),
            file_places.ended_by().label("ended_by"),
            job.c.state.label("job_state"),
        )
        .join(job, job.c.id == capture.c.job_id)
        .outerjoin(moved, moved.c.id == capture.c.moved_to)
        .where(capture.c.id == capture_id)
    )
    given = connection.execute(query).mappings().one_or_none()
    if given is None:
        raise RequestError(
            f"There is no capture {capture_id}.", hint="fundusd results shows captures."
        )
    # a file that failed in another exam since then counts here, and nothing else corrects it
    is_left_behind = given["counts"] and given["is_in"] not in {None, given["exam_id"]}
    if given["moved_to"] is not None and not is_left_behind:
        raise RequestError(
            f"The file of capture {capture_id} was moved, and is capture {given['moved_to']} now.",
            hint=f"Correct capture {given['moved_to']}.",
        )
    if given["exam_id"] is None and given["job_state"] == JobState.FAILED:
        raise RequestError(
            f"Capture {capture_id} belongs to no exam: its file is none of the accepted formats, "
            "and no source names its patient or its eye.",
            hint="There is nothing to correct, because it counts for nobody.",
        )
    if given["exam_id"] is None:
        raise RequestError(
            f"Capture {capture_id} has no result yet.",
            hint=f"Try again when fundusd show {capture_id} shows one.",
        )
    return given
