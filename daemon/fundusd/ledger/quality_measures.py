"""The image quality measures of a camera's captures."""

from __future__ import annotations

import orjson
import sqlalchemy as sa

from fundusd.clinical.quality_stops import MeasuredCapture
from fundusd.domain.clinical_terms import Outcome, ReviewVerdict
from fundusd.ledger.result_columns import IS_RESULT_OF_JOB
from fundusd.ledger.tables import capture, job, result, review

_MAX_CAPTURES = 20_000  # the newest, because a camera is calibrated for what it takes now
_RETINAS = (Outcome.GRADED, Outcome.UNGRADABLE)


def measures_of(connection: sa.Connection, camera_id: str) -> list[MeasuredCapture]:
    """Return the measures of a camera's colour fundus photographs, newest first.

    Superseded revisions are left out, and only the newest 20,000 photographs are considered.
    """
    query = (
        sa.select(capture.c.id, result.c.content)
        .select_from(capture)
        .join(job)
        .join(result, IS_RESULT_OF_JOB)
        .where(
            capture.c.camera_id == camera_id,
            capture.c.superseded.is_(False),
            result.c.outcome.in_(_RETINAS),
        )
        .order_by(capture.c.id.desc())
        .limit(_MAX_CAPTURES)
    )
    gradable = _called_gradable(connection, camera_id)
    measured: list[MeasuredCapture] = []
    for capture_id, content in connection.execute(query):
        measures = orjson.loads(content).get("measures", {})
        measured.append(MeasuredCapture(measures, gradable.get(capture_id)))
    return measured


def _called_gradable(connection: sa.Connection, camera_id: str) -> dict[int, bool]:
    """Return, by capture, whether the last reader who saw it could grade it.

    Reviews that were deferred say nothing. A reader who agrees with an ungradable result could not
    grade it either.
    """
    query = (
        sa.select(review.c.capture_id, review.c.verdict, review.c.model_outcome)
        .join(capture, capture.c.id == review.c.capture_id)
        .where(capture.c.camera_id == camera_id, review.c.verdict != ReviewVerdict.DEFER)
        .order_by(review.c.id)
    )
    gradable: dict[int, bool] = {}
    for capture_id, verdict, model_outcome in connection.execute(query):
        agrees = verdict == ReviewVerdict.AGREE and model_outcome == Outcome.GRADED
        gradable[capture_id] = agrees or verdict == ReviewVerdict.OVERRIDE
    return gradable
