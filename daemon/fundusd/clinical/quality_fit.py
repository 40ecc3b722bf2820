"""Fit quality thresholds to what readers could grade and could not grade."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fundusd.clinical.quality_stops import FITTED, MeasuredCapture, bounded
from fundusd.clinical.quality_thresholds import Thresholds, compared, judge

if TYPE_CHECKING:
    from collections.abc import Sequence

_CORRECTED = 5  # called captures that a threshold has to judge rightly to be moved for them


def fit_to_readers(
    captures: Sequence[MeasuredCapture], start: Thresholds, least: float, most: float
) -> Thresholds:
    """Return the thresholds that agree best with readers, each fitted in turn.

    At least the share `least` of what readers called ungradable remains stopped, and no threshold
    becomes stricter if more than the share `most` of all captures would be stopped.
    """
    thresholds = start
    for name in FITTED:
        fit = _Fit.of(captures, thresholds, name)
        value = fit.best(getattr(thresholds, name), least, most)
        thresholds = _with(thresholds, name, value)
    return thresholds


def _with(thresholds: Thresholds, name: str, value: float) -> Thresholds:
    changed: dict[str, Any] = {name: value}
    return replace(thresholds, **changed)


@dataclass(frozen=True, slots=True)
class _Fit:
    """The captures that only one threshold can stop, by what is compared with it, in order.

    The values of upper thresholds are negative, so that a capture is stopped below a threshold.
    """

    name: str
    every: Sequence[float]
    gradable: Sequence[float]
    ungradable: Sequence[float]
    captures: int
    closed: int  # captures that are stopped anyway
    called_gradable: int
    called_ungradable: int
    closed_ungradable: int

    @classmethod
    def of(cls, captures: Sequence[MeasuredCapture], thresholds: Thresholds, name: str) -> _Fit:
        without = _with(thresholds, name, _sign(name) * float("-inf"))
        values: dict[bool | None, list[float]] = {True: [], False: [], None: []}
        totals = {True: 0, False: 0, None: 0}
        for capture in captures:
            totals[capture.is_gradable] += 1
            if judge(capture.measures, without) is None:
                value = _sign(name) * compared(capture.measures)[name]
                values[capture.is_gradable].append(value)
        every = sorted([*values[True], *values[False], *values[None]])
        return cls(
            name,
            every,
            sorted(values[True]),
            sorted(values[False]),
            captures=len(captures),
            closed=len(captures) - len(every),
            called_gradable=totals[True],
            called_ungradable=totals[False],
            closed_ungradable=totals[False] - len(values[False]),
        )

    def best(self, present: float, least: float, most: float) -> float:
        """Return the value with the best agreement, the nearest to the present one if several."""
        best, agreement = present, self._agreement(present)
        candidates = {bounded(self.name, abs(value)) for value in self._called}
        for value in sorted(candidates, key=lambda candidate: abs(candidate - present)):
            if self._agreement(value) > agreement and self._may_move(present, value, least, most):
                best, agreement = value, self._agreement(value)
        return best

    @property
    def _called(self) -> Sequence[float]:
        return [*self.gradable, *self.ungradable]

    def _agreement(self, value: float) -> float:
        ungradable = self._below(self.ungradable, value) / self.called_ungradable
        return ungradable - self._below(self.gradable, value) / self.called_gradable

    def _may_move(self, present: float, value: float, least: float, most: float) -> bool:
        ungradable = self._below(self.ungradable, value)
        if (self.closed_ungradable + ungradable) / self.called_ungradable < least:
            return False
        if _sign(self.name) * value < _sign(self.name) * present:
            regained = self._below(self.gradable, present) - self._below(self.gradable, value)
            return regained >= _CORRECTED
        if (self.closed + self._below(self.every, value)) / self.captures > most:
            return False
        return ungradable - self._below(self.ungradable, present) >= _CORRECTED

    def _below(self, ordered: Sequence[float], value: float) -> int:
        return bisect_left(ordered, _sign(self.name) * value)


def _sign(name: str) -> int:
    if name.startswith("min"):
        return 1
    return -1
