"""Who is to be referred: from photographs to an eye, from eyes to a person; pure. A photograph: see grading.Rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import Eye, Grade, Referable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_BOTH = (Eye.RIGHT, Eye.LEFT)


@dataclass(frozen=True, slots=True)
class Assessment:
    """What is known of a photograph, an eye or a person: the worst grade seen, and whether to refer."""

    referable: Referable
    grade: Grade | None = None  # None: nothing was gradable


UNDECIDED = Assessment(Referable.INDETERMINATE)


def worst(findings: Iterable[Assessment]) -> Assessment:
    """Join findings: a referable one beats an undecided one, which beats a negative one; of grades the highest.

    Nothing at all is undecided: absence is never a negative.

    >>> worst([Assessment(Referable.NO, Grade.MILD), UNDECIDED]).referable.value
    'indeterminate'
    """
    found = list(findings)
    said = {finding.referable for finding in found}
    grade = max((finding.grade for finding in found if finding.grade is not None), default=None)
    for one in (Referable.YES, Referable.INDETERMINATE, Referable.NO):
        if one in said:
            return Assessment(one, grade)
    return UNDECIDED


def eye(
    by_field: Mapping[str | None, Sequence[Assessment]], expected: Iterable[str] = ()
) -> Assessment:
    """Judge an eye by its worst field; of a field photographed twice, by the best photograph that is gradable.

    A field that is `expected` and was not photographed leaves the eye undecided, unless another is referable.
    """
    fields = [_field(shots) for shots in by_field.values()]
    missing = [UNDECIDED for name in expected if name not in by_field]
    return worst([*fields, *missing])


def _field(shots: Sequence[Assessment]) -> Assessment:
    """Judge a field: a retake makes up for an ungradable shot, but no shot takes a referral back."""
    gradable = [shot for shot in shots if shot.grade is not None]
    return worst(gradable or shots)


def person(by_eye: Mapping[Eye, Assessment]) -> Assessment:
    """Judge a person by the worse eye; one that is missing or of unknown side leaves no negative."""
    missing = [UNDECIDED for one in _BOTH if one not in by_eye]
    unknown = [UNDECIDED] if Eye.UNKNOWN in by_eye else []
    return worst([*by_eye.values(), *missing, *unknown])
