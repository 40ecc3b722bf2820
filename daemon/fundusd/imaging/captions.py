"""Leave out the captions, strips, frames and logos that were put around a photograph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from fundusd.domain.decoding import Pixels

    Mask = npt.NDArray[np.bool_]

_MAX_DEPTH = 1 / 3  # of the side: a deeper area of one colour is not a strip
_SPARSE = 96  # pixels of a line that are compared, enough for shares
_SAME = 8  # levels from the colour of the strip, in each channel
_PLAIN, _WRITTEN = 0.9, 0.3  # least shares of its colour in a line without and with text
_STRAIGHT = 0.5  # most of its colour beyond a straight edge
_BLURRED = 2  # lines over which compression may blur the edge of a strip
_DARK = 24  # level: text in a strip as dark as the surround is left to `without_marks`
_ROUNDS = 4  # strips along one edge
_MIN_EXTENT = 0.3  # of a field: the height and width of its middle, which no letter reaches
_SPREADS = 6  # times that a part is followed along rows and columns; few bends take more


def between_strips(sample: Pixels) -> tuple[slice, slice]:
    """Return the ranges of rows and columns of an RGB image that lie between strips.

    A strip lies along an edge, has one colour, but for text and logos, and ends on a straight line.
    A light one may also border on a surround of the same colour. Without strips, the ranges are
    those of the whole image.
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
    colour = np.median(sparse[0], axis=0).astype(np.int16)
    if _share_of(colour, sparse[0]) < _PLAIN:
        return 0
    shares = _share_of(colour, sparse)
    others = np.flatnonzero(shares < _WRITTEN)
    stop = int(others[0]) if others.size else len(shares)
    plain = np.flatnonzero(shares[:stop] >= _PLAIN)
    depth = int(plain[-1]) + 1
    if depth > limit:
        return 0
    is_straight = shares[depth : depth + _BLURRED].min() < _STRAIGHT
    has_text = depth > len(plain) and colour.max() > _DARK
    return depth if is_straight or has_text else 0


def _share_of(colour: npt.NDArray[np.int16], lines: Pixels) -> npt.NDArray[np.float64]:
    """Return the share of each line of pixels that has the colour."""
    same = np.abs(lines - colour).max(axis=-1) <= _SAME
    return np.asarray(same.mean(axis=-1))


def without_marks(lit: Mask) -> Mask:
    """Return the mask of the field without the parts that are too small for a field of their own.

    Letters and logos are such parts, unless they touch the field.
    """
    if not _has_parts(lit):
        return lit
    along_rows, along_columns = _runs(lit), _runs(lit.T).T
    extent = _MIN_EXTENT * np.sqrt(np.count_nonzero(lit))
    kept = (np.bincount(along_rows.ravel()) >= extent)[along_rows]
    kept &= (np.bincount(along_columns.ravel())[along_columns]) >= extent
    kept &= lit
    if not kept.any():
        return lit
    for _ in range(_SPREADS):
        before = np.count_nonzero(kept)
        for runs in (along_rows, along_columns):
            kept = (np.bincount(runs[kept], minlength=int(runs.max()) + 1) > 0)[runs] & lit
        if np.count_nonzero(kept) == before:
            break
    return kept


def _has_parts(lit: Mask) -> bool:
    """Return whether any row or column has more than one part, or there are rows between parts."""
    for mask in (lit, lit.T):
        filled = np.count_nonzero(mask.any(axis=1))
        if np.count_nonzero(_starts(mask)) > filled:
            return True
    return bool(np.count_nonzero(_starts(lit.any(axis=1)[None])) > 1)


def _starts(mask: Mask) -> Mask:
    """Return where a run of set pixels starts in each row."""
    starts = mask.copy()
    starts[:, 1:] &= ~mask[:, :-1]
    return starts


def _runs(mask: Mask) -> npt.NDArray[Any]:
    """Return the number of the run in its row to which each set pixel belongs, and 0 elsewhere."""
    return np.cumsum(_starts(mask), dtype=np.int32).reshape(mask.shape) * mask
