"""Render a photograph of a phantom eye: background, anatomy, lesions, light and sensor."""

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

_MOTTLING_CELLS = 48  # cells of the finest mottling
_NOISE = 2.2  # grey levels, standard deviation


@dataclass(frozen=True, slots=True)
class Scene:
    """The frame, anatomy and lesions of a phantom that is not rendered yet."""

    frame: anatomy.Frame
    anatomy: anatomy.Anatomy
    lesions: tuple[lesions.Lesion, ...]


def compose(grade: Grade, eye: Eye, seed: int, width: int = 1440, height: int = 1080) -> Scene:
    """Return the frame, healthy anatomy and lesions of a phantom.

    A given seed produces the same anatomy at every grade and size.
    """
    rng = np.random.default_rng([seed, ord(eye), 0])
    frame = anatomy.place_frame(rng, eye, width, height)
    retina = anatomy.generate(rng)
    planned = lesions.plan_lesions(np.random.default_rng([seed, ord(eye), 1, grade]), retina, grade)
    return Scene(frame, retina, tuple(planned))


def render(grade: Grade, eye: Eye, seed: int, width: int = 1440, height: int = 1080) -> Pixels:
    """Render a fundus photograph of a given grade as uint8 RGB [height, width, 3].

    The same arguments always give the same pixels.
    """
    scene = compose(grade, eye, seed, width, height)
    rng = np.random.default_rng([seed, ord(eye), 2, grade])
    ground = _ground_colour(np.random.default_rng([seed, ord(eye), 3]))
    image = Image.new("RGB", (width, height), ground)
    paint.paint_anatomy(image, scene.frame, scene.anatomy)
    paint.paint_lesions(image, scene.frame, scene.lesions, rng)
    return _expose(image, scene.frame, rng)


def not_a_retina(seed: int, width: int = 1440, height: int = 1080) -> Pixels:
    """Render a photograph of skin as uint8 RGB [height, width, 3].

    Cameras also store such photographs.
    """
    rng = np.random.default_rng([seed, 4])
    grain = np.zeros((height, width), np.float32)
    for cells in (5, 17, 60):
        grain += _cloud(rng, (width, height), cells) * 26
    skin = np.array([196, 158, 136]) + rng.uniform(-12, 12, 3)
    pixels = skin + grain[..., None] + rng.normal(0, _NOISE, (height, width, 1))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _ground_colour(rng: np.random.Generator) -> tuple[int, int, int]:
    """Return a ground colour for the retina, which varies between eyes mostly in its red."""
    red = rng.uniform(196, 222)
    return round(red), round(red * rng.uniform(0.50, 0.57)), round(red * rng.uniform(0.25, 0.31))


def _cloud(rng: np.random.Generator, size: tuple[int, int], cells: int) -> Plane:
    """Return a smooth random plane of `size` (width, height) with values of about -1 to 1."""
    small = Image.fromarray(rng.normal(0, 0.4, (cells, cells)).astype(np.float32))
    return np.asarray(small.resize(size, Image.Resampling.BICUBIC), dtype=np.float32)


def _expose(image: Image.Image, frame: anatomy.Frame, rng: np.random.Generator) -> Pixels:
    """Apply mottling, light falloff, sensor noise and the round aperture."""
    size = (frame.width, frame.height)
    light = _falloff(frame, rng) * (
        1 + 0.05 * _cloud(rng, size, 9) + 0.04 * _cloud(rng, size, _MOTTLING_CELLS)
    )
    noise = rng.standard_normal((frame.height, frame.width), dtype=np.float32) * np.float32(_NOISE)
    pixels = np.asarray(image) * light[..., None]
    pixels += noise[..., None]
    pixels *= _aperture(frame)[..., None]
    return np.clip(pixels, 0, 255, out=pixels).astype(np.uint8)


def _falloff(frame: anatomy.Frame, rng: np.random.Generator) -> Plane:
    """Return the flash's brightness at each pixel, which falls off from a point near the centre."""
    x0, y0 = rng.uniform(-0.25, 0.25, 2)
    exposure, depth = rng.uniform(0.86, 1.0), rng.uniform(0.15, 0.3)
    x = ((np.arange(frame.width) - frame.cx) / frame.radius - x0).astype(np.float32)
    y = ((np.arange(frame.height) - frame.cy) / frame.radius - y0).astype(np.float32)
    light: Plane = np.float32(exposure) - np.float32(exposure * depth) * (x**2 + y[:, None] ** 2)
    return light


def _aperture(frame: anatomy.Frame) -> Plane:
    """Return a mask of the round field of view.

    The mask is 0 outside and 1 inside, with a slightly soft rim.
    """
    mask = Image.new("L", (frame.width, frame.height))
    left, top = frame.cx - frame.radius, frame.cy - frame.radius
    right, bottom = frame.cx + frame.radius, frame.cy + frame.radius
    ImageDraw.Draw(mask).ellipse((left, top, right, bottom), fill=255)
    soft = np.asarray(mask.filter(ImageFilter.GaussianBlur(0.004 * frame.radius)), dtype=np.float32)
    return soft / np.float32(255)
