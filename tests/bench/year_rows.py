"""Rows of a generated year: of a photograph's job, result and capture, and of a review."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
from tests import ledger_cases as cases

from fundusd.clinical.grading import grade as grade_of
from fundusd.clinical.pseudonyms import patient_key
from fundusd.domain.clinical_terms import (
    Action,
    Eye,
    Grade,
    Outcome,
    Referable,
    ReviewReason,
    ReviewVerdict,
)
from fundusd.domain.jobs import JobState
from fundusd.domain.readings import AbsenceReason, CorrectionKind, FollowUpEnd, FollowUpKind
from fundusd.ledger import applied_results
from fundusd.ledger.tables import GRADE_KEYS, capture

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from clinic import Photograph

Row = dict[str, Any]

_VERDICTS = (ReviewVerdict.AGREE, ReviewVerdict.OVERRIDE, ReviewVerdict.DEFER, ReviewVerdict.RETAKE)
# the warnings of some captures, by the last two digits of their number
_WARNINGS = {7: '["eye_contradicted"]', 19: '["turned"]', 58: '["turned","text_in_surround"]'}
_FOLLOWED = {
    ReviewVerdict.RETAKE: FollowUpKind.RETAKE,
    ReviewVerdict.UNGRADABLE: FollowUpKind.SLIT_LAMP,
}
_READERS = (("reader 1", "ophthalmologist"), ("reader 2", "grader"), ("reader 3", "grader"))


def job_row(photograph: Photograph) -> Row:
    """Return the job of a photograph, with its result or None."""
    row: Row = {
        "id": photograph.number,
        "digest": cases.digest_of(f"photograph {photograph.number}"),
        "release_id": photograph.release,
        "camera_id": photograph.camera_id,
        "state": photograph.state,
        "lane": 0,
        "position": 0,
        "attempts": 1,
        "available_at": 0.0,
        "token": None,
        "lease_until": None,
        "reason": None,
        "action": None,
        "error": None,
        "created_at": photograph.received_at,
        "result": None,
    }
    if photograph.state is JobState.QUEUED:
        row["attempts"] = 0
    elif photograph.state is JobState.RUNNING:
        row |= {"token": "t", "lease_until": 2e9}
    elif photograph.state is JobState.SUCCEEDED:
        row["result"] = _result_row(photograph, row["digest"])
    elif photograph.reason is not None:
        reason = photograph.reason
        row |= {"attempts": 4, "reason": reason, "action": reason.action, "error": "generated"}
    return row


def _result_row(photograph: Photograph, digest: str) -> Row:
    row: Row = {
        "id": photograph.number,
        "digest": digest,
        "release_id": photograph.release,
        "reason": photograph.reason,
        "content": orjson.dumps({"media_type": photograph.media_type}).decode(),
        "decode_ms": 30.0,
        "batch_size": 16,
        "created_at": photograph.received_at + timedelta(milliseconds=photograph.turnaround_ms),
    }
    for key in GRADE_KEYS:
        row |= {f"logit_{key}": None, f"score_{key}": None}
    reason = photograph.reason
    if reason is not None:
        row |= {"outcome": reason.outcome, "action": reason.action, "grade": None}
        return row | {"referable": Referable.INDETERMINATE, "model_ms": None}
    grading = grade_of(photograph.logits)
    row |= {"outcome": Outcome.GRADED, "action": Action.NONE, "grade": int(grading.grade)}
    row |= {"referable": grading.referable, "model_ms": 1000.0}
    for key, logit, score in zip(GRADE_KEYS, grading.logits, grading.scores, strict=True):
        row |= {f"logit_{key}": logit, f"score_{key}": score}
    return row


def capture_row(photograph: Photograph, job: Row) -> Row:
    """Return the capture of a photograph, with its job's result and attempts."""
    local = photograph.received_at.astimezone()
    year, week, _ = local.isocalendar()
    row: Row = {
        **dict.fromkeys(capture.c.keys()),
        "id": photograph.number,
        "camera_id": photograph.camera_id,
        "path": photograph.path.encode(),
        "path_text": photograph.path,
        "revision": photograph.revision,
        "superseded": photograph.is_superseded,
        "digest": job["digest"],
        "size": 1_500_000,
        "mtime_ns": photograph.number,
        "inode": photograph.number,
        "hinted": True,
        "job_id": job["id"],
        "eye": photograph.eye,
        "eye_source": photograph.eye_source,
        "field": photograph.field,
        "patient_id": photograph.patient,
        "patient_key": patient_key(cases.SITE_KEY, None, photograph.patient),
        "acquired_at": photograph.acquired_at,
        "received_at": photograph.received_at,
        "local_day": local.date().isoformat(),
        "acquired_day": local.date().isoformat(),
        "local_week": f"{year}-W{week:02}",
        "belongs": False,
        "result": job["result"],
        "attempts": job["attempts"],
    }
    if job["result"]:
        row |= {
            "media_type": photograph.media_type,
            "width": 4096,
            "height": 3072,
            "warnings": _WARNINGS.get(photograph.number % 100, "[]"),
            "turnaround_ms": photograph.turnaround_ms,
            **applied_results.counted(job["result"]),
        }
    return row


def review_row(chance: random.Random, shown: Mapping[Any, Any]) -> Row:
    """Return a reader's review of a result of an eye."""
    verdict = chance.choices(_VERDICTS, (78, 15, 3, 4))[0]
    if verdict is ReviewVerdict.AGREE and shown["referable"] == Referable.INDETERMINATE:
        verdict = ReviewVerdict.UNGRADABLE
    row: Row = {
        "exam_id": shown["exam_id"],
        "eye": shown["eye"],
        "capture_id": shown["capture_id"],
        "release_id": shown["release_id"],
        "model_outcome": shown["outcome"],
        "model_grade": shown["grade"],
        "model_referable": shown["referable"],
        "verdict": verdict,
        "grade": shown["grade"],
        "referable": shown["referable"],
        "reason": None,
        "blinded": shown["urgency"] == 0,
    }
    if verdict is ReviewVerdict.OVERRIDE:
        row |= _override(chance, shown["grade"])
    elif verdict in _FOLLOWED:
        row |= {"grade": None, "referable": Referable.INDETERMINATE}
    row["reviewer"], row["role"] = chance.choice(_READERS)
    row["created_at"] = shown["received_at"] + timedelta(minutes=chance.randrange(5, 2000))
    return row


def _override(chance: random.Random, shown: int | None) -> Row:
    grade = chance.choice([grade for grade in Grade if grade != shown])
    reason, referable = ReviewReason.FALSE_LESION, Referable.NO
    if grade > (shown or 0):
        reason = ReviewReason.MISSED_LESION
    if grade >= 2:
        referable = Referable.YES
    return {"grade": grade, "referable": referable, "reason": reason}


def follow_up_rows(reviews: Sequence[Row]) -> list[Row]:
    """Return the follow-ups of reviews that could not grade an eye, every second one closed."""
    rows: list[Row] = []
    for given in reviews:
        if given["verdict"] not in _FOLLOWED:
            continue
        row: Row = {name: given[name] for name in ("exam_id", "eye")}
        row |= {"id": len(rows) + 1, "kind": _FOLLOWED[given["verdict"]]}
        row["review_id"] = given["id"]
        row |= {"opened_at": given["created_at"], "closed_at": None}
        row |= {"closed_by": None, "closed_how": None}
        if len(rows) % 2:
            row["closed_at"] = given["created_at"] + timedelta(days=7)
            row |= {"closed_by": given["reviewer"], "closed_how": FollowUpEnd.DONE}
        rows.append(row)
    return rows


def absence_row(of_exam: Any) -> Row:
    """Return the correction that the left eye of an exam is a prosthesis."""
    reader, role = _READERS[0]
    return {
        "kind": CorrectionKind.ABSENT,
        "exam_id": of_exam.id,
        "patient_key": of_exam.patient_key,
        "eye": Eye.LEFT,
        "reason": AbsenceReason.PROSTHESIS,
        "reader": reader,
        "role": role,
        "created_at": datetime.fromisoformat(f"{of_exam.day}T16:00:00+00:00"),
    }
