"""The plot that `fundusd quality calibrate` draws: a histogram of each quality measure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.clinical.quality_thresholds import MEASURED
from fundusd.reports.page import INK, MUTED, font
from fundusd.reports.plot_style import Plot, new_plot, set_title

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from fundusd.clinical.quality_calibration import Calibration

_BARS, _TINT = "#9fb4c7", "#fbeee8"
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


def histograms(
    camera_id: str, measured: Sequence[Mapping[str, float]], calibration: Calibration
) -> Plot:
    """Return a plot with a histogram of each quality measure.

    Lines in each histogram mark the present and the proposed threshold.
    """
    subtitle = (
        f"{calibration.captures} captures. "
        f"Dashed: present thresholds, {calibration.flagged:.1%} ungradable. "
        f"Red: proposed thresholds, {calibration.would_flag:.1%} ungradable (tinted)."
    )
    plot = new_plot(
        f"Quality of {camera_id}", subtitle, len(MEASURED), columns=3, height=2.2, unit="captures"
    )
    for axes, (threshold, measure) in zip(plot.axes, MEASURED.items(), strict=True):
        values = [capture[measure] for capture in measured if measure in capture]
        present = getattr(calibration.present, threshold)
        proposed = getattr(calibration.proposed, threshold)
        _draw(axes, threshold, values, present, proposed)
    return plot


def _draw(
    axes: Axes, threshold: str, values: Sequence[float], present: float, proposed: float
) -> None:
    low, high = min(*values, present, proposed), max(*values, present, proposed)
    margin = 0.04 * (high - low) or 1.0
    low, high = low - margin, high + margin
    axes.hist(values, bins=40, range=(low, high), color=_BARS)
    if threshold.startswith("min"):
        axes.axvspan(low, proposed, color=_TINT, zorder=0)
    elif threshold != "max_haze":  # max_haze applies only to captures without visible vessels
        axes.axvspan(proposed, high, color=_TINT, zorder=0)
    axes.axvline(present, color=INK, linestyle="--", linewidth=1.2)
    axes.axvline(proposed, color=_PROPOSED, linewidth=1.6)
    axes.set_xlim(low, high)
    axes.set_xlabel(f"now {present:g}, proposed {proposed:g}", fontproperties=font(8), color=MUTED)
    set_title(axes, _TITLES[threshold])
