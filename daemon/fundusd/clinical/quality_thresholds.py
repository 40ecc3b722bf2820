"""Whether a colour retina can be graded: thresholds on what was measured of it, per camera."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From where on a photograph counts as ungradable; docs/quality.md says how each is measured."""

    min_side_pixels: int = 448  # pixels: what the model sees
    min_luminance: float = 25.0  # mean level of the disc, 0 to 255
    max_luminance: float = 190.0
    max_saturated: float = 0.35  # share of the disc with a channel at its end
    min_field: float = 0.6  # lit share of the whole circle
    max_glare: float = 0.1  # share of the disc that is bright and colourless
    min_sharpness: float = 0.75  # fine detail over coarse
    min_visibility: float = 0.08  # share of the disc in which vessels can be seen
    max_haze: float = 0.5  # blue over red, asked only where vessels cannot be seen


DEFAULTS = Thresholds()

# what may be set at all: beyond the first a plainly gradable photograph would go, beyond the last nothing would
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
    """Return why a colour retina cannot be graded, None if it can."""
    if measures["side_pixels"] < thresholds.min_side_pixels:
        return Reason.SMALL
    return next(_exposure(measures, thresholds), None) or next(_sight(measures, thresholds), None)


def _exposure(measures: Mapping[str, float], thresholds: Thresholds) -> Iterator[Reason]:
    if measures["luminance"] < thresholds.min_luminance:
        yield Reason.TOO_DARK
    if (
        measures["luminance"] > thresholds.max_luminance
        or measures["saturated"] > thresholds.max_saturated
    ):
        yield Reason.TOO_BRIGHT


def _sight(measures: Mapping[str, float], thresholds: Thresholds) -> Iterator[Reason]:
    """Tell what keeps one from seeing the vessels: the causes that a retake may mend come first."""
    if measures["field"] < thresholds.min_field:
        yield Reason.PARTIAL_FIELD
    if measures["glare"] > thresholds.max_glare:
        yield Reason.ARTEFACT
    if measures["sharpness"] < thresholds.min_sharpness:
        yield Reason.BLUR
    if measures["visibility"] < thresholds.min_visibility:
        yield (
            Reason.MEDIA_OPACITY if measures["haze"] > thresholds.max_haze else Reason.LOW_CONTRAST
        )


def changes(thresholds: Thresholds) -> dict[str, float]:
    """Return the thresholds that are not the default ones, by name."""
    return {
        name: value
        for name, value in asdict(thresholds).items()
        if value != getattr(DEFAULTS, name)
    }
