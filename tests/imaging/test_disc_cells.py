"""The fast sums, medians and means of cells give exactly what numpy's general functions give."""

from __future__ import annotations

import numpy as np
import pytest

from fundusd.imaging.disc_cells import blurred, cells_of, median, repeat_edges, square_sums

RANDOM = np.random.default_rng(5)


@pytest.mark.parametrize("size", [1, 2, 3, 10, 101, 5000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_the_median_is_that_of_numpy(size: int, dtype: type[np.number]) -> None:
    values = (RANDOM.random(size) * 100).astype(dtype)
    assert median(values) == float(np.median(values))


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (40, 64)])
@pytest.mark.parametrize("margin", [1, 2, 6])
def test_edges_are_repeated(shape: tuple[int, int], margin: int) -> None:
    plane = RANDOM.random(shape)
    expected = np.pad(plane, margin, mode="edge")
    np.testing.assert_array_equal(repeat_edges(plane, margin), expected)


@pytest.mark.parametrize("width", [1, 3, 5, 9, 13])
def test_each_sum_is_that_of_a_square(width: int) -> None:
    plane = RANDOM.integers(0, 2, (20, 31)).astype(np.uint8)
    squares = np.lib.stride_tricks.sliding_window_view(plane, (width, width))
    np.testing.assert_array_equal(square_sums(plane, width), squares.sum(axis=(2, 3)))


def test_blurring_averages_squares_and_leaves_the_plane_alone() -> None:
    plane = RANDOM.integers(0, 256, (20, 31)).astype(np.float32)
    before = plane.copy()
    padded = np.pad(plane, 6, mode="edge")
    squares = np.lib.stride_tricks.sliding_window_view(padded, (13, 13))
    np.testing.assert_allclose(blurred(plane, 13), squares.mean(axis=(2, 3)), rtol=1e-6)
    np.testing.assert_array_equal(plane, before)


@pytest.mark.parametrize("side", [512, 300, 1000])
@pytest.mark.parametrize("turn", ["none", "upside down", "mirrored", "planar"])
def test_a_cell_is_the_mean_of_four_pixels(side: int, turn: str) -> None:
    rgb = RANDOM.integers(0, 256, (side, side, 3)).astype(np.uint8)
    if turn == "upside down":
        rgb = rgb[::-1]
    elif turn == "mirrored":
        rgb = rgb[:, ::-1]
    elif turn == "planar":
        rgb = np.moveaxis(np.moveaxis(rgb, 2, 0).copy(), 0, 2)
    places = np.floor((np.arange(512) + 0.5) * side / 512).astype(int)
    expected = rgb[np.ix_(places, places)].reshape(256, 2, 256, 2, 3).mean(axis=(1, 3))
    cells, _ = cells_of(rgb, (slice(0, side), slice(0, side)))
    np.testing.assert_array_equal(np.moveaxis(cells, 0, 2), expected)
