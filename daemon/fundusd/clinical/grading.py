"""Turn raw logits into scores, a grade and a referral; pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import Grade, Referable
from fundusd.domain.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

_RULE = re.compile(r"icdr>=(?P<grade>[1-4])/(?:argmax|sum>=(?P<share>0\.\d{1,6}))")


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule that decides whether a photograph is referable.

    A rule considers either the highest score or a sum of scores.

    >>> Rule.parse("icdr>=2/sum>=0.35").of((0.5, 0.1, 0.2, 0.1, 0.1)).value
    'yes'
    """

    name: str  # as recorded in the release
    min_grade: Grade
    share: float | None  # the operating point; None: the grade of the highest score decides

    @classmethod
    def parse(cls, name: str) -> Rule:
        """Return the rule with this name.

        Raises SettingsError if there is no such rule.
        """
        match = _RULE.fullmatch(name)
        if match is None:
            raise SettingsError(
                f"model.referable {name!r} is not a rule that fundusd knows.",
                hint='Use "icdr>=2/argmax", or an operating point on summed scores such as '
                '"icdr>=2/sum>=0.35".',
            )
        share = None
        if match["share"]:
            share = float(match["share"])
        return cls(name, Grade(int(match["grade"])), share)

    def of(self, scores: Sequence[float]) -> Referable:
        """Return whether a photograph with these five scores is referable."""
        if self.share is None:
            is_referable = _highest(scores) >= self.min_grade
        else:
            is_referable = sum(scores[self.min_grade :]) >= self.share
        if is_referable:
            return Referable.YES
        return Referable.NO

    def of_grade(self, grade: Grade) -> Referable:
        """Return whether an eye to which a reader gave this grade is referable.

        Severe and proliferative retinopathy always are.
        """
        if grade >= min(self.min_grade, Grade.SEVERE):
            return Referable.YES
        return Referable.NO


DEFAULT_RULE = Rule.parse("icdr>=2/argmax")


@dataclass(frozen=True, slots=True)
class Grading:
    """The model's output for a capture: five logits, their softmax, and the grade and referral."""

    logits: tuple[float, ...]
    scores: tuple[float, ...]
    grade: Grade
    referable: Referable


def _highest(scores: Sequence[float]) -> int:
    """Return the index of the highest score, or the first such index if several are equal."""
    return max(range(len(scores)), key=scores.__getitem__)


def softmax(logits: Sequence[float]) -> tuple[float, ...]:
    """Return the softmax of the logits: scores that sum to 1.

    >>> [round(score, 3) for score in softmax([0.0, 0.0])]
    [0.5, 0.5]
    """
    top = max(logits)
    weights = [math.exp(logit - top) for logit in logits]
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)


def is_usable(logits: Sequence[float]) -> bool:
    """Return whether there is exactly one logit per grade and all logits are finite."""
    return len(logits) == len(Grade) and all(math.isfinite(logit) for logit in logits)


def grade(logits: Sequence[float], rule: Rule = DEFAULT_RULE) -> Grading:
    """Return the scores, the grade with the highest score, and the referral according to the rule.

    >>> grade([0.1, 0.2, 3.0, 0.0, -1.0]).referable.value
    'yes'
    """
    scores = softmax(logits)
    return Grading(
        logits=tuple(float(logit) for logit in logits),
        scores=scores,
        grade=Grade(_highest(scores)),
        referable=rule.of(scores),
    )
