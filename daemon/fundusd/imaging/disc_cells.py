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
_BLOCK = 32  # rows of pixels at a time: they fit into the processor's cache
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
    for start in range(0, len(rows), _BLOCK):
        lines = rgb[rows[start : start + _BLOCK]]
        lines = lines.reshape(len(lines), -1)
        lines.take(places, axis=1, out=points[start : start + _BLOCK], mode="clip")
    pairs = points.view(np.uint16)  # the two pixels of a cell side by side, in either byte order
    pairs = (pairs & 0xFF) + (pairs >> 8)
    four = (pairs[::2] + pairs[1::2]).reshape(len(y), 3, len(x)).swapaxes(0, 1)
    cells = np.multiply(four, np.float32(0.25), order="C")
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
    mean: Plane = square_sums(repeat_edges(plane, width // 2), width)
    mean *= np.float32(1 / width**2)
    return mean


def repeat_edges(plane: npt.NDArray[Any], margin: int) -> npt.NDArray[Any]:
    """Return the plane with its outermost cells repeated beyond each edge, `margin` times.

    This is np.pad with mode="edge", in half the time.
    """
    rows, columns = (slice(margin, margin + length) for length in plane.shape)
    padded = np.empty([length + 2 * margin for length in plane.shape], plane.dtype)
    padded[rows, columns] = plane
    padded[rows, : columns.start] = plane[:, :1]
    padded[rows, columns.stop :] = plane[:, -1:]
    padded[: rows.start] = padded[rows.start]
    padded[rows.stop :] = padded[rows.stop - 1]
    return padded


def square_sums(plane: npt.NDArray[Any], width: int) -> npt.NDArray[Any]:
    """Return the sums over all squares of `width` x `width` cells that lie in the plane."""
    return window_sums(window_sums(plane, width).T, width).T


def window_sums(plane: npt.NDArray[Any], width: int) -> npt.NDArray[Any]:
    """Return the sums over each `width` successive rows, from sums over 1, 2, 4, ... rows.

    The result has the memory order of the plane.
    """
    rows = len(plane) - width + 1
    total = None
    size, start = 1, 0
    while True:
        if width & size:
            part = plane[start : start + rows]
            total = part if total is None else total + part
            start += size
            if start == width:
                return total
        plane = plane[:-size] + plane[size:]
        size *= 2


def median(values: npt.NDArray[Any]) -> float:
    """Return the median of a one-dimensional array of finite numbers, which is not empty.

    This is np.median in a quarter of the time, as only the middle has to be in its place.
    """
    middle = values.size // 2
    parted = np.partition(values, middle)
    if values.size % 2:
        return float(parted[middle])
    return float((parted[:middle].max() + parted[middle]) / 2)


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
