"""Builders of readings for tests of exams."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fundusd.clinical.reading import ReadBasis, Reading
from fundusd.domain.clinical_terms import Grade, Outcome, Referable, ReviewVerdict

if TYPE_CHECKING:
    from fundusd.clinical.eye_result import EyeResult

NOTHING = ReadBasis("", Outcome.GRADED, None, Referable.INDETERMINATE)


def reading(verdict: ReviewVerdict, grade: Grade | None = None, **changes: object) -> Reading:
    """Return a reading that is about no eye yet; see `read`."""
    referable = Referable.NO if grade is not None else Referable.INDETERMINATE
    if grade is not None and grade >= Grade.MODERATE:
        referable = Referable.YES
    made = Reading(
        review_id=1,
        verdict=verdict,
        referable=referable,
        grade=grade,
        reason=None,
        reviewer="Dr Okafor",
        role="doctor",
        is_blinded=False,
        at=datetime(2026, 11, 4, 9, tzinfo=UTC),
        basis=NOTHING,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # by name


def read(eye: EyeResult, *readings: Reading) -> EyeResult:
    """Return an eye with readings that are about it as it is."""
    return eye.with_readings([replace(made, basis=eye.basis) for made in readings])
