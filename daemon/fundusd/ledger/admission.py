"""Admission: from settled files to captures, and to one job per digest and release; constant statements a batch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.domain.clinical_terms import FILE_REASONS
from fundusd.domain.files import Admission
from fundusd.domain.jobs import JobState
from fundusd.ledger import audit, cameras, jobs, requeue, results
from fundusd.ledger.tables import capture, job, sighting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundusd.domain.files import SettledFile
    from fundusd.ledger.jobs import Recorded
    from fundusd.ledger.path_metadata import PathColumns

    Row = Mapping[Any, Any]
    Place = tuple[str, bytes]  # camera and path

_MISSING = sighting.c.missing_since.is_not(None)


@dataclass(frozen=True, slots=True)
class Admitted:
    """What a settled file came to; `done` is its capture as recorded where its result was there already."""

    admission: Admission
    done: Recorded | None = None


def admit(
    connection: sa.Connection,
    found: Sequence[SettledFile],
    release_id: int,
    told: PathColumns,
    *,
    are_clear: bool = True,
) -> list[Admitted]:
    """Turn settled files, each path once, into captures with a job, once per digest and release.

    The same bytes at the same path only refresh the change signal. Other bytes are the next revision, and the
    older one is superseded. Bytes that were classified before take their result over at once. `told` is what paths
    tell; patients' identifiers are not taken over unless they `are_clear`.
    """
    if not found:
        return []
    present = cameras.seen_at(connection, [_place(one) for one in found])
    known: list[tuple[SettledFile, Row]] = []
    new: list[SettledFile] = []
    for one in found:
        row = present.get(_place(one))
        if row is not None and row["digest"] == one.digest and not row["superseded"]:
            known.append((one, row))
        else:
            new.append(one)
    admitted = _touch(connection, known, release_id, are_clear=are_clear)
    admitted |= _admit_new(connection, new, present, release_id, told, are_clear=are_clear)
    return [admitted[_place(one)] for one in found]


def _place(found: SettledFile) -> Place:
    return found.camera_id, found.path


# -- the same bytes at the same path


def _touch(
    connection: sa.Connection,
    known: Sequence[tuple[SettledFile, Row]],
    release_id: int,
    *,
    are_clear: bool,
) -> dict[Place, Admitted]:
    if not known:
        return {}
    cameras.see(
        connection,
        [cameras.seen(*_place(one), one.stat, capture_id=row["id"]) for one, row in known],
    )
    entries = [
        audit.Entry("capture.touched", "capture", row["id"], digest=one.digest)
        for one, row in known
    ]
    audit.append(connection, *entries)
    broken_by_file = sa.select(job.c.id).where(
        jobs.among([row["job_id"] for _, row in known], JobState.FAILED),
        job.c.reason.in_(FILE_REASONS),
    )
    broken = set(connection.scalars(broken_by_file))
    if broken:
        requeue.reopen(connection, sorted(broken), release_id, are_clear=are_clear)
        # by the daemon that can read it; the job may be another one by now
        ids = [row["id"] for _, row in known if row["job_id"] in broken]
        of_these = sa.select(capture.c.job_id).where(capture.c.id.in_(ids))
        connection.execute(
            sa.update(job).where(job.c.id.in_(of_these)).values(camera_id=known[0][0].camera_id)
        )
    return {
        _place(one): Admitted(Admission.ADMITTED if row["job_id"] in broken else Admission.TOUCHED)
        for one, row in known
    }


# -- other bytes, or another path


def _admit_new(
    connection: sa.Connection,
    new: Sequence[SettledFile],
    present: Mapping[Place, Row | None],
    release_id: int,
    told: PathColumns,
    *,
    are_clear: bool,
) -> dict[Place, Admitted]:
    if not new:
        return {}
    origins = _origins(connection, new)
    job_of, queued = _jobs_for(connection, new, release_id)
    capture_of = _insert_captures(connection, new, job_of, present, told)
    replaced = [
        row
        for one in new
        if (row := present.get(_place(one))) is not None and not row["superseded"]
    ]
    cameras.supersede(connection, [*replaced, *origins.values()])
    cameras.see(
        connection,
        [cameras.seen(*_place(one), one.stat, capture_id=capture_of[_place(one)]) for one in new],
    )
    entries = [
        entry
        for one in new
        for entry in _told(
            one, capture_of[_place(one)], present.get(_place(one)), origins.get(_place(one))
        )
    ]
    audit.append(connection, *queued, *entries)
    reused = {capture_of[_place(one)] for one in new if job_of[one.digest][1] is JobState.SUCCEEDED}
    done = {
        one.capture_id: one
        for one in results.reuse(connection, sorted(reused), are_clear=are_clear)
    }
    return {
        _place(one): _outcome(done.get(capture_of[_place(one)]), moved=_place(one) in origins)
        for one in new
    }  # fmt: skip


def _outcome(done: Recorded | None, *, moved: bool) -> Admitted:
    if moved:
        return Admitted(Admission.MOVED, done)
    return Admitted(Admission.ADMITTED if done is None else Admission.REUSED, done)


def _origins(connection: sa.Connection, new: Sequence[SettledFile]) -> dict[Place, Row]:
    """Find captures whose file was renamed to one of these: same bytes, inode and time, and gone from its path."""
    query = (
        sa.select(
            capture,
            sighting.c.inode.label("seen_inode"),
            sighting.c.mtime_ns.label("seen_mtime_ns"),
        )
        .join(sighting, sighting.c.capture_id == capture.c.id)
        .where(
            _MISSING,
            sighting.c.camera_id.in_({one.camera_id for one in new}),
            sighting.c.inode.in_({one.stat.inode for one in new}),
            capture.c.superseded.is_(False),
            capture.c.digest.in_([one.digest for one in new]),
        )
        .order_by(capture.c.id.desc())
    )
    here = {
        _place(one) for one in new
    }  # where a file is found now, none has moved away from in this batch
    gone = {
        (row["camera_id"], row["seen_inode"], row["seen_mtime_ns"], row["digest"]): row
        for row in connection.execute(query).mappings()
        if (row["camera_id"], bytes(row["path"])) not in here
    }
    origins: dict[Place, Row] = {}
    for one in new:
        row = gone.pop((one.camera_id, one.stat.inode, one.stat.mtime_ns, one.digest), None)
        if row is not None:
            origins[_place(one)] = row
    return origins


def _jobs_for(
    connection: sa.Connection, new: Sequence[SettledFile], release_id: int
) -> tuple[dict[str, tuple[int, JobState]], list[audit.Entry]]:
    """Return the job of each digest, queueing one if there is none, or if the one there had failed."""
    query = sa.select(job.c.id, job.c.digest, job.c.state, job.c.lane, job.c.camera_id).where(
        job.c.digest.in_({one.digest for one in new}), job.c.release_id == release_id
    )
    rows = connection.execute(query).all()
    failed = [row.id for row in rows if row.state == JobState.FAILED]
    if failed:
        jobs.reopen(connection, failed)
    fresh = {one.digest for one in new if not one.backlog}
    waiting = {JobState.QUEUED, JobState.FAILED}
    hurried = [row.id for row in rows if row.lane and row.digest in fresh and row.state in waiting]
    if hurried:
        connection.execute(sa.update(job).where(job.c.id.in_(hurried)).values(lane=0, position=0))
    _hand_over(connection, new, [row for row in rows if row.state != JobState.SUCCEEDED])
    job_of = {row.digest: (row.id, _state(row.state)) for row in rows}
    queued, entries = _queue(
        connection, [one for one in new if one.digest not in job_of], release_id
    )
    return job_of | queued, entries


def _hand_over(connection: sa.Connection, new: Sequence[SettledFile], rows: Sequence[Any]) -> None:
    """Let a job belong to the camera that showed its bytes last: the daemon of the other may be down, or die of it."""
    camera_of = {one.digest: one.camera_id for one in new}
    for row in rows:
        if camera_of[row.digest] != row.camera_id:
            connection.execute(
                sa.update(job).where(job.c.id == row.id).values(camera_id=camera_of[row.digest])
            )


def _state(stored: str) -> JobState:
    return JobState.QUEUED if stored == JobState.FAILED else JobState(stored)


def _queue(
    connection: sa.Connection, found: Sequence[SettledFile], release_id: int
) -> tuple[dict[str, tuple[int, JobState]], list[audit.Entry]]:
    if not found:
        return {}, []
    now = datetime.now(UTC)
    # of several captures with the same bytes the most urgent one counts: the last here
    rows = {
        one.digest: _waiting(one, release_id, now)
        for one in sorted(found, key=lambda one: not one.backlog)
    }
    inserted = connection.execute(
        sa.insert(job).returning(job.c.id, job.c.digest), list(rows.values())
    )
    ids = {row.digest: row.id for row in inserted}
    entries = [
        audit.Entry(
            "job.queued", "job", ids[digest], None, release_id, digest, {"lane": row["lane"]}
        )
        for digest, row in rows.items()
    ]
    return {digest: (job_id, JobState.QUEUED) for digest, job_id in ids.items()}, entries


def _waiting(found: SettledFile, release_id: int, now: datetime) -> dict[str, Any]:
    return {
        "digest": found.digest,
        "release_id": release_id,
        "camera_id": found.camera_id,
        "state": JobState.QUEUED,
        "lane": 1 if found.backlog else 0,
        "position": -found.stat.mtime_ns if found.backlog else 0,
        "attempts": 0,
        "available_at": 0.0,  # at once, wherever the clock is set to
        "created_at": now,
    }


def _insert_captures(
    connection: sa.Connection,
    new: Sequence[SettledFile],
    job_of: Mapping[str, tuple[int, JobState]],
    present: Mapping[Place, Row | None],
    told: PathColumns,
) -> dict[Place, int]:
    now = datetime.now(UTC)
    local = now.astimezone()
    year, week, _ = local.isocalendar()
    received = {
        "received_at": now,
        "local_day": local.date().isoformat(),
        "local_week": f"{year}-W{week:02}",
    }
    last = {
        place: cameras.last_revision(connection, place) if row is None else row["revision"]
        for place, row in present.items()
    }
    rows = [
        _capture(one, last.get(_place(one), 0) + 1)
        | {"job_id": job_of[one.digest][0]}
        | received
        | dict(told[_place(one)])
        for one in new
    ]
    inserted = connection.execute(
        sa.insert(capture).returning(capture.c.id, capture.c.camera_id, capture.c.path), rows
    )  # fmt: skip
    return {(row.camera_id, bytes(row.path)): row.id for row in inserted}


def _capture(found: SettledFile, revision: int) -> dict[str, Any]:
    return {
        "camera_id": found.camera_id,
        "path": found.path,
        "revision": revision,
        "superseded": False,
        "digest": found.digest,
        "size": found.stat.size,
        "mtime_ns": found.stat.mtime_ns,
        "inode": found.stat.inode,
        "hinted": found.hinted,
    }


def _told(
    found: SettledFile, capture_id: int, replaced: Row | None, origin: Row | None
) -> list[audit.Entry]:
    """Write down an admission, and which captures it made the older ones."""
    detail = {
        "camera": found.camera_id,
        "size": found.stat.size,
        "by": "hint" if found.hinted else "sweep",
    }
    entries = [
        audit.Entry("capture.admitted", "capture", capture_id, digest=found.digest, detail=detail)
    ]
    if replaced is not None and not replaced["superseded"]:
        entries.append(cameras.superseded(replaced))
    if origin is not None:
        moved = {"from_capture": origin["id"]}
        entries.append(
            audit.Entry("capture.moved", "capture", capture_id, digest=found.digest, detail=moved)
        )
    return entries
