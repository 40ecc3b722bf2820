from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fundusd.imaging.vessel_lines import lines_in

if TYPE_CHECKING:
    import numpy.typing as npt

SIDE = 64


def line(degrees: float, darkness: float, length: int = 60) -> npt.NDArray[np.float32]:
    """Draw a dark line through the middle of a plane of relief, in levels."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    angle = np.deg2rad(degrees)
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    inside = (np.abs(along) < length / 2) & (np.abs(across) < 1.5)
    return np.where(inside, np.float32(darkness), np.float32(0))


@pytest.mark.parametrize("degrees", range(0, 180, 15))
def test_a_line_in_any_direction_is_a_line(degrees: int) -> None:
    lines = lines_in(line(degrees, 6))
    middle = slice(SIDE // 2 - 2, SIDE // 2 + 3)
    assert lines[middle, middle].any()


@pytest.mark.parametrize("degrees", [0, 45, 90, 135])
def test_a_line_counts_from_three_levels_of_darkness(degrees: int) -> None:
    assert lines_in(line(degrees, 3.2)).any()
    assert not lines_in(line(degrees, 2.8)).any()


def test_a_spot_and_a_short_stroke_are_no_lines() -> None:
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    distance = np.hypot(x, y)
    assert not lines_in(np.where(distance < 2, 6, 0).astype(np.float32)).any()
    assert not lines_in(np.where(distance < 6, 6, 0).astype(np.float32))[distance < 3].any()
    assert not lines_in(line(0, 6, length=3)).any()


def test_bright_lines_are_no_vessels() -> None:
    assert not lines_in(-line(0, 6)).any()


def test_the_darkest_relief_does_not_overflow() -> None:
    lines = lines_in(line(0, 255))
    assert lines[SIDE // 2, SIDE // 2]
    assert not lines_in(np.full((SIDE, SIDE), 255, np.float32))[8:-8, 8:-8].any()


def test_noise_makes_hardly_any_lines() -> None:
    noise = np.random.default_rng(5).normal(0, 2, (256, 256)).astype(np.float32)
    assert lines_in(noise).mean() < 0.001
