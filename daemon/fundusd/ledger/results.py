"""Record the results of captures, the new job states and the audit entries in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.clinical.quality_thresholds import quality_level
from fundusd.domain.clinical_terms import Action, Outcome, Reason, Referable
from fundusd.domain.jobs import JobState
from fundusd.ledger import applied_results, captures, jobs, moved_files, visits
from fundusd.ledger.recorded import Recorded
from fundusd.ledger.recorded import recorded as recorded_capture
from fundusd.ledger.result_columns import IS_RESULT_OF_JOB, LOGITS, SCORES
from fundusd.ledger.tables import capture, job, result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundusd.clinical.grading import Grading
    from fundusd.domain.decoding import Decoded
    from fundusd.ledger.jobs import Claim
    from fundusd.ledger.path_metadata import PathColumns
    from fundusd.ledger.transactions import Recording

    Row = Mapping[Any, Any]

_CAPTURES = sa.select(capture, job.c.attempts, job.c.lane).join(job)


@dataclass(frozen=True, slots=True)
class Finding:
    """A worker's finding about the bytes of a job.

    The finding contains either a grading or the reason why there is none.
    """

    claim: Claim
    decoded: Decoded
    grading: Grading | None
    model_ms: float | None
    batch_size: int

    @property
    def reason(self) -> Reason | None:
        """Return the reason why there is no grade, or None if there is one."""
        return self.decoded.reason

    @property
    def outcome(self) -> Outcome:
        """Return GRADED or, if there is no grade, the outcome that the reason implies."""
        return Outcome.GRADED if self.reason is None else self.reason.outcome


def record(
    recording: Recording, findings: Sequence[Finding], metadata: PathColumns
) -> list[list[Recorded] | None]:
    """Record findings: running -> succeeded.

    For each finding, return a list of its captures, or None if its lease was lost.
    `metadata` holds the columns that have been read again from the cameras' databases.
    """
    connection = recording.connection
    cleared = {"reason": None, "action": None, "error": None}
    claims = [finding.claim for finding in findings]
    settled = jobs.settle(connection, claims, JobState.SUCCEEDED, **cleared)
    rows: dict[int, dict[str, Any]] = {}
    lost: list[Claim] = []
    for finding in findings:
        if finding.claim.job_id in settled:
            rows[finding.claim.job_id] = _row(recording, finding)
        else:
            lost.append(finding.claim)
    recorded = _recorded_before(connection, lost)
    if rows:
        recorded |= _record_rows(recording, rows, metadata)
    return [recorded.get(claim.job_id) for claim in claims]


def _recorded_before(connection: sa.Connection, lost: Sequence[Claim]) -> dict[int, list[Recorded]]:
    """Return, by job, the captures that were recorded in a COMMIT whose answer was lost.

    Jobs that have been claimed again since then are left out.
    """
    if not lost:
        return {}
    attempts = {claim.job_id: claim.attempts for claim in lost}
    query = (
        sa.select(capture, job.c.attempts)
        .select_from(capture)
        .join(job)
        .join(result, IS_RESULT_OF_JOB)
        .where(job.c.id.in_(attempts))
        .order_by(capture.c.id)
    )
    recorded: dict[int, list[Recorded]] = {}
    for row in connection.execute(query).mappings():
        if row["attempts"] == attempts[row["job_id"]]:
            of_capture = recorded_capture(row, row["outcome"], row["reason"], row["grade"])
            recorded.setdefault(row["job_id"], []).append(of_capture)
    return recorded


def _record_rows(
    recording: Recording, rows: Mapping[int, dict[str, Any]], metadata: PathColumns
) -> dict[int, list[Recorded]]:
    """Insert one result per job, and apply each result to the captures of its job."""
    connection = recording.connection
    inserted = sa.insert(result).returning(result.c.digest, result.c.id)
    ids: dict[str, int] = dict(connection.execute(inserted, list(rows.values())).all())
    query = _CAPTURES.where(capture.c.job_id.in_(rows)).order_by(capture.c.id)
    captures_of_jobs = connection.execute(query).mappings().all()
    since: dict[int, datetime] = {}
    for row in captures_of_jobs:
        since[row["job_id"]] = min(row["received_at"], since.get(row["job_id"], row["received_at"]))
    refreshed_ids = [row["id"] for row in captures_of_jobs] if metadata else []
    origins = moved_files.origins(connection, refreshed_ids)
    before, of_capture = [], []
    for row in captures_of_jobs:
        place = (row["camera_id"], bytes(row["path"]))
        refreshed = captures.refreshed(row, metadata.get(place), origins.get(row["id"]))
        before.append(refreshed | {"first_received_at": since[row["job_id"]]})
        of_capture.append(rows[row["job_id"]] | {"id": ids[row["digest"]]})
    recorded: dict[int, list[Recorded]] = {}
    for job_id in rows:
        recorded[job_id] = []  # even if no capture is left
    applied = applied_results.apply(recording, before, of_capture, reused=False)
    for capture_row, capture_recorded in zip(before, applied, strict=True):
        recorded[capture_row["job_id"]].append(capture_recorded)
    return recorded


def _row(recording: Recording, finding: Finding) -> dict[str, Any]:
    """Return the row of a new result."""
    reason = finding.reason
    content = finding.decoded.content
    return {
        "digest": finding.claim.digest,
        "release_id": recording.release_id,
        "outcome": finding.outcome,
        "reason": reason,
        "action": reason.action if reason else Action.NONE,
        "quality_level": quality_level(finding.outcome, content.measures if content else {}),
        "content": captures.content_text(content, recording.identifiers),
        "decode_ms": finding.decoded.decode_ms,
        "model_ms": finding.model_ms,
        "batch_size": finding.batch_size,
        "created_at": datetime.now(UTC),
    } | _graded(finding.grading)


def _graded(grading: Grading | None) -> dict[str, Any]:
    """Return the columns that hold a grading.

    If there is no grading, `referable` is indeterminate and the other columns are null.
    """
    if grading is None:
        columns: dict[str, Any] = dict.fromkeys((*LOGITS, *SCORES))
        return columns | {"grade": None, "referable": Referable.INDETERMINATE}
    columns = {"grade": int(grading.grade), "referable": grading.referable}
    columns |= zip(LOGITS, grading.logits, strict=True)
    columns |= zip(SCORES, grading.scores, strict=True)
    return columns


# -- results that already exist


def reuse(recording: Recording, capture_ids: Sequence[int]) -> list[Recorded]:
    """Apply existing results to new captures of the same bytes."""
    if not capture_ids:
        return []
    connection = recording.connection
    query = _CAPTURES.where(capture.c.id.in_(capture_ids))
    rows = connection.execute(query).mappings().all()
    by_job = _results_of_jobs(connection, rows)
    since = visits.first_received(connection, rows)
    before, of_capture = [], []
    for row in rows:
        before.append(dict(row) | {"first_received_at": since[row["digest"]]})
        of_capture.append(by_job[row["job_id"]])
    return applied_results.apply(recording, before, of_capture, reused=True)


def _results_of_jobs(connection: sa.Connection, captures: Sequence[Row]) -> dict[int, Row]:
    job_ids = {row["job_id"] for row in captures}
    query = (
        sa.select(result, job.c.id.label("job_id"))
        .join(job, IS_RESULT_OF_JOB)
        .where(job.c.id.in_(job_ids))
    )
    by_job: dict[int, Row] = {}
    for row in connection.execute(query).mappings():
        by_job[row["job_id"]] = row
    return by_job
