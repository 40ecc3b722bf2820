"""Open and close follow-ups: what has to happen for eyes that a reader could not grade."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from fundusd.domain.clinical_terms import Eye
from fundusd.domain.errors import RequestError
from fundusd.domain.readings import FollowUpEnd, FollowUpKind
from fundusd.ledger import audit, exam_queries, exams
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.tables import exam, follow_up, review_photograph, storable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fundusd.clinical.exam import Exam
    from fundusd.ledger.transactions import Recording

    Row = Mapping[Any, Any]


class Place(NamedTuple):
    """An eye of an exam."""

    exam_id: int
    eye: Eye


def open_for(connection: sa.Connection, place: Place, kind: FollowUpKind, review_id: int) -> None:
    """Open a follow-up, unless one of the same kind is open for the eye."""
    same = sa.and_(_open(place), follow_up.c.kind == kind)
    if connection.scalar(sa.select(follow_up.c.id).where(same)) is not None:
        return
    row = {
        "exam_id": place.exam_id,
        "eye": place.eye,
        "kind": kind,
        "review_id": review_id,
        "opened_at": datetime.now(UTC),
    }
    connection.execute(sa.insert(follow_up).values(row))


def close_read(connection: sa.Connection, place: Place, by: str) -> None:
    """Close the follow-ups of an eye, because a reader has graded it."""
    _close(connection, _open(place), FollowUpEnd.READ, by)


def places_of(connection: sa.Connection, files: Sequence[Row]) -> list[Place]:
    """Return the eyes at which the files of a photograph are."""
    exam_id = files[0]["exam_id"]
    [judged] = exam_queries.judged(connection, [exam_id])
    numbers = {file["id"] for file in files}
    shots = [*(shot for eye in judged.eyes for shot in eye.shots), *judged.others]
    return sorted({Place(exam_id, shot.eye) for shot in shots if shot.capture_id in numbers})


def move_lost(
    connection: sa.Connection, left: Iterable[Place], exam_id: int, eye: Eye | None = None
) -> None:
    """Move the open follow-ups of eyes whose photographs are elsewhere now.

    Those move that are of an eye without a photograph that counts, and of whose photographs not
    even an excluded one is left there. They become those of `eye`, or of the same eye, in the exam.
    """
    for place in left:
        [judged] = exam_queries.judged(connection, [place.exam_id])
        if any(result.eye is place.eye for result in judged.eyes):
            continue
        remaining = {shot.digest for shot in judged.others if shot.eye is place.eye}
        digests_left = sa.exists().where(
            review_photograph.c.review_id == follow_up.c.review_id,
            review_photograph.c.digest.in_(remaining),
        )
        lost = sa.update(follow_up).where(_open(place), ~digests_left)
        connection.execute(lost.values(exam_id=exam_id, eye=eye or place.eye))


def move_renamed(
    connection: sa.Connection, captures: Iterable[Row], of_captures: Mapping[int, Row]
) -> None:
    """Move the open follow-ups of those captures that a new name has put into another exam.

    `of_captures` are the captures at the old places, by the number of the new one.
    """
    exams_left = {origin["exam_id"] for origin in of_captures.values()}
    query = sa.select(follow_up.c.exam_id, follow_up.c.eye).where(
        follow_up.c.exam_id.in_(exams_left), follow_up.c.closed_at.is_(None)
    )
    followed = {Place(row.exam_id, Eye(row.eye)) for row in connection.execute(query)}
    for row in captures:
        origin = of_captures.get(row["id"])
        if origin is None or origin["exam_id"] == row["exam_id"]:
            continue
        left = Place(origin["exam_id"], Eye(origin["corrected_eye"] or origin["eye"]))
        if left in followed:
            move_lost(connection, [left], row["exam_id"], Eye(row["corrected_eye"] or row["eye"]))


def close(recording: Recording, follow_up_id: int, how: FollowUpEnd, by: str) -> Exam:
    """Close a follow-up, and return its exam.

    Raises RequestError if there is no such follow-up, or if it is closed already.
    """
    connection = recording.connection
    query = sa.select(follow_up, exam.c.patient_key).join(exam)
    row = connection.execute(query.where(follow_up.c.id == follow_up_id)).one_or_none()
    if row is None:
        raise RequestError(
            f"There is no follow-up {follow_up_id}.",
            hint="fundusd follow-up list shows those that are open.",
        )
    if row.closed_at is not None:
        raise RequestError(
            f"Follow-up {follow_up_id} is closed already ({row.closed_how}).",
            hint="fundusd follow-up list shows those that are open.",
        )
    _close(connection, follow_up.c.id == follow_up_id, how, by)
    detail = {"follow_up": follow_up_id, "eye": row.eye, "how": how.value, "reviewer": by}
    entry = audit.Entry(
        AuditEvent.FOLLOW_UP_CLOSED, "exam", row.exam_id, row.patient_key, detail=detail
    )
    audit.append(connection, entry)
    exams.rejudge(recording, [row.exam_id])
    [after] = exam_queries.judged(connection, [row.exam_id])
    return after


def _open(place: Place) -> sa.ColumnElement[bool]:
    return sa.and_(
        follow_up.c.exam_id == place.exam_id,
        follow_up.c.eye == place.eye,
        follow_up.c.closed_at.is_(None),
    )


def _close(
    connection: sa.Connection, which: sa.ColumnElement[bool], how: FollowUpEnd, by: str
) -> None:
    columns = {"closed_at": datetime.now(UTC), "closed_by": storable(by), "closed_how": how}
    connection.execute(sa.update(follow_up).where(which).values(**columns))
