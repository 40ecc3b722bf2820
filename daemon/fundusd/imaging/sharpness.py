"""Measure glare, sharpness, compression, vessels and haze inside the disc.

The disc is scaled to one size first, so that the measures are comparable between cameras.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fundusd.imaging.disc_cells import SPARSE, cells_of, central_tiles, tile_means, tiles_inside
from fundusd.imaging.vessels import measure_vessels, relief_of

if TYPE_CHECKING:
    from fundusd.domain.decoding import Pixels
    from fundusd.imaging.disc_cells import Mask, Plane

_MIN_SURROUND = 16.0  # levels: below that, relative contrast is noise
_GLARE = (1.5, 160.0, 0.55)  # least luminance over the median, in levels, and blue over red
_SATURATED = 250  # level
_LAPLACE_OF_NOISE = 0.6745 * 20**0.5  # median of |Laplacian| for noise of standard deviation 1
_STEEP, _STEEPER = 4.0, 6.0  # times the grain: second differences and Laplacians of vessels
_BLOCK = 8  # pixels of a JPEG block
_WINDOW = (256, 256)  # pixels of the middle in which the edges of blocks are measured
_LEAST_STEP = 0.05  # levels

NO_DETAIL = {
    "glare": 0.0, "central_glare": 0.0, "saturated": 0.0, "sharpness": 0.0, "fine_detail": 0.0,
    "direction": 1.0,
    "visibility": 0.0, "lines": 0.0, "texture": 0.0, "red_relief": 0.0, "colour_relief": 1.0,
    "roughness": 0.0,
    "least_detail": 1.0, "haze": 0.0, "colour_range": 1.0, "light_range": 1.0,
}  # fmt: skip


def measure_detail(rgb: Pixels, box: tuple[slice, slice]) -> dict[str, float]:
    """Return the measures of the disc in a box of an RGB image [height, width, 3], by name.

    Sharpness is the ratio of fine to coarse detail. Fine detail is the Laplacian (a focus measure:
    Pech-Pacheco et al., ICPR 2000); coarse detail is the relief at the width of a vessel. Both are
    relative to the light, so that exposure cancels out, and both use the green channel, which shows
    vessels best. `fine_detail` is the Laplacian in levels, scaled so that it would be the standard
    deviation of noise; `direction` is that of the least direction divided by the greatest, which
    is small if the camera moved.
    """
    (red, green, blue), inside = cells_of(rgb, box)
    tiles = tiles_inside(inside)
    if not tiles.any():
        return NO_DETAIL
    red_tiles, green_tiles, blue_tiles = (tile_means(plane)[tiles] for plane in (red, green, blue))
    light = 0.299 * red_tiles + 0.587 * green_tiles + 0.114 * blue_tiles
    paleness = blue_tiles / np.maximum(red_tiles, 1)
    colour_range, light_range = _ranges(red_tiles, green_tiles, blue_tiles)
    around, relief = relief_of(green)
    laplacian = np.zeros_like(green)
    laplacian[1:-1, 1:-1] = 4 * green[1:-1, 1:-1] - green[:-2, 1:-1] - green[2:, 1:-1]
    laplacian[1:-1, 1:-1] -= green[1:-1, :-2] + green[1:-1, 2:]
    some = inside[SPARSE]
    fine = np.abs(laplacian[SPARSE][some])
    grain = float(np.median(fine)) / _LAPLACE_OF_NOISE
    light_around = np.maximum(around[SPARSE][some], _MIN_SURROUND)
    bright = (light > _GLARE[0] * np.median(light)) & (light > _GLARE[1])
    red_around, red_relief = relief_of(red)
    colour = green / np.maximum(around, 1) - red / np.maximum(red_around, 1)
    seen, vessels = measure_vessels(
        (around, relief), (red_around, red_relief), colour, inside, tiles
    )
    glare = bright & (paleness > _GLARE[2]) & ~seen
    return {
        "glare": float(glare.mean()),
        "central_glare": float(glare[central_tiles(tiles)].mean()),
        "saturated": float((green[inside] >= _SATURATED).mean()),
        "sharpness": _sharpness(fine, relief[SPARSE][some], light_around),
        "fine_detail": grain,
        "direction": _direction(green, laplacian, inside, grain),
        **vessels,
        "haze": float(np.median(paleness)),
        "colour_range": colour_range,
        "light_range": light_range,
    }


def _ranges(red: Plane, green: Plane, blue: Plane) -> tuple[float, float]:
    """Return by how much the colour and the light differ between the disc's tiles.

    The range of colour is the greater of those of green and blue over red. Both are ranges of
    logarithms, without the lowest and the highest tenth. One material in one light, such as paper
    or paint, differs in light alone; a retina has a macula, an optic disc and a choroid.
    """
    ranges = []
    for values in ((green + 1) / (red + 1), (blue + 1) / (red + 1), green + 1):
        ordered = np.sort(np.log(values))
        tenth = len(ordered) // 10
        ranges.append(float(ordered[-1 - tenth] - ordered[tenth]))
    return max(ranges[:2]), ranges[2]


def _sharpness(fine: Plane, relief: Plane, around: Plane) -> float:
    coarse = np.percentile(np.abs(relief / around), 75)
    if coarse > 0:
        return float(np.percentile(fine / around, 75) / coarse)
    return 1.0  # without any contrast, sharpness is undefined


def _direction(green: Plane, laplacian: Plane, inside: Mask, grain: float) -> float:
    """Return the fine detail in the direction with the least, divided by that across it.

    Steps are limited to a multiple of the grain, so that the direction of vessels does not count.
    Motion along rows or columns shows in the second differences along them, and slanting motion in
    the gradient of the Laplacian.
    """
    limit = np.float32(_STEEP * grain)
    if not limit > 0:
        return 1.0
    middle, mask = green[2:-2:2, 2:-2:2], inside[2:-2:2, 2:-2:2]
    rows, columns = green.shape
    steps = []
    for down, across in ((0, 1), (1, 0)):
        before = green[2 - down : rows - 2 - down : 2, 2 - across : columns - 2 - across : 2]
        after = green[2 + down : rows - 2 + down : 2, 2 + across : columns - 2 + across : 2]
        size = np.minimum(np.abs(2 * middle - before - after), limit)
        steps.append(float(size[mask].mean(dtype=np.float64)))
    straight = min(steps) / max(steps) if max(steps) > 0 else 1.0
    return min(straight, _slant(laplacian, mask, np.float32(_STEEPER * grain)))


def _slant(laplacian: Plane, mask: Mask, limit: np.float32) -> float:
    """Return the least slope of the Laplacian in any direction, divided by that across it.

    `mask` is of every second cell, without two at each edge. The slopes are the roots of the
    eigenvalues of the structure tensor (Bigun and Granlund, ICCV 1987).
    """
    limited = np.clip(laplacian, -limit, limit)
    across = (limited[2:-2:2, 3:-1:2] - limited[2:-2:2, 1:-3:2])[mask]
    down = (limited[3:-1:2, 2:-2:2] - limited[1:-3:2, 2:-2:2])[mask]
    xx = float((across * across).mean(dtype=np.float64))
    yy = float((down * down).mean(dtype=np.float64))
    xy = float((across * down).mean(dtype=np.float64))
    if not xx + yy > 0:
        return 1.0
    spread = math.hypot(xx - yy, 2 * xy)
    return math.sqrt(max(0.0, xx + yy - spread) / (xx + yy + spread))


def measure_blocks(rgb: Pixels) -> float:
    """Return the mean step at the edges of JPEG blocks, divided by the median step elsewhere.

    It is the greater of the ratios of rows and columns. The steps are between neighbouring pixels
    of the green channel in the middle of the image. The grid may lie anywhere, because the image
    may have been cropped. The ratio is 1 without blocks.
    """
    height, width = rgb.shape[:2]
    if min(height, width) < 2 * _BLOCK + 1:
        return 1.0
    top, left = max(0, (height - _WINDOW[0]) // 2), max(0, (width - _WINDOW[1]) // 2)
    window = rgb[top : top + _WINDOW[0], left : left + _WINDOW[1], 1].astype(np.float32)
    ratios = []
    for plane in (window, window.T):
        steps = np.abs(plane[1:] - plane[:-1]).mean(axis=1, dtype=np.float64)
        phases = steps[: len(steps) // _BLOCK * _BLOCK].reshape(-1, _BLOCK).mean(axis=0)
        ratios.append(float(phases.max() / max(_LEAST_STEP, float(np.median(phases)))))
    return max(ratios)
