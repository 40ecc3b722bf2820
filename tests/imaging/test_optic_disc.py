from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fundusd.clinical.camera_orientation import Learnt, Orientation, contradicts, vote
from fundusd.domain.clinical_terms import Eye, Grade
from fundusd.imaging.optic_disc import NOT_FOUND
from fundusd.imaging.phantoms import compose, render
from fundusd.imaging.quality_gate import measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fundusd.domain.decoding import Pixels

FUNDUS = Path(__file__).parents[3] / "shared" / "data" / "fundus"
OTHER = {Eye.RIGHT: Eye.LEFT, Eye.LEFT: Eye.RIGHT}
TURNS: dict[Orientation, Callable[[Pixels], Pixels]] = {
    Orientation.NORMAL: lambda rgb: rgb,
    Orientation.FLIPPED: lambda rgb: rgb[::-1],
    Orientation.MIRRORED: lambda rgb: rgb[:, ::-1],
    Orientation.UPSIDE_DOWN: lambda rgb: rgb[::-1, ::-1],
    Orientation.TURNED_RIGHT: lambda rgb: np.rot90(rgb, -1),
    Orientation.TURNED_LEFT: np.rot90,
    Orientation.MIRRORED_TURNED_RIGHT: lambda rgb: np.rot90(rgb[:, ::-1], -1),
    Orientation.MIRRORED_TURNED_LEFT: lambda rgb: np.rot90(rgb[:, ::-1]),
}
VOTES = {
    Orientation.NORMAL: "ru",
    Orientation.FLIPPED: "rd",
    Orientation.MIRRORED: "lu",
    Orientation.UPSIDE_DOWN: "ld",
    Orientation.TURNED_RIGHT: "dr",
    Orientation.TURNED_LEFT: "ul",
    Orientation.MIRRORED_TURNED_RIGHT: "ur",
    Orientation.MIRRORED_TURNED_LEFT: "dl",
}


def measured(rgb: Pixels) -> dict[str, float]:
    measures = measure(rgb)
    return {name: measures[name] for name in NOT_FOUND}


def is_contradicted(eye: Eye, measures: dict[str, float]) -> bool:
    return contradicts(eye, None, measures, Learnt())


@pytest.mark.parametrize("eye", OTHER)
@pytest.mark.parametrize("grade", [Grade.NO_DR, Grade.MILD, Grade.MODERATE])
@pytest.mark.parametrize("size", [(640, 480), (900, 900)])
def test_disc_and_macula_of_a_phantom_are_found_where_they_were_drawn(
    eye: Eye, grade: Grade, size: tuple[int, int]
) -> None:
    scene = compose(grade, eye, 20 + grade, *size)
    measures = measured(render(grade, eye, 20 + grade, *size))
    for name, drawn in (("optic_disc", scene.anatomy.disc), ("macula", scene.anatomy.fovea)):
        place = np.array([measures[f"{name}_x"], measures[f"{name}_y"]])
        assert np.linalg.norm(place - drawn * [scene.frame.mirror, 1]) < 0.12
    assert not is_contradicted(eye, measures)
    assert is_contradicted(OTHER[eye], measures)


@pytest.mark.parametrize("eye", OTHER)
@pytest.mark.parametrize("grade", [Grade.SEVERE, Grade.PDR])
def test_severe_disease_does_not_contradict_the_right_eye(eye: Eye, grade: Grade) -> None:
    for seed in range(4):
        assert not is_contradicted(eye, measured(render(grade, eye, seed, 640, 480)))


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("eye", OTHER)
def test_turned_pictures_of_both_eyes_vote_for_the_turn(eye: Eye, turn: Orientation) -> None:
    rgb = TURNS[turn](render(Grade.MILD, eye, 5, 640, 640))
    assert vote(eye, None, measured(rgb)) == VOTES[turn]


@pytest.mark.parametrize("eye", OTHER)
def test_a_field_centred_on_the_disc_has_no_side(eye: Eye) -> None:
    width, height = 1600, 1200
    scene = compose(Grade.NO_DR, eye, 7, width, height)
    rgb = render(Grade.NO_DR, eye, 7, width, height)
    x, y = scene.frame.pixels(scene.anatomy.disc)
    radius = int(width / 2 - abs(x - width / 2) - abs(scene.frame.radius - width / 2)) - 20
    columns, rows = np.ogrid[:width, :height]
    inside = ((columns - x) ** 2 + (rows - y) ** 2 < radius**2).T
    measures = measured(rgb * inside[..., None].astype(np.uint8))
    assert not is_contradicted(Eye.RIGHT, measures)
    assert not is_contradicted(Eye.LEFT, measures)


@pytest.mark.parametrize(
    "rgb",
    [
        np.zeros((480, 640, 3), np.uint8),
        np.full((480, 640, 3), 255, np.uint8),
        np.full((480, 640, 3), (150, 80, 40), np.uint8),
        np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8),
        np.full((1, 1, 3), 200, np.uint8),
        np.full((1, 4000, 3), 200, np.uint8),
    ],
    ids=["black", "white", "plain", "noise", "one pixel", "one line"],
)
def test_measures_of_other_pictures_are_finite_and_contradict_nothing(rgb: Pixels) -> None:
    measures = measured(rgb)
    assert all(math.isfinite(value) for value in measures.values())
    assert 0 <= measures["optic_disc_certainty"] <= 1


def test_the_page_explains_every_measure() -> None:
    page = (Path(__file__).parents[2] / "docs" / "optic-disc.md").read_text()
    assert not [name for name in NOT_FOUND if f"`{name}`" not in page]


# -- real photographs


def eye_in_name(path: Path) -> Eye | None:
    """Return the eye that a public data set gives in the name of a photograph."""
    if re.search(r"_right|_od_|\dr$", path.stem, re.IGNORECASE):
        return Eye.RIGHT
    if re.search(r"_left|_oi_|\dl$", path.stem, re.IGNORECASE):
        return Eye.LEFT
    return None


def photographs(pattern: str) -> Iterator[tuple[Eye, dict[str, float]]]:
    for path in sorted(FUNDUS.glob(pattern)):
        eye = eye_in_name(path)
        assert eye is not None
        with Image.open(path) as picture:
            yield eye, measured(np.asarray(picture.convert("RGB")))


@pytest.mark.skipif(not FUNDUS.is_dir(), reason="no ../shared/data here")
def test_of_real_macular_fields_the_swapped_eyes_are_contradicted() -> None:
    fields = [*photographs("mfiddr/test-examples/*_0[15].jpg")]
    assert len(fields) >= 6
    assert not [eye for eye, measures in fields if is_contradicted(eye, measures)]
    assert all(is_contradicted(OTHER[eye], measures) for eye, measures in fields)


@pytest.mark.skipif(not FUNDUS.is_dir(), reason="no ../shared/data here")
def test_both_eyes_of_a_patient_show_the_disc_on_opposite_sides() -> None:
    # some cameras of EyePACS deliver pictures upside down, but then those of both eyes
    noses: dict[str, set[str]] = {}
    for path in sorted((FUNDUS / "eyeq_dev").glob("1*.jpeg")):
        eye = eye_in_name(path)
        assert eye is not None
        with Image.open(path) as picture:
            directions = vote(eye, None, measured(np.asarray(picture.convert("RGB"))))
        if directions is not None:
            patient = path.stem.split("_")[0]
            noses.setdefault(patient, set()).add(directions[0])
    assert len(noses) >= 15
    assert {"r", "l"} not in noses.values()


@pytest.mark.skipif(not FUNDUS.is_dir(), reason="no ../shared/data here")
@pytest.mark.parametrize(
    "pattern", ["mfiddr/test-examples/*_0[234678].jpg", "chase_dev/*.jpg"], ids=["mfiddr", "chase"]
)
def test_of_real_fields_that_are_not_centred_on_the_macula_none_is_contradicted(
    pattern: str,
) -> None:
    fields = [*photographs(pattern)]
    assert len(fields) >= 10
    assert not [eye for eye, measures in fields if is_contradicted(eye, measures)]
