from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageFilter
from tests import imaging_cases as cases

from fundusd.clinical.quality_thresholds import Thresholds
from fundusd.domain.clinical_terms import Eye, Grade, Outcome, Reason
from fundusd.imaging.colour import ycc_to_rgb
from fundusd.imaging.field import find_lit
from fundusd.imaging.phantoms import not_a_retina, render
from fundusd.imaging.quality_gate import QUALITY_GATE, gate, gate_id, is_mislabelled, measure

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from fundusd.domain.decoding import Pixels

FUNDUS = Path(__file__).parents[3] / "shared" / "data" / "fundus"
HOSTILE = FUNDUS.parent / "hostile" / "image_pillow"
RETINA = cases.retina()
PHANTOM = render(Grade.MODERATE, Eye.LEFT, 5, 800, 800)


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
def test_pictures_of_other_things_are_no_retina() -> None:
    files = [
        *(FUNDUS / "negatives").iterdir(),
        *(HOSTILE / f for f in ("hopper.jpg", "iptc.jpg", "app13.jpg")),
    ]
    assert {judge(load(path)) for path in files} == {Reason.NOT_RETINA}


def test_a_disc_cut_at_top_and_bottom_passes() -> None:
    whole = cases.retina(900, 800)
    assert judge(whole[130:-130]) is None


def test_marks_in_two_corners_are_tolerated() -> None:
    marked = RETINA.copy()
    marked[:40, :40] = 255
    assert judge(marked) is None
    marked[-40:, :40] = 255
    assert judge(marked) is None


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


def test_only_saturated_green_is_too_bright() -> None:
    disc = RETINA.any(axis=2)
    saturated = RETINA.copy()
    saturated[..., 0] = np.where(disc, 255, 0)  # vessels are visible in green
    assert judge(saturated) is None
    lightened = np.clip(RETINA[..., 1].astype(int) + 175, 0, 255)
    saturated[..., 1] = np.where(disc, lightened, 0)
    assert measure(saturated)["saturated"] > 0.35
    assert judge(saturated) is Reason.TOO_BRIGHT


def test_a_black_frame_is_too_dark() -> None:
    assert judge(np.zeros((500, 500, 3), np.uint8)) is Reason.TOO_DARK


def test_a_black_frame_with_specks_is_too_dark() -> None:
    specks = np.zeros((500, 500, 3), np.uint8)
    specks[::50, ::50] = 200
    assert judge(specks) is Reason.TOO_DARK


def test_red_lies_above_blue_in_what_is_measured() -> None:
    measures = measure(RETINA)
    assert measures["red"] > measures["green"] > measures["blue"]
    assert measure(RETINA) == measures


def test_measures_are_those_of_every_nth_pixel() -> None:
    rgb = render(Grade.MODERATE, Eye.RIGHT, 3, 801, 603)
    sample = rgb[::3, ::3]
    disc = sample[find_lit(sample)]
    measures = measure(rgb)
    means = [measures[channel] for channel in ("red", "green", "blue")]
    assert means == [round(float(value), 4) for value in disc.mean(axis=0, dtype=np.float64)]
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


def lit(rgb: Pixels) -> npt.NDArray[np.bool_]:
    inside: npt.NDArray[np.bool_] = rgb.max(axis=2, keepdims=True) > 8
    return inside


def blurred(rgb: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(rgb).filter(ImageFilter.GaussianBlur(rgb.shape[0] / 200)))


def veiled(rgb: Pixels) -> Pixels:
    """Add the pale haze of a cataract."""
    return np.where(lit(rgb), 0.1 * rgb + 0.9 * np.array([150, 140, 125]), 0).astype(np.uint8)


def faint(rgb: Pixels) -> Pixels:
    """Keep the retina's colour but nearly none of its detail, as a smeared lens does."""
    return np.where(lit(rgb), 0.1 * rgb + 0.9 * np.array([150, 80, 40]), 0).astype(np.uint8)


def half_black(rgb: Pixels) -> Pixels:
    return np.where(np.arange(rgb.shape[1])[:, None] < rgb.shape[1] / 2, 0, rgb).astype(np.uint8)


def half_shaded(rgb: Pixels) -> Pixels:
    """Darken one half with a soft edge, as the iris does."""
    light = 0.08 + 0.92 / (1 + np.exp(-(np.arange(rgb.shape[1]) / rgb.shape[1] - 0.54) * 32))
    return np.asarray(rgb * light[:, None], np.uint8)


def glaring(rgb: Pixels) -> Pixels:
    y, x = np.mgrid[: rgb.shape[0], : rgb.shape[1]] / rgb.shape[0]
    spot = 260 * np.exp(-(np.hypot(y - 0.7, x - 0.37) ** 2) / 0.027)
    return np.asarray(np.clip(rgb + spot[..., None] * lit(rgb), 0, 255), np.uint8)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (blurred, Reason.BLUR),
        (veiled, Reason.MEDIA_OPACITY),
        (faint, Reason.LOW_CONTRAST),
        (half_black, Reason.PARTIAL_FIELD),
        (half_shaded, Reason.PARTIAL_FIELD),
        (glaring, Reason.ARTEFACT),
    ],
)
def test_a_spoilt_phantom_is_ungradable_for_its_reason(
    spoil: Callable[[Pixels], Pixels], reason: Reason
) -> None:
    assert judge(PHANTOM) is None
    for turned in (spoil(PHANTOM), spoil(PHANTOM).swapaxes(0, 1)[::-1]):
        assert judge(turned) is reason
        assert reason.outcome is Outcome.UNGRADABLE


def test_sharpness_and_visibility_hardly_depend_on_the_size_of_a_capture() -> None:
    measures = [
        measure(render(Grade.MODERATE, Eye.LEFT, 5, side, side)) for side in (500, 800, 1600)
    ]
    for name, tolerance in (("sharpness", 0.3), ("visibility", 0.15), ("haze", 0.02)):
        values = [of_size[name] for of_size in measures]
        assert max(values) <= min(values) * (1 + tolerance), (name, values)


def test_several_fields_in_one_picture_are_a_montage() -> None:
    pair = np.hstack([PHANTOM, PHANTOM[:, ::-1]])
    overlapping = np.maximum(
        np.pad(PHANTOM, ((0, 0), (0, 650), (0, 0))),
        np.pad(PHANTOM[:, ::-1], ((0, 0), (650, 0), (0, 0))),
    )
    screen = np.zeros((900, 1600, 3), np.uint8)
    screen[50:850, 20:820] = PHANTOM
    screen[200:700, 860:1560] = 70  # a grey cross-section beside it
    for several in (pair, pair.swapaxes(0, 1), np.vstack([pair, pair]), overlapping, screen):
        assert judge(several) is Reason.MONTAGE


def test_a_retina_in_green_light_is_redfree() -> None:
    green = PHANTOM.copy()
    green[..., 0], green[..., 2] = green[..., 1] // 4, green[..., 1] // 6
    assert judge(green) is Reason.REDFREE_OR_FA


def test_a_tiny_black_picture_is_no_photograph_that_failed() -> None:
    assert judge(np.zeros((10, 10, 3), np.uint8)) is Reason.NOT_RETINA


def test_a_cameras_thresholds_decide_what_is_ungradable_but_not_what_is_a_retina() -> None:
    measures = measure(PHANTOM)
    assert gate(measures, Thresholds(min_visibility=1)) is Reason.LOW_CONTRAST
    assert gate(measures, Thresholds(min_side_pixels=1000)) is Reason.SMALL
    everything = Thresholds(0, 0, 256, 1, 0, 1, 0, 0, 1)
    assert gate(measure(not_a_retina(1, 640, 480)), everything) is Reason.NOT_RETINA
    assert gate(measure(blurred(PHANTOM)), everything) is None


def test_the_gates_name_changes_with_any_threshold_of_any_camera() -> None:
    plain, strict = Thresholds(), Thresholds(min_field=0.7)
    assert (
        gate_id({}) == gate_id({"a": plain, "b": Thresholds()}) == QUALITY_GATE == "retina-colour/4"
    )
    assert gate_id({"a": strict}) == "retina-colour/4+f998ed0d"
    configurations = ({"a": strict}, {"b": strict}, {"a": strict, "b": strict}, {"a": plain})
    names = {gate_id(cameras) for cameras in configurations}
    assert len(names) == 4
    assert gate_id({"a": strict, "b": plain}) == gate_id({"a": strict})
