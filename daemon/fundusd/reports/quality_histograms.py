"""The plot that `fundusd quality calibrate` draws: histograms, and the curve of visibility."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.clinical.quality_calibration import complete
from fundusd.clinical.quality_thresholds import MEASURED, compared
from fundusd.reports.page import INK, MUTED, font
from fundusd.reports.plot_style import Plot, new_plot, set_title

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from fundusd.clinical.quality_calibration import Calibration
    from fundusd.clinical.quality_stops import MeasuredCapture

_BARS, _TINT = "#9fb4c7", "#fbeee8"
_PROPOSED, _GRADABLE = "#a63a16", "#3f7f5f"
_TITLES = {
    "min_side_pixels": "Short side, pixels: small",
    "min_luminance": "Luminance: too_dark",
    "max_luminance": "Luminance if none: too_bright",
    "max_saturated": "Saturated share: too_bright",
    "min_field": "Lit share: partial_field",
    "max_glare": "Glare share: artefact",
    "min_sharpness": "Sharpness: blur",
    "min_visibility": "Vessels visible: low_contrast",
    "max_haze": "Haze if none: media_opacity",
}


def histograms(
    camera_id: str, measured: Sequence[MeasuredCapture], calibration: Calibration
) -> Plot:
    """Return a plot with a histogram of each quality measure, and the curve of visibility.

    Lines in each histogram mark the present and the proposed threshold. The curve shows the share
    of captures that each threshold of visibility would stop.
    """
    subtitle = (
        f"{calibration.captures} captures. "
        f"Dashed: present thresholds, {calibration.stops_now.share:.1%} ungradable. "
        f"Red: proposed thresholds, {calibration.would_stop.share:.1%} ungradable (tinted)."
    )
    plot = new_plot(
        f"Quality of {camera_id}",
        subtitle,
        len(MEASURED) + 1,
        columns=3,
        height=2.2,
        unit="captures",
    )
    *panels, last = plot.axes
    compared_values = [compared(capture.measures) for capture in complete(measured)]
    for axes, threshold in zip(panels, MEASURED, strict=True):
        values = [capture[threshold] for capture in compared_values]
        present = getattr(calibration.present, threshold)
        proposed = getattr(calibration.proposed, threshold)
        _draw(axes, threshold, values, present, proposed)
    _draw_curve(last, calibration)
    return plot


def _draw_curve(axes: Axes, calibration: Calibration) -> None:
    """Draw the share of captures stopped against the threshold of visibility."""
    visibility = [point.visibility for point in calibration.curve]
    axes.plot(visibility, [point.stopped for point in calibration.curve], color=INK, label="all")
    for name, count, colour in (
        ("gradable", calibration.called_gradable, _GRADABLE),
        ("ungradable", calibration.called_ungradable, _PROPOSED),
    ):
        if count:
            shares = [getattr(point, f"{name}_stopped") for point in calibration.curve]
            label = f"called {name} ({count})"
            axes.plot(visibility, shares, color=colour, linewidth=1.2, label=label)
    axes.axvline(calibration.present.min_visibility, color=INK, linestyle="--", linewidth=1.2)
    axes.axvline(calibration.proposed.min_visibility, color=_PROPOSED, linewidth=1.6)
    axes.set_xlim(0, max(visibility, default=1.0))
    axes.set_ylim(0, 1)
    axes.set_ylabel("share stopped", fontproperties=font(8), color=MUTED)
    axes.set_xlabel("threshold of visibility", fontproperties=font(8), color=MUTED)
    # beside the panel, where nothing is drawn, because the curves may be anywhere in it
    axes.legend(prop=font(8), frameon=False, loc="upper left", bbox_to_anchor=(1.05, 1.0))
    set_title(axes, "Share stopped by visibility")


def _draw(
    axes: Axes, threshold: str, values: Sequence[float], present: float, proposed: float
) -> None:
    low, high = min(*values, present, proposed), max(*values, present, proposed)
    margin = 0.04 * (high - low) or 1.0
    low, high = low - margin, high + margin
    axes.hist(values, bins=40, range=(low, high), color=_BARS)
    if threshold.startswith("min"):
        axes.axvspan(low, proposed, color=_TINT, zorder=0)
    elif threshold not in {"max_luminance", "max_haze"}:  # which only decide the reason
        axes.axvspan(proposed, high, color=_TINT, zorder=0)
    axes.axvline(present, color=INK, linestyle="--", linewidth=1.2)
    axes.axvline(proposed, color=_PROPOSED, linewidth=1.6)
    axes.set_xlim(low, high)
    axes.set_xlabel(f"now {present:g}, proposed {proposed:g}", fontproperties=font(8), color=MUTED)
    set_title(axes, _TITLES[threshold])
