"""Draw things that are no retina, as they look behind the round aperture of a fundus camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

if TYPE_CHECKING:
    import numpy.typing as npt

    from fundusd.domain.decoding import Pixels

    Plane = npt.NDArray[np.float64]

# name: colour, contrast of the texture, and how many grains of it lie across the picture
MATERIALS: dict[str, tuple[tuple[int, int, int], float, int]] = {
    "light skin": ((205, 150, 120), 0.04, 12),
    "dark skin": ((95, 60, 45), 0.05, 12),
    "smooth orange": ((225, 120, 30), 0.03, 8),
    "orange peel": ((225, 120, 30), 0.03, 60),
    "smooth tongue": ((200, 105, 105), 0.04, 10),
    "rough tongue": ((200, 105, 105), 0.06, 90),
    "wall": ((215, 200, 175), 0.01, 150),
    "red wall": ((170, 60, 40), 0.01, 150),
    "paper": ((200, 198, 190), 0.005, 200),
    "plain disc": ((170, 90, 50), 0.0, 2),
}


def draw(material: str, height: int, width: int, *, is_round: bool, lines: str = "") -> Pixels:
    """Return a picture of the material [height, width, 3] in uneven light, with noise.

    `lines` are "hairs", which are dark in all colours, or "veins", which are red.
    """
    colour, contrast, grains = MATERIALS[material]
    rng = np.random.default_rng(len(material) + height)
    texture = 1 + contrast * _grain(rng, height, width, grains)
    picture = np.array(colour) * (texture * _light(height, width))[..., None]
    if lines:
        picture = _with_lines(picture, rng, lines)
    return _finished(picture, rng, is_round=is_round)


def lens_cap(side: int) -> Pixels:
    """Draw the glow of a red light around the inside of a lens cap."""
    rng = np.random.default_rng(side)
    y, x = np.mgrid[:side, :side] / (side / 2) - 1
    glow = 0.4 + 0.9 * np.clip(np.hypot(x, y), 0, 1) ** 3
    return _finished(np.array((120, 55, 25)) * glow[..., None], rng, is_round=True)


def _light(height: int, width: int) -> Plane:
    """Return the light of a lamp beside the middle."""
    y, x = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    light: Plane = 1 - 0.7 * ((y - 0.42) ** 2 + (x - 0.57) ** 2)
    return light


def _grain(rng: np.random.Generator, height: int, width: int, grains: int) -> Plane:
    """Return smooth noise with a standard deviation of 1."""
    coarse = Image.fromarray(rng.normal(0, 1, (grains, grains)).astype(np.float32))
    resized = coarse.resize((width, height), Image.Resampling.BICUBIC)
    fine = np.array(resized, np.float64)
    fine /= fine.std()
    return fine


def _with_lines(picture: Plane, rng: np.random.Generator, lines: str) -> Plane:
    height, width = picture.shape[:2]
    count, colour = 12, picture.mean((0, 1)) * (0.92, 0.75, 0.8)
    if lines == "hairs":
        count, colour = 25, np.array((50, 35, 30))
    mask = Image.new("L", (width, height))
    for _ in range(count):
        turns = np.cumsum(rng.normal(0, 0.12, 30)) + rng.uniform(0, 2 * np.pi)
        x = rng.uniform(0, width) + np.cumsum(np.cos(turns)) * width / 60
        y = rng.uniform(0, height) + np.cumsum(np.sin(turns)) * width / 60
        points = list(zip(x.tolist(), y.tolist(), strict=True))
        ImageDraw.Draw(mask).line(points, fill=255, width=max(1, width // 160))
    soft = np.asarray(mask.filter(ImageFilter.GaussianBlur(width / 900)), np.float64)
    share = 0.6 * soft[..., None] / 255
    mixed: Plane = picture * (1 - share) + colour * share
    return mixed


def _finished(picture: Plane, rng: np.random.Generator, *, is_round: bool) -> Pixels:
    """Return the picture with noise, behind a round aperture or filling the frame."""
    height, width = picture.shape[:2]
    if is_round:
        y, x = np.mgrid[:height, :width]
        distance = np.hypot(y - height / 2, x - width / 2)
        picture = np.where((distance < 0.48 * min(height, width))[..., None], picture, 3.0)
    noisy = picture + rng.normal(0, 2, picture.shape)
    return np.asarray(np.clip(noisy, 0, 255), np.uint8)
