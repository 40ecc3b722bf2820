"""The figure of `fundusd quality calibrate`."""

from __future__ import annotations

import random

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from fundusd.clinical.quality_calibration import Calibration, CurvePoint, MeasuredCapture
from fundusd.clinical.quality_thresholds import DEFAULTS, MEASURED
from fundusd.reports.quality_histograms import histograms

MEASURES = sorted(set(MEASURED.values()))


def test_the_tint_lies_on_the_ungradable_side_of_each_proposed_threshold() -> None:
    rng = random.Random(1)
    measured = [MeasuredCapture({name: rng.random() * 300 for name in MEASURES}) for _ in range(60)]
    calibration = Calibration(60, DEFAULTS, DEFAULTS, flagged=0.1, would_flag=0.1)

    plot = histograms("room1", measured, calibration)

    for axes, name in zip(plot.axes[:-1], MEASURED, strict=True):
        proposed = getattr(DEFAULTS, name)
        tints = [
            patch
            for patch in axes.patches
            if isinstance(patch, Rectangle) and patch.get_zorder() == 0
        ]
        if name == "max_haze":
            assert not tints
            continue
        [tint] = tints
        left, right = tint.get_x(), tint.get_x() + tint.get_width()
        edge = left if name.startswith("max") else right
        assert edge == pytest.approx(proposed)


def test_the_curve_shows_what_each_threshold_of_visibility_would_stop() -> None:
    curve = [CurvePoint(0.0, 0.0, 0.0, 0.0), CurvePoint(0.5, 0.4, 0.1, 0.9)]
    calibration = Calibration(60, DEFAULTS, DEFAULTS, 0.1, 0.1, 20, 10, curve)
    measured = [MeasuredCapture(dict.fromkeys(MEASURES, 1.0))]

    axes = histograms("room1", measured, calibration).axes[-1]

    drawn = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in axes.lines[:3]}
    assert drawn == {
        "all": [0.0, 0.4],
        "called gradable (20)": [0.0, 0.1],
        "called ungradable (10)": [0.0, 0.9],
    }
