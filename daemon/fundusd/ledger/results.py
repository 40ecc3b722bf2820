"""Record what became of captures: result, job state and audit entry in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.domain import Action, Content, Eye, EyeSource, JobState, Outcome, Reason, Referable
from fundusd.laterality import eye_from_name, resolve
from fundusd.ledger import audit
from fundusd.ledger.jobs import recorded, settle
from fundusd.ledger.tables import GRADE_KEYS, capture, exam, job, result, storable
from fundusd.pseudonym import patient_key

if TYPE_CHECKING:
    from fundusd.domain import Decoded
    from fundusd.grading import Grading
    from fundusd.ledger.jobs import Claim, Recorded


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


def finish(connection: sa.Connection, finding: Finding, release_id: int, site_key: bytes) -> list[Recorded] | None:
    """Write a finding: running -> succeeded; return its captures, or None when the lease is lost."""
    cleared = {"reason": None, "action": None, "error": None}
    if not settle(connection, finding.claim, JobState.SUCCEEDED, **cleared):
        return None
    row = _row(finding, release_id, site_key)
    result_id = connection.scalar(sa.insert(result).values(row).returning(result.c.id))
    ids = list(connection.scalars(sa.select(capture.c.id).where(capture.c.job_id == finding.claim.job_id)))
    return [_apply(connection, one, row | {"id": result_id}, reused=False) for one in ids]


def reuse(connection: sa.Connection, job_id: int, capture_id: int) -> Recorded:
    """Give a new capture the result that the same bytes already have."""
    query = sa.select(result).join(
        job, sa.and_(job.c.digest == result.c.digest, job.c.release_id == result.c.release_id)
    )
    row = connection.execute(query.where(job.c.id == job_id)).mappings().one()
    return _apply(connection, capture_id, row, reused=True)


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


def _apply(connection: sa.Connection, capture_id: int, row: Any, *, reused: bool) -> Recorded:
    """Tell a capture what its bytes say: eye, patient, exam, size; audit what became of it."""
    said = orjson.loads(row["content"])
    query = sa.select(capture, job.c.attempts).join(job).where(capture.c.id == capture_id)
    before = connection.execute(query).mappings().one()
    eye, eye_source = resolve(
        Eye(said.get("eye", Eye.UNKNOWN)),
        EyeSource(said.get("eye_source", EyeSource.NONE)),
        *eye_from_name(before["path_text"]),
    )
    turnaround = row["created_at"] - before["received_at"]
    told = {
        "eye": eye,
        "eye_source": eye_source,
        "exam_id": _exam_id(connection, said.get("study_uid")),
        "warnings": orjson.dumps(said.get("warnings", [])).decode(),
        "acquired_at": _moment(said.get("acquired_at")),
        "turnaround_ms": max(0, round(turnaround.total_seconds() * 1000)),
    } | {name: said.get(name) for name in ("media_type", "width", "height", "patient_id", "patient_key", "sop_uid")}
    connection.execute(sa.update(capture).where(capture.c.id == capture_id).values(told))
    after = dict(before) | told
    audit.append(connection, _entry(after, row, reused=reused))
    return recorded(after, row["outcome"], row["reason"], row["grade"])


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


def _exam_id(connection: sa.Connection, study_uid: str | None) -> int | None:
    if not study_uid:
        return None
    known = connection.scalar(sa.select(exam.c.id).where(exam.c.study_uid == study_uid))
    if known is None:
        new = {"study_uid": study_uid, "created_at": datetime.now(UTC)}
        known = connection.scalar(sa.insert(exam).values(new).returning(exam.c.id))
    return int(known)
