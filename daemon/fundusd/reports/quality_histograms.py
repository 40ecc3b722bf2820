"""The figure of `fundusd quality calibrate`: what was measured, and where the thresholds lie in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.clinical.quality_thresholds import MEASURED
from fundusd.reports.page import INK, MUTED, font
from fundusd.reports.plot_style import Plot, name, plotted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from fundusd.clinical.quality_calibration import Calibration

_BARS, _BEYOND = "#9fb4c7", "#fbeee8"
_PROPOSED = "#a63a16"
_TITLES = {
    "min_side_pixels": "Short side, pixels: small",
    "min_luminance": "Luminance: too_dark",
    "max_luminance": "Luminance: too_bright",
    "max_saturated": "Saturated share: too_bright",
    "min_field": "Lit share: partial_field",
    "max_glare": "Glare share: artefact",
    "min_sharpness": "Sharpness: blur",
    "min_visibility": "Vessels visible: low_contrast",
    "max_haze": "Haze if none: media_opacity",
}


def histograms(camera_id: str, measured: Sequence[Mapping[str, float]], found: Calibration) -> Plot:
    """Plot a histogram of each measure with the present and the proposed threshold."""
    told = (
        f"{found.captures} captures. Dashed: now, {found.flagged:.1%} are ungradable. "
        f"Red: as proposed, {found.would_flag:.1%} are: those in a tinted field."
    )
    plot = plotted(
        f"Quality of {camera_id}", told, len(MEASURED), columns=3, height=2.2, unit="captures"
    )
    for axes, (threshold, measure) in zip(plot.fields, MEASURED.items(), strict=True):
        values = [one[measure] for one in measured if measure in one]
        _draw(
            axes,
            threshold,
            values,
            getattr(found.present, threshold),
            getattr(found.proposed, threshold),
        )
    return plot


def _draw(
    axes: Axes, threshold: str, values: Sequence[float], present: float, proposed: float
) -> None:
    low, high = min(*values, present, proposed), max(*values, present, proposed)
    margin = 0.04 * (high - low) or 1.0
    low, high = low - margin, high + margin
    axes.hist(values, bins=40, range=(low, high), color=_BARS)
    beyond = (proposed, high) if threshold.startswith("max") else (low, proposed)
    is_asked = threshold != "max_haze"  # of few captures only: no field of its own
    axes.axvspan(*beyond, color=_BEYOND if is_asked else "none", zorder=0)
    axes.axvline(present, color=INK, linestyle="--", linewidth=1.2)
    axes.axvline(proposed, color=_PROPOSED, linewidth=1.6)
    axes.set_xlim(low, high)
    axes.set_xlabel(f"now {present:g}, proposed {proposed:g}", fontproperties=font(8), color=MUTED)
    name(axes, _TITLES[threshold])
