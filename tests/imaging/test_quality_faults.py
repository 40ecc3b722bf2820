"""Each kind of fault in a photograph, and each kind of picture, has its own verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import imaging_cases as cases
from tests.imaging import degraded

from fundusd.domain.clinical_terms import Eye, Grade, Reason
from fundusd.imaging.phantoms import not_a_retina, render
from fundusd.imaging.quality_gate import gate, measure

if TYPE_CHECKING:
    from collections.abc import Callable

    from fundusd.domain.decoding import Pixels

PHANTOMS = [
    render(Grade.NO_DR, Eye.LEFT, 5, 900, 900),
    render(Grade.MODERATE, Eye.RIGHT, 6, 1200, 900),
    render(Grade.PDR, Eye.RIGHT, 7, 900, 900),
]


def judge(rgb: Pixels) -> Reason | None:
    return gate(measure(rgb))


@pytest.mark.parametrize("phantom", PHANTOMS)
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (degraded.shaken, Reason.BLUR),
        (degraded.defocused, Reason.BLUR),
        (degraded.compressed, Reason.COMPRESSION),
        (degraded.noisy, Reason.TOO_DARK),
        (degraded.dim, Reason.TOO_DARK),
        (degraded.lid, Reason.PARTIAL_FIELD),
        (degraded.left_black, Reason.PARTIAL_FIELD),
        (degraded.shifted, Reason.PARTIAL_FIELD),
        (degraded.glaring, Reason.ARTEFACT),
        (degraded.toned, Reason.REDFREE_OR_FA),
    ],
)
def test_each_fault_has_its_own_reason(
    phantom: Pixels, spoil: Callable[[Pixels], Pixels], reason: Reason
) -> None:
    assert judge(phantom) is None
    assert judge(spoil(phantom)) is reason
    assert judge(np.rot90(spoil(phantom))) is reason


@pytest.mark.parametrize("degrees", [0, 30, 45, 60, 90, 120, 135, 150])
def test_slanting_motion_is_blur_as_well(degrees: int) -> None:
    phantom = render(Grade.MODERATE, Eye.RIGHT, 6, 1400, 1050)
    measures = measure(degraded.shaken_along(phantom, degrees))
    assert measures["direction"] < 0.84 < measure(phantom)["direction"]
    assert gate(measures) is Reason.BLUR


@pytest.mark.parametrize("phantom", PHANTOMS)
@pytest.mark.parametrize(
    "change",
    [
        degraded.white_surround,
        degraded.caption_strip,
        degraded.four_captions,
    ],
)
def test_what_surrounds_the_field_never_costs_the_photograph(
    phantom: Pixels, change: Callable[[Pixels], Pixels]
) -> None:
    assert judge(change(phantom)) is None


def test_a_field_that_fills_the_frame_is_judged_by_its_vessels() -> None:
    filling = degraded.frame_filling(render(Grade.MILD, Eye.LEFT, 9, 1400, 1400))
    assert measure(filling)["dark_corners"] == 0
    assert judge(filling) is None
    assert judge(filling[:480, :640].copy()) is not Reason.NOT_RETINA


def test_bluish_haze_over_a_retina_is_not_another_picture() -> None:
    lit = PHANTOMS[0].max(axis=2, keepdims=True) > 8
    hazy = np.where(lit, 0.15 * PHANTOMS[0] + np.array([70, 88, 104]), 0).astype(np.uint8)
    measures = measure(hazy)
    assert measures["blue"] > measures["red"]
    assert gate(measures) is Reason.MEDIA_OPACITY


def test_the_blocks_of_a_hazy_retina_are_not_taken_for_skin() -> None:
    phantom = render(Grade.MODERATE, Eye.LEFT, 5, 800, 800)
    lit = phantom.max(axis=2, keepdims=True) > 8
    hazy = np.where(lit, 0.1 * phantom + 0.9 * np.array((150, 140, 125)), 0).astype(np.uint8)
    assert judge(degraded.compressed(hazy)) is Reason.COMPRESSION


def outer_eye() -> Pixels:
    """Draw a brown iris with a pupil on white, between lids of skin with lashes."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:700, :900]
    picture = np.full((700, 900, 3), (200, 150, 125), np.float64)
    white = ((y - 350) / 170) ** 2 + ((x - 450) / 330) ** 2 < 1
    picture[white] = (225, 205, 200)
    distance = np.hypot(y - 350, x - 450)
    rays = 1 + 0.25 * np.sin(40 * np.arctan2(y - 350, x - 450))
    iris = distance < 150
    picture[iris] = (rays[..., None] * np.array((110, 75, 45)))[iris]
    picture[distance < 55] = 12
    lashes = (np.abs(y - 150 - 40 * np.sin(x / 12)) < 30) & (x % 18 < 5)
    picture[lashes] = 25
    return np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)


def hairy_disc() -> Pixels:
    """Draw dark hair on skin behind a round aperture."""
    y, x = np.mgrid[:700, :700]
    hair = np.sin(x / 7 + 2 * np.sin(y / 60)) > 0.8
    picture = np.where(hair[..., None], (95, 70, 60), (205, 150, 120))
    picture = picture + np.random.default_rng(4).normal(0, 2, picture.shape)
    round_part = np.hypot(y - 350, x - 350) < 330
    return np.where(round_part[..., None], picture, 0).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("picture", [outer_eye(), not_a_retina(3, 800, 600)])
def test_an_outer_eye_and_skin_are_no_retina(picture: Pixels) -> None:
    assert judge(picture) is Reason.NOT_RETINA


def test_hair_behind_a_round_aperture_is_refused() -> None:
    assert judge(hairy_disc()) in {Reason.NOT_RETINA, Reason.REDFREE_OR_FA}


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 90), width=st.integers(1, 90),
    kind=st.sampled_from(["black", "white", "noise", "half", "dots", "grey"]),
)  # fmt: skip
def test_every_measure_of_any_picture_is_a_number(height: int, width: int, kind: str) -> None:
    rgb = np.zeros((height, width, 3), np.uint8)
    if kind == "white":
        rgb[:] = 255
    elif kind == "noise":
        rgb[:] = np.random.default_rng(height).integers(0, 256, rgb.shape)
    elif kind == "half":
        rgb[: height // 2] = (180, 90, 40)
    elif kind == "dots":
        rgb[::9, ::7] = (200, 100, 60)
    elif kind == "grey":
        rgb[:] = 128
    measures = measure(rgb)
    assert all(np.isfinite(list(measures.values())))
    assert measures.keys() == measure(cases.retina(64, 64)).keys()
    gate(measures)
