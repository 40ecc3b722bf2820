"""Generate a healthy retina: disc, fovea and vessel tree.

Lengths are in retina radii; the origin is the centre of the retina, and y points down. Every eye
is generated as a right eye (nasal towards +x); `Frame` mirrors it for a left eye.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fundusd.domain.clinical_terms import Eye

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Points = npt.NDArray[np.float64]  # [n, 2], x and y

DISC_RADIUS = 0.135
FOVEA_FREE = 0.15  # the foveal avascular zone, drawn larger than in life
_STEPS = 28  # points along a vessel: enough to look smooth at 1600 pixels


@dataclass(frozen=True, slots=True)
class Frame:
    """The retina's place in the photograph, in pixels; `mirror` is -1 for a left eye."""

    width: int
    height: int
    cx: float
    cy: float
    radius: float
    mirror: int

    def pixels(self, points: Points) -> Points:
        """Map [n, 2] retina coordinates to [n, 2] pixels."""
        placed: Points = (
            np.array([self.cx, self.cy]) + points * np.array([self.mirror, 1]) * self.radius
        )
        return placed

    def box(self, centre: Points, radius: float) -> tuple[float, float, float, float]:
        """Return the pixel box around a circle in retina coordinates."""
        cx, cy = self.pixels(centre)
        reach = radius * self.radius
        return float(cx - reach), float(cy - reach), float(cx + reach), float(cy + reach)


@dataclass(frozen=True, slots=True)
class Vessel:
    """A vessel's course [n, 2], and its calibre [n] along that course."""

    course: Points
    calibre: npt.NDArray[np.float64]
    vein: bool


@dataclass(frozen=True, slots=True)
class Anatomy:
    """A healthy retina."""

    disc: Points
    fovea: Points
    vessels: tuple[Vessel, ...]

    def vessel_points(self) -> Points:
        """Return every point of every vessel, [n, 2]."""
        return np.concatenate([vessel.course for vessel in self.vessels])


def place_frame(rng: np.random.Generator, eye: Eye, width: int, height: int) -> Frame:
    """Return the retina's frame in the photograph, with a small variation in size and place."""
    short = min(width, height)
    radius = short * rng.uniform(0.455, 0.49)
    slack = short / 2 - radius
    cx = width / 2 + rng.uniform(-1, 1) * slack
    cy = height / 2 + rng.uniform(-1, 1) * slack
    mirror = -1 if eye is Eye.LEFT else 1
    return Frame(width, height, cx, cy, radius, mirror)


def generate(rng: np.random.Generator) -> Anatomy:
    """Generate the anatomy of a right eye."""
    disc = np.array([rng.uniform(0.40, 0.50), rng.uniform(-0.07, 0.05)])
    fovea = np.array([disc[0] - rng.uniform(0.58, 0.66), disc[1] + rng.uniform(0.02, 0.08)])
    vessels: list[Vessel] = []
    for vein in (False, True):
        for up in (-1, 1):
            for course in (_temporal, _nasal):
                vessels += _tree(rng, disc + rng.normal(0, 0.02, 2) + course(rng, up), vein=vein)
    return Anatomy(disc, fovea, tuple(_clear_of_fovea(vessels, fovea)))


def _temporal(rng: np.random.Generator, up: int) -> Points:
    """Return the control points, relative to the disc, of an arcade around the macula."""
    rise = rng.uniform(0.50, 0.66) * up
    return np.array([[0, 0], [0.02, 0.8 * rise], [-0.45, 1.3 * rise], [-1.3, 0.6 * rise]])


def _nasal(rng: np.random.Generator, up: int) -> Points:
    """Return the control points, relative to the disc, of a shorter vessel towards the nose."""
    rise = rng.uniform(0.3, 0.8) * up
    return np.array([[0, 0], [0.08, 0.2 * rise], [0.22, 0.6 * rise], [0.5, rise]])


def _tree(rng: np.random.Generator, controls: Points, *, vein: bool) -> list[Vessel]:
    """Generate one trunk with its branches and their twigs."""
    calibre = rng.uniform(0.028, 0.034) if vein else rng.uniform(0.019, 0.024)
    trunk = _vessel(rng, controls, calibre, vein=vein)
    vessels = [trunk]
    for at in rng.uniform(0.2, 0.9, 5):
        vessels += _branch(rng, trunk, at, twigs=2)
    return vessels


def _branch(rng: np.random.Generator, parent: Vessel, at: float, twigs: int) -> list[Vessel]:
    """Return a branch with a number of twigs.

    The branch starts at the fraction `at` of the parent's course.
    """
    index = int(at * (_STEPS - 2))
    start, following = parent.course[index], parent.course[index + 1]
    heading = np.arctan2(*(following - start)[::-1]) + rng.choice([-1, 1]) * rng.uniform(0.5, 1.0)
    headings = heading + rng.uniform(-0.7, 0.7) * np.arange(3)
    length = rng.uniform(0.07, 0.14) * (1.0 if twigs else 0.6)
    steps = np.column_stack([np.cos(headings), np.sin(headings)]) * length
    controls = start + np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    branch = _vessel(rng, controls, parent.calibre[index] * 0.62, vein=parent.vein)
    vessels = [branch]
    for share in rng.uniform(0.3, 0.8, twigs):
        vessels += _branch(rng, branch, share, twigs=0)
    return vessels


def _vessel(rng: np.random.Generator, controls: Points, calibre: float, *, vein: bool) -> Vessel:
    """Return a slightly tortuous vessel with a cubic Bezier course and decreasing calibre."""
    t = np.linspace(0, 1, _STEPS)
    weights = np.column_stack([(1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3])
    along = controls[3] - controls[0]
    across = np.array([-along[1], along[0]])
    wave = 0.012 * np.sin(t * rng.uniform(8, 16) + rng.uniform(0, 6)) * t
    return Vessel(weights @ controls + wave[:, None] * across, calibre * (1 - 0.6 * t), vein)


def _clear_of_fovea(vessels: Iterable[Vessel], fovea: Points) -> Iterator[Vessel]:
    """Yield the vessels, each cut off where it would enter the foveal avascular zone."""
    for vessel in vessels:
        inside = np.linalg.norm(vessel.course - fovea, axis=1) < FOVEA_FREE
        end = int(np.argmax(inside)) if inside.any() else _STEPS
        if end > 1:
            yield Vessel(vessel.course[:end], vessel.calibre[:end], vessel.vein)
