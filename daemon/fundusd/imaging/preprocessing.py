"""Turn an RGB image of any shape into the model's square input, by one of three methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, assert_never

import numpy as np
from PIL import Image

from fundusd.domain.decoding import Preprocessing
from fundusd.imaging.field import bounding_box, find_lit, subsample

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from fundusd.domain.decoding import Pixels

    Index = npt.NDArray[np.intp]
    Floats = npt.NDArray[np.float32]

_BLOCK = 32  # output rows at a time: their taps fit into the processor's cache
_SAMPLED_SIDE = 512  # pixels of the subsampled image in which the disc is located


def preprocess(rgb: Pixels, preprocessing: Preprocessing, side: int) -> Pixels:
    """Turn uint8 RGB [height, width, 3] into uint8 [side, side, 3]."""
    match preprocessing:
        case Preprocessing.PAD_SQUARE:
            return pad_and_resize(rgb, side)
        case Preprocessing.CROP_SQUARE:
            return _crop_square(rgb, side)
        case Preprocessing.CROP_DISC:
            return pad_and_resize(rgb[_disc(rgb)], side)
        case _:
            assert_never(preprocessing)


def pad_and_resize(rgb: Pixels, side: int) -> Pixels:
    """Zero-pad to a square, resize bilinearly without antialiasing, and truncate to uint8.

    The result is bit-identical to that of tf.image.resize, which uses half-pixel centres and edge
    clamping in float32, and interpolates along x and then along y. The padded square is never
    built: the four taps of each output pixel are gathered from the source, with zeros outside it.
    """
    if abs(rgb.strides[0]) < abs(rgb.strides[1]):  # transposed: process it in memory order
        resized = _resize(rgb.swapaxes(0, 1), side, down_first=True)
        return np.ascontiguousarray(resized.swapaxes(0, 1))
    return _resize(rgb, side, down_first=False)


def _resize(rgb: Pixels, side: int, *, down_first: bool) -> Pixels:
    height, width = rgb.shape[:2]
    square = max(height, width)
    down, across = _Axis.of(height, square, side), _Axis.of(width, square, side)
    column_weight = np.repeat(across.weight, 3)
    resized = np.zeros((side, side, 3), np.uint8)
    for start in range(0, len(down.weight), _BLOCK):
        rows = slice(start, start + _BLOCK)
        row_weight = down.weight[rows, None]
        taps = _gather(rgb, (down.near[rows], down.far[rows]), (across.near, across.far))
        if down_first:
            block = _lerp(_lerp(taps, 0, row_weight), 1, column_weight)
        else:
            block = _lerp(_lerp(taps, 1, column_weight), 0, row_weight)
        top, left = down.first + start, across.first
        bottom, right = top + len(row_weight), left + len(across.weight)
        resized[top:bottom, left:right] = block.reshape(len(row_weight), -1, 3)
    return resized


@dataclass(frozen=True, slots=True)
class _Axis:
    """The taps of the output indices along one axis.

    Output indices with neither of their two taps in the source are left out.
    """

    first: int  # the first such output index
    near: Index
    far: Index
    weight: Floats  # of the far tap

    @classmethod
    def of(cls, length: int, square: int, side: int) -> Self:
        """Return the taps that scale `length` pixels, centred in `square` pixels, to `side` pixels.

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
    """Return the pixels at all given rows and columns as [rows, columns x 3].

    Pixels outside `rgb` are 0.
    """
    height, width = rgb.shape[:2]
    down, across = np.concatenate(rows), np.concatenate(columns)
    if rgb.strides[1] < 0:  # mirrored: read forwards, so that no row is copied
        rgb, across = rgb[:, ::-1], width - 1 - across
    places = (across.clip(0, width - 1)[:, None] * 3 + np.arange(3)).ravel()
    gathered = np.empty((len(down), len(places)), np.uint8)
    for line, row in zip(gathered, down.clip(0, height - 1), strict=True):
        rgb[row].reshape(-1).take(places, out=line, mode="clip")
    gathered[(down < 0) | (down >= height)] = 0
    gathered[:, np.repeat((across < 0) | (across >= width), 3)] = 0
    return gathered


def _lerp(taps: npt.NDArray[Any], axis: int, weight: Floats) -> Floats:
    """Interpolate between the near taps and the far taps.

    The near taps are the first half of `taps` along `axis`, and the far taps are the second half.
    """
    near, far = np.split(taps, 2, axis)
    between: Floats = np.subtract(far, near, dtype=np.float32)
    between *= weight
    between += near
    return between


def _crop_square(rgb: Pixels, side: int) -> Pixels:
    """Crop the centre square and resize it with Pillow's antialiased BILINEAR.

    The reference example does the same. The image is cropped first, because `resize(box=)` blends
    pixels from outside the box into its border.
    """
    height, width = rgb.shape[:2]
    square = min(height, width)
    left, top = (width - square) // 2, (height - square) // 2
    cropped = Image.fromarray(rgb[top : top + square, left : left + square])
    return np.asarray(cropped.resize((side, side), Image.Resampling.BILINEAR))


def _disc(rgb: Pixels) -> tuple[slice, slice]:
    """Return the bounding box of the retinal disc, or the whole frame if there is none.

    The box lies on the grid of the subsampled image.
    """
    step = max(1, min(rgb.shape[:2]) // _SAMPLED_SIDE)
    rows, columns = bounding_box(find_lit(subsample(rgb, step)))
    if rows.stop == 0:
        return slice(None), slice(None)
    return _scaled(rows, step), _scaled(columns, step)


def _scaled(pixels: slice, step: int) -> slice:
    return slice(pixels.start * step, pixels.stop * step)
