"""The gate on real photographs; docs/quality.md has the tables."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fundusd.domain.clinical_terms import Outcome, Reason
from fundusd.imaging.quality_gate import gate, measure

if TYPE_CHECKING:
    from collections.abc import Iterable

DATA = Path(__file__).parents[3] / "shared" / "data"
FUNDUS = DATA / "fundus"
pytestmark = pytest.mark.skipif(
    not (FUNDUS / "eyeq_dev").is_dir(), reason="no ../shared/data/fundus/eyeq_dev here"
)


def verdicts(paths: Iterable[Path]) -> list[Reason | None]:
    reasons = []
    for path in paths:
        with Image.open(path) as picture:
            reasons.append(gate(measure(np.asarray(picture.convert("RGB")))))
    return reasons


def labelled(quality: str) -> list[Path]:
    """Return the EyePACS photographs to which EyeQ's readers gave this quality."""
    with (FUNDUS / "eyeq_dev" / "labels.csv").open() as table:
        rows = [row for row in csv.DictReader(table) if row["quality"] == quality]
    return [FUNDUS / "eyeq_dev" / row["file"] for row in rows]


def stopped(reasons: list[Reason | None]) -> float:
    return sum(reason is not None for reason in reasons) / len(reasons)


def test_nine_of_ten_rejects_are_stopped_and_one_of_fifty_good_ones() -> None:
    assert stopped(verdicts(labelled("reject"))) >= 0.9
    assert stopped(verdicts(labelled("good"))) <= 0.02
    assert stopped(verdicts(labelled("usable"))) <= 0.35


@pytest.mark.parametrize(
    ("folder", "pattern", "share"),
    [
        ("chase_dev", "*.jpg", 0.0),
        ("gate_dev", "*.jpeg", 0.0),
        ("idrid_dev", "*.jpg", 0.02),
        ("mfiddr", "*/*.jpg", 0.03),
        ("unam_dev", "ordinary_*.jpg", 0.14),
        ("unam_dev", "tight_*.jpg", 0.05),
    ],
)
def test_hardly_any_photograph_of_other_cameras_is_stopped_and_none_refused(
    folder: str, pattern: str, share: float
) -> None:
    paths = sorted((FUNDUS / folder).glob(pattern))
    assert paths
    reasons = verdicts(paths)
    assert stopped(reasons) <= share
    assert {reason.outcome for reason in reasons if reason} <= {Outcome.UNGRADABLE}


def test_dark_retinas_are_too_dark() -> None:
    reasons = verdicts(sorted((FUNDUS / "unam_dev").glob("dark_*.jpg")))
    assert len(reasons) == 10
    assert set(reasons) == {Reason.TOO_DARK}


def test_cross_sections_and_outer_eyes_are_no_retinas() -> None:
    cross_sections = verdicts(sorted((FUNDUS / "unam_dev").glob("oct_*.jpg")))
    assert set(cross_sections) == {Reason.NOT_RETINA}
    outer_eyes = verdicts(sorted((DATA / "not_retina" / "anterior").glob("*.jpg")))
    assert len(outer_eyes) == 40
    assert None not in outer_eyes
    assert outer_eyes.count(Reason.NOT_RETINA) >= 38
