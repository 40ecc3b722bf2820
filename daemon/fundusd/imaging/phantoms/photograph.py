"""Photograph a phantom eye: background, anatomy, lesions, light and sensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from fundusd.imaging.phantoms import anatomy, lesions, paint

if TYPE_CHECKING:
    import numpy.typing as npt

    from fundusd.domain.clinical_terms import Eye, Grade
    from fundusd.domain.decoding import Pixels

    Plane = npt.NDArray[np.float32]

_COARSE = 48  # pixels of the small pictures from which soft structures are enlarged
_NOISE = 2.2  # grey levels, standard deviation


@dataclass(frozen=True, slots=True)
class Scene:
    """What a phantom shows, before it is painted."""

    frame: anatomy.Frame
    anatomy: anatomy.Anatomy
    lesions: tuple[lesions.Lesion, ...]


def compose(grade: Grade, eye: Eye, seed: int, width: int = 1440, height: int = 1080) -> Scene:
    """Decide what the phantom shows; the same seed is the same eye at every grade and size."""
    rng = np.random.default_rng([seed, ord(eye), 0])
    frame = anatomy.frame(rng, eye, width, height)
    retina = anatomy.grow(rng)
    planned = lesions.plan(np.random.default_rng([seed, ord(eye), 1, grade]), retina, grade)
    return Scene(frame, retina, tuple(planned))


def render(grade: Grade, eye: Eye, seed: int, width: int = 1440, height: int = 1080) -> Pixels:
    """Render a fundus photograph of known grade as uint8 [height, width, 3], RGB.

    Deterministic: the same arguments give the same pixels.
    """
    scene = compose(grade, eye, seed, width, height)
    rng = np.random.default_rng([seed, ord(eye), 2, grade])
    picture = Image.new(
        "RGB", (width, height), _choroid(np.random.default_rng([seed, ord(eye), 3]))
    )
    paint.paint_anatomy(picture, scene.frame, scene.anatomy)
    paint.paint_lesions(picture, scene.frame, scene.lesions, rng)
    return _expose(picture, scene.frame, rng)


def not_a_retina(seed: int, width: int = 1440, height: int = 1080) -> Pixels:
    """Render what a camera also stores: skin that fills the frame, uint8 [height, width, 3], RGB."""
    rng = np.random.default_rng([seed, 4])
    grain = sum((_cloud(rng, (width, height), cells) * 26 for cells in (5, 17, 60)), np.float32(0))
    skin = np.array([196, 158, 136]) + rng.uniform(-12, 12, 3)
    pixels = skin + np.asarray(grain)[..., None] + rng.normal(0, _NOISE, (height, width, 1))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _choroid(rng: np.random.Generator) -> tuple[int, int, int]:
    """Choose the ground colour of the retina; people differ mostly in how red it is."""
    red = rng.uniform(196, 222)
    return round(red), round(red * rng.uniform(0.50, 0.57)), round(red * rng.uniform(0.25, 0.31))


def _cloud(rng: np.random.Generator, size: tuple[int, int], cells: int) -> Plane:
    """Make a soft random plane of `size` (width, height), about -1 to 1."""
    small = Image.fromarray(rng.normal(0, 0.4, (cells, cells)).astype(np.float32))
    return np.asarray(small.resize(size, Image.Resampling.BICUBIC), dtype=np.float32)


def _expose(picture: Image.Image, frame: anatomy.Frame, rng: np.random.Generator) -> Pixels:
    """Apply mottling, light falloff, sensor noise and the round aperture."""
    size = (frame.width, frame.height)
    light = _falloff(frame, rng) * (
        1 + 0.05 * _cloud(rng, size, 9) + 0.04 * _cloud(rng, size, _COARSE)
    )
    noise = rng.standard_normal((frame.height, frame.width), dtype=np.float32) * np.float32(_NOISE)
    pixels = np.asarray(picture) * light[..., None]
    pixels += noise[..., None]
    pixels *= _aperture(frame)[..., None]
    return np.clip(pixels, 0, 255, out=pixels).astype(np.uint8)


def _falloff(frame: anatomy.Frame, rng: np.random.Generator) -> Plane:
    """Let the light fall off from a point near the centre."""
    x0, y0 = rng.uniform(-0.25, 0.25, 2)
    exposure, depth = rng.uniform(0.86, 1.0), rng.uniform(0.15, 0.3)
    x = ((np.arange(frame.width) - frame.cx) / frame.radius - x0).astype(np.float32)
    y = ((np.arange(frame.height) - frame.cy) / frame.radius - y0).astype(np.float32)
    light: Plane = np.float32(exposure) - np.float32(exposure * depth) * (x**2 + y[:, None] ** 2)
    return light


def _aperture(frame: anatomy.Frame) -> Plane:
    """Make the round field of view, 0 outside and 1 inside, with a slightly soft rim."""
    mask = Image.new("L", (frame.width, frame.height))
    ImageDraw.Draw(mask).ellipse(
        (
            frame.cx - frame.radius,
            frame.cy - frame.radius,
            frame.cx + frame.radius,
            frame.cy + frame.radius,
        ),
        fill=255,
    )
    soft = np.asarray(mask.filter(ImageFilter.GaussianBlur(0.004 * frame.radius)), dtype=np.float32)
    return soft / np.float32(255)
