"""Measure glare, sharpness, visibility and haze inside the disc.

The disc is scaled to one size first, so that the measures are comparable between cameras.
"""

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
_FINE, _COARSE = 3, 13  # cells: below and above the width of a vessel
_MIN_SURROUND = 16.0  # levels: below that, relative contrast is noise
_VESSEL = (0.04, 4.0)  # least darkness against the surround, relative and in levels
_MIN_VESSEL_SHARE = 0.05  # of a tile
_GLARE = (1.7, 0.55)  # least luminance over the median, least blue over red

NO_DETAIL = {"glare": 0.0, "sharpness": 0.0, "visibility": 0.0, "haze": 0.0}


def measure_detail(rgb: Pixels, box: tuple[slice, slice]) -> dict[str, float]:
    """Return the measures of the disc in a box of an RGB image [height, width, 3], by name.

    Sharpness is the ratio of fine to coarse detail. Fine detail is the Laplacian (a focus measure:
    Pech-Pacheco et al., ICPR 2000); coarse detail is the contrast of a band with its surround
    (Peli, J Opt Soc Am A 1990). Both are relative to the light, so that exposure cancels out, and
    both use the green channel, which shows vessels best. Visibility is the share of tiles with
    vessels, after Fleming et al., Invest Ophthalmol Vis Sci 2006, who took visible vessels as the
    sign of a clear image.
    """
    (red, green, blue), inside = _cells(rgb, box)
    tiles = _tile_means(inside.astype(np.float32)) >= _MIN_TILE_INSIDE
    if not tiles.any():
        return NO_DETAIL
    red_tiles, green_tiles, blue_tiles = (_tile_means(plane)[tiles] for plane in (red, green, blue))
    light = 0.299 * red_tiles + 0.587 * green_tiles + 0.114 * blue_tiles
    paleness = blue_tiles / np.maximum(red_tiles, 1)
    around = _blurred(green, _COARSE)
    relief = around - _blurred(_blurred(green, _FINE), _FINE)
    vessels = inside & (relief > np.maximum(_VESSEL[0] * around, _VESSEL[1]))
    glare = (light > _GLARE[0] * np.median(light)) & (paleness > _GLARE[1])
    return {
        "glare": float(glare.mean()),
        "sharpness": _sharpness(green, relief, np.maximum(around, _MIN_SURROUND), inside),
        "visibility": float(
            (_tile_means(vessels.astype(np.float32))[tiles] > _MIN_VESSEL_SHARE).mean()
        ),
        "haze": float(np.median(paleness)),
    }


def _cells(rgb: Pixels, box: tuple[slice, slice]) -> tuple[Plane, Mask]:
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
    edge = _COARSE // 2
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


def _blurred(plane: Plane, width: int) -> Plane:
    """Return the plane averaged over squares of `width` x `width` cells, where `width` is odd.

    Cells at the edge are repeated beyond it.
    """
    rows, columns = plane.shape
    padded = np.pad(plane, width // 2, mode="edge")
    tall = np.add.reduce([padded[start : start + rows] for start in range(width)])
    square = np.add.reduce([tall[:, start : start + columns] for start in range(width)])
    mean: Plane = square * np.float32(1 / width**2)
    return mean


def _tile_means(plane: Plane) -> Plane:
    """Return the mean of each whole tile of the plane.

    Incomplete tiles at the far edges are left out, since they hardly touch the disc.
    """
    rows, columns = (length // _TILE for length in plane.shape)
    tiled = plane[: rows * _TILE, : columns * _TILE].reshape(rows, _TILE, columns, _TILE)
    means: Plane = tiled.mean(axis=(1, 3), dtype=np.float64).astype(np.float32)
    return means


def _sharpness(green: Plane, relief: Plane, around: Plane, inside: Mask) -> float:
    laplacian = np.zeros_like(green)
    laplacian[1:-1, 1:-1] = 4 * green[1:-1, 1:-1] - green[:-2, 1:-1] - green[2:, 1:-1]
    laplacian[1:-1, 1:-1] -= green[1:-1, :-2] + green[1:-1, 2:]
    fine = np.percentile(np.abs(laplacian / around)[inside], 75)
    coarse = np.percentile(np.abs(relief / around)[inside], 75)
    if coarse > 0:
        return float(fine / coarse)
    return 1.0  # without any contrast, sharpness is undefined
