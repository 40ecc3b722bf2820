"""From what was measured of a camera's own captures to thresholds for it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from math import floor, log10
from typing import TYPE_CHECKING, Any

from fundusd.clinical.quality_thresholds import BOUNDS, DEFAULTS, MEASURED, Thresholds, judge
from fundusd.domain.errors import ExitStatus, FundusdError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FEWEST = 50  # captures: below that the worst per cent is one picture
_MOST_FLAGGED = 0.05
_TAILS = [step / 400 for step in range(20, 0, -1)]  # share of the captures beyond each threshold
_HAZY = 0.95  # of the captures in which vessels can be seen are less so
_CALIBRATED = [name for name in MEASURED if name not in {"min_side_pixels", "max_haze"}]


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is proposed for a camera, on how many captures, and what share of them is ungradable by which thresholds."""

    captures: int
    present: Thresholds
    proposed: Thresholds
    flagged: float  # by the present thresholds
    would_flag: float  # by the proposed ones


class TooFewCaptures(FundusdError):  # noqa: N818  says what is the case
    """There are too few captures to calibrate by."""

    exit_code = ExitStatus.NO


def calibrate(
    measured: Sequence[Mapping[str, float]], present: Thresholds = DEFAULTS
) -> Calibration:
    """Propose thresholds that the worst captures would miss, 5 % at most; raises TooFewCaptures.

    The same share lies beyond each threshold, the largest with which all of them together flag no more. No threshold
    leaves its bounds: a camera without poor captures need have none flagged, and one with a dirty lens may have many.
    """
    usable = [one for one in measured if one.keys() >= set(MEASURED.values())]
    if len(usable) < FEWEST:
        raise TooFewCaptures(
            f"There are {len(usable)} captures with all measures, and {FEWEST} are needed to calibrate.",
            hint="Let the camera take more; captures of releases before retina-colour/2 do not count.",
        )
    ordered = {name: sorted(one[measure] for one in usable) for name, measure in MEASURED.items()}
    for tail in _TAILS:
        proposed = _proposed(ordered, tail, present)
        if _share(usable, proposed) <= _MOST_FLAGGED:
            break
    else:
        proposed = _proposed(ordered, _TAILS[-1], present)
    return Calibration(
        len(usable), present, proposed, _share(usable, present), _share(usable, proposed)
    )


def _proposed(
    ordered: Mapping[str, Sequence[float]], tail: float, present: Thresholds
) -> Thresholds:
    values: dict[str, Any] = {
        name: _bounded(name, _quantile(ordered[name], _side(name, tail))) for name in _CALIBRATED
    }
    haze = _bounded("max_haze", _quantile(ordered["max_haze"], _HAZY))
    return replace(present, **values, max_haze=haze)


def _side(name: str, tail: float) -> float:
    return tail if name.startswith("min") else 1 - tail


def _bounded(name: str, value: float) -> float:
    """Keep a threshold within its bounds, and to two digits."""
    low, high = BOUNDS[name]
    kept = min(max(value, low), high)
    return round(kept, 1 - floor(log10(kept)))


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Interpolate between the two captures next to a share of them.

    >>> _quantile([1.0, 2.0, 3.0], 0.25)
    1.5
    """
    place = share * (len(ordered) - 1)
    below = floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _share(measured: Sequence[Mapping[str, float]], thresholds: Thresholds) -> float:
    return sum(judge(one, thresholds) is not None for one in measured) / len(measured)


def as_toml(thresholds: Thresholds) -> str:
    """Write the table to paste below a camera's `[[camera]]`."""
    lines = (f"{name} = {value:g}" for name, value in asdict(thresholds).items())
    return "\n".join(["[camera.quality]", *lines])
