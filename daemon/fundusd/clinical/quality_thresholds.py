"""Decide whether a photograph of a retina can be graded, using the camera's thresholds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import Outcome, QualityLevel, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Limits beyond which a photograph is ungradable; docs/quality.md describes the measures."""

    min_side_pixels: int = 448  # pixels: what the model sees
    min_luminance: float = 30.0  # mean level of the disc, 0 to 255
    max_luminance: float = 190.0
    max_saturated: float = 0.35  # share of the disc whose green is saturated
    min_field: float = 0.88  # lit share of the circle
    max_glare: float = 0.09  # share of the disc that is bright and colourless
    min_sharpness: float = 1.2  # fine detail over coarse
    min_visibility: float = 0.2  # share of the disc in which vessels can be seen
    max_haze: float = 0.5  # blue over red, applied only where vessels cannot be seen


DEFAULTS = Thresholds()

# the range of each setting: beyond one end, the setting would reject clearly gradable photographs,
# beyond the other it would reject nothing
BOUNDS: Mapping[str, tuple[float, float]] = {
    "min_side_pixels": (224, 2048),
    "min_luminance": (10, 40),
    "max_luminance": (160, 230),
    "max_saturated": (0.15, 0.6),
    "min_field": (0.3, 0.95),
    "max_glare": (0.05, 0.4),
    "min_sharpness": (0.4, 1.8),
    "min_visibility": (0.03, 0.5),
    "max_haze": (0.3, 1.0),
}
# The same for every camera; docs/quality.md says on which photographs these were chosen
_NOISE = (8.0, 2.5)  # sharpness and fine detail: only noise has more of both
_LEAST_DETAIL = 0.35  # in an outer band of the disc, over its median: a lid shows less
_CENTRAL_GLARE = 0.12  # share of the middle of the disc, where the macula is expected
_MAX_BLOCKS = 8.0  # step at the edges of JPEG blocks over the steps elsewhere
_FLAT_BLOCKS = (3.5, 0.2)  # the same, and the fine detail of blocks without any
_NO_GRAIN, _MORE_SHARPNESS = 0.6, 1.25  # fine detail in levels, and what its lack demands
_MOVED = (0.83, 1.15)  # direction and fine detail: less of both is a camera or an eye that moved
_SOME = 0.1  # visibility: with less, detail and its direction are those of noise
_FAINT, _MORE_VISIBILITY = 1.12, 1.5  # fine detail in levels, and what its lack demands
_MORE_LINES = 1.5  # share of the disc with faint lines, over that with visible vessels
# share of the disc; EyeQ's readers called most gradable photographs with less usable, not good
GOOD_VISIBILITY = 0.35
_DIM = 40.0  # luminance: where vessels are not visible, that is the likely cause

MEASURED: Mapping[str, str] = {  # what each threshold is compared with
    field.name: field.name.partition("_")[2] for field in fields(Thresholds)
}
# every measure that `judge` needs
JUDGED = frozenset(
    {
        *MEASURED.values(),
        "blocks",
        "central_glare",
        "direction",
        "fine_detail",
        "least_detail",
        "lines",
    }
)


def judge(measures: Mapping[str, float], thresholds: Thresholds = DEFAULTS) -> Reason | None:
    """Return why a photograph of a retina cannot be graded, or None if it can be."""
    if measures["side_pixels"] < thresholds.min_side_pixels:
        return Reason.SMALL
    if measures["luminance"] < thresholds.min_luminance or is_noisy(measures):
        return Reason.TOO_DARK
    if shows_blocks(measures):
        return Reason.COMPRESSION
    is_visible = compared(measures)["min_visibility"] >= thresholds.min_visibility
    is_bright = measures["luminance"] > thresholds.max_luminance and not is_visible
    if is_bright or measures["saturated"] > thresholds.max_saturated:
        return Reason.TOO_BRIGHT
    if fault := _partial_or_blurred(measures, thresholds):
        return fault
    if is_visible:
        return None
    return _cause_of_invisibility(measures, thresholds)


def compared(measures: Mapping[str, float]) -> dict[str, float]:
    """Return the values that are compared with the thresholds, by the names of the thresholds.

    They are the measures, except that sharpness and visibility are less where the image lacks even
    fine detail, and that faint lines may stand for visible vessels.
    """
    values: dict[str, float] = {}
    for threshold, measure in MEASURED.items():
        values[threshold] = measures[measure]
    if measures["fine_detail"] < _NO_GRAIN:
        values["min_sharpness"] /= _MORE_SHARPNESS
    if measures["fine_detail"] < _FAINT:
        values["min_visibility"] /= _MORE_VISIBILITY
    lines = measures["lines"] / _MORE_LINES
    values["min_visibility"] = max(values["min_visibility"], lines)
    return values


def shows_blocks(measures: Mapping[str, float]) -> bool:
    """Return whether JPEG compression has left blocks instead of fine detail."""
    is_flat = measures["fine_detail"] < _FLAT_BLOCKS[1]
    return measures["blocks"] > _MAX_BLOCKS or (is_flat and measures["blocks"] > _FLAT_BLOCKS[0])


def is_noisy(measures: Mapping[str, float]) -> bool:
    """Return whether fine detail is the noise of a photograph with too little light."""
    return measures["sharpness"] > _NOISE[0] and measures["fine_detail"] > _NOISE[1]


def _partial_or_blurred(measures: Mapping[str, float], thresholds: Thresholds) -> Reason | None:
    """Return a fault that can be recognised even where vessels are visible, or None."""
    shows_vessels = measures["visibility"] > _SOME
    has_smooth_part = shows_vessels and measures["least_detail"] < _LEAST_DETAIL
    if has_smooth_part or measures["field"] < thresholds.min_field:
        return Reason.PARTIAL_FIELD
    is_macula_hidden = measures["central_glare"] > _CENTRAL_GLARE
    if is_macula_hidden or measures["glare"] > thresholds.max_glare:
        return Reason.ARTEFACT
    has_moved = measures["direction"] < _MOVED[0] and measures["fine_detail"] < _MOVED[1]
    is_blurred = compared(measures)["min_sharpness"] < thresholds.min_sharpness
    if (has_moved and shows_vessels) or is_blurred:
        return Reason.BLUR
    return None


def _cause_of_invisibility(measures: Mapping[str, float], thresholds: Thresholds) -> Reason:
    """Return the likely cause, where vessels are not visible in enough of the disc.

    Causes that a retake may remove are checked first.
    """
    if measures["luminance"] < _DIM:
        return Reason.TOO_DARK
    if measures["haze"] > thresholds.max_haze:
        return Reason.MEDIA_OPACITY
    return Reason.LOW_CONTRAST


def quality_level(outcome: Outcome, measures: Mapping[str, float]) -> QualityLevel | None:
    """Return the image quality of a photograph with this outcome, or None if it is no retina."""
    if outcome is Outcome.UNGRADABLE:
        return QualityLevel.REJECT
    if outcome is not Outcome.GRADED or "visibility" not in measures:
        return None
    if measures["visibility"] < GOOD_VISIBILITY:
        return QualityLevel.USABLE
    return QualityLevel.GOOD


def changes(thresholds: Thresholds) -> dict[str, float]:
    """Return the thresholds that differ from the defaults, by name."""
    changed: dict[str, float] = {}
    for name, value in asdict(thresholds).items():
        if value != getattr(DEFAULTS, name):
            changed[name] = value
    return changed
