"""From raw logits to scores, grade and referral; pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fundusd.domain import Grade, Referable

if TYPE_CHECKING:
    from collections.abc import Sequence

REFERABLE_RULE = "icdr>=2/argmax"


@dataclass(frozen=True, slots=True)
class Grading:
    """What the model said of one capture: five logits, their softmax, and what follows by rule."""

    logits: tuple[float, ...]
    scores: tuple[float, ...]
    grade: Grade
    referable: Referable


def softmax(logits: Sequence[float]) -> tuple[float, ...]:
    """Turn logits into scores that sum to 1.

    >>> [round(score, 3) for score in softmax([0.0, 0.0])]
    [0.5, 0.5]
    """
    top = max(logits)
    weights = [math.exp(logit - top) for logit in logits]
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)


def is_usable(logits: Sequence[float]) -> bool:
    """Tell whether the logits are one finite number per grade."""
    return len(logits) == len(Grade) and all(math.isfinite(logit) for logit in logits)


def grade(logits: Sequence[float]) -> Grading:
    """Grade by the highest score; ICDR >= 2 is referable (REFERABLE_RULE).

    >>> grade([0.1, 0.2, 3.0, 0.0, -1.0]).referable.value
    'yes'
    """
    scores = softmax(logits)
    best = Grade(max(range(len(scores)), key=scores.__getitem__))
    return Grading(
        logits=tuple(float(logit) for logit in logits),
        scores=scores,
        grade=best,
        referable=Referable.YES if best >= Grade.MODERATE else Referable.NO,
    )
