"""Jobs that wait under an older release: nobody claims them until the release at work has adopted them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.domain import JobState
from fundusd.ledger import audit, jobs, results
from fundusd.ledger.tables import capture, job

if TYPE_CHECKING:
    from collections.abc import Sequence


def reopen(connection: sa.Connection, ids: Sequence[int], release_id: int) -> int:
    """Queue failed jobs again, under the release at work; return how many."""
    reopened = jobs.reopen(connection, ids)
    _adopt(connection, jobs.among(ids, JobState.QUEUED), release_id)
    return reopened


def adopt(connection: sa.Connection, release_id: int, mine: Sequence[str] = ()) -> int:
    """Give jobs, or those of `mine`, that wait under another release to this one, so that none waits for ever."""
    return _adopt(connection, sa.and_(job.c.state == JobState.QUEUED, jobs.of(mine)), release_id)


def _adopt(connection: sa.Connection, waiting: sa.ColumnElement[bool], release_id: int) -> int:
    rows = connection.execute(sa.select(job).where(waiting, job.c.release_id != release_id)).all()
    for row in rows:
        query = sa.select(job.c.id, job.c.state).where(job.c.digest == row.digest, job.c.release_id == release_id)
        twin = connection.execute(query).one_or_none()
        if twin is None:
            connection.execute(sa.update(job).where(job.c.id == row.id).values(release_id=release_id))
        else:
            _hand_over(connection, row.id, twin)
        entry = audit.Entry("job.adopted", "job", row.id, release_id=release_id, digest=row.digest)
        audit.append(connection, entry)
    return len(rows)


def _hand_over(connection: sa.Connection, job_id: int, twin: Any) -> None:
    """Give a waiting job's captures to the job that the same bytes already have under the new release."""
    handed = sa.update(capture).where(capture.c.job_id == job_id).values(job_id=twin.id).returning(capture.c.id)
    ids = list(connection.scalars(handed))
    connection.execute(sa.delete(job).where(job.c.id == job_id))
    if twin.state == JobState.SUCCEEDED:
        results.reuse(connection, ids)
