"""From RGB of any shape to the model's square, in the three ways that a release can name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, assert_never

import numpy as np
from PIL import Image

from fundusd.domain.decoding import Preprocessing
from fundusd.imaging.quality_gate import bounds, find_lit, thin

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from fundusd.domain.decoding import Pixels

    Index = npt.NDArray[np.intp]
    Floats = npt.NDArray[np.float32]

_BLOCK = 32  # output rows at a time: their taps stay in the processor's cache
_SAMPLED_SIDE = 512  # pixels: where the disc is looked for


def preprocess(rgb: Pixels, how: Preprocessing, side: int) -> Pixels:
    """Turn uint8 RGB [height, width, 3] into uint8 [side, side, 3]."""
    match how:
        case Preprocessing.PAD_SQUARE:
            return pad_and_resize(rgb, side)
        case Preprocessing.CROP_SQUARE:
            return _crop_square(rgb, side)
        case Preprocessing.CROP_DISC:
            return pad_and_resize(rgb[_disc(rgb)], side)
        case _:
            assert_never(how)


def pad_and_resize(rgb: Pixels, side: int) -> Pixels:
    """Zero-pad to a square, resize bilinearly without antialias, truncate to uint8.

    Half-pixel centres and edge clamp in float32, in the order of tf.image.resize's arithmetic (lerp
    along x, then along y), so that the result is bit-equal to it. The padded square is never built:
    the four taps of each output pixel are gathered from the source, zeros outside.
    """
    if abs(rgb.strides[0]) < abs(rgb.strides[1]):  # turned: walk along its memory, not across
        return np.ascontiguousarray(
            _resize(rgb.swapaxes(0, 1), side, down_first=True).swapaxes(0, 1)
        )
    return _resize(rgb, side, down_first=False)


def _resize(rgb: Pixels, side: int, *, down_first: bool) -> Pixels:
    down, across = (_Axis.of(length, max(rgb.shape[:2]), side) for length in rgb.shape[:2])
    run = np.repeat(across.weight, 3)
    resized = np.zeros((side, side, 3), np.uint8)
    for start in range(0, len(down.weight), _BLOCK):
        rows = slice(start, start + _BLOCK)
        fall = down.weight[rows, None]
        taps = _gather(rgb, (down.near[rows], down.far[rows]), (across.near, across.far))
        block = (
            _lerp(_lerp(taps, 0, fall), 1, run)
            if down_first
            else _lerp(_lerp(taps, 1, run), 0, fall)
        )
        top, left = down.first + start, across.first
        resized[top : top + len(fall), left : left + len(across.weight)] = block.reshape(
            len(fall), -1, 3
        )
    return resized


@dataclass(frozen=True, slots=True)
class _Axis:
    """The taps of those output indices that reach into the source; a tap may still lie outside."""

    first: int  # the first such output index
    near: Index
    far: Index
    weight: Floats  # of the far tap

    @classmethod
    def of(cls, length: int, square: int, side: int) -> Self:
        """Place `length` pixels in the middle of `square`, and that on `side`.

        Source: HalfPixelScaler in TensorFlow's image_resizer_state.h.
        """
        scale = np.float32(square) / np.float32(side)
        where = (np.arange(side, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
        floor = np.floor(where)
        before = (square - length) // 2
        near = np.maximum(floor, 0).astype(np.intp) - before
        far = np.minimum(np.ceil(where), square - 1).astype(np.intp) - before
        first, last = int((far < 0).sum()), int((near < length).sum())
        return cls(first, near[first:last], far[first:last], (where - floor)[first:last])


def _gather(rgb: Pixels, rows: Sequence[Index], columns: Sequence[Index]) -> Pixels:
    """Return the bytes where rows and columns cross, [rows, columns x 3], zeros outside the picture."""
    height, width = rgb.shape[:2]
    down, across = np.concatenate(rows), np.concatenate(columns)
    if rgb.strides[1] < 0:  # mirrored: forwards, a row need not be copied
        rgb, across = rgb[:, ::-1], width - 1 - across
    places = (across.clip(0, width - 1)[:, None] * 3 + np.arange(3)).ravel()
    gathered = np.empty((len(down), len(places)), np.uint8)
    for line, row in zip(gathered, down.clip(0, height - 1), strict=True):
        rgb[row].reshape(-1).take(places, out=line, mode="clip")
    gathered[(down < 0) | (down >= height)] = 0
    gathered[:, np.repeat((across < 0) | (across >= width), 3)] = 0
    return gathered


def _lerp(taps: npt.NDArray[Any], axis: int, weight: Floats) -> Floats:
    """Go from the near taps, the first half along the axis, towards the far ones by `weight`."""
    near, far = np.split(taps, 2, axis)
    between: Floats = np.subtract(far, near, dtype=np.float32)
    between *= weight
    between += near
    return between


def _crop_square(rgb: Pixels, side: int) -> Pixels:
    """Crop the centre square and resize with Pillow's antialiased BILINEAR, as the reference example.

    Cropped before, not by `resize(box=)`: that lets pixels from outside the box into its border.
    """
    height, width = rgb.shape[:2]
    square = min(height, width)
    left, top = (width - square) // 2, (height - square) // 2
    cropped = Image.fromarray(rgb[top : top + square, left : left + square])
    return np.asarray(cropped.resize((side, side), Image.Resampling.BILINEAR))


def _disc(rgb: Pixels) -> tuple[slice, slice]:
    """Find the bounding box of the retinal disc, to the grid of a thinned copy; else the whole frame."""
    step = max(1, min(rgb.shape[:2]) // _SAMPLED_SIDE)
    rows, columns = bounds(find_lit(thin(rgb, step)))
    if rows.stop == 0:
        return slice(None), slice(None)
    return slice(rows.start * step, rows.stop * step), slice(
        columns.start * step, columns.stop * step
    )
