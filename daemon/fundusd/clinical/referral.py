"""Decide who is to be referred, from photographs to eyes and from eyes to a person; pure.

The rule for a single photograph is `grading.Rule`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import Eye, Grade, Referable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_BOTH = {Eye.RIGHT, Eye.LEFT}
_WORST_FIRST = (Referable.YES, Referable.INDETERMINATE, Referable.NO)


@dataclass(frozen=True, slots=True)
class Assessment:
    """The worst grade of a photograph, an eye or a person, and whether to refer."""

    referable: Referable
    grade: Grade | None = None  # None: nothing was gradable


UNDECIDED = Assessment(Referable.INDETERMINATE)


def worst(assessments: Iterable[Assessment]) -> Assessment:
    """Combine assessments: referable outweighs undecided, and undecided outweighs negative.

    The grade is the highest one. Without any assessment the result is undecided, never negative.

    >>> worst([Assessment(Referable.NO, Grade.MILD), UNDECIDED]).referable.value
    'indeterminate'
    """
    referable: set[Referable] = set()
    grades: set[Grade] = set()
    for assessment in assessments:
        referable.add(assessment.referable)
        if assessment.grade is not None:
            grades.add(assessment.grade)
    for value in _WORST_FIRST:
        if value in referable:
            return Assessment(value, max(grades, default=None))
    return UNDECIDED


def eye(
    by_field: Mapping[str | None, Sequence[Assessment]], expected: Iterable[str] = ()
) -> Assessment:
    """Assess an eye by its worst field, and each field by its gradable photographs, if any.

    If a field in `expected` was not photographed, the eye is undecided unless another field is
    referable.
    """
    assessments = [_field(shots) for shots in by_field.values()]
    if not by_field.keys() >= set(expected):
        assessments.append(UNDECIDED)
    return worst(assessments)


def _field(shots: Sequence[Assessment]) -> Assessment:
    """Assess a field by its gradable photographs, or by all if none is gradable.

    A retake thus makes up for an ungradable photograph, but no photograph cancels a referral.
    """
    gradable = [shot for shot in shots if shot.grade is not None]
    return worst(gradable or shots)


def person(by_eye: Mapping[Eye, Assessment]) -> Assessment:
    """Assess a person by the worse eye.

    If an eye is missing or unknown, the result cannot be negative.
    """
    assessments = list(by_eye.values())
    if Eye.UNKNOWN in by_eye or not by_eye.keys() >= _BOTH:
        assessments.append(UNDECIDED)
    return worst(assessments)
