"""Open and close follow-ups: what has to happen for eyes that a reader could not grade."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from fundusd.domain.errors import RequestError
from fundusd.domain.readings import FollowUpEnd, FollowUpKind
from fundusd.ledger import audit, exam_queries, exams
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.tables import exam, follow_up, storable

if TYPE_CHECKING:
    from fundusd.clinical.exam import Exam
    from fundusd.domain.clinical_terms import Eye
    from fundusd.ledger.transactions import Recording


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


def move_lost(connection: sa.Connection, exam_id: int, eye: Eye) -> None:
    """Make the open follow-ups of eyes that an exam no longer has those of the given eye."""
    [judged] = exam_queries.judged(connection, [exam_id])
    eyes = [result.eye for result in judged.eyes]
    lost = sa.and_(
        follow_up.c.exam_id == exam_id,
        follow_up.c.closed_at.is_(None),
        follow_up.c.eye.not_in(eyes),
    )
    connection.execute(sa.update(follow_up).where(lost).values(eye=eye))


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
