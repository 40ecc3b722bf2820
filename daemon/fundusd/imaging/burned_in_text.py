"""Find text that was printed into the dark surround of a photograph, such as a patient's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fundusd.imaging.disc_cells import median, square_sums
from fundusd.imaging.field import find_lit, subsample

if TYPE_CHECKING:
    import numpy.typing as npt

    from fundusd.domain.decoding import Pixels

    Mask = npt.NDArray[np.bool_]

_COARSE_SIDE = 96  # pixels of the subsampled image in which the retina is found
_FINE_SIDE = 700  # pixels of the one in which text is found; letters are from 8 pixels high there
_SPARSE_SIDE = 350  # pixels of the one that shows whether the surround is plain
_MIN_STEP, _MIN_OTHER = 20, 3  # levels from the surround's median, and pixels so far from it
_THICKNESS = 5  # coarse pixels: what is thinner is no retina; letters are at most so high
_MARGIN = 2  # coarse pixels around the retina, with its blurred edge and reflections
_MIN_RED = 1.05  # red / blue; the palest of 52 graded captures has 1.09
_MIN_CONTRAST = 40  # levels between neighbouring pixels; noise and glare in the surround have less
_MIN_STROKES = 5  # edges in one row of pixels, from dark to bright: three or four letters
_LINE_SHARE = 1 / 6  # of the short side: the width within which they must be
_MIN_ROWS, _LINE_ROWS = 5, 8  # so many of these successive rows must have them


def has_text_in_surround(rgb: Pixels) -> bool:
    """Return whether an RGB image [height, width, 3] has text outside of the retina.

    A line of text is a place where, in several successive rows of pixels, many edges from dark to
    bright follow each other closely. Vertical text is such a line in the transposed image. Text on
    the retina itself is not found.
    """
    retina = _find_retina(subsample(rgb, _step(rgb, _COARSE_SIDE)))
    if _is_plain(rgb, retina):
        return False
    step = _step(rgb, _FINE_SIDE)
    # no text is blue, which is hard to read
    brightness = np.maximum(rgb[::step, ::step, 0], rgb[::step, ::step, 1])
    return _has_text(brightness, retina) or _has_text(brightness.T, retina.T)


def _has_text(brightness: npt.NDArray[np.uint8], retina: Mask) -> bool:
    """Return whether text runs along the rows of an image, given a coarse mask of the retina."""
    edges = _find_edges(brightness)
    busy = _busy(edges)
    if busy.size < _MIN_ROWS:
        return False
    rows, columns = np.nonzero(edges[busy])
    rows = busy[rows]
    is_retina = retina[
        rows * retina.shape[0] // edges.shape[0], columns * retina.shape[1] // edges.shape[1]
    ]
    edges[rows[is_retina], columns[is_retina]] = False
    busy = busy[_busy(edges[busy])]
    if busy.size < _MIN_ROWS:
        return False
    return _has_line(edges[busy[0] : busy[-1] + 1], round(_LINE_SHARE * min(edges.shape)))


def _step(rgb: Pixels, side: int) -> int:
    short_side: int = min(rgb.shape[:2])
    return max(1, round(short_side / side))


def _is_plain(rgb: Pixels, retina: Mask) -> bool:
    """Return whether hardly any pixel of the surround differs from the others.

    This is much faster than looking for edges, and true of most photographs.
    """
    step = _step(rgb, _SPARSE_SIDE)
    sparse = np.maximum(rgb[::step, ::step, 0], rgb[::step, ::step, 1])
    rows = np.arange(sparse.shape[0]) * retina.shape[0] // sparse.shape[0]
    columns = np.arange(sparse.shape[1]) * retina.shape[1] // sparse.shape[1]
    surround = sparse[~retina.take(rows, axis=0).take(columns, axis=1)].astype(np.int16)
    if not surround.size:
        return True
    other = np.abs(surround - np.int16(median(surround))) >= _MIN_STEP
    return bool(np.count_nonzero(other) < _MIN_OTHER)


def _find_edges(brightness: npt.NDArray[np.uint8]) -> Mask:
    """Return where it becomes much brighter from left to right, once for each bright stroke."""
    darkest = np.minimum(brightness[:, :-1], 254 - _MIN_CONTRAST)  # the sum must not overflow
    edges: Mask = brightness[:, 1:] > darkest + np.uint8(_MIN_CONTRAST)
    edges[:, 1:] &= ~edges[:, :-1]  # the edge of a blurred stroke is several pixels wide
    return edges


def _busy(edges: Mask) -> npt.NDArray[np.intp]:
    """Return the numbers of the rows that have enough edges for a line of text."""
    return np.flatnonzero(np.count_nonzero(edges, axis=1) >= _MIN_STROKES)


def _has_line(edges: Mask, width: int) -> bool:
    """Return whether a line of text lies anywhere, given the edges outside of the retina."""
    strokes = _windowed(edges, width, axis=1)
    lines = _windowed(strokes >= _MIN_STROKES, _LINE_ROWS, axis=0)
    return bool((lines >= _MIN_ROWS).any())


def _find_retina(rgb: Pixels) -> Mask:
    """Return a mask of the retina with a margin.

    Thin things and grey things such as captions are left out, unless everything is grey.
    """
    lit = find_lit(rgb)
    reddish = lit & (rgb[..., 0] > _MIN_RED * rgb[..., 2])
    if not reddish.any():
        reddish = lit
    if min(lit.shape) < _THICKNESS:
        return np.zeros_like(lit)
    thick = square_sums(reddish.view(np.uint8), _THICKNESS) == _THICKNESS**2
    padded = np.pad(thick.view(np.uint8), _THICKNESS - 1 + _MARGIN)
    retina = square_sums(padded, _THICKNESS + 2 * _MARGIN) > 0
    return _filled(retina) | _filled(retina.T).T


def _filled(mask: Mask) -> Mask:
    """Return the mask with each row filled between its first and its last pixel."""
    before = np.logical_or.accumulate(mask, axis=1)
    after = np.logical_or.accumulate(mask[:, ::-1], axis=1)[:, ::-1]
    filled: Mask = before & after
    return filled


def _windowed(values: Mask | npt.NDArray[np.int32], size: int, axis: int) -> npt.NDArray[np.int32]:
    """Return, for each place, the sum of the last `size` values along an axis."""
    total = np.cumsum(values, axis=axis, dtype=np.int32)
    if size < total.shape[axis]:
        late, early = [slice(None)] * 2, [slice(None)] * 2
        late[axis], early[axis] = slice(size, None), slice(None, -size)
        total[tuple(late)] -= total[tuple(early)].copy()
    return total
