"""Spoil a photograph on purpose, as cameras, exporters and patients do."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

if TYPE_CHECKING:
    import numpy.typing as npt

    from fundusd.domain.decoding import Pixels


def disc_of(rgb: Pixels) -> tuple[npt.NDArray[np.bool_], int, int, int, int]:
    """Return a mask of the disc, and its top, bottom, left and right."""
    lit = rgb.max(axis=2) > 0.12 * float(np.percentile(rgb, 95))
    rows = np.flatnonzero(lit.mean(axis=1) > 0.02)
    columns = np.flatnonzero(lit.mean(axis=0) > 0.02)
    return lit, int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])


def _clipped(values: npt.NDArray[Any]) -> Pixels:
    return np.asarray(np.clip(values, 0, 255), np.uint8)


def shaken(rgb: Pixels) -> Pixels:
    """Move the camera by about a hundredth of the disc, 25 pixels of a large photograph."""
    width = max(4, rgb.shape[1] // 110)
    moved = np.zeros(rgb.shape)
    for shift in range(width):
        moved += np.roll(rgb, shift, axis=1)
    return _clipped(moved / width)


def shaken_along(rgb: Pixels, degrees: float) -> Pixels:
    """Move the camera by as much in another direction."""
    width = max(4, rgb.shape[1] // 110)
    angle = np.deg2rad(degrees)
    moved = np.zeros(rgb.shape)
    for shift in range(width):
        down, across = round(shift * np.sin(angle)), round(shift * np.cos(angle))
        moved += np.roll(rgb, (down, across), (0, 1))
    return _clipped(moved / width)


def defocused(rgb: Pixels) -> Pixels:
    radius = 18 * rgb.shape[1] / 3000
    return np.asarray(Image.fromarray(rgb).filter(ImageFilter.GaussianBlur(radius)))


def compressed(rgb: Pixels) -> Pixels:
    file = BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=5)
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB"))


def noisy(rgb: Pixels) -> Pixels:
    """Take half of the light and add the noise of a high ISO."""
    noise = np.random.default_rng(1).normal(0, 22, rgb.shape)
    return _clipped(0.4 * rgb + noise)


def dim(rgb: Pixels) -> Pixels:
    return _clipped(0.08 * rgb)


def lid(rgb: Pixels) -> Pixels:
    """Cover the lower third with skin."""
    lit, top, bottom, _, _ = disc_of(rgb)
    covered = lit & (np.arange(len(rgb))[:, None] > top + (bottom - top) * 2 / 3)
    skin = np.random.default_rng(2).normal((150, 95, 75), 3, rgb.shape)
    return np.where(covered[..., None], _clipped(skin), rgb)


def left_black(rgb: Pixels) -> Pixels:
    """Blacken the left 35 % of the disc."""
    _, _, _, left, right = disc_of(rgb)
    spoilt = rgb.copy()
    spoilt[:, : left + int(0.35 * (right - left))] = 0
    return spoilt


def glaring(rgb: Pixels) -> Pixels:
    """Put a reflection on the macula."""
    _, top, bottom, left, right = disc_of(rgb)
    y, x = np.mgrid[: rgb.shape[0], : rgb.shape[1]]
    distance = np.hypot(y - (top + bottom) / 2, x - (left + right) / 2) / (0.18 * (right - left))
    share = np.clip(1.5 - distance, 0, 1)[..., None]
    return _clipped(rgb * (1 - share) + 250 * share)


def toned(rgb: Pixels) -> Pixels:
    """Print in grey and tone in sepia."""
    grey = np.asarray(Image.fromarray(rgb).convert("L"), np.float64)[..., None]
    return _clipped(grey * (1.07, 0.74, 0.43))


def shifted(rgb: Pixels) -> Pixels:
    """Misalign the camera by 45 % of the frame."""
    step = int(0.45 * rgb.shape[1])
    spoilt = np.zeros_like(rgb)
    spoilt[:, step:] = rgb[:, :-step]
    return spoilt


def frame_filling(rgb: Pixels) -> Pixels:
    """Crop the middle of the disc, so that no surround is left."""
    _, top, bottom, left, right = disc_of(rgb)
    half = int(0.34 * min(bottom - top, right - left))
    row, column = (top + bottom) // 2, (left + right) // 2
    return rgb[row - half : row + half, column - half : column + half].copy()


def white_surround(rgb: Pixels) -> Pixels:
    lit, *_ = disc_of(rgb)
    return np.where(lit[..., None], rgb, np.uint8(255))


def caption_strip(rgb: Pixels) -> Pixels:
    """Print a white strip with black text below the photograph."""
    height, width = rgb.shape[:2]
    sheet = Image.new("RGB", (width, height + height // 14), "white")
    sheet.paste(Image.fromarray(rgb))
    ImageDraw.Draw(sheet).text(
        (10, height + 4), "ID 00 OD 2026", fill="black", font_size=height // 25
    )
    return np.asarray(sheet)


def four_captions(rgb: Pixels) -> Pixels:
    """Print white text into all four corners."""
    picture = Image.fromarray(rgb)
    height, width = rgb.shape[:2]
    size = height // 30
    for x in (8, width - 6 * size):
        for y in (8, height - 2 * size):
            ImageDraw.Draw(picture).text((x, y), "2026-11 OD", fill="white", font_size=size)
    return np.asarray(picture)
