"""Make quality thresholds stricter until they stop as many captures as is the aim."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from math import floor
from typing import TYPE_CHECKING, Any

from fundusd.clinical.quality_stops import (
    AIM,
    FITTED,
    MeasuredCapture,
    at_bounds,
    bounded,
    stopped_by,
    stricter,
)
from fundusd.clinical.quality_thresholds import GOOD_VISIBILITY, MEASURED, Thresholds, compared

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_STEP, _STEPS = 0.0025, 100  # of the share of captures beyond each threshold, up to 25 %
_HAZE_QUANTILE = 0.95


def tighten(captures: Sequence[MeasuredCapture], start: Thresholds) -> Thresholds:
    """Return the least strict thresholds that stop as many captures as is the aim, if any do.

    Beyond each threshold that becomes stricter lies an equal share of the captures. If the least
    strict ones that stop enough stop more than is the aim, those that stop too few are returned.
    """
    low, high = AIM
    ordered = _ordered(captures)
    haze = bounded("max_haze", _quantile(ordered["max_haze"], _HAZE_QUANTILE))
    start = replace(start, max_haze=haze)

    def at(step: int) -> Thresholds:
        if step == 0:
            return start
        return stricter(start, _with_tails(ordered, step * _STEP, start))

    def share_at(step: int) -> float:
        return stopped_by(at(step), captures).share

    step = bisect_left(range(_STEPS), low, key=share_at)
    if step > 0 and share_at(step) > high:
        step -= 1
    return at(step)


def strictest(thresholds: Thresholds) -> Thresholds:
    """Return the strictest thresholds that may be proposed to stop more captures."""
    bounds = at_bounds(thresholds, strictest=True)
    return stricter(thresholds, replace(bounds, min_visibility=GOOD_VISIBILITY))


def _ordered(captures: Sequence[MeasuredCapture]) -> dict[str, list[float]]:
    """Return the values compared with each threshold, in order."""
    values = [compared(capture.measures) for capture in captures]
    ordered: dict[str, list[float]] = {}
    for name in MEASURED:
        ordered[name] = sorted(value[name] for value in values)
    return ordered


def _with_tails(
    ordered: Mapping[str, Sequence[float]], tail: float, start: Thresholds
) -> Thresholds:
    """Return thresholds beyond each of which lies the share `tail` of the captures."""
    values: dict[str, Any] = {}
    for name in FITTED:
        share = 1 - tail
        if name.startswith("min"):
            share = tail
        values[name] = bounded(name, _quantile(ordered[name], share))
    # a photograph of the good level is not stopped only because others are better
    values["min_visibility"] = min(values["min_visibility"], GOOD_VISIBILITY)
    return replace(start, **values)


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Return the linearly interpolated value below which a share of the captures lies.

    >>> _quantile([1.0, 2.0, 3.0], 0.25)
    1.5
    """
    index = share * (len(ordered) - 1)
    below = floor(index)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (index - below)
