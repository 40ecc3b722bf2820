"""Propose quality thresholds for a camera from the measures of its captures."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import asdict, dataclass, replace
from math import floor, log10
from typing import TYPE_CHECKING, Any

from fundusd.clinical.quality_thresholds import (
    BOUNDS,
    DEFAULTS,
    GOOD_VISIBILITY,
    JUDGED,
    MEASURED,
    Thresholds,
    judge,
)
from fundusd.domain.errors import ExitStatus, FundusdError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MIN_CAPTURES = 50  # with fewer, one photograph is more than 2 % of them
_MIN_CALLED = 5  # captures that readers called gradable, and ungradable, for a fit to both
_FEW, _MANY = 0.05, 0.2  # share that may be ungradable: at least and at most
_STEPS = 20  # of the shares of captures beyond each threshold
_HAZE_QUANTILE = 0.95
_CALIBRATED = [name for name in MEASURED if name not in {"min_side_pixels", "max_haze"}]
_CURVE_STEP, _CURVE_STEPS = 0.02, 30  # of visibility


@dataclass(frozen=True, slots=True)
class MeasuredCapture:
    """The measures of a capture, and whether a reader could grade it (None: no reader saw it)."""

    measures: Mapping[str, float]
    is_gradable: bool | None = None


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The shares of captures in which vessels are visible in less of the disc."""

    visibility: float
    stopped: float
    gradable_stopped: float | None  # of those that readers could grade
    ungradable_stopped: float | None  # of those that they could not


@dataclass(frozen=True, slots=True)
class Calibration:
    """The thresholds proposed for a camera, and the share of its captures that they reject."""

    captures: int
    present: Thresholds
    proposed: Thresholds
    flagged: float  # by the present thresholds
    would_flag: float  # by the proposed ones
    called_gradable: int = 0  # by readers
    called_ungradable: int = 0
    curve: Sequence[CurvePoint] = ()


class TooFewCaptures(FundusdError):  # noqa: N818  says what is the case
    """There are too few captures for a calibration."""

    exit_code = ExitStatus.NO


def calibrate(measured: Sequence[MeasuredCapture], present: Thresholds = DEFAULTS) -> Calibration:
    """Propose thresholds that reject about as many captures as are bad, from 5 to 20 %.

    As many captures are bad as readers called ungradable or, before they called enough, as the
    default thresholds reject. If readers called some captures gradable and some ungradable, the
    threshold of visibility is the one that tells these apart best. Beyond each other threshold
    except those of side and haze lies an equal share of the captures, the largest at which all
    thresholds together reject as many as are bad. No threshold leaves its bounds.

    Raises TooFewCaptures if there are not enough captures with all measures.
    """
    usable: list[MeasuredCapture] = []
    for capture in measured:
        if capture.measures.keys() >= JUDGED:
            usable.append(capture)
    if len(usable) < MIN_CAPTURES:
        raise TooFewCaptures(
            f"There are {len(usable)} captures with all measures, "
            f"but {MIN_CAPTURES} are needed to calibrate.",
            hint="Take more photographs with the camera; captures of releases before "
            "retina-colour/4 do not count.",
        )
    gradable = _visibilities(usable, is_gradable=True)
    ungradable = _visibilities(usable, is_gradable=False)
    called = min(len(gradable), len(ungradable)) >= _MIN_CALLED
    bad = len(ungradable) / len(usable) if called else _share_flagged(usable, DEFAULTS)
    most = min(max(bad, _FEW), _MANY)
    divide = _dividing_visibility(gradable, ungradable) if called else None
    proposed = _strictest(usable, most, present, divide)
    return Calibration(
        len(usable),
        present,
        proposed,
        flagged=_share_flagged(usable, present),
        would_flag=_share_flagged(usable, proposed),
        called_gradable=len(gradable),
        called_ungradable=len(ungradable),
        curve=_curve(_visibilities(usable, is_gradable=None), gradable, ungradable),
    )


def _visibilities(captures: Sequence[MeasuredCapture], *, is_gradable: bool | None) -> list[float]:
    """Return the sorted visibilities of the captures called so, or of all (None)."""
    values: list[float] = []
    for capture in captures:
        if is_gradable is None or capture.is_gradable is is_gradable:
            values.append(capture.measures["visibility"])
    return sorted(values)


def _dividing_visibility(gradable: Sequence[float], ungradable: Sequence[float]) -> float:
    """Return the threshold with the greatest Youden index (Cancer 1950), the least if several."""
    best, divide = -1.0, 0.0
    for threshold in sorted({*gradable, *ungradable}):
        index = _share_below(ungradable, threshold) - _share_below(gradable, threshold)
        if index > best:
            best, divide = index, threshold
    return divide


def _share_below(ordered: Sequence[float], threshold: float) -> float:
    return bisect_left(ordered, threshold) / len(ordered)


def _curve(
    every: Sequence[float], gradable: Sequence[float], ungradable: Sequence[float]
) -> list[CurvePoint]:
    points: list[CurvePoint] = []
    for step in range(_CURVE_STEPS + 1):
        visibility = round(step * _CURVE_STEP, 2)
        shares: list[float | None] = []
        for called in (gradable, ungradable):
            shares.append(_share_below(called, visibility) if called else None)
        points.append(CurvePoint(visibility, _share_below(every, visibility), *shares))
    return points


def _strictest(
    usable: Sequence[MeasuredCapture], most: float, present: Thresholds, divide: float | None
) -> Thresholds:
    """Return the strictest thresholds that reject at most the share `most` of the captures."""
    ordered: dict[str, list[float]] = {}
    for name, measure in MEASURED.items():
        ordered[name] = sorted(capture.measures[measure] for capture in usable)
    proposed = present
    for step in range(_STEPS, -1, -1):
        tail = most * step / _STEPS
        proposed = _proposed(ordered, tail, present)
        visibility = min(proposed.min_visibility, GOOD_VISIBILITY)
        if divide is not None:
            # never beyond what may be rejected
            quantile = _quantile(ordered["min_visibility"], most)
            visibility = _bounded("min_visibility", min(divide, quantile))
        proposed = replace(proposed, min_visibility=visibility)
        if _share_flagged(usable, proposed) <= most:
            break
    return proposed


def _proposed(
    ordered: Mapping[str, Sequence[float]], tail: float, present: Thresholds
) -> Thresholds:
    """Return thresholds such that the share `tail` of the captures lies beyond each."""
    quantiles = {"max_haze": _HAZE_QUANTILE}
    for name in _CALIBRATED:
        quantiles[name] = 1 - tail
        if name.startswith("min"):
            quantiles[name] = tail
    values: dict[str, Any] = {}
    for name, share in quantiles.items():
        values[name] = _bounded(name, _quantile(ordered[name], share))
    return replace(present, **values)


def _bounded(name: str, value: float) -> float:
    """Return a threshold clamped to its bounds and rounded to two significant digits."""
    low, high = BOUNDS[name]
    kept = min(max(value, low), high)
    return round(kept, 1 - floor(log10(kept)))


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Return the linearly interpolated value below which a share of the captures lies.

    >>> _quantile([1.0, 2.0, 3.0], 0.25)
    1.5
    """
    index = share * (len(ordered) - 1)
    below = floor(index)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (index - below)


def _share_flagged(captures: Sequence[MeasuredCapture], thresholds: Thresholds) -> float:
    """Return the share of captures that these thresholds reject."""
    flagged = 0
    for capture in captures:
        if judge(capture.measures, thresholds) is not None:
            flagged += 1
    return flagged / len(captures)


def as_toml(thresholds: Thresholds) -> str:
    """Return the thresholds as a TOML table to paste below a camera's `[[camera]]`."""
    lines = ["[camera.quality]"]
    for name, value in asdict(thresholds).items():
        lines.append(f"{name} = {value:g}")
    return "\n".join(lines)
