"""The figure of `fundusd quality calibrate`."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from fundusd.clinical.quality_calibration import Calibration, CurvePoint
from fundusd.clinical.quality_stops import MeasuredCapture, Stopped
from fundusd.clinical.quality_thresholds import DEFAULTS, JUDGED, MEASURED
from fundusd.reports.quality_histograms import histograms

STOPPED = Stopped(0.1, None, None, {})
CALIBRATION = Calibration(60, 0, DEFAULTS, DEFAULTS, STOPPED, STOPPED, "")


def test_the_tint_lies_on_the_ungradable_side_of_each_proposed_threshold() -> None:
    rng = random.Random(1)
    measured = [MeasuredCapture({name: rng.random() * 300 for name in JUDGED}) for _ in range(60)]

    plot = histograms("room1", measured, CALIBRATION)

    for axes, name in zip(plot.axes[:-1], MEASURED, strict=True):
        proposed = getattr(DEFAULTS, name)
        tints = [
            patch
            for patch in axes.patches
            if isinstance(patch, Rectangle) and patch.get_zorder() == 0
        ]
        if name in {"max_luminance", "max_haze"}:  # these only decide the reason
            assert not tints
            continue
        [tint] = tints
        left, right = tint.get_x(), tint.get_x() + tint.get_width()
        edge = left if name.startswith("max") else right
        assert edge == pytest.approx(proposed)


def test_the_curve_shows_what_each_threshold_of_visibility_would_stop() -> None:
    curve = [CurvePoint(0.0, 0.0, 0.0, 0.0), CurvePoint(0.5, 0.4, 0.1, 0.9)]
    calibration = replace(CALIBRATION, called_gradable=20, called_ungradable=10, curve=curve)
    measured = [MeasuredCapture(dict.fromkeys(JUDGED, 1.0))]

    axes = histograms("room1", measured, calibration).axes[-1]

    drawn = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in axes.lines[:3]}
    assert drawn == {
        "all": [0.0, 0.4],
        "called gradable (20)": [0.0, 0.1],
        "called ungradable (10)": [0.0, 0.9],
    }


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_capture_with_an_unusable_measure_is_not_drawn(value: float) -> None:
    measures = dict.fromkeys(JUDGED, 1.0)
    measured = [MeasuredCapture(measures), MeasuredCapture(measures | {"haze": value})]

    plot = histograms("room1", measured, CALIBRATION)

    drawn = [bar for bar in plot.axes[0].patches if isinstance(bar, Rectangle) and bar.get_zorder()]
    assert sum(bar.get_height() for bar in drawn) == 1


def test_visibility_is_drawn_as_it_is_compared_with_the_threshold() -> None:
    """Where fine detail is missing, more vessels are demanded: 0.36 then counts as 0.24."""
    faint = {"visibility": 0.36, "fine_detail": 1.0, "lines": 0.0}
    measured = [MeasuredCapture(dict.fromkeys(JUDGED, 1.0) | faint)]

    axes = histograms("room1", measured, CALIBRATION).axes[list(MEASURED).index("min_visibility")]

    [bar] = [
        patch
        for patch in axes.patches
        if isinstance(patch, Rectangle) and patch.get_zorder() and patch.get_height()
    ]
    assert bar.get_x() <= 0.24 <= bar.get_x() + bar.get_width()
