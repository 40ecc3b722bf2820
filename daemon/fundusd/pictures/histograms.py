"""The figure of `fundusd quality calibrate`: what was measured, and where the thresholds lie in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.errors import FundusdError
from fundusd.gradability import MEASURED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from fundusd.calibrating import Calibration

KINDS = (".png", ".svg")
_COLUMNS = 3
_BARS, _PRESENT, _PROPOSED, _BEYOND = "#9db4c8", "#444444", "#c2410c", "#fde3d3"
_TITLES = {
    "smallest_side": "Short side, pixels",
    "least_luminance": "Luminance: too_dark below",
    "most_luminance": "Luminance: too_bright above",
    "most_saturated": "Saturated share: too_bright above",
    "least_field": "Lit share of the circle: partial_field below",
    "most_glare": "Glare share: artefact above",
    "least_sharpness": "Sharpness: blur below",
    "least_visibility": "Vessels visible: media_opacity or\nlow_contrast below",
    "most_haze": "Haze (blue / red): media_opacity above,\nwhere no vessels are visible",
}


def draw(path: Path, camera_id: str, measured: Sequence[Mapping[str, float]], found: Calibration) -> None:
    """Draw a histogram of each measure with the present and the proposed threshold; raises FundusdError."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 9.5), layout="constrained")
    figure.suptitle(
        f"{camera_id}: {found.captures} captures; ungradable now {found.flagged:.1%}, "
        f"by the proposed thresholds {found.would_flag:.1%}",
        fontsize=13,
    )
    panels = figure.subplots(-(-len(MEASURED) // _COLUMNS), _COLUMNS).ravel()
    for panel, (name, measure) in zip(panels, MEASURED.items(), strict=True):
        values = [one[measure] for one in measured if measure in one]
        _panel(panel, name, values, getattr(found.present, name), getattr(found.proposed, name))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise FundusdError(
            f"{path} cannot be written ({error.strerror}).", hint="Name a file in a folder that is yours."
        ) from None


def _panel(panel: Axes, name: str, values: Sequence[float], present: float, proposed: float) -> None:
    low, high = min(*values, present, proposed), max(*values, present, proposed)
    margin = 0.04 * (high - low) or 1.0
    low, high = low - margin, high + margin
    panel.hist(values, bins=40, range=(low, high), color=_BARS, label="captures")
    edges = (low, proposed) if name.startswith(("least", "smallest")) else (proposed, high)
    panel.axvspan(*edges, color=_BEYOND, zorder=0, label="ungradable as proposed")
    panel.axvline(present, color=_PRESENT, linestyle="--", label="threshold now")
    panel.axvline(proposed, color=_PROPOSED, label="threshold proposed")
    panel.set_xlim(low, high)
    panel.set_title(f"{_TITLES[name]}\nnow {present:g}, proposed {proposed:g}", fontsize=9.5)
    panel.set_ylabel("captures", fontsize=9)
    panel.tick_params(labelsize=8.5)
    panel.spines[["top", "right"]].set_visible(False)
