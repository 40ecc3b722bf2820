from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests import imaging_cases as cases

from fundusd.domain.decoding import Preprocessing
from fundusd.imaging.preprocessing import preprocess

if TYPE_CHECKING:
    from fundusd.domain.decoding import Pixels

SHAPES = [
    (683, 1024),
    (1024, 683),
    (448, 448),
    (450, 447),
    (300, 200),
    (7, 5),
    (1, 1),
    (1411, 1411),
]


def noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)


def pad(rgb: Pixels) -> Pixels:
    height, width = rgb.shape[:2]
    side = max(height, width)
    square = np.zeros((side, side, 3), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = rgb
    return square


def tf_image_resize(square: Pixels, side: int) -> Pixels:
    """Resize as TensorFlow's ResizeBilinear does (compute_lerp), one float32 step at a time."""
    half = np.float32(0.5)
    scale = np.float32(len(square)) / np.float32(side)
    out = np.empty((side, side, 3), np.uint8)
    taps = []
    for index in range(side):
        where = (np.float32(index) + half) * scale - half
        low = int(np.floor(where))
        taps.append(
            (max(low, 0), min(int(np.ceil(where)), len(square) - 1), where - np.float32(low))
        )
    pixels = square.astype(np.float32)
    for row, (top, bottom, fall) in enumerate(taps):
        for column, (left, right, run) in enumerate(taps):
            upper = pixels[top, left] + (pixels[top, right] - pixels[top, left]) * run
            lower = pixels[bottom, left] + (pixels[bottom, right] - pixels[bottom, left]) * run
            out[row, column] = (upper + (lower - upper) * fall).astype(np.uint8)
    return out


@pytest.mark.parametrize("shape", [(97, 64), (64, 64), (31, 90), (5, 3)])
def test_padding_and_resizing_equals_tf_image_resize_bit_for_bit(shape: tuple[int, int]) -> None:
    rgb = noise(*shape)
    assert np.array_equal(
        preprocess(rgb, Preprocessing.PAD_SQUARE, 56), tf_image_resize(pad(rgb), 56)
    )


def plainly(rgb: Pixels, side: int) -> Pixels:
    """Resize the padded square at once: the first implementation, the reference for faster ones."""
    square = pad(rgb).astype(np.float32)
    where = (np.arange(side, dtype=np.float32) + np.float32(0.5)) * (
        np.float32(len(square)) / np.float32(side)
    ) - np.float32(0.5)
    floor = np.floor(where)
    near = np.maximum(floor, 0).astype(np.intp)
    far = np.minimum(np.ceil(where), len(square) - 1).astype(np.intp)
    weight = where - floor
    upper, lower = (
        square[taps][:, near]
        + (square[taps][:, far] - square[taps][:, near]) * weight[None, :, None]
        for taps in (near, far)
    )
    resized: Pixels = (upper + (lower - upper) * weight[:, None, None]).astype(np.uint8)
    return resized


@given(
    st.integers(1, 160),
    st.integers(1, 160),
    st.integers(1, 90),
    st.sampled_from([1, -1]),
    st.sampled_from([1, -1]),
    st.booleans(),
)
def test_padding_and_resizing_equals_the_plain_way_however_the_picture_lies_in_memory(
    height: int, width: int, side: int, down: int, right: int, exchange: bool
) -> None:
    rgb = noise(height, width)[::down, ::right]
    turned = rgb.swapaxes(0, 1) if exchange else rgb
    assert np.array_equal(preprocess(turned, Preprocessing.PAD_SQUARE, side), plainly(turned, side))


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1), (2, 999)])
def test_a_strip_thinner_than_the_steps_is_resized_too(shape: tuple[int, int]) -> None:
    rgb = noise(*shape)
    assert np.array_equal(preprocess(rgb, Preprocessing.PAD_SQUARE, 56), plainly(rgb, 56))


def test_channels_in_planes_give_the_same_square() -> None:
    rgb = noise(90, 120)
    planes = np.moveaxis(np.ascontiguousarray(np.moveaxis(rgb, 2, 0)), 0, 2)
    assert np.array_equal(preprocess(planes, Preprocessing.PAD_SQUARE, 56), plainly(rgb, 56))


@pytest.mark.parametrize("how", Preprocessing)
@pytest.mark.parametrize("turn", [np.s_[::-1, :], np.s_[:, ::-1], np.s_[::-1, ::-1]])
def test_a_turned_picture_gives_what_its_copy_gives(
    how: Preprocessing, turn: tuple[slice, slice]
) -> None:
    for view in (cases.retina(300, 200)[turn], cases.retina(300, 200).swapaxes(0, 1)[turn]):
        assert np.array_equal(
            preprocess(view, how, 96), preprocess(np.ascontiguousarray(view), how, 96)
        )


@pytest.mark.parametrize("shape", SHAPES)
def test_padding_and_resizing_equals_torch_but_for_its_last_bit(shape: tuple[int, int]) -> None:
    """Torch sums weighted taps, TensorFlow interpolates: they differ only at whole sums."""
    rgb = noise(*shape)
    source = torch.from_numpy(pad(rgb)).float().permute(2, 0, 1)[None]
    resized = torch.nn.functional.interpolate(source, (448, 448), mode="bilinear", antialias=False)
    exact = resized[0].permute(1, 2, 0).numpy()
    ours = preprocess(rgb, Preprocessing.PAD_SQUARE, 448)
    differs = ours != exact.astype(np.uint8)
    assert differs.sum() <= 20 or shape in {(1, 1), (7, 5)}
    assert np.abs(exact[differs] - exact[differs].round()).max(initial=0) < 1e-2


def test_a_flat_colour_stays_that_colour() -> None:
    flat = np.full((333, 333, 3), (201, 99, 47), np.uint8)
    assert (preprocess(flat, Preprocessing.PAD_SQUARE, 448) == (201, 99, 47)).all()


def test_what_is_padded_is_black() -> None:
    white = np.full((100, 200, 3), 255, np.uint8)
    square = preprocess(white, Preprocessing.PAD_SQUARE, 100)
    assert not square[:24].any()
    assert not square[-24:].any()
    assert (square[26:-26] == 255).all()


@pytest.mark.parametrize("shape", [(683, 1024), (1024, 683), (512, 512), (501, 402)])
def test_cropping_equals_the_reference_example(shape: tuple[int, int]) -> None:
    rgb = noise(*shape)
    height, width = shape
    side = min(shape)
    left, top = (width - side) // 2, (height - side) // 2
    cropped = Image.fromarray(rgb).crop((left, top, left + side, top + side))
    expected = np.asarray(cropped.resize((448, 448), Image.Resampling.BILINEAR))
    assert np.array_equal(preprocess(rgb, Preprocessing.CROP_SQUARE, 448), expected)


def test_cropping_to_the_disc_removes_the_surround() -> None:
    rgb = cases.retina(900, 600)
    square = preprocess(rgb, Preprocessing.CROP_DISC, 224)
    lit = square.max(axis=2) > 0
    assert lit.any(axis=0).mean() > 0.97
    assert lit.any(axis=1).mean() > 0.97
    padded = preprocess(rgb, Preprocessing.PAD_SQUARE, 224).max(axis=2)
    assert (padded.max(axis=0) > 0).mean() < 0.7


def test_cropping_to_the_disc_of_a_black_frame_takes_the_whole_frame() -> None:
    black = np.zeros((60, 80, 3), np.uint8)
    assert preprocess(black, Preprocessing.CROP_DISC, 32).shape == (32, 32, 3)


@pytest.mark.parametrize("how", Preprocessing)
def test_every_way_gives_the_square_asked_for(how: Preprocessing) -> None:
    square = preprocess(cases.retina(300, 200), how, 96)
    assert square.shape == (96, 96, 3)
    assert square.dtype == np.uint8
