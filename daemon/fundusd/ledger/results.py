"""Record what became of captures: result, job state and audit entry in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.domain import Action, Content, Eye, EyeSource, JobState, Outcome, Reason, Referable
from fundusd.laterality import resolve
from fundusd.ledger import audit, exams, jobs
from fundusd.ledger.tables import GRADE_KEYS, capture, job, result, storable
from fundusd.pseudonym import patient_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundusd.domain import Decoded
    from fundusd.grading import Grading
    from fundusd.ledger.jobs import Claim, Recorded

    Row = Mapping[Any, Any]

_CAPTURES = sa.select(capture, job.c.attempts).join(job)
_COPIED = ("media_type", "width", "height", "sop_uid")
_TOLD = (
    *("eye", "eye_source", "patient_id", "patient_key", "exam_id", "warnings", "acquired_at", "turnaround_ms"),
    *_COPIED,
)
_BY_NAME = (EyeSource.NAME, EyeSource.CONFLICT)


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
    connection: sa.Connection, findings: Sequence[Finding], release_id: int, site_key: bytes
) -> list[list[Recorded] | None]:
    """Write findings: running -> succeeded; for each return its captures, or None where the lease was lost."""
    cleared = {"reason": None, "action": None, "error": None}
    settled = jobs.settle(connection, [one.claim for one in findings], JobState.SUCCEEDED, **cleared)
    rows = {one.claim.job_id: _row(one, release_id, site_key) for one in findings if one.claim.job_id in settled}
    before = _written_before(connection, [one.claim for one in findings if one.claim.job_id not in settled])
    if not rows:
        return [before.get(one.claim.job_id) for one in findings]
    inserted = connection.execute(sa.insert(result).returning(result.c.id, result.c.digest), list(rows.values()))
    ids = {row.digest: row.id for row in inserted}
    query = _CAPTURES.where(capture.c.job_id.in_(rows)).order_by(capture.c.id)
    captures = connection.execute(query).mappings().all()
    said = [rows[one["job_id"]] | {"id": ids[one["digest"]]} for one in captures]
    told = before | {job_id: [] for job_id in rows}
    for one, recorded in zip(captures, _apply(connection, captures, said, reused=False), strict=True):
        told[one["job_id"]].append(recorded)
    return [told.get(one.claim.job_id) for one in findings]


def _written_before(connection: sa.Connection, lost: Sequence[Claim]) -> dict[int, list[Recorded]]:
    """Return what a COMMIT of ours wrote whose answer was lost: nobody has claimed the job since."""
    if not lost:
        return {}
    same = sa.and_(job.c.digest == result.c.digest, job.c.release_id == result.c.release_id)
    outcome = (result.c.outcome, result.c.reason, result.c.grade)
    query = sa.select(capture, job.c.attempts, *outcome).select_from(capture).join(job).join(result, same)
    attempts = {one.job_id: one.attempts for one in lost}
    found: dict[int, list[Recorded]] = {}
    for row in connection.execute(query.where(job.c.id.in_(attempts)).order_by(capture.c.id)).mappings():
        if row["attempts"] == attempts[row["job_id"]]:
            told = jobs.recorded(row, row["outcome"], row["reason"], row["grade"])
            found.setdefault(row["job_id"], []).append(told)
    return found


def reuse(connection: sa.Connection, capture_ids: Sequence[int]) -> list[Recorded]:
    """Give new captures the results that the same bytes already have."""
    if not capture_ids:
        return []
    captures = connection.execute(_CAPTURES.where(capture.c.id.in_(capture_ids))).mappings().all()
    same = sa.and_(job.c.digest == result.c.digest, job.c.release_id == result.c.release_id)
    query = sa.select(result, job.c.id.label("job_id")).join(job, same)
    found = connection.execute(query.where(job.c.id.in_({one["job_id"] for one in captures}))).mappings()
    by_job = {row["job_id"]: row for row in found}
    return _apply(connection, captures, [by_job[one["job_id"]] for one in captures], reused=True)


def _row(finding: Finding, release_id: int, site_key: bytes) -> dict[str, Any]:
    grading, reason = finding.grading, finding.reason
    row: dict[str, Any] = {
        "digest": finding.claim.digest,
        "release_id": release_id,
        "outcome": finding.outcome,
        "reason": reason,
        "action": reason.action if reason else Action.NONE,
        "grade": int(grading.grade) if grading else None,
        "referable": grading.referable if grading else Referable.INDETERMINATE,
        "content": _content_text(finding.decoded.content, site_key),
        "decode_ms": finding.decoded.decode_ms,
        "model_ms": finding.model_ms,
        "batch_size": finding.batch_size,
        "created_at": datetime.now(UTC),
    }
    for index, key in enumerate(GRADE_KEYS):
        row[f"logit_{key}"] = grading.logits[index] if grading else None
        row[f"score_{key}"] = grading.scores[index] if grading else None
    return row


def _content_text(content: Content | None, site_key: bytes) -> str:
    """Write down what the bytes say of themselves, as canonical JSON, so that a re-export can be told the same."""
    if content is None:
        return "{}"
    key = patient_key(site_key, content.issuer, content.patient_id)
    said = {name: getattr(content, name) for name in Content.__slots__} | {"patient_key": key}
    told = {
        name: storable(value) if isinstance(value, str) else value for name, value in said.items() if value is not None
    }
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS).decode()


def _apply(connection: sa.Connection, captures: Sequence[Row], said: Sequence[Row], *, reused: bool) -> list[Recorded]:
    """Tell captures what their bytes say: eye, patient, exam, size; audit what became of them."""
    contents = [orjson.loads(row["content"]) for row in said]
    after = [
        dict(before) | _told(before, row["created_at"], content)
        for before, row, content in zip(captures, said, contents, strict=True)
    ]
    exam_ids = exams.assign(connection, after, [content.get("study_uid") for content in contents])
    for one, exam_id in zip(after, exam_ids, strict=True):
        one["exam_id"] = exam_id
    changed = [{name: one[name] for name in _TOLD} | {"at_id": one["id"]} for one in after]
    connection.execute(sa.update(capture).where(capture.c.id == sa.bindparam("at_id")), changed)
    exams.rejudge(connection, [one["exam_id"] for one in (*captures, *after)])
    audit.append(connection, *(_entry(one, row, reused=reused) for one, row in zip(after, said, strict=True)))
    return [
        jobs.recorded(one, row["outcome"], row["reason"], row["grade"]) for one, row in zip(after, said, strict=True)
    ]


def _told(before: Row, at: datetime, content: Mapping[str, Any]) -> dict[str, Any]:
    """Settle what path and content tell: content comes first, but an eye they disagree about is unknown."""
    by_name = before["eye_source"] in _BY_NAME
    eye, eye_source = resolve(
        Eye(content.get("eye", Eye.UNKNOWN)),
        EyeSource(content.get("eye_source", EyeSource.NONE)),
        Eye(before["eye"]) if by_name else Eye.UNKNOWN,
        EyeSource(before["eye_source"]) if by_name else EyeSource.NONE,
    )
    patient = content if content.get("patient_id") else before
    warnings = [*orjson.loads(before["warnings"] or "[]"), *content.get("warnings", [])]
    if eye_source is EyeSource.CONFLICT:
        warnings.append("eye_conflict")
    if before["patient_id"] not in {None, patient["patient_id"]}:
        warnings.append("patient_conflict")
    return {
        "eye": eye,
        "eye_source": eye_source,
        "patient_id": patient["patient_id"],
        "patient_key": patient["patient_key"],
        "warnings": orjson.dumps(list(dict.fromkeys(warnings))).decode(),
        "acquired_at": _moment(content.get("acquired_at")) or before["acquired_at"],
        "turnaround_ms": max(0, round((at - before["received_at"]).total_seconds() * 1000)),
    } | {name: content.get(name) for name in _COPIED}


def _moment(said: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(said).astimezone(UTC) if said else None
    except OverflowError:  # 00010101: some cameras write the first day of all time for none
        return None


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
