"""Apply results to captures: their eye, patient, exam and scores, and the audit entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.domain.clinical_terms import Outcome, Referable
from fundusd.domain.readings import ExclusionReason
from fundusd.ledger import (
    audit,
    bare_numbers,
    camera_orientations,
    captures,
    exams,
    follow_ups,
    moved_files,
    placed_photographs,
    visits,
)
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.database import picked
from fundusd.ledger.recorded import Recorded
from fundusd.ledger.recorded import recorded as recorded_capture
from fundusd.ledger.result_columns import PPM, SCORES
from fundusd.ledger.tables import capture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundusd.ledger.transactions import Recording

    Row = Mapping[Any, Any]

_OF_RESULT = ("release_id", "outcome", "reason", "grade", "referable")
_CHANGED = (
    *("eye", "eye_source", "field", "patient_id", "patient_key", "exam_id", "warnings"),
    *("other_patient_id", "other_patient_key", "other_acquired_day"),
    *("acquired_at", "acquired_day", "turnaround_ms", "placed_exam_id", "belongs", "excluded"),
    *("media_type", "width", "height", "sop_uid"),
    *_OF_RESULT,
    *PPM,
)
_EVENT_OF_OUTCOME = {
    Outcome.GRADED: AuditEvent.CAPTURE_GRADED,
    Outcome.UNGRADABLE: AuditEvent.CAPTURE_UNGRADABLE,
    Outcome.REFUSED: AuditEvent.CAPTURE_REFUSED,
}


def apply(
    recording: Recording, before: Sequence[Row], results: Sequence[Row], *, reused: bool
) -> list[Recorded]:
    """Update captures from their results, and append an audit event for each capture."""
    connection = recording.connection
    after, contents = [], []
    for row, of_capture in zip(before, results, strict=True):
        content = orjson.loads(of_capture["content"])
        settled = captures.settled(
            row,
            of_capture,
            content,
            is_old=row["lane"] != 0,
            are_clear=recording.identifiers.are_clear,
        )
        after.append(dict(row) | settled | counted(of_capture))
        contents.append(content)
    camera_orientations.check_eyes(connection, after, contents, are_new=not reused)
    given = bare_numbers.resolve(connection, after, contents)
    origins = moved_files.judged_origins(connection, [row["id"] for row in after])
    moved_files.forget_placing(connection, after, origins)
    moved_files.keep_exams(connection, after, origins)
    moved_files.forget_others(before, after, origins)
    placed_photographs.note_conflicts(connection, after, contents)
    exam_ids = visits.assign(connection, after, [content.get("study_uid") for content in contents])
    moved_files.forget_membership(before, after, exam_ids, origins)
    _include_referable(after, results)
    for row, exam_id in zip(after, exam_ids, strict=True):
        row["exam_id"] = exam_id
    _update(connection, after)
    shared = captures.flag_shared(connection, after, given)
    if origins:
        follow_ups.move_renamed(connection, after, origins)
    left = moved_files.exams_left(connection, [row["id"] for row in after])
    changed = {row["exam_id"] for row in (*before, *after)}
    exams.rejudge(recording, given | changed | shared | left)
    entries, recorded = [], []
    for old, row, of_capture in zip(before, after, results, strict=True):
        entries.append(audit_entry(old, row, of_capture, reused=reused))
        recorded.append(
            recorded_capture(row, of_capture["outcome"], of_capture["reason"], of_capture["grade"])
        )
    audit.append(connection, *entries)
    return recorded


def _include_referable(captures: Sequence[dict[str, Any]], results: Sequence[Row]) -> None:
    """Let photographs count again that a retake was to replace, and that are referable now."""
    for row, of_capture in zip(captures, results, strict=True):
        is_retaken = row["excluded"] == ExclusionReason.RETAKEN
        if is_retaken and of_capture["referable"] == Referable.YES:
            row["excluded"] = None


def _update(connection: sa.Connection, rows: Sequence[Row]) -> None:
    changed = []
    for row in rows:
        changed.append(picked(row, _CHANGED) | {"at_id": row["id"]})
    connection.execute(sa.update(capture).where(capture.c.id == sa.bindparam("at_id")), changed)


def counted(of_capture: Row) -> dict[str, Any]:
    """Return the columns that are copied from a result to its captures for the views."""
    columns = picked(of_capture, _OF_RESULT)
    for ppm, score in zip(PPM, SCORES, strict=True):
        columns[ppm] = _ppm(of_capture[score])
    return columns


def _ppm(score: float | None) -> int | None:
    return None if score is None else int(score * 1_000_000 + 0.5)


def audit_entry(old: Row, row: Row, of_capture: Row, *, reused: bool) -> audit.Entry:
    """Return the audit entry for a capture to which a result was applied."""
    detail = {
        "camera": row["camera_id"],
        "revision": row["revision"],
        "eye": row["eye"],
        "eye_source": row["eye_source"],
        "reason": of_capture["reason"],
        "attempts": row["attempts"],
        "result_id": of_capture["id"],
        "result_digest": audit.result_digest(of_capture),
        "capture_digest": audit.capture_digest(row),
        "reused": reused,
    }
    corrected = audit.corrected_state(row)
    if corrected != audit.corrected_state(old):  # see `moved_files.forget_membership`
        detail["corrected"] = {str(row["id"]): corrected}
    return audit.Entry(
        _EVENT_OF_OUTCOME[of_capture["outcome"]],
        "capture",
        row["id"],
        row["patient_key"],
        of_capture["release_id"],
        of_capture["digest"],
        detail,
    )
