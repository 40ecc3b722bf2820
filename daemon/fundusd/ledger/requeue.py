"""Jobs that wait under an older release: nobody claims them until the release at work has adopted them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.domain.jobs import JobState
from fundusd.ledger import audit, jobs, results
from fundusd.ledger.tables import capture, job

if TYPE_CHECKING:
    from collections.abc import Sequence

_SLICE = 1000  # jobs in one statement


def reopen(
    connection: sa.Connection, ids: Sequence[int], release_id: int, *, are_clear: bool = True
) -> int:
    """Queue failed jobs again, under the release at work; return how many."""
    reopened = jobs.reopen(connection, ids)
    _adopt(connection, jobs.among(ids, JobState.QUEUED), release_id, are_clear=are_clear)
    return reopened


def adopt(
    connection: sa.Connection, release_id: int, mine: Sequence[str] = (), *, are_clear: bool = True
) -> int:
    """Give jobs, or those of `mine`, that wait under another release to this one, so that none waits for ever."""
    waiting = sa.and_(job.c.state == JobState.QUEUED, jobs.of(mine))
    return _adopt(connection, waiting, release_id, are_clear=are_clear)


def _adopt(
    connection: sa.Connection, waiting: sa.ColumnElement[bool], release_id: int, *, are_clear: bool
) -> int:
    older = sa.and_(waiting, job.c.release_id != release_id)
    rows = connection.execute(
        sa.select(job.c.id, job.c.digest).where(older).order_by(job.c.id)
    ).all()
    entries = [
        audit.Entry("job.adopted", "job", one.id, release_id=release_id, digest=one.digest)
        for one in rows
    ]
    audit.append(connection, *entries)
    first = {one.digest: one.id for one in reversed(rows)}
    for ids in (
        list(first.values())[start : start + _SLICE] for start in range(0, len(first), _SLICE)
    ):
        other = job.alias()
        twin = sa.select(other.c.id).where(
            other.c.digest == job.c.digest, other.c.release_id == release_id
        )
        alone = sa.and_(job.c.id.in_(ids), ~twin.exists())
        connection.execute(sa.update(job).where(alone).values(release_id=release_id))
    twins = connection.execute(sa.select(job.c.id, job.c.digest).where(older)).all()
    for one in twins:
        query = sa.select(job.c.id, job.c.state).where(
            job.c.digest == one.digest, job.c.release_id == release_id
        )
        _hand_over(connection, one.id, connection.execute(query).one(), are_clear=are_clear)
    return len(rows)


def _hand_over(connection: sa.Connection, job_id: int, twin: Any, *, are_clear: bool) -> None:
    """Give a waiting job's captures to the job that the same bytes already have under the new release."""
    handed = (
        sa.update(capture)
        .where(capture.c.job_id == job_id)
        .values(job_id=twin.id)
        .returning(capture.c.id)
    )
    ids = list(connection.scalars(handed))
    connection.execute(sa.delete(job).where(job.c.id == job_id))
    if twin.state == JobState.SUCCEEDED:
        results.reuse(connection, ids, are_clear=are_clear)
