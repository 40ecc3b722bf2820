"""Propose quality thresholds for a camera from the measures of its captures."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING

from fundusd.clinical.quality_fit import fit_to_readers
from fundusd.clinical.quality_stops import (
    AIM,
    MeasuredCapture,
    Stopped,
    at_bounds,
    share_of_bad,
    stopped_by,
    stricter,
)
from fundusd.clinical.quality_thresholds import DEFAULTS, JUDGED, Thresholds, compared
from fundusd.clinical.quality_tightening import strictest, tighten
from fundusd.domain.errors import ExitStatus, FundusdError

if TYPE_CHECKING:
    from collections.abc import Sequence

MIN_CAPTURES = 50  # with fewer, one photograph is more than 2 % of them
ENOUGH_CALLED = 20  # captures that readers called gradable, and ungradable, for a fit to both
_CURVE_STEP, _CURVE_STEPS = 0.02, 30  # of visibility


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The shares of captures that this value of `min_visibility` would stop."""

    visibility: float
    stopped: float
    gradable_stopped: float | None  # of those that readers could grade
    ungradable_stopped: float | None  # of those that they could not


@dataclass(frozen=True, slots=True)
class Calibration:
    """The thresholds proposed for a camera, and what they stop of its captures."""

    captures: int
    left_out: int  # captures without a measure that is needed
    present: Thresholds
    proposed: Thresholds
    stops_now: Stopped
    would_stop: Stopped
    missed_aim: str  # why the proposed thresholds stop less or more than the aim, or ""
    called_gradable: int = 0  # by readers
    called_ungradable: int = 0
    curve: Sequence[CurvePoint] = ()


class TooFewCaptures(FundusdError):  # noqa: N818  says what is the case
    """There are too few captures for a calibration."""

    exit_code = ExitStatus.NO


def calibrate(measured: Sequence[MeasuredCapture], present: Thresholds = DEFAULTS) -> Calibration:
    """Propose thresholds that make about as many captures ungradable as are bad, from 5 to 20 %.

    From 20 captures that readers called gradable and 20 that they called ungradable, the thresholds
    are fitted to these verdicts. With fewer, no threshold becomes looser than its default. Of what
    readers called ungradable, the proposed thresholds stop at least as much as the defaults.

    Captures that lack a measure are left out. Raises TooFewCaptures if too few remain.
    """
    usable = complete(measured)
    if len(usable) < MIN_CAPTURES:
        raise TooFewCaptures(
            f"There are {len(usable)} captures with all measures, "
            f"but {MIN_CAPTURES} are needed to calibrate.",
            hint="Take more photographs with the camera; captures of releases before "
            "retina-colour/4 do not count.",
        )
    gradable = _visibilities(usable, is_gradable=True)
    ungradable = _visibilities(usable, is_gradable=False)
    called = (len(gradable), len(ungradable))
    proposed = tighten(usable, _fitted(usable, present, called))
    would_stop = stopped_by(proposed, usable)
    return Calibration(
        len(usable),
        len(measured) - len(usable),
        present,
        proposed,
        stops_now=stopped_by(present, usable),
        would_stop=would_stop,
        missed_aim=_missed_aim(usable, proposed, would_stop, called),
        called_gradable=len(gradable),
        called_ungradable=len(ungradable),
        curve=_curve(_visibilities(usable, is_gradable=None), gradable, ungradable),
    )


def complete(measured: Sequence[MeasuredCapture]) -> list[MeasuredCapture]:
    """Return the captures with a finite value of every measure that the gate needs."""
    usable: list[MeasuredCapture] = []
    for capture in measured:
        values = [capture.measures.get(name) for name in JUDGED]
        if all(isinstance(value, (int, float)) and isfinite(value) for value in values):
            usable.append(capture)
    return usable


def _fitted(
    captures: Sequence[MeasuredCapture], present: Thresholds, called: tuple[int, int]
) -> Thresholds:
    """Return the thresholds fitted to readers, or the defaults before they called enough."""
    # these two are not fitted: the size is the site's, and the luminance only decides the reason
    defaults = replace(
        DEFAULTS,
        min_side_pixels=present.min_side_pixels,
        max_luminance=present.max_luminance,
    )
    strict = stricter(defaults, present)
    if min(called) < ENOUGH_CALLED:
        if _ungradable_stopped(captures, strict) > _ungradable_stopped(captures, defaults):
            return strict
        return defaults
    least = _ungradable_stopped(captures, defaults)
    start, agreement = defaults, stopped_by(defaults, captures).agreement
    for thresholds in (present, strict):
        stops = stopped_by(thresholds, captures)
        if stops.agreement > agreement and (stops.ungradable or 0.0) >= least:
            start, agreement = thresholds, stops.agreement
    low, high = AIM
    most = min(max(share_of_bad(captures), low), high)
    return fit_to_readers(captures, start, least, most)


def _ungradable_stopped(captures: Sequence[MeasuredCapture], thresholds: Thresholds) -> float:
    return stopped_by(thresholds, captures).ungradable or 0.0


def _missed_aim(
    captures: Sequence[MeasuredCapture],
    proposed: Thresholds,
    stops: Stopped,
    called: tuple[int, int],
) -> str:
    """Return one sentence on why less or more than the aim is stopped, or "" if it is reached."""
    low, high = AIM
    if low <= stops.share <= high:
        return ""
    if stops.share < low:
        if proposed == strictest(proposed):
            return "Stricter thresholds are not proposed, and hardly any capture misses these."
        return "Many captures have the same measures: stricter thresholds would stop too many."
    always = stopped_by(at_bounds(proposed, strictest=False), captures)
    if always.share > high:
        return (
            f"The loosest thresholds that the settings allow would still stop {always.share:.1%}: "
            f"{as_text(always)}."
        )
    if min(called) < ENOUGH_CALLED:
        return (
            "Looser thresholds than the defaults are proposed only after readers have called "
            f"{ENOUGH_CALLED} captures gradable and {ENOUGH_CALLED} ungradable."
        )
    return "The verdicts of the readers do not support looser thresholds."


def as_text(stops: Stopped) -> str:
    """Return how many captures are stopped for which reason, most frequent reason first."""
    parts: list[str] = []
    for reason, count in stops.reasons.items():
        parts.append(f"{reason} {count}")
    return ", ".join(parts)


def _visibilities(captures: Sequence[MeasuredCapture], *, is_gradable: bool | None) -> list[float]:
    """Return the visibilities of the captures called so, or of all (None), in order.

    They are those that are compared with the threshold.
    """
    values: list[float] = []
    for capture in captures:
        if is_gradable is None or capture.is_gradable is is_gradable:
            values.append(compared(capture.measures)["min_visibility"])
    return sorted(values)


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


def as_toml(thresholds: Thresholds) -> str:
    """Return the thresholds as a TOML table to paste below a camera's `[[camera]]`."""
    lines = ["[camera.quality]"]
    for name, value in asdict(thresholds).items():
        lines.append(f"{name} = {value:g}")
    return "\n".join(lines)
