from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

import imaging_cases as cases
from fundusd.domain import Eye, Grade, Reason
from fundusd.imaging.colour import ycc_to_rgb
from fundusd.imaging.quality import gate, is_mislabelled, measure
from fundusd.phantoms import not_a_retina, render

if TYPE_CHECKING:
    from fundusd.domain import Pixels

FUNDUS = Path(__file__).parents[2] / "shared" / "data" / "fundus"
HOSTILE = FUNDUS.parent / "hostile" / "image_pillow"
RETINA = cases.retina()


def judge(rgb: Pixels) -> Reason | None:
    return gate(measure(rgb))


def load(path: Path) -> Pixels:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_a_colour_retina_passes() -> None:
    assert judge(RETINA) is None


@pytest.mark.parametrize("grade", Grade)
@pytest.mark.parametrize(("eye", "size"), [(Eye.RIGHT, (640, 480)), (Eye.LEFT, (600, 600))])
def test_every_phantom_passes(grade: Grade, eye: Eye, size: tuple[int, int]) -> None:
    assert judge(render(grade, eye, 11 + grade, *size)) is None


@pytest.mark.parametrize("seed", range(3))
def test_skin_that_fills_the_frame_is_no_retina(seed: int) -> None:
    assert judge(not_a_retina(seed, 640, 480)) is Reason.NOT_RETINA


@pytest.mark.skipif(not FUNDUS.is_dir(), reason="no ../shared/data here")
def test_real_captures_of_several_cameras_pass() -> None:
    folders = ("eyepacs_1024", "eyepacs_full", "other_cameras")
    files = [path for folder in folders for path in sorted((FUNDUS / folder).iterdir())]
    assert len(files) > 40
    assert {path.name: reason for path in files if (reason := judge(load(path)))} == {}


@pytest.mark.skipif(not FUNDUS.is_dir(), reason="no ../shared/data here")
def test_pictures_of_other_things_are_no_retina() -> None:
    files = [*(FUNDUS / "negatives").iterdir(), *(HOSTILE / f for f in ("hopper.jpg", "iptc.jpg", "app13.jpg"))]
    assert {judge(load(path)) for path in files} == {Reason.NOT_RETINA}


def test_a_disc_cut_at_top_and_bottom_passes() -> None:
    whole = cases.retina(900, 800)
    assert judge(whole[130:-130]) is None


def test_a_mark_in_one_corner_is_tolerated_but_not_two_lit_corners() -> None:
    marked = RETINA.copy()
    marked[:40, :40] = 255
    assert judge(marked) is None
    marked[-40:, :40] = 255
    assert judge(marked) is Reason.NOT_RETINA


def test_a_retina_without_colour_is_redfree_or_angiography() -> None:
    grey = np.repeat(RETINA[..., 1:2], 3, axis=2)
    assert judge(grey) is Reason.REDFREE_OR_FA


def test_a_blue_disc_is_no_retina() -> None:
    assert judge(RETINA[..., ::-1]) is Reason.NOT_RETINA


def test_a_ring_and_a_full_frame_are_no_retina() -> None:
    ring = RETINA.copy()
    ring[155:325, 171:341] = 0
    assert judge(ring) is Reason.NOT_RETINA
    assert judge(np.full_like(RETINA, (150, 90, 50))) is Reason.NOT_RETINA


def test_small_dark_and_bright_retinas_are_told_apart() -> None:
    assert judge(cases.retina(440, 440)) is Reason.SMALL
    assert judge(cases.retina(448, 448)) is None
    assert judge((RETINA * 0.15).astype(np.uint8)) is Reason.TOO_DARK
    bright = np.where(RETINA.any(axis=2, keepdims=True), (255, 240, 235), 0).astype(np.uint8)
    assert judge(bright) is Reason.TOO_BRIGHT


def test_a_saturated_retina_is_too_bright() -> None:
    saturated = RETINA.copy()
    saturated[..., 0] = np.where(RETINA[..., 0] > 0, 255, 0)
    assert judge(saturated) is Reason.TOO_BRIGHT


def test_a_black_frame_is_too_dark() -> None:
    assert judge(np.zeros((500, 500, 3), np.uint8)) is Reason.TOO_DARK


def test_specks_in_the_dark_are_no_retina() -> None:
    specks = np.zeros((500, 500, 3), np.uint8)
    specks[::50, ::50] = 200
    assert judge(specks) is Reason.NOT_RETINA


def test_red_lies_above_blue_in_what_is_measured() -> None:
    measures = measure(RETINA)
    assert measures["red"] > measures["green"] > measures["blue"]
    assert measure(RETINA) == measures


def test_measures_are_those_of_every_nth_pixel() -> None:
    rgb = render(Grade.MODERATE, Eye.RIGHT, 3, 801, 603)
    sample = rgb[::3, ::3]
    luminance = 0.299 * sample[..., 0] + 0.587 * sample[..., 1] + 0.114 * sample[..., 2]
    disc = sample[luminance > max(12.0, 0.12 * float(np.percentile(luminance, 95)))]
    measures = measure(rgb)
    means = [measures[channel] for channel in ("red", "green", "blue")]
    assert means == [round(float(value), 4) for value in disc.mean(axis=0, dtype=np.float64)]
    assert measures["saturated"] == round(float((disc.max(axis=1) >= 250).mean()), 4)
    turned = rgb.swapaxes(0, 1)[:, ::-1]
    assert measure(turned) == measure(np.ascontiguousarray(turned))


def test_other_colour_spaces_are_recognised_by_their_numbers() -> None:
    ycc = np.asarray(Image.fromarray(RETINA).convert("YCbCr"))
    green = np.asarray(ycc_to_rgb(RETINA.shape[1], RETINA.shape[0], RETINA.tobytes()))
    for wrong in (ycc, green, RETINA[..., ::-1]):
        assert judge(wrong) in {Reason.NOT_RETINA, Reason.REDFREE_OR_FA}
        assert is_mislabelled(wrong)


def test_what_is_no_retina_in_any_colour_space_is_not_mislabelled() -> None:
    assert not is_mislabelled(not_a_retina(1, 320, 240))
    assert not is_mislabelled(np.zeros((64, 64, 3), np.uint8) + 128)
