"""Propose quality thresholds for a camera from the measures of its captures."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from math import floor, log10
from typing import TYPE_CHECKING, Any

from fundusd.clinical.quality_thresholds import (
    BOUNDS,
    DEFAULTS,
    JUDGED,
    MEASURED,
    Thresholds,
    judge,
)
from fundusd.domain.errors import ExitStatus, FundusdError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MIN_CAPTURES = 50  # with fewer, one photograph is more than 2 % of them
_MAX_FLAGGED = 0.05
_TAILS = [step / 400 for step in range(20, 0, -1)]  # shares of captures beyond each threshold
_HAZE_QUANTILE = 0.95
_CALIBRATED = [name for name in MEASURED if name not in {"min_side_pixels", "max_haze"}]


@dataclass(frozen=True, slots=True)
class Calibration:
    """The thresholds proposed for a camera, and the share of its captures that they reject."""

    captures: int
    present: Thresholds
    proposed: Thresholds
    flagged: float  # by the present thresholds
    would_flag: float  # by the proposed ones


class TooFewCaptures(FundusdError):  # noqa: N818  says what is the case
    """There are too few captures for a calibration."""

    exit_code = ExitStatus.NO


def calibrate(
    measured: Sequence[Mapping[str, float]], present: Thresholds = DEFAULTS
) -> Calibration:
    """Propose thresholds that reject at most the worst 5 % of captures.

    An equal share of the captures lies beyond each threshold except those of side and haze. This
    share is the largest at which all thresholds together reject at most 5 %. No threshold leaves
    its bounds, so a good camera may have no captures rejected, and a camera with a dirty lens may
    have many.

    Raises TooFewCaptures if there are not enough captures with all measures.
    """
    usable: list[Mapping[str, float]] = []
    for measures in measured:
        if measures.keys() >= JUDGED:
            usable.append(measures)
    if len(usable) < MIN_CAPTURES:
        raise TooFewCaptures(
            f"There are {len(usable)} captures with all measures, "
            f"but {MIN_CAPTURES} are needed to calibrate.",
            hint="Take more photographs with the camera; captures of releases before "
            "retina-colour/3 do not count.",
        )
    ordered: dict[str, list[float]] = {}
    for name, measure in MEASURED.items():
        ordered[name] = sorted(measures[measure] for measures in usable)
    proposed = present
    for tail in _TAILS:
        proposed = _proposed(ordered, tail, present)
        if _share_flagged(usable, proposed) <= _MAX_FLAGGED:
            break
    return Calibration(
        len(usable),
        present,
        proposed,
        flagged=_share_flagged(usable, present),
        would_flag=_share_flagged(usable, proposed),
    )


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


def _share_flagged(measured: Sequence[Mapping[str, float]], thresholds: Thresholds) -> float:
    """Return the share of captures that these thresholds reject."""
    flagged = 0
    for measures in measured:
        if judge(measures, thresholds) is not None:
            flagged += 1
    return flagged / len(measured)


def as_toml(thresholds: Thresholds) -> str:
    """Return the thresholds as a TOML table to paste below a camera's `[[camera]]`."""
    lines = ["[camera.quality]"]
    for name, value in asdict(thresholds).items():
        lines.append(f"{name} = {value:g}")
    return "\n".join(lines)
