"""Which field the pixels show, measured on drawn and on real photographs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fundusd.clinical.field_position import field_shown
from fundusd.domain.clinical_terms import Eye, Grade, Outcome
from fundusd.imaging.phantoms import render
from fundusd.imaging.quality_gate import gate, measure

if TYPE_CHECKING:
    from collections.abc import Callable

    from fundusd.domain.decoding import Pixels

FUNDUS = Path(__file__).parents[3] / "shared" / "data" / "fundus"
real = pytest.mark.skipif(not FUNDUS.is_dir(), reason="no ../shared/data here")
UPRIGHT_OR_NOT: dict[str, Callable[[Pixels], Pixels]] = {
    "as it is": lambda rgb: rgb,
    "mirrored": lambda rgb: rgb[:, ::-1],
    "flipped": lambda rgb: rgb[::-1],
    "upside down": lambda rgb: rgb[::-1, ::-1],
}
ONLY_MACULA: set[str | None] = {"macula", None}
ONLY_DISC: set[str | None] = {"disc", None}


def shown(rgb: Pixels) -> str | None:
    measures = measure(np.ascontiguousarray(rgb))
    reason = gate(measures)
    return field_shown(measures, Outcome.GRADED if reason is None else reason.outcome)


def photograph(path: Path) -> Pixels:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def count(pattern: str) -> Counter[str | None]:
    return Counter(shown(photograph(path)) for path in sorted(FUNDUS.glob(pattern)))


@pytest.mark.parametrize("turn", UPRIGHT_OR_NOT)
@pytest.mark.parametrize("eye", [Eye.RIGHT, Eye.LEFT])
def test_a2_a_drawn_macula_is_recognised_however_the_camera_mirrors_it(eye: Eye, turn: str) -> None:
    assert shown(UPRIGHT_OR_NOT[turn](render(Grade.MILD, eye, 5, 640, 640))) == "macula"


@pytest.mark.parametrize("eye", [Eye.RIGHT, Eye.LEFT])
def test_a2_a_picture_turned_by_90_degrees_shows_no_field_rather_than_a_wrong_one(eye: Eye) -> None:
    assert shown(np.rot90(render(Grade.MILD, eye, 5, 640, 640))) is None


@pytest.mark.parametrize("grade", Grade)
def test_a2_no_drawn_macula_is_taken_for_the_disc(grade: Grade) -> None:
    for seed in range(6):
        assert shown(render(grade, Eye.RIGHT, seed, 640, 480)) in ONLY_MACULA


@real
@pytest.mark.parametrize(
    ("pattern", "field", "at_least", "of"),
    [
        ("mfiddr/*/*_0[15].jpg", "macula", 22, 24),
        ("idrid_dev/*.jpg", "macula", 45, 100),
        ("mfiddr/*/*_0[26].jpg", "disc", 5, 24),
        ("chase_dev/*.jpg", "disc", 1, 10),
    ],
)
def test_a2_real_fields_of_macula_and_disc_are_recognised_or_not_known(
    pattern: str, field: str, at_least: int, of: int
) -> None:
    fields = count(pattern)
    assert fields.total() == of
    assert set(fields) <= {field, None}
    assert fields[field] >= at_least


@real
def test_a2_real_fields_above_and_below_the_macula_are_not_known() -> None:
    assert count("mfiddr/*/*_0[3478].jpg") == {None: 48}


@real
@pytest.mark.parametrize("pattern", ["eyeq_dev/*.jpeg", "unam_dev/*_f_*.jpg"])
def test_a2_of_photographs_whose_field_no_one_names_none_is_taken_for_the_disc(
    pattern: str,
) -> None:
    assert set(count(pattern)) == ONLY_MACULA


@real
@pytest.mark.parametrize("turn", UPRIGHT_OR_NOT)
def test_a2_real_mirrored_pictures_show_no_wrong_field(turn: str) -> None:
    for pattern, possible in (("*_0[15].jpg", ONLY_MACULA), ("*_0[26].jpg", ONLY_DISC)):
        fields = Counter(
            shown(UPRIGHT_OR_NOT[turn](photograph(path)))
            for path in sorted((FUNDUS / "mfiddr" / "test-examples").glob(pattern))
        )
        assert set(fields) <= possible
        assert fields.total() > fields[None]
