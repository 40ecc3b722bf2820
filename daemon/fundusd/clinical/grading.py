"""Turn raw logits into scores, a grade and a referral; pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import Grade, Referable
from fundusd.domain.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_RULE = re.compile(
    r"icdr>=(?P<grade>[1-4])/(?:argmax|sum>=(?P<share>0\.\d{1,6})(?P<or_severe>/or>=3)?)"
)
_OR_SEVERE = "/or>=3"
# a reader's grade from here on is referable by every rule, and the model's by every safe rule
ALWAYS_REFERABLE = Grade.SEVERE


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule that decides whether a photograph is referable.

    A rule considers the highest score, a sum of scores, or both.

    >>> Rule.parse("icdr>=2/sum>=0.35").of((0.5, 0.1, 0.2, 0.1, 0.1)).value
    'yes'
    """

    name: str  # as recorded in the release
    min_grade: Grade
    share: float | None  # the operating point; None: the grade of the highest score decides
    or_severe: bool = False  # besides the sum: also referable if the highest score is grade 3 or 4

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
                '"icdr>=2/sum>=0.35/or>=3".',
            )
        share = None
        if match["share"]:
            share = float(match["share"])
        return cls(name, Grade(int(match["grade"])), share, match["or_severe"] is not None)

    def of(self, scores: Sequence[float]) -> Referable:
        """Return whether a photograph with these five scores is referable."""
        if self.share is None:
            is_referable = _highest(scores) >= self.min_grade
        else:
            is_referable = sum(scores[self.min_grade :]) >= self.share
        if self.or_severe and _highest(scores) >= ALWAYS_REFERABLE:
            is_referable = True
        return _referable(is_referable)

    def of_grade(self, grade: Grade) -> Referable:
        """Return whether an eye to which a reader gave this grade is referable.

        Grades 3 and 4 are referable, whatever the rule.
        """
        return _referable(grade >= min(self.min_grade, ALWAYS_REFERABLE))

    @property
    def is_safe(self) -> bool:
        """Return whether every photograph with grade 3 or 4 is referable.

        A rule on the highest score is safe if `min_grade` g is at most 3. For g = 4, neither kind
        is safe: grade 3 may have all of the score. For g <= 3, a sum is never below the highest
        score h, which is part of it. It is never below 1 - g * h either, because each of the g
        scores outside the sum is at most h. The larger of the two is smallest at h = 1 / (g + 1),
        where both are h. So no sum is below 1 / (g + 1), and scores with sums as little above it
        as you like exist: h for grade 3, and equal scores just below h for the grades below g.
        """
        if self.or_severe:
            return True
        if self.share is None:
            return self.min_grade <= ALWAYS_REFERABLE
        if self.min_grade > ALWAYS_REFERABLE:
            return self.share == 0
        return self.share * (self.min_grade + 1) <= 1

    @property
    def safe_name(self) -> str:
        """Return the name of a safe rule that differs only for grades 3 and 4."""
        if self.is_safe:
            return self.name
        if self.share is None:
            return f"icdr>={int(ALWAYS_REFERABLE)}/argmax"
        return self.name + _OR_SEVERE


def _referable(is_referable: bool) -> Referable:
    if is_referable:
        return Referable.YES
    return Referable.NO


def unsafe_rules(names: Iterable[str]) -> str | None:
    """Return a warning about those of the rules that are not safe, or None if all are safe."""
    unsafe = [name for name in sorted(set(names)) if not Rule.parse(name).is_safe]
    if not unsafe:
        return None
    return (
        f"By the rule {' and the rule '.join(unsafe)}, a photograph that the model grades as "
        "severe or proliferative retinopathy can be not referable."
    )


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
