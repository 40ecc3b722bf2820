"""Find lines that are darker than their surround, as vessels are even where they are faint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from fundusd.imaging.disc_cells import Mask, Plane

    Sums = npt.NDArray[np.int16]

_PARTS = 8  # of a level: the precision of the sums, which fit into 16 bits
_STRAIGHT, _SLANTED = 9, 7  # cells of a line, so that both are about 9 cells long
_DARKNESS = 3  # levels, on average along the line
_ACROSS = (7, 10)  # a line is less dark across than seven tenths of its own darkness


def lines_in(relief: Plane) -> Mask:
    """Return the cells that are the middle of a dark line of about 9 cells.

    `relief` is by how many levels each cell is darker than its surround. The mean along the line
    counts, so that lines are recognised whose single cells do not stand out (Chaudhuri et al., IEEE
    Trans Med Imaging 1989, on matched filters for vessels). A spot is as dark across as along, and
    is no line. Lines in four directions are measured, and none at the edges of the plane.
    """
    width = relief.shape[1]
    flat = (relief * np.float32(_PARTS)).astype(np.int16).ravel()
    lines = np.zeros(flat.shape, bool)
    for count, steps in ((_STRAIGHT, (1, width)), (_SLANTED, (width + 1, width - 1))):
        first, second = _sums_along(flat, steps[0], count), _sums_along(flat, steps[1], count)
        along, across = np.maximum(first, second), np.minimum(first, second)
        is_dark = along > _DARKNESS * _PARTS * count
        lines |= is_dark & (across < along // _ACROSS[1] * _ACROSS[0])
    cells: Mask = lines.reshape(relief.shape)
    return cells


def _sums_along(flat: Sums, step: int, count: int) -> Sums:
    """Return, for each cell, the sum over `count` cells that lie `step` apart, with it as middle.

    The sums of 1, 2, 4, ... cells are combined. Cells without so many neighbours have the sum 0.
    """
    sums = np.zeros_like(flat)
    first = count // 2 * step
    total = sums[first : len(flat) - first]
    size, start = 1, 0
    part = flat
    while True:
        if count & size:
            total += part[start * step : start * step + len(total)]
            start += size
        if start == count:
            return sums
        part = part[: -size * step] + part[size * step :]
        size *= 2
