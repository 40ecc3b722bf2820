"""Find the optic disc and the macula in a photograph of the retina.

The optic disc is a bright spot of known size on which the large vessels converge. Brightness alone
would also find exudates and reflections, and vessels alone would find a crossing, so both are added
up (Sinthanayothin et al., Br J Ophthalmol 1999; Foracchia et al., IEEE Trans Med Imaging 2004). The
macula is the darkest spot at the usual distance from the disc, towards the centre of the picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from fundusd.domain.decoding import Pixels

    Plane = npt.NDArray[np.float64]  # [_DIAMETER, _DIAMETER]
    Mask = npt.NDArray[np.bool_]

_DIAMETER = 96  # cells across the field; the optic disc is 10 to 15 of them wide
_CENTRES = (np.arange(_DIAMETER) + 0.5) / (_DIAMETER / 2) - 1  # of the cells, in radii
_INSIDE = 0.97  # of the radius: excludes the rim
_EDGE, _MIN_COVER = 7, 0.8  # least share of the square around the optic disc that is in the field

_ILLUMINATION = 33  # cells: the width of the square whose mean is the illumination
_MARGIN = _ILLUMINATION // 2  # cells: no square reaches further beyond the plane
_MIN_LEVEL = 8.0  # of the illumination: where it is darker, contrast is noise
_SPOT, _SURROUND = 11, 25  # cells: the widths of squares in and around the optic disc
_MAX_SPOT = 1.8  # of the illumination: brighter cells, such as reflections, do not count for more
_CONVERGENCE = 17  # cells: the width of the square in which vessels are counted
_BESIDE = 3  # cells from the middle of a vessel to the retina beside it
_BACKGROUND = 1.08  # of the illumination: a gap between exudates is not darker than its surround
_DEPTH = (0.01, 0.2)  # of the illumination: darkness of a vessel, least and greatest that counts

_MIN_SPREAD = (0.015, 0.002)  # of brightness and vessels: a smaller spread is noise
_RANGE = (-2.0, 4.0)  # standard deviations of brightness and vessels that count
_VESSEL_WEIGHT = 0.5
_DIAGONAL = (0.2, 2.0)  # in most fields, the optic disc lies on an axis: free offset, and penalty

_APART = 0.35  # radii: nearer to the optic disc, places resemble it because they touch it
_PEAK = 8  # cells: the reach of a peak, whose centre of gravity is more precise than its top

_MACULA = 9  # cells: the width of a square in the macula
_MACULA_DISTANCE = (0.5, 1.0)  # radii from the optic disc, for fields of 30 to 50 degrees
_MACULA_SIDEWAYS = 0.25  # radii from the line through the optic disc and the centre

NOT_FOUND = {
    "optic_disc_x": 0.0,
    "optic_disc_y": 0.0,
    "optic_disc_certainty": 0.0,
    "optic_disc_lead": 0.0,
    "macula_x": 0.0,
    "macula_y": 0.0,
    "macula_contrast": 0.0,
}


class _Sums:
    """Sums over squares of a plane, computed from its summed-area table.

    Cells beyond the plane count as zero.
    """

    def __init__(self, plane: Plane) -> None:
        first, last = _MARGIN + 1, _MARGIN + _DIAMETER
        table = np.zeros((last + _MARGIN + 1, last + _MARGIN + 1))
        inner = table[first : last + 1, first : last + 1]
        plane.cumsum(axis=0, out=inner).cumsum(axis=1, out=inner)
        table[last + 1 :] = table[last]
        table[:, last + 1 :] = table[:, last : last + 1]
        self._table = table

    def over(self, width: int) -> Plane:
        """Return the sum over the square of `width` x `width` cells around each cell."""
        before, after = _MARGIN - width // 2, _MARGIN + width // 2 + 1
        table, length = self._table, _DIAMETER
        rows = table[after : after + length] - table[before : before + length]
        sums: Plane = rows[:, after : after + length] - rows[:, before : before + length]
        return sums


def measure_optic_disc(sample: Pixels, lit: Mask, box: tuple[slice, slice]) -> dict[str, float]:
    """Return the places of the optic disc and the macula in the field, by name.

    `sample` is an RGB image [height, width, 3], `lit` its mask of the field, and `box` the bounding
    box of the field. Places are relative to the centre of the field, in radii: x grows to the
    right, y downwards. The certainty, from 0 to 1, says how much better the place is than any place
    on the other side of the centre, and the lead how much better it is than any other place apart
    from it. The contrast of the macula is relative to the illumination.
    """
    if not box[0].stop:
        return NOT_FOUND
    light, field = _cells(sample, lit, box)
    mask = field.astype(np.float64)
    covered = _Sums(mask)
    places = field & (covered.over(_EDGE) >= _MIN_COVER * _EDGE**2)
    if not places.any():
        return NOT_FOUND
    illumination = np.maximum(_mean(_Sums(light * mask), covered, _ILLUMINATION), _MIN_LEVEL)
    relative = np.where(field, light / illumination, 1.0)
    spots = _Sums(np.minimum(relative, _MAX_SPOT) * mask)
    around = _mean(spots, covered, _SURROUND)
    vessels = _mean(_Sums(_vessels(relative, field)), covered, _CONVERGENCE)
    vessels -= vessels[places].mean()
    score = _standardised(_mean(spots, covered, _SPOT) - around, places, _MIN_SPREAD[0])
    score += _VESSEL_WEIGHT * _standardised(vessels, places, _MIN_SPREAD[1])
    x, y, certainty, lead = _best_place(score, places)
    macula_x, macula_y, contrast = _macula(around - _mean(spots, covered, _MACULA), field, x, y)
    return {
        "optic_disc_x": x,
        "optic_disc_y": y,
        "optic_disc_certainty": certainty,
        "optic_disc_lead": lead,
        "macula_x": macula_x,
        "macula_y": macula_y,
        "macula_contrast": contrast,
    }


def _cells(sample: Pixels, lit: Mask, box: tuple[slice, slice]) -> tuple[Plane, Mask]:
    """Average four pixels in each cell of a `_DIAMETER` x `_DIAMETER` grid around the field.

    Returns the luminance (ITU-R BT.601) and a mask of the cells in the field.
    """
    diameter = max(side.stop - side.start for side in box)
    rows, rows_in_frame = _axis(box[0], diameter, sample.shape[0])
    columns, columns_in_frame = _axis(box[1], diameter, sample.shape[1])
    light = np.zeros((_DIAMETER, _DIAMETER))
    for channel, weight in enumerate((0.299, 0.587, 0.114)):
        points = sample[..., channel].take(rows, axis=0).take(columns, axis=1)
        pairs = np.add(points[::2], points[1::2], dtype=np.uint16)
        light += weight / 4 * (pairs[:, ::2] + pairs[:, 1::2])
    field = _CENTRES[:, None] ** 2 + _CENTRES**2 < _INSIDE**2
    field &= rows_in_frame[:, None] & columns_in_frame
    field &= lit[rows[::2, None], columns[::2]] & lit[rows[1::2, None], columns[1::2]]
    return light, field


def _axis(side: slice, diameter: int, length: int) -> tuple[npt.NDArray[np.intp], Mask]:
    """Return, along one axis, two pixel indices for each cell, and whether the cell is in frame."""
    start = (side.start + side.stop - diameter) / 2
    places = start + (np.arange(2 * _DIAMETER) + 0.5) * (diameter / (2 * _DIAMETER))
    indices = np.floor(places).astype(np.intp)
    in_frame = (indices[::2] >= 0) & (indices[1::2] < length)
    return indices.clip(0, length - 1), in_frame


def _mean(sums: _Sums, covered: _Sums, width: int) -> Plane:
    """Return the mean over the part of each square that lies in the field."""
    mean: Plane = sums.over(width) / np.maximum(covered.over(width), 1.0)
    return mean


def _vessels(relative: Plane, field: Mask) -> Plane:
    """Return by how much each cell is darker than the retina on both its sides.

    Vertical and horizontal vessels are added up, so that a turned picture gives the same result.
    """
    plane = np.minimum(relative, _BACKGROUND)
    darkness = np.zeros_like(plane)
    for turned, mask, total in ((plane, field, darkness), (plane.T, field.T, darkness.T)):
        before, middle, after = _shifted(turned)
        in_field = np.logical_and.reduce(_shifted(mask))
        depth = (np.minimum(before, after) - middle - _DEPTH[0]).clip(0, _DEPTH[1])
        total[:, _BESIDE:-_BESIDE] += np.where(in_field, depth, 0)
    return darkness


def _shifted(plane: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.generic], ...]:
    """Return the cells to the left of the inner cells of each row, those cells, and the right."""
    return plane[:, : -2 * _BESIDE], plane[:, _BESIDE:-_BESIDE], plane[:, 2 * _BESIDE :]


def _standardised(plane: Plane, places: Mask, min_spread: float) -> Plane:
    """Return the plane in units of its standard deviation, within the range that counts."""
    standardised: Plane = (plane / (plane[places].std() + min_spread)).clip(*_RANGE)
    return standardised


def _best_place(score: Plane, places: Mask) -> tuple[float, float, float, float]:
    """Return the x, y, certainty and lead of the place with the highest score."""
    off_axis = np.minimum(np.abs(_CENTRES)[:, None], np.abs(_CENTRES))
    score = score - _DIAGONAL[1] * np.maximum(off_axis - _DIAGONAL[0], 0)
    score = np.where(places, score, -np.inf)
    row, column = divmod(int(score.argmax()), _DIAMETER)
    best = float(score[row, column])
    other_side = _CENTRES[:, None] * _CENTRES[row] + _CENTRES * _CENTRES[column] < 0
    second = max(float(score[other_side].max()), 0.0)
    if best <= second:
        return float(_CENTRES[column]), float(_CENTRES[row]), 0.0, 0.0
    distance = np.hypot((_CENTRES - _CENTRES[row])[:, None], _CENTRES - _CENTRES[column])
    rival = max(float(score[distance >= _APART].max()), 0.0)
    return *_centre_of_peak(score, row, column), 1 - second / best, 1 - rival / best


def _centre_of_peak(plane: Plane, row: int, column: int) -> tuple[float, float]:
    """Return the x and y of the centre of gravity of a peak, as far as it exceeds half its height.

    The height of the peak must be positive.
    """
    rows = slice(max(row - _PEAK, 0), row + _PEAK + 1)
    columns = slice(max(column - _PEAK, 0), column + _PEAK + 1)
    weight = np.maximum(plane[rows, columns] - plane[row, column] / 2, 0)
    x = (weight * _CENTRES[columns]).sum() / weight.sum()
    y = (weight * _CENTRES[rows, None]).sum() / weight.sum()
    return float(x), float(y)


def _macula(darkness: Plane, field: Mask, x: float, y: float) -> tuple[float, float, float]:
    """Return the x, y and contrast of the macula, given the place of the optic disc."""
    distance = float(np.hypot(x, y))
    towards_x, towards_y = -x / distance, -y / distance
    along = (_CENTRES - x) * towards_x + ((_CENTRES - y) * towards_y)[:, None]
    sideways = (_CENTRES - x) * towards_y - ((_CENTRES - y) * towards_x)[:, None]
    zone = field & (along > _MACULA_DISTANCE[0]) & (along < _MACULA_DISTANCE[1])
    zone &= np.abs(sideways) < _MACULA_SIDEWAYS
    if not zone.any():
        return 0.0, 0.0, 0.0
    row, column = divmod(int(np.where(zone, darkness, -np.inf).argmax()), _DIAMETER)
    contrast = float(darkness[row, column])
    if contrast <= 0:
        return float(_CENTRES[column]), float(_CENTRES[row]), 0.0
    return *_centre_of_peak(np.where(field, darkness, 0), row, column), contrast
