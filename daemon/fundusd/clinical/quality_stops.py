"""What thresholds stop among the captures of a camera, and what they should stop."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, floor, log10
from typing import TYPE_CHECKING, Any

from fundusd.clinical.quality_thresholds import BOUNDS, MEASURED, Thresholds, judge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundusd.domain.clinical_terms import Reason

AIM = (0.05, 0.2)  # share of a camera's captures that should be ungradable: at least and at most
# visibility first, because it separates gradable from ungradable photographs best; of the others,
# max_luminance and max_haze only decide the reason
FITTED = ("min_visibility", "min_luminance", "max_saturated", "min_field", "max_glare",
          "min_sharpness")  # fmt: skip


@dataclass(frozen=True, slots=True)
class MeasuredCapture:
    """The measures of a capture, and whether a reader could grade it (None: no reader saw it)."""

    measures: Mapping[str, float]
    is_gradable: bool | None = None


@dataclass(frozen=True, slots=True)
class Stopped:
    """What thresholds stop: shares of the captures (None: of no captures), and the reasons."""

    share: float
    gradable: float | None  # of those that readers could grade
    ungradable: float | None  # of those that they could not
    reasons: Mapping[Reason, int]  # captures, most frequent reason first

    @property
    def agreement(self) -> float:
        """Return the Youden index (Cancer 1950) of stopping what readers called ungradable."""
        return (self.ungradable or 0.0) - (self.gradable or 0.0)


def stopped_by(thresholds: Thresholds, captures: Sequence[MeasuredCapture]) -> Stopped:
    """Return what these thresholds stop."""
    reasons: dict[Reason, int] = {}
    totals = {True: 0, False: 0, None: 0}
    stopped = {True: 0, False: 0, None: 0}
    for capture in captures:
        totals[capture.is_gradable] += 1
        reason = judge(capture.measures, thresholds)
        if reason is not None:
            stopped[capture.is_gradable] += 1
            reasons[reason] = reasons.get(reason, 0) + 1
    return Stopped(
        sum(stopped.values()) / len(captures),
        _share(stopped[True], totals[True]),
        _share(stopped[False], totals[False]),
        dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
    )


def _share(part: int, whole: int) -> float | None:
    if not whole:
        return None
    return part / whole


def share_of_bad(captures: Sequence[MeasuredCapture]) -> float:
    """Return the share of ungradable captures, estimated from those that readers called.

    Readers see more of what the gate stops than of what it passes. Therefore the share among those
    called is taken separately of what the defaults stop and of what they pass (Begg and Greenes
    1983). Before any of a kind was called, the defaults are taken to be right about it.
    """
    bad = 0.0
    for is_stopped in (True, False):
        alike: list[MeasuredCapture] = []
        for capture in captures:
            if (judge(capture.measures) is not None) is is_stopped:
                alike.append(capture)
        ungradable = sum(capture.is_gradable is False for capture in alike)
        gradable = sum(capture.is_gradable is True for capture in alike)
        share = float(is_stopped)
        if gradable or ungradable:
            share = ungradable / (gradable + ungradable)
        bad += share * len(alike) / len(captures)
    return bad


def stricter(first: Thresholds, second: Thresholds) -> Thresholds:
    """Return the stricter of two values of each threshold."""
    values: dict[str, Any] = {}
    for name in MEASURED:
        limits = getattr(first, name), getattr(second, name)
        values[name] = min(limits)
        if name.startswith("min"):
            values[name] = max(limits)
    return Thresholds(**values)


def at_bounds(thresholds: Thresholds, *, strictest: bool) -> Thresholds:
    """Return the strictest or loosest thresholds that may be proposed instead of these."""
    values: dict[str, Any] = {}
    for name in FITTED:
        values[name] = BOUNDS[name][name.startswith("min") == strictest]
    return replace(thresholds, **values)


def bounded(name: str, value: float) -> float:
    """Return a threshold within its bounds, with three significant digits, never stricter."""
    low, high = BOUNDS[name]
    kept = min(max(value, low), high)
    scale = 10.0 ** (2 - floor(log10(kept)))
    whole = round(kept * scale, 6)  # because 1.15 * 100 is less than 115
    if name.startswith("min"):
        return floor(whole) / scale
    return ceil(whole) / scale
