"""Scale the disc to one grid of cells, so that measures are comparable between cameras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from fundusd.domain.decoding import Pixels

    Plane = npt.NDArray[np.float32]
    Mask = npt.NDArray[np.bool_]

_DIAMETER = 256  # cells across the disc, about the resolution that the model sees
_TILE = 16  # cells
_INSIDE = 0.88  # of the radius: excludes rim, notches and date stamps
_MIN_TILE_INSIDE = 0.75
_CENTRAL = 4.0  # tiles from the middle
COARSE = 13  # cells: wider than a vessel
SPARSE = (slice(None, None, 2), slice(None, None, 2))  # enough cells for a median


def cells_of(rgb: Pixels, box: tuple[slice, slice]) -> tuple[Plane, Mask]:
    """Average four pixels in each cell of a `_DIAMETER` x `_DIAMETER` grid around the box.

    Returns the means, [3, rows, columns], and a mask of the cells well inside the disc. Cells
    beyond the frame are left out. Averaging four pixels suppresses noise and aliasing well enough,
    and is much faster than averaging all of them.
    """
    if abs(rgb.strides[0]) < abs(rgb.strides[1]):  # transposed: process it in memory order
        rgb, box = rgb.swapaxes(0, 1), (box[1], box[0])
    diameter = max(side.stop - side.start for side in box)
    rows, y = _axis(box[0], diameter, rgb.shape[0])
    columns, x = _axis(box[1], diameter, rgb.shape[1])
    places = (columns * 3 + np.arange(3)[:, None]).ravel()  # grouped by channel
    points = np.empty((len(rows), len(places)), np.uint8)
    for line, row in zip(points, rows, strict=True):
        rgb[row].reshape(-1).take(places, out=line, mode="clip")
    four = points.reshape(len(y), 2, 3, len(x), 2)
    pairs = np.add(four[:, 0], four[:, 1], dtype=np.uint16)
    cells = (pairs[..., 0] + pairs[..., 1]).swapaxes(0, 1) * np.float32(0.25)
    inside = y[:, None] ** 2 + x**2 < _INSIDE**2
    edge = COARSE // 2
    inside[:edge] = inside[-edge:] = inside[:, :edge] = inside[:, -edge:] = False
    return cells, inside


def _axis(side: slice, diameter: int, length: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[Any]]:
    """Return, along one axis, two pixel indices and the centre of each cell inside the frame.

    The centres are coordinates on a scale from -1 to 1 across the disc.
    """
    start = (side.start + side.stop - diameter) / 2
    places = start + (np.arange(2 * _DIAMETER) + 0.5) * (diameter / (2 * _DIAMETER))
    pairs = np.floor(places).astype(np.intp).reshape(-1, 2)
    in_frame = (pairs[:, 0] >= 0) & (pairs[:, 1] < length)
    centres = (np.arange(_DIAMETER) + 0.5) / (_DIAMETER / 2) - 1
    return pairs[in_frame].ravel(), centres[in_frame]


def blurred(plane: Plane, width: int) -> Plane:
    """Return the plane averaged over squares of `width` x `width` cells, where `width` is odd.

    Cells at the edge are repeated beyond it.
    """
    padded = np.pad(plane, width // 2, mode="edge")
    square = window_sums(window_sums(padded, width).T, width).T
    mean: Plane = square * np.float32(1 / width**2)
    return mean


def window_sums(plane: npt.NDArray[Any], width: int) -> npt.NDArray[Any]:
    """Return the sums over each `width` successive rows, from sums over 1, 2, 4, ... rows."""
    rows = len(plane) - width + 1
    total = np.zeros((rows, *plane.shape[1:]), plane.dtype)
    size, start = 1, 0
    while True:
        if width & size:
            total += plane[start : start + rows]
            start += size
        if start == width:
            return total
        plane = plane[:-size] + plane[size:]
        size *= 2


def tile_means(plane: Plane | Mask) -> Plane:
    """Return the mean of each whole tile of the plane.

    Incomplete tiles at the far edges are left out, since they hardly touch the disc.
    """
    rows, columns = (length // _TILE for length in plane.shape)
    whole = plane[: rows * _TILE, : columns * _TILE].astype(np.float32, copy=False)
    sums = whole.reshape(rows, _TILE, columns * _TILE).sum(axis=1).reshape(rows, columns, _TILE)
    means = sums.mean(axis=2, dtype=np.float64) * (1 / _TILE)
    return np.asarray(means, np.float32)


def tiles_inside(inside: Mask) -> Mask:
    """Return which tiles lie well inside the disc."""
    tiles: Mask = tile_means(inside) >= _MIN_TILE_INSIDE
    return tiles


def central_tiles(tiles: Mask) -> Mask:
    """Return, for each tile inside the disc, whether it lies in the middle half of its width."""
    rows, columns = np.nonzero(tiles)
    middle = (np.array(tiles.shape) - 1) / 2
    central: Mask = np.hypot(rows - middle[0], columns - middle[1]) < _CENTRAL
    return central
