"""Record what became of captures: result, job state and audit entry in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.domain.clinical_terms import Action, Outcome, Reason, Referable
from fundusd.domain.jobs import JobState
from fundusd.ledger import audit, exams, jobs
from fundusd.ledger import captures as captured
from fundusd.ledger.tables import GRADE_KEYS, capture, job, result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundusd.clinical.grading import Grading
    from fundusd.clinical.pseudonyms import Identifiers
    from fundusd.domain.decoding import Decoded
    from fundusd.ledger.jobs import Claim, Recorded
    from fundusd.ledger.path_metadata import PathColumns

    Row = Mapping[Any, Any]

_CAPTURES = sa.select(capture, job.c.attempts, job.c.lane).join(job)
_TOLD = (
    *(
        "eye",
        "eye_source",
        "field",
        "patient_id",
        "patient_key",
        "exam_id",
        "warnings",
        "acquired_at",
    ),
    *("turnaround_ms", "media_type", "width", "height", "sop_uid"),
    *(
        "release_id",
        "outcome",
        "reason",
        "grade",
        "referable",
        *(f"ppm_{key}" for key in GRADE_KEYS),
    ),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a worker found out about a claimed job's bytes: a grading, or the decoder's reason for none."""

    claim: Claim
    decoded: Decoded
    grading: Grading | None
    model_ms: float | None
    batch_size: int

    @property
    def reason(self) -> Reason | None:
        """Return why there is no grade."""
        return self.decoded.reason

    @property
    def outcome(self) -> Outcome:
        """Return what became of the bytes."""
        return Outcome.GRADED if self.reason is None else self.reason.outcome


def finish(
    connection: sa.Connection,
    findings: Sequence[Finding],
    release_id: int,
    identifiers: Identifiers,
    again: PathColumns,
) -> list[list[Recorded] | None]:
    """Write findings: running -> succeeded; for each return its captures, or None where the lease was lost.

    `again` is what the databases of cameras say by now.
    """
    cleared = {"reason": None, "action": None, "error": None}
    settled = jobs.settle(
        connection, [one.claim for one in findings], JobState.SUCCEEDED, **cleared
    )
    rows = {
        one.claim.job_id: _row(one, release_id, identifiers)
        for one in findings
        if one.claim.job_id in settled
    }
    before = _written_before(
        connection, [one.claim for one in findings if one.claim.job_id not in settled]
    )
    if not rows:
        return [before.get(one.claim.job_id) for one in findings]
    inserted = connection.execute(
        sa.insert(result).returning(result.c.id, result.c.digest), list(rows.values())
    )
    ids = {row.digest: row.id for row in inserted}
    query = _CAPTURES.where(capture.c.job_id.in_(rows)).order_by(capture.c.id)
    found = connection.execute(query).mappings()
    captures = [
        captured.told_again(one, again.get((one["camera_id"], bytes(one["path"])))) for one in found
    ]
    said = [rows[one["job_id"]] | {"id": ids[one["digest"]]} for one in captures]
    told = before | {job_id: [] for job_id in rows}
    clear = identifiers.are_clear
    for one, recorded in zip(
        captures, _apply(connection, captures, said, reused=False, are_clear=clear), strict=True
    ):
        told[one["job_id"]].append(recorded)
    return [told.get(one.claim.job_id) for one in findings]


def _written_before(connection: sa.Connection, lost: Sequence[Claim]) -> dict[int, list[Recorded]]:
    """Return what a COMMIT of ours wrote whose answer was lost: nobody has claimed the job since."""
    if not lost:
        return {}
    same = sa.and_(job.c.digest == result.c.digest, job.c.release_id == result.c.release_id)
    query = sa.select(capture, job.c.attempts).select_from(capture).join(job).join(result, same)
    attempts = {one.job_id: one.attempts for one in lost}
    found: dict[int, list[Recorded]] = {}
    for row in connection.execute(
        query.where(job.c.id.in_(attempts)).order_by(capture.c.id)
    ).mappings():
        if row["attempts"] == attempts[row["job_id"]]:
            told = jobs.recorded(row, row["outcome"], row["reason"], row["grade"])
            found.setdefault(row["job_id"], []).append(told)
    return found


def reuse(
    connection: sa.Connection, capture_ids: Sequence[int], *, are_clear: bool = True
) -> list[Recorded]:
    """Give new captures the results that the same bytes already have, identifiers only where they `are_clear`."""
    if not capture_ids:
        return []
    captures: Sequence[Row] = (
        connection.execute(_CAPTURES.where(capture.c.id.in_(capture_ids))).mappings().all()
    )
    same = sa.and_(job.c.digest == result.c.digest, job.c.release_id == result.c.release_id)
    query = sa.select(result, job.c.id.label("job_id")).join(job, same)
    found = connection.execute(
        query.where(job.c.id.in_({one["job_id"] for one in captures}))
    ).mappings()
    by_job = {row["job_id"]: row for row in found}
    said = [by_job[one["job_id"]] for one in captures]
    since = _first_received(connection, {one["digest"] for one in captures})
    captures = [dict(one) | {"first_received_at": since[one["digest"]]} for one in captures]
    return _apply(connection, captures, said, reused=True, are_clear=are_clear)


def _first_received(connection: sa.Connection, digests: set[str]) -> dict[str, datetime]:
    """Return when bytes were first seen: a photograph is not younger for being exported again."""
    first = sa.func.min(capture.c.received_at)
    query = (
        sa.select(capture.c.digest, first)
        .where(capture.c.digest.in_(digests))
        .group_by(capture.c.digest)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def _row(finding: Finding, release_id: int, identifiers: Identifiers) -> dict[str, Any]:
    grading, reason = finding.grading, finding.reason
    row: dict[str, Any] = {
        "digest": finding.claim.digest,
        "release_id": release_id,
        "outcome": finding.outcome,
        "reason": reason,
        "action": reason.action if reason else Action.NONE,
        "grade": int(grading.grade) if grading else None,
        "referable": grading.referable if grading else Referable.INDETERMINATE,
        "content": captured.content_text(finding.decoded.content, identifiers),
        "decode_ms": finding.decoded.decode_ms,
        "model_ms": finding.model_ms,
        "batch_size": finding.batch_size,
        "created_at": datetime.now(UTC),
    }
    for index, key in enumerate(GRADE_KEYS):
        row[f"logit_{key}"] = grading.logits[index] if grading else None
        row[f"score_{key}"] = grading.scores[index] if grading else None
    return row


def _apply(
    connection: sa.Connection,
    captures: Sequence[Row],
    said: Sequence[Row],
    *,
    reused: bool,
    are_clear: bool,
) -> list[Recorded]:
    """Tell captures what their bytes say: eye, patient, exam, size; audit what became of them."""
    contents = [orjson.loads(row["content"]) for row in said]
    after = [
        dict(before)
        | captured.settled(
            before, row["created_at"], content, is_old=before["lane"] != 0, are_clear=are_clear
        )
        | _counted(row)
        for before, row, content in zip(captures, said, contents, strict=True)
    ]
    exam_ids = exams.assign(connection, after, [content.get("study_uid") for content in contents])
    for one, exam_id in zip(after, exam_ids, strict=True):
        one["exam_id"] = exam_id
    changed = [{name: one[name] for name in _TOLD} | {"at_id": one["id"]} for one in after]
    connection.execute(sa.update(capture).where(capture.c.id == sa.bindparam("at_id")), changed)
    captured.flag_shared(connection, after)
    exams.rejudge(connection, [one["exam_id"] for one in (*captures, *after)])
    audit.append(
        connection, *(_entry(one, row, reused=reused) for one, row in zip(after, said, strict=True))
    )
    return [
        jobs.recorded(one, row["outcome"], row["reason"], row["grade"])
        for one, row in zip(after, said, strict=True)
    ]


def _counted(row: Row) -> dict[str, Any]:
    """Copy what the views count of a result to its capture."""
    scores = {f"ppm_{key}": row[f"score_{key}"] for key in GRADE_KEYS}
    return {
        name: row[name] for name in ("release_id", "outcome", "reason", "grade", "referable")
    } | {
        name: None if score is None else int(score * 1_000_000 + 0.5)
        for name, score in scores.items()
    }


def _entry(after: dict[str, Any], row: Any, *, reused: bool) -> audit.Entry:
    return audit.Entry(
        f"capture.{row['outcome']}",
        "capture",
        after["id"],
        after["patient_key"],
        row["release_id"],
        row["digest"],
        {
            "camera": after["camera_id"],
            "revision": after["revision"],
            "eye": after["eye"],
            "eye_source": after["eye_source"],
            "reason": row["reason"],
            "attempts": after["attempts"],
            "result_id": row["id"],
            "result_digest": audit.result_digest(row),
            "capture_digest": audit.capture_digest(after),
            "reused": reused,
        },
    )
