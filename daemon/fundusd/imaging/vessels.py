"""Measure how much of the disc shows vessels, and whether its structures look like vessels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, SupportsFloat

import numpy as np

from fundusd.imaging.disc_cells import COARSE, SPARSE, blurred, tile_means
from fundusd.imaging.vessel_lines import lines_in

if TYPE_CHECKING:
    import numpy.typing as npt

    from fundusd.imaging.disc_cells import Mask, Plane

_FINE, _WIDE = 3, 25  # cells: below the width of a vessel, and about a tenth of the disc
_DARK = 0.1  # of the median green: the surround, and parts of the disc that are not lit
_VESSEL = (0.04, 4.0)  # least darkness against the surround, relative and in levels
_BLOOD = 0.7  # most relief in red, relative to that in green: blood hardly absorbs red
_MIN_VESSEL_SHARE = 0.05  # of a tile
_LAPLACE_POWER = 20  # variance of the Laplacian of noise with a variance of 1
_SMOOTHED_NOISE = (19 / 81) ** 2  # variance that two averages over 3 x 3 cells leave of 1
_BAND = 3.0  # tiles from the middle: beyond it lies the outer band on each of the four sides
_MIN_LIGHT = np.float32(1)  # level, against division by zero


def relief_of(plane: Plane) -> tuple[Plane, Plane]:
    """Return the plane's surround, and by how much each cell is darker than its surround.

    The relief is the contrast of a band (Peli, J Opt Soc Am A 1990) at the width of a vessel.
    """
    around = blurred(plane, COARSE)
    return around, around - blurred(blurred(plane, _FINE), _FINE)


def measure_vessels(
    green: tuple[Plane, Plane],
    red: tuple[Plane, Plane],
    colour: Plane,
    inside: Mask,
    tiles: Mask,
) -> tuple[Mask, dict[str, float]]:
    """Return which tiles show vessels, and measures by name, from the relief of two channels.

    Visibility is the share of tiles with vessels, after Fleming et al., Invest Ophthalmol Vis Sci
    2006, who took visible vessels as the sign of a clear image. Vessels are darker than their
    surround in green but hardly in red (van Assendelft, Spectrophotometry of Haemoglobin
    Derivatives, 1970), unlike hair, shadows and the texture of skin. `lines` is the share of tiles
    with lines that may be fainter. `texture` is the same share as visibility without the criterion
    of colour, and `red_relief` the red relief of all dark structures divided by their
    green relief.
    """
    green_around, green_relief = green
    red_around, red_relief = red
    unlit = green_around < _DARK * _median(green_around[SPARSE][inside[SPARSE]])
    lit = inside & ~_near(unlit, inside, COARSE)
    relative = green_relief / np.maximum(green_around, _MIN_LIGHT)
    relative_red = red_relief / np.maximum(red_around, _MIN_LIGHT)
    dark = lit & (green_relief > np.maximum(_VESSEL[0] * green_around, _VESSEL[1]))
    is_blood = relative_red <= _BLOOD * relative
    vessels = dark & is_blood
    lines = lines_in(green_relief) & lit & is_blood
    seen = tile_means(vessels)[tiles] > _MIN_VESSEL_SHARE
    return seen, {
        "visibility": float(seen.mean()),
        "lines": float((tile_means(lines)[tiles] > _MIN_VESSEL_SHARE).mean()),
        "texture": float((tile_means(dark)[tiles] > _MIN_VESSEL_SHARE).mean()),
        "red_relief": _ratio(relative_red[dark].sum(), relative[dark].sum()),
        "colour_relief": _residue(relative[SPARSE][lit[SPARSE]], relative_red[SPARSE][lit[SPARSE]]),
        "roughness": _roughness(green_around, unlit, inside),
        "least_detail": _least_detail(colour, relative_red - relative, tiles),
    }


def _near(unlit: Mask, inside: Mask, width: int) -> Mask:
    """Return which cells have unlit cells in the square of `width` cells around them.

    There, the edge of the dark would look like a structure of the retina.
    """
    if not unlit[inside].any():
        return unlit
    near: Mask = blurred(unlit.astype(np.float32), width) > 0
    return near


def _roughness(around: Plane, unlit: Mask, inside: Mask) -> float:
    """Return the median contrast of coarse structures, which are wider than vessels."""
    some, few = inside[SPARSE], around[SPARSE]
    counted = some & ~_near(unlit[SPARSE], some, COARSE + _WIDE // 2)
    wide = np.abs(blurred(few, _WIDE // 2 + 1) - few)[counted]
    return _median(wide / np.maximum(few[counted], _MIN_LIGHT))


def _ratio(numerator: SupportsFloat, denominator: SupportsFloat) -> float:
    """Return the ratio, or 0 without anything to compare."""
    if not float(denominator) > 0:
        return 0.0
    return float(numerator) / float(denominator)


def _median(values: npt.NDArray[np.floating[Any]]) -> float:
    if not values.size:
        return 0.0
    return float(np.median(values))


def _residue(green: npt.NDArray[Any], red: npt.NDArray[Any]) -> float:
    """Return the share of the red relief (standard deviation) that the green does not explain.

    It is near 0 for a toned grey picture and 1 if the two are unrelated or there is no relief.
    """
    spread = float(np.std(red)) if red.size else 0.0
    if not spread > 0:
        return 1.0
    slope = _ratio((green * red).sum(dtype=np.float64), (green * green).sum(dtype=np.float64))
    return float(np.std(red - np.float32(slope) * green)) / spread


def _least_detail(colour: Plane, smooth: npt.NDArray[Any], tiles: Mask) -> float:
    """Return the contrast in colour in the smoothest of the disc's four outer bands.

    `colour` is the relative green minus the relative red, and `smooth` is the same smoothed. The
    contrast is the root mean square of the smoothed, less what the noise of each tile contributes.
    It is relative to the median of all tiles. Skin has texture, but not in colour.
    """
    laplacian = np.zeros_like(colour)
    laplacian[1:-1, 1:-1] = 4 * colour[1:-1, 1:-1] - colour[:-2, 1:-1] - colour[2:, 1:-1]
    laplacian[1:-1, 1:-1] -= colour[1:-1, :-2] + colour[1:-1, 2:]
    noise = tile_means(laplacian**2) / _LAPLACE_POWER
    contrast = np.sqrt(np.maximum(tile_means(smooth**2) - _SMOOTHED_NOISE * noise, 0))
    whole = _median(contrast[tiles])  # a large haemorrhage does not raise it
    if not whole > 0:
        return 1.0
    rows, columns = np.indices(tiles.shape)
    down, across = rows - (tiles.shape[0] - 1) / 2, columns - (tiles.shape[1] - 1) / 2
    least = 1.0
    for outside in (down > _BAND, down < -_BAND, across > _BAND, across < -_BAND):
        band = contrast[tiles & outside]
        if band.size:
            least = min(least, float(band.mean()) / whole)
    return least
