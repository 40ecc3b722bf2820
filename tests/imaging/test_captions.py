"""Strips, frames, text and logos around the retina do not change the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from tests.imaging import degraded

from fundusd.domain.clinical_terms import Eye, Grade, Reason
from fundusd.imaging.captions import between_strips, without_marks
from fundusd.imaging.phantoms import not_a_retina, render
from fundusd.imaging.quality_gate import gate, measure

if TYPE_CHECKING:
    from collections.abc import Callable

    from fundusd.domain.decoding import Pixels

DATA = Path(__file__).parents[3] / "shared" / "data"
PHANTOM = render(Grade.MODERATE, Eye.RIGHT, 6, 1000, 800)
CUT = np.ascontiguousarray(render(Grade.NO_DR, Eye.LEFT, 5, 800, 800)[90:-90])
FILLING = degraded.frame_filling(render(Grade.MILD, Eye.LEFT, 9, 1000, 1000))
COLOURS = {
    "black": (0, 0, 0),
    "dark grey": (64, 64, 64),
    "grey": (128, 128, 128),
    "light grey": (192, 192, 192),
    "white": (255, 255, 255),
    "blue": (0, 40, 120),
    "cream": (240, 225, 190),
}


def judge(rgb: Pixels) -> Reason | None:
    return gate(measure(rgb))


def hazy(rgb: Pixels) -> Pixels:
    """Take nearly all contrast from the retina, but not its colour."""
    lit = rgb.max(axis=2, keepdims=True) > 8
    return np.where(lit, 0.1 * rgb + 0.9 * np.array([150, 80, 40]), 0).astype(np.uint8)


@pytest.mark.parametrize("colour", COLOURS.values(), ids=COLOURS.keys())
@pytest.mark.parametrize("photograph", [PHANTOM, CUT, FILLING], ids=["whole", "cut", "filling"])
@pytest.mark.parametrize(("turns", "depth"), [(0, 0.12), (1, 0.05), (2, 0.07), (3, 0.03)])
def test_a_strip_with_text_does_not_change_the_verdict(
    photograph: Pixels, colour: degraded.Colour, turns: int, depth: float
) -> None:
    assert judge(photograph) is None
    assert judge(degraded.strip(photograph, turns, depth, colour)) is None
    plain_strip = degraded.strip(photograph, turns, depth, colour, text=False)
    assert judge(plain_strip) is None
    assert judge(degraded.strip(plain_strip, turns + 2, 0.05, colour)) is None
    assert judge(degraded.strip(plain_strip, turns + 1, 0.05, (255, 255, 255))) is None


@pytest.mark.parametrize("colour", COLOURS.values(), ids=COLOURS.keys())
@pytest.mark.parametrize("photograph", [PHANTOM, CUT, FILLING], ids=["whole", "cut", "filling"])
def test_a_frame_or_a_line_along_the_edges_does_not_change_the_verdict(
    photograph: Pixels, colour: degraded.Colour
) -> None:
    for depth in (0.02, 0.06, 0.12):
        assert judge(degraded.framed(photograph, depth, colour)) is None
    assert judge(degraded.outlined(photograph, colour)) is None
    assert judge(degraded.framed(degraded.outlined(photograph, colour), 0.05, (9, 9, 9))) is None


@pytest.mark.parametrize("colour", COLOURS.values(), ids=COLOURS.keys())
def test_a_strip_does_not_turn_low_contrast_into_a_refusal(colour: degraded.Colour) -> None:
    retina = hazy(PHANTOM)
    assert judge(retina) is Reason.LOW_CONTRAST
    for turns in range(4):
        assert judge(degraded.strip(retina, turns, 0.1, colour)) is Reason.LOW_CONTRAST


@pytest.mark.parametrize("photograph", [PHANTOM, CUT], ids=["whole", "cut"])
def test_a_logo_in_a_corner_is_not_part_of_the_field(photograph: Pixels) -> None:
    for turned in (photograph, np.ascontiguousarray(np.rot90(photograph))):
        with_logo = measure(degraded.with_logo(turned))
        assert gate(with_logo) is None
        assert with_logo == pytest.approx(measure(turned), rel=0.02, abs=0.01)


@pytest.mark.parametrize("colour", COLOURS.values(), ids=COLOURS.keys())
def test_what_is_no_retina_does_not_become_one_with_a_strip_or_a_frame(
    colour: degraded.Colour,
) -> None:
    skin = not_a_retina(3, 800, 600)
    for turns in range(4):
        assert judge(degraded.strip(skin, turns, 0.08, colour)) is Reason.NOT_RETINA
    assert judge(degraded.framed(skin, 0.06, colour)) is Reason.NOT_RETINA


def test_a_missing_part_of_the_field_is_no_strip() -> None:
    for missing in (0.25, 0.35):
        spoilt = PHANTOM.copy()
        spoilt[int((1 - missing) * len(spoilt)) :] = 0
        assert judge(spoilt) is Reason.PARTIAL_FIELD


def test_without_strips_the_whole_image_is_used() -> None:
    for photograph in (PHANTOM, CUT, FILLING, np.full((200, 300, 3), 90, np.uint8)):
        sample = photograph[::4, ::4]
        height, width = sample.shape[:2]
        assert between_strips(sample) == (slice(0, height), slice(0, width))
    empty = np.zeros((0, 0, 3), np.uint8)
    assert between_strips(empty) == (slice(0, 0), slice(0, 0))


def test_strips_of_several_colours_are_measured_from_the_edges() -> None:
    sample = np.ascontiguousarray(FILLING[::4, ::4])
    height, width = sample.shape[:2]
    strips = degraded.strip(sample, 0, 0.1, (128, 128, 128), text=False)
    added = len(strips) - height
    assert between_strips(strips) == (slice(0, height), slice(0, width))
    strips = np.pad(strips, ((7, 0), (0, 0), (0, 0)), constant_values=255)
    strips = np.pad(strips, ((0, 0), (5, 9), (0, 0)), constant_values=40)
    assert between_strips(strips) == (slice(7, 7 + height), slice(5, 5 + width))
    assert strips.shape == (7 + height + added, 14 + width, 3)


def test_only_parts_too_small_for_a_field_are_removed() -> None:
    y, x = np.mgrid[:200, :500]
    field = np.hypot(y - 100, x - 110) < 80
    second = np.hypot(y - 100, x - 350) < 50
    letter = (abs(y - 20) < 10) & (abs(x - 470) < 12)
    bay = (abs(x - 110) < 4) & (y < 90)
    assert np.array_equal(without_marks(field | second | letter), field | second)
    assert np.array_equal(without_marks(field & ~bay | letter), field & ~bay)
    assert np.array_equal(without_marks(letter), letter)
    for nothing in (np.zeros((50, 60), bool), np.zeros((0, 0), bool)):
        assert np.array_equal(without_marks(nothing), nothing)


FUNDUS = DATA / "fundus"
PHOTOGRAPHS = (
    "idrid_dev/test_IDRiD_003.jpg",
    "idrid_dev/test_IDRiD_015.jpg",
    "eyeq_dev/1116_right.jpeg",
    "eyeq_dev/1035_left.jpeg",
    "chase_dev/Image_03L.jpg",
    "unam_dev/tight_1313_OI_f_4.jpg",
)


@pytest.mark.skipif(not (FUNDUS / "idrid_dev").is_dir(), reason="no ../shared/data/fundus here")
@pytest.mark.parametrize("file", PHOTOGRAPHS)
@pytest.mark.parametrize(
    "change",
    [
        lambda rgb: degraded.strip(rgb, 0, 0.07, (0, 0, 0)),
        lambda rgb: degraded.strip(rgb, 2, 0.05, (128, 128, 128)),
        lambda rgb: degraded.strip(rgb, 1, 0.09, (240, 225, 190)),
        lambda rgb: degraded.framed(rgb, 0.04, (64, 64, 64)),
        lambda rgb: degraded.outlined(rgb, (240, 225, 190)),
    ],
    ids=["black", "grey", "side", "frame", "line"],
)
def test_a_photograph_with_strips_has_the_verdict_of_the_plain_one(
    file: str, change: Callable[[Pixels], Pixels]
) -> None:
    with Image.open(FUNDUS / file) as picture:
        picture.thumbnail((1200, 1200))
        rgb = np.asarray(picture.convert("RGB"))
    assert judge(change(rgb)) is judge(rgb)
