"""What can be seen inside the disc, measured at one size of disc so that it compares between cameras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from fundusd.domain.decoding import Pixels

    Plane = npt.NDArray[np.float32]
    Mask = npt.NDArray[np.bool_]

_DIAMETER = 256  # cells across the disc; the model sees about as much of it
_TILE = 16  # cells
_INSIDE = 0.88  # of the radius: rim, notches and date stamps stay outside
_MOST_OF_A_TILE = 0.75
_FINE, _COARSE = 3, 13  # cells: below and above the width of a vessel
_DARKEST = 16.0  # levels: relative contrast below that is noise
_VESSEL = (0.04, 4.0)  # how much darker than around, of that and in levels
_VESSELS = 0.05  # of a tile
_GLARE = (1.7, 0.55)  # luminance over the median, blue over red

NOTHING = {"glare": 0.0, "sharpness": 0.0, "visibility": 0.0, "haze": 0.0}


def measure_detail(rgb: Pixels, box: tuple[slice, slice]) -> dict[str, float]:
    """Measure glare, sharpness, visibility and haze of the disc within a box of RGB [height, width, 3].

    Sharpness is fine detail over coarse: the Laplacian (as focus measure: Pech-Pacheco et al., ICPR 2000) over the
    contrast of a band with its surround (Peli, J Opt Soc Am A 1990).
    Both are relative to the light, so that exposure cancels out; in the green channel, which shows vessels best.
    Visibility is the share of tiles with vessels in them, after Fleming et al., Invest Ophthalmol Vis Sci 2006,
    who took the vessels that can be seen for clarity.
    """
    (red, green, blue), inside = _cells(rgb, box)
    tiles = _tiles(inside.astype(np.float32)) >= _MOST_OF_A_TILE
    if not tiles.any():
        return NOTHING
    red_tile, green_tile, blue_tile = (_tiles(plane)[tiles] for plane in (red, green, blue))
    light = 0.299 * red_tile + 0.587 * green_tile + 0.114 * blue_tile
    paleness = blue_tile / np.maximum(red_tile, 1)
    around = _blurred(green, _COARSE)
    relief = around - _blurred(_blurred(green, _FINE), _FINE)
    vessels = inside & (relief > np.maximum(_VESSEL[0] * around, _VESSEL[1]))
    return {
        "glare": float(((light > _GLARE[0] * np.median(light)) & (paleness > _GLARE[1])).mean()),
        "sharpness": _sharpness(green, relief, np.maximum(around, _DARKEST), inside),
        "visibility": float((_tiles(vessels.astype(np.float32))[tiles] > _VESSELS).mean()),
        "haze": float(np.median(paleness)),
    }


def _cells(rgb: Pixels, box: tuple[slice, slice]) -> tuple[Plane, Mask]:
    """Average four pixels of each of `_DIAMETER` x `_DIAMETER` cells around the box, less those beyond the frame.

    Returns [3, rows, columns] and which cells lie well inside the disc. Four pixels are enough against noise
    and aliasing, and do not take the time that all would.
    """
    if abs(rgb.strides[0]) < abs(rgb.strides[1]):  # turned: walk along its memory, not across
        rgb, box = rgb.swapaxes(0, 1), (box[1], box[0])
    diameter = max(side.stop - side.start for side in box)
    rows, y = _axis(box[0], diameter, rgb.shape[0])
    columns, x = _axis(box[1], diameter, rgb.shape[1])
    places = (columns * 3 + np.arange(3)[:, None]).ravel()  # each channel together
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
    """Return the pixels of the cells within the frame, two each, and where their cells lie, -1 to 1."""
    start = (side.start + side.stop - diameter) / 2
    pixels = np.floor(
        start + (np.arange(2 * _DIAMETER) + 0.5) * (diameter / (2 * _DIAMETER))
    ).astype(np.intp)
    pairs = pixels.reshape(-1, 2)
    held = (pairs[:, 0] >= 0) & (pairs[:, 1] < length)
    return pairs[held].ravel(), ((np.arange(_DIAMETER) + 0.5) / (_DIAMETER / 2) - 1)[held]


def _blurred(plane: Plane, width: int) -> Plane:
    """Average over squares of `width` cells, an odd number; the edge goes on beyond itself."""
    rows, columns = plane.shape
    padded = np.pad(plane, width // 2, mode="edge")
    tall = np.add.reduce([padded[start : start + rows] for start in range(width)])
    mean: Plane = np.add.reduce(
        [tall[:, start : start + columns] for start in range(width)]
    ) * np.float32(1 / width**2)
    return mean


def _tiles(plane: Plane) -> Plane:
    """Average over tiles; what is left at the far edges is outside the disc, or nearly."""
    rows, columns = (length // _TILE for length in plane.shape)
    tiled = plane[: rows * _TILE, : columns * _TILE].reshape(rows, _TILE, columns, _TILE)
    means: Plane = tiled.mean(axis=(1, 3), dtype=np.float64).astype(np.float32)
    return means


def _sharpness(green: Plane, relief: Plane, around: Plane, inside: Mask) -> float:
    laplacian = np.zeros_like(green)
    laplacian[1:-1, 1:-1] = 4 * green[1:-1, 1:-1] - green[:-2, 1:-1] - green[2:, 1:-1]
    laplacian[1:-1, 1:-1] -= green[1:-1, :-2] + green[1:-1, 2:]
    fine, coarse = (
        np.percentile(np.abs(plane / around)[inside], 75) for plane in (laplacian, relief)
    )
    return float(fine / coarse) if coarse > 0 else 1.0  # nothing to be sharp or not
