"""The columns that a result has for each grade, and the condition that joins it to its job."""

from __future__ import annotations

import sqlalchemy as sa

from fundusd.ledger.tables import GRADE_KEYS, job, result

LOGITS = tuple(f"logit_{key}" for key in GRADE_KEYS)
SCORES = tuple(f"score_{key}" for key in GRADE_KEYS)
PPM = tuple(f"ppm_{key}" for key in GRADE_KEYS)  # scores as captures store them

IS_RESULT_OF_JOB = sa.and_(result.c.digest == job.c.digest, result.c.release_id == job.c.release_id)
