"""Locate the illuminated field of a fundus photograph and describe its shape."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fundusd.imaging.disc_cells import median, repeat_edges, square_sums

if TYPE_CHECKING:
    import numpy.typing as npt

    from fundusd.domain.decoding import Pixels

    Mask = npt.NDArray[np.bool_]

_BLACK, _MIN_STEP = 12.0, 5.0  # luminance: the lightest black surround, the least step to the field
_LIT = 0.12  # of the 95th percentile of luminance
_WHITE = 225  # in every channel: paper white
_WHITE_LINE, _MIN_INNER = 0.8, 0.5  # share of a strip's line that is white; share between strips
_MIN_WHITE, _MAX_WHITE = 0.004, 0.9  # shares of the frame; otherwise there is no white margin
_MAJORITY = 5  # pixels: wider than the strokes of a caption
_MIN_LIT_SHARE = 0.02  # of a row or column inside the bounding box
_LIT_FIELD = 0.3  # of the field's median luminance: darker areas show nothing
_CORNER = 0.05  # of the short side
_PEAK = 0.5  # of the largest extent: the least for a second field in the frame
_APART = 0.3  # between four fields in a square; a ring is wider
_OBLONG = 1.4
_STRAIGHT = 0.35  # of the rows or columns: more than a circle has within a pixel of its extreme
_MIN_RIM = 40  # points on the rim, below which no circle is fitted
_MAX_RESIDUE = 0.03  # of the radius
_RADII = (0.4, 1.2)  # of the longer side of the box: the plausible radii of its circle


def subsample(rgb: Pixels, step: int) -> Pixels:
    """Return every `step`th pixel of each axis.

    Each channel of the result is contiguous.
    """
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(rgb[::step, ::step], 2, 0)), 0, 2)


def luminance_of(rgb: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the luminance (ITU-R BT.601).

    It is not computed as a dot product, whose last bit would depend on the BLAS.
    """
    return 0.299 * rgb[..., 0] + 0.587 * rgb[..., 1] + 0.114 * rgb[..., 2]


def find_lit(rgb: Pixels) -> Mask:
    """Return a mask of the field, which is brighter than its surround and the exposure suggest.

    White margins and captions are not part of it.
    """
    luminance = luminance_of(rgb)
    margin = _white_margin(rgb)
    some = luminance[::2, ::2][~margin[::2, ::2]]  # enough pixels for percentiles
    if not some.size:
        return np.zeros(luminance.shape, bool)
    darkest, brightest = np.percentile(some, (2, 95))
    threshold = max(min(darkest, _BLACK) + _MIN_STEP, _LIT * brightest)
    return _majority((luminance > threshold) & ~margin)


def _white_margin(rgb: Pixels) -> Mask:
    """Return a mask of the white that reaches inwards from the edges, and of caption strips."""
    white = _white(rgb)
    reached = np.logical_and.accumulate
    margin = np.zeros_like(white)
    edges = (white[0], white[-1], white[:, 0], white[:, -1])
    if not any(edge.any() for edge in edges):
        return margin
    for axis in (0, 1):
        margin |= reached(white, axis=axis)
        margin |= np.flip(reached(np.flip(white, axis), axis=axis), axis)
    rows, columns = _between_strips(white)
    margin[: rows.start] = margin[rows.stop :] = True
    margin[:, : columns.start] = margin[:, columns.stop :] = True
    if not _MIN_WHITE < margin.mean() < _MAX_WHITE:
        return np.zeros_like(white)
    return margin


def _white(rgb: Pixels) -> Mask:
    white: Mask = np.minimum(np.minimum(rgb[..., 0], rgb[..., 1]), rgb[..., 2]) >= _WHITE
    return white


def _between_strips(white: Mask) -> tuple[slice, slice]:
    """Return the ranges of rows and columns that lie between white strips along the edges."""
    ranges: list[slice] = []
    for axis in (1, 0):
        inner = np.flatnonzero(white.mean(axis=axis) <= _WHITE_LINE)
        length = white.shape[1 - axis]
        if inner.size and inner[-1] + 1 - inner[0] >= _MIN_INNER * length:
            ranges.append(slice(int(inner[0]), int(inner[-1]) + 1))
        else:
            ranges.append(slice(0, length))
    return ranges[0], ranges[1]


def _majority(mask: Mask) -> Mask:
    """Return whether most of the square around each pixel is set, which removes text and noise."""
    padded = repeat_edges(mask.view(np.uint8), _MAJORITY // 2)
    most: Mask = square_sums(padded, _MAJORITY) > _MAJORITY**2 // 2
    return most


def bounding_box(lit: Mask) -> tuple[slice, slice]:
    """Return the ranges of rows and columns that are more than 2 % lit, which excludes specks."""
    rows = np.flatnonzero(lit.mean(axis=1) > _MIN_LIT_SHARE)
    columns = np.flatnonzero(lit.mean(axis=0) > _MIN_LIT_SHARE)
    if not rows.size or not columns.size:
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def measure_field(sample: Pixels, lit: Mask, box: tuple[slice, slice]) -> dict[str, float]:
    """Return the measures of the field's shape in a subsampled RGB image, by name.

    `lit` is the mask of the field and `box` its bounding box.
    """
    disc = lit[box]
    return {
        "disc_share": float(lit.mean()),
        "dark_corners": _dark_corners(lit),
        **_shape(disc),
        "waist": _waist(disc),
        **_circle_measures(sample, lit, box),
    }


def _dark_corners(lit: Mask) -> float:
    """Return how many of the four corners are mostly dark, as a share from 0 to 1."""
    side = max(1, round(_CORNER * min(lit.shape)))
    first, last = slice(None, side), slice(-side, None)
    dark = 0
    for corner in ((first, first), (first, last), (last, first), (last, last)):
        if not lit[corner].mean() > 0.5:  # noqa: PLR2004  more than half
            dark += 1
    return dark / 4


def _shape(disc: Mask) -> dict[str, float]:
    """Return the shares of lit pixels in the field's bounding box and in its middle half."""
    height, width = disc.shape
    core = disc[height // 4 : height - height // 4, width // 4 : width - width // 4]
    if not core.size:
        return {"box_fill": 0.0, "core_fill": 0.0}
    return {"box_fill": float(disc.mean()), "core_fill": float(core.mean())}


def _waist(disc: Mask) -> float:
    """Return the relative width of the field where it narrows between two broad parts.

    The measure is the narrowest extent divided by the extent of the smaller part. It is 0 for
    separate parts and 1 for a single part. In an oblong box, it is measured along the longer side.
    Otherwise, the parts must be almost separate along both sides, because a shadow may lie across a
    single disc.
    """
    if not disc.any():
        return 1.0
    height, width = disc.shape
    across, down = _narrowing(disc.sum(axis=0)), _narrowing(disc.sum(axis=1))
    if width > _OBLONG * height:
        return across
    if height > _OBLONG * width:
        return down
    if max(across, down) < _APART:
        return max(across, down)
    return 1.0


def _narrowing(extent: npt.NDArray[np.int_]) -> float:
    before = np.maximum.accumulate(extent)
    after = np.maximum.accumulate(extent[::-1])[::-1]
    peaks = np.minimum(before, after)
    between = peaks >= _PEAK * extent.max()
    return float((extent[between] / peaks[between]).min())


def _circle_measures(sample: Pixels, lit: Mask, box: tuple[slice, slice]) -> dict[str, float]:
    """Return how much of the retina's circle is in the picture, and whether the field is round.

    `field` is the share of the circle that is lit and bright enough. Cameras whose frame is
    narrower than the circle cut it off on two opposite sides alike; what is cut off in this way
    does not count as missing. `roundness` is the share of the field that lies within the circle.
    """
    if not lit[box].any():
        return {"field": 0.0, "roundness": 0.0}
    luminance = luminance_of(sample)
    some = luminance[::2, ::2][lit[::2, ::2]]  # enough pixels for a median
    if not some.size:
        some = luminance[lit]
    bright = luminance > _LIT_FIELD * median(some)
    centre, radius = _circle_of(lit, box)
    halves: list[float] = []  # height and width of the frame around the circle's centre
    for middle, inner in zip(centre, _between_strips(_white(sample)), strict=True):
        halves.append(max(middle - inner.start, inner.stop - middle, radius / 2))
    down = np.arange(-radius, radius) + 0.5
    chords = 2 * np.minimum(np.sqrt(np.maximum(radius**2 - down**2, 0)), halves[1])
    whole = float(chords[np.abs(down) < halves[0]].sum())
    y, x = (np.arange(n) + 0.5 - middle for n, middle in zip(lit.shape, centre, strict=True))
    circle = y[:, None] ** 2 + x**2 < (radius + 1) ** 2
    return {
        "field": np.count_nonzero(bright & lit) / max(1.0, whole),
        "roundness": np.count_nonzero(lit & circle) / np.count_nonzero(lit),
    }


def _circle_of(lit: Mask, box: tuple[slice, slice]) -> tuple[npt.NDArray[np.float64], float]:
    """Return the centre and the radius of the field's circle in pixels.

    A circle is fitted to the rim (Kasa, IEEE Trans Instrum Meas 1976), twice, the second time
    without outliers. Straight edges are not the rim: there, the field is cut off. Without enough
    rim, the circle is taken to touch the longer side of the box.
    """
    longer = max(side.stop - side.start for side in box)
    start = np.array([side.start for side in box])
    middle = np.array([(side.start + side.stop) / 2 for side in box])
    by_column = _rim(lit[box].T, box[::-1], lit.shape[::-1])
    rim = np.concatenate([_rim(lit[box], box, lit.shape), by_column[:, ::-1]])
    centre, radius = middle, longer / 2
    for _ in range(2):
        if len(rim) < _MIN_RIM:
            return middle, longer / 2
        centre, radius = _circle(rim)
        distance = np.hypot(rim[:, 0] - centre[0], rim[:, 1] - centre[1])
        rim = rim[np.abs(distance - radius) < _MAX_RESIDUE * radius]
    if len(rim) < _MIN_RIM or not _RADII[0] * longer < radius < _RADII[1] * longer:
        return middle, longer / 2
    return start + centre + 0.5, radius


def _rim(disc: Mask, box: tuple[slice, slice], frame: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Return the ends of each row of the field, as [row, column], that are round and in the frame.

    An end at the frame's edge, or in a column with many ends, is where the field was cut off.
    """
    rows = np.flatnonzero(disc.any(axis=1))
    first = disc[rows].argmax(axis=1)
    last = disc.shape[1] - 1 - disc[rows, ::-1].argmax(axis=1)
    ends = []
    for columns, edge in ((first, -box[1].start), (last, frame[1] - 1 - box[1].start)):
        near = np.bincount(columns, minlength=disc.shape[1] + 2)
        crowd = near[columns] + near[columns + 1] + near[np.maximum(columns - 1, 0)]
        is_rim = (np.abs(columns - edge) > 1) & (crowd < _STRAIGHT * len(rows))
        ends.append(np.stack([rows[is_rim], columns[is_rim]], axis=1))
    return np.concatenate(ends).astype(np.float64)


def _circle(points: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], float]:
    """Return the centre and radius of the circle with the least squared algebraic residue."""
    middle = points.mean(axis=0)
    offsets = points - middle
    unknown = np.column_stack([2 * offsets, np.ones(len(offsets))])
    solved = np.linalg.lstsq(unknown, (offsets**2).sum(axis=1), rcond=None)[0]
    radius = math.sqrt(max(0.0, float(solved[2] + solved[0] ** 2 + solved[1] ** 2)))
    return middle + solved[:2], radius
