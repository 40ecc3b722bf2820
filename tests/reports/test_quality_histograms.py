"""The figure of `fundusd quality calibrate`."""

from __future__ import annotations

import random

import pytest
from matplotlib.patches import Rectangle

from fundusd.clinical.quality_calibration import Calibration
from fundusd.clinical.quality_thresholds import DEFAULTS, MEASURED
from fundusd.reports.quality_histograms import histograms

MEASURES = sorted(set(MEASURED.values()))


def test_the_tint_lies_on_the_ungradable_side_of_each_proposed_threshold() -> None:
    rng = random.Random(1)
    measured = [{name: rng.random() * 300 for name in MEASURES} for _ in range(60)]
    calibration = Calibration(60, DEFAULTS, DEFAULTS, flagged=0.1, would_flag=0.1)

    figure = histograms("room1", measured, calibration).figure

    for axes, name in zip(figure.axes, MEASURED, strict=True):
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
