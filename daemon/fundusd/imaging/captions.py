"""Leave out the captions, strips, frames and logos that were put around a photograph."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from fundusd.domain.decoding import Pixels

    Mask = npt.NDArray[np.bool_]

_MAX_DEPTH = 0.2  # of the side: a deeper area of one colour is not a strip
_SPARSE = 64  # pixels of a line that are compared, enough for shares
_SAME = 6  # levels from the colour of the strip, in each channel
_PLAIN, _WRITTEN = 0.9, 0.3  # least shares of its colour in a line without and with text
_STRAIGHT = 0.5  # most of its colour beyond a straight edge
_BLURRED = 2  # lines over which compression may blur the edge of a strip
_ROUNDS = 4  # strips along one edge
_MIN_EXTENT = 0.3  # of a field: the height and width of its middle, which no letter reaches
_COARSE = 2  # pixels: the gap between a letter and the field may be as narrow
_SPREADS = 6  # times that a part is followed along rows and columns; few bends take more


def between_strips(sample: Pixels) -> tuple[slice, slice]:
    """Return the ranges of rows and columns of an RGB image that lie between strips.

    A strip lies along an edge, has one colour, but for text and logos, and ends on a straight line,
    unlike the surround of a round field. Without strips, the ranges are those of the whole image.
    """
    rows, columns = slice(0, sample.shape[0]), slice(0, sample.shape[1])
    for _ in range(_ROUNDS):
        inner = sample[rows, columns]
        top, bottom = _depth(inner), _depth(inner[::-1])
        across = inner[top : len(inner) - bottom].swapaxes(0, 1)
        left, right = _depth(across), _depth(across[::-1])
        rows = slice(rows.start + top, rows.stop - bottom)
        columns = slice(columns.start + left, columns.stop - right)
        if not top + bottom + left + right:
            break
    return rows, columns


def _depth(lines: Pixels) -> int:
    """Return how many of the first lines of an image are a strip."""
    limit = int(_MAX_DEPTH * len(lines))
    if not lines.size or not limit:
        return 0
    sparse = lines[: limit + _BLURRED, :: max(1, lines.shape[1] // _SPARSE)]
    colour = np.sort(sparse[0], axis=0)[sparse.shape[1] // 2].astype(np.int16)  # the median
    if _share_of(colour, sparse[0]) < _PLAIN:
        return 0
    shares = _share_of(colour, sparse)
    others = np.flatnonzero(shares < _WRITTEN)
    stop = int(others[0]) if others.size else len(shares)
    plain = np.flatnonzero(shares[:stop] >= _PLAIN)
    depth = int(plain[-1]) + 1
    if depth > limit:
        return 0
    if shares[depth : depth + _BLURRED].min() > _STRAIGHT:
        return 0  # the surround of a field, or the field
    return depth


def _share_of(colour: npt.NDArray[np.int16], lines: Pixels) -> npt.NDArray[np.float64]:
    """Return the share of each line of pixels that has the colour."""
    same = np.abs(lines - colour).max(axis=-1) <= _SAME
    return np.asarray(same.mean(axis=-1))


def without_marks(lit: Mask) -> Mask:
    """Return the mask of the field without the parts that are too small for a field of their own.

    Letters and logos are such parts, unless they touch the field.
    """
    coarse = lit[::_COARSE, ::_COARSE]  # much faster, and most photographs have no such part
    if np.array_equal(_large_parts(coarse), coarse):
        return lit
    return _large_parts(lit)


def _large_parts(lit: Mask) -> Mask:
    along_rows, along_columns = _runs(lit), _runs(lit.T).T
    whole = np.count_nonzero(lit)
    extent = _MIN_EXTENT * math.sqrt(whole)
    large = lit
    for runs in (along_rows, along_columns):
        large = large & (np.bincount(runs.ravel()) >= extent)[runs]
    if not large.any():
        return lit
    for _ in range(_SPREADS):
        before = np.count_nonzero(large)
        for runs in (along_rows, along_columns):
            reached = np.zeros(int(runs.max()) + 1, bool)
            reached[runs[large]] = True
            large = reached[runs] & lit
        if np.count_nonzero(large) in {before, whole}:
            break
    return large


def _runs(mask: Mask) -> npt.NDArray[np.intp]:
    """Return the number of the run in its row to which each set pixel belongs, and 0 elsewhere."""
    starts = mask.copy()
    starts[:, 1:] &= ~mask[:, :-1]
    numbers: npt.NDArray[np.intp] = np.cumsum(starts, dtype=np.intp).reshape(mask.shape)
    numbers *= mask
    return numbers
