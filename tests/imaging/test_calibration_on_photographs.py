"""Thresholds proposed for photographs with a reader's quality label, the EyeQ set."""

from __future__ import annotations

import csv
import random
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fundusd.clinical.quality_calibration import calibrate
from fundusd.clinical.quality_stops import MeasuredCapture, stopped_by
from fundusd.clinical.quality_thresholds import DEFAULTS, judge
from fundusd.imaging.quality_gate import measure

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "fundus" / "eyeq_dev"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no {FOLDER} here")


@cache
def labelled() -> list[tuple[MeasuredCapture, bool]]:
    """Return the photographs with what EyeQ's readers called them, and whether they are listed.

    The worklist lists the ungradable and the referable ones.
    """
    photographs = []
    with (FOLDER / "labels.csv").open() as table:
        for row in csv.DictReader(table):
            with Image.open(FOLDER / row["file"]) as picture:
                measures = measure(np.asarray(picture.convert("RGB")))
            is_listed = judge(measures) is not None or int(row["icdr_grade"]) >= 2
            capture = MeasuredCapture(measures, is_gradable=row["quality"] != "reject")
            photographs.append((capture, is_listed))
    return photographs


@pytest.mark.parametrize("share_read", [0.0, 0.25, 1.0])
def test_readers_of_a_part_of_the_worklist_do_not_make_the_gate_pass_rejects(
    share_read: float,
) -> None:
    truth = [capture for capture, _ in labelled()]
    rng = random.Random(1)
    measured = []
    for capture, is_listed in labelled():
        is_read = is_listed and rng.random() < share_read
        measured.append(capture if is_read else MeasuredCapture(capture.measures))

    proposed = calibrate(measured).proposed

    stopped, by_defaults = stopped_by(proposed, truth), stopped_by(DEFAULTS, truth)
    assert (stopped.ungradable or 0) >= (by_defaults.ungradable or 0) > 0.9
    assert (stopped.gradable or 0) <= (by_defaults.gradable or 0) + 0.02
