"""Combine assessments of photographs, eyes and readings by the most severe; pure.

The rule for a single photograph is `grading.Rule`, and the rules for an eye are in `exam`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import Grade, Referable

if TYPE_CHECKING:
    from collections.abc import Iterable

WORST_FIRST = (Referable.YES, Referable.INDETERMINATE, Referable.NO)


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
    for value in WORST_FIRST:
        if value in referable:
            return Assessment(value, max(grades, default=None))
    return UNDECIDED


def most_severe(assessments: Iterable[Assessment]) -> Assessment:
    """Return the most severe referral, with the highest grade among those that say so.

    >>> most_severe([Assessment(Referable.NO, Grade.MILD), UNDECIDED]).grade is None
    True
    """
    of_all = list(assessments)
    referable = worst(of_all).referable
    return worst(assessment for assessment in of_all if assessment.referable is referable)
