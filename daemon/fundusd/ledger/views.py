"""The views as queries see them. Their SQL stands in the migrations: it is the contract with outside readers."""

from __future__ import annotations

import sqlalchemy as sa

from fundusd.ledger.tables import UTCTime

_TIMES = frozenset({"acquired_at", "received_at", "result_at"})
_FLAGS = frozenset({"superseded"})

V_RESULT_COLUMNS = (
    "capture_id", "camera_id", "path", "revision", "superseded", "digest", "media_type", "width", "height", "eye",
    "eye_source", "field", "patient_id", "patient_key", "exam_id", "acquired_at", "received_at", "state", "outcome",
    "reason", "action", "grade", "grade_label", "referable", "score_no_dr", "score_mild", "score_moderate",
    "score_severe", "score_pdr", "model", "model_revision", "prompt_set", "preprocessing", "release_id", "result_at",
    "turnaround_ms", "attempts", "error",
)  # fmt: skip


def _column(name: str) -> sa.ColumnClause[object]:
    if name in _TIMES:
        return sa.column(name, UTCTime)
    return sa.column(name, sa.Boolean) if name in _FLAGS else sa.column(name)


v_result = sa.table("v_result", *(_column(name) for name in V_RESULT_COLUMNS))
