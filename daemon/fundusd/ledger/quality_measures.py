"""The image quality measures of a camera's captures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import sqlalchemy as sa

from fundusd.domain.clinical_terms import Outcome
from fundusd.ledger.result_columns import IS_RESULT_OF_JOB
from fundusd.ledger.tables import capture, job, result

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_CAPTURES = 20_000  # the newest, because a camera is calibrated for what it takes now
_RETINAS = (Outcome.GRADED, Outcome.UNGRADABLE)


def measures_of(connection: sa.Connection, camera_id: str) -> list[Mapping[str, float]]:
    """Return the measures of a camera's colour fundus photographs, newest first.

    Superseded revisions are left out, and only the newest 20,000 photographs are considered.
    """
    query = (
        sa.select(result.c.content)
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
    return [orjson.loads(content).get("measures", {}) for content in connection.scalars(query)]
