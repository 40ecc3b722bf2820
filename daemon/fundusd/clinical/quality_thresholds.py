"""Decide whether a photograph of a retina can be graded, using the camera's thresholds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Limits beyond which a photograph is ungradable; docs/quality.md describes the measures."""

    min_side_pixels: int = 448  # pixels: what the model sees
    min_luminance: float = 25.0  # mean level of the disc, 0 to 255
    max_luminance: float = 190.0
    max_saturated: float = 0.35  # share of the disc with a channel at an extreme
    min_field: float = 0.6  # lit share of the whole circle
    max_glare: float = 0.1  # share of the disc that is bright and colourless
    min_sharpness: float = 0.75  # fine detail over coarse
    min_visibility: float = 0.08  # share of the disc in which vessels can be seen
    max_haze: float = 0.5  # blue over red, applied only where vessels cannot be seen


DEFAULTS = Thresholds()

# the range of each setting: beyond one end, the setting would reject clearly gradable photographs,
# beyond the other it would reject nothing
BOUNDS: Mapping[str, tuple[float, float]] = {
    "min_side_pixels": (224, 2048),
    "min_luminance": (10, 40),
    "max_luminance": (160, 230),
    "max_saturated": (0.15, 0.6),
    "min_field": (0.3, 0.75),
    "max_glare": (0.05, 0.4),
    "min_sharpness": (0.4, 1.2),
    "min_visibility": (0.03, 0.15),
    "max_haze": (0.3, 1.0),
}
MEASURED: Mapping[str, str] = {  # what each threshold is compared with
    field.name: field.name.partition("_")[2] for field in fields(Thresholds)
}


def judge(measures: Mapping[str, float], thresholds: Thresholds = DEFAULTS) -> Reason | None:
    """Return why a photograph of a retina cannot be graded, or None if it can be."""
    if measures["side_pixels"] < thresholds.min_side_pixels:
        return Reason.SMALL
    return _exposure_fault(measures, thresholds) or _visibility_fault(measures, thresholds)


def _exposure_fault(measures: Mapping[str, float], thresholds: Thresholds) -> Reason | None:
    if measures["luminance"] < thresholds.min_luminance:
        return Reason.TOO_DARK
    if (
        measures["luminance"] > thresholds.max_luminance
        or measures["saturated"] > thresholds.max_saturated
    ):
        return Reason.TOO_BRIGHT
    return None


def _visibility_fault(measures: Mapping[str, float], thresholds: Thresholds) -> Reason | None:
    """Return why the vessels are not visible, or None if they are.

    Causes that a retake may remove are checked first.
    """
    if measures["field"] < thresholds.min_field:
        return Reason.PARTIAL_FIELD
    if measures["glare"] > thresholds.max_glare:
        return Reason.ARTEFACT
    if measures["sharpness"] < thresholds.min_sharpness:
        return Reason.BLUR
    if measures["visibility"] >= thresholds.min_visibility:
        return None
    if measures["haze"] > thresholds.max_haze:
        return Reason.MEDIA_OPACITY
    return Reason.LOW_CONTRAST


def changes(thresholds: Thresholds) -> dict[str, float]:
    """Return the thresholds that differ from the defaults, by name."""
    changed: dict[str, float] = {}
    for name, value in asdict(thresholds).items():
        if value != getattr(DEFAULTS, name):
            changed[name] = value
    return changed
