"""Decide which lesions an eye of a given ICDR grade has.

The counts follow the International Clinical Diabetic Retinopathy scale (Wilkinson et al.,
Ophthalmology 2003). From mild to proliferative, its grades are microaneurysms only; more than
microaneurysms; the 4-2-1 rule; and new vessels or preretinal haemorrhage. Lesions are larger than
in life, so that they remain visible at 448 pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, assert_never

import numpy as np

from fundusd.domain.clinical_terms import Grade

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from fundusd.imaging.phantoms.anatomy import Anatomy, Points, Vessel

Quadrant = tuple[int, int]  # signs of x and y

_QUADRANTS: tuple[Quadrant, ...] = ((1, -1), (-1, -1), (-1, 1), (1, 1))
_FIELD = 0.86  # the largest distance of a lesion from the centre


class LesionKind(StrEnum):
    """The kinds of diabetic lesions, in the order in which they are painted."""

    COTTON_WOOL = "cotton_wool"
    EXUDATE = "exudate"
    BEAD = "bead"  # one swelling of a beaded vein
    HAEMORRHAGE = "haemorrhage"
    MICROANEURYSM = "microaneurysm"
    IRMA = "irma"
    NEW_VESSELS = "new_vessels"
    PRERETINAL = "preretinal"


@dataclass(frozen=True, slots=True)
class Lesion:
    """A lesion; its place and radius are in retina radii, for a right eye."""

    kind: LesionKind
    x: float
    y: float
    radius: float


class _Placer:
    """Place lesions in one eye."""

    def __init__(self, rng: np.random.Generator, anatomy: Anatomy) -> None:
        self.rng = rng
        self.anatomy = anatomy
        self.vessel_points = anatomy.vessel_points()

    def some_quadrants(self) -> list[Quadrant]:
        """Choose two or three quadrants at random."""
        order = self.rng.permutation(4)[: self.rng.integers(2, 4)]
        return [_QUADRANTS[index] for index in order]

    def free_place(self, quadrant: Quadrant | None, clearance: float) -> Points:
        """Return a place away from the disc, fovea and vessels, in `quadrant` if one is given."""
        signs = quadrant or _QUADRANTS[self.rng.integers(4)]
        while True:
            place = np.abs(self.rng.uniform(0.04, _FIELD, 2)) * signs
            if np.linalg.norm(place) <= _FIELD and not self._on_anatomy(place, clearance):
                return place

    def _on_anatomy(self, place: Points, clearance: float) -> bool:
        return (
            _near(place, self.anatomy.disc, 0.22 + clearance)
            or _near(place, self.anatomy.fovea, 0.06 + clearance)
            or bool((np.linalg.norm(self.vessel_points - place, axis=1) < clearance).any())
        )

    def scatter(
        self,
        kind: LesionKind,
        count: tuple[int, int],
        radius: tuple[float, float],
        quadrant: Quadrant | None = None,
    ) -> Iterator[Lesion]:
        """Place lesions whose number and radius are drawn from the ranges `count` and `radius`."""
        for _ in range(self.rng.integers(count[0], count[1] + 1)):
            size = self.rng.uniform(*radius)
            x, y = self.free_place(quadrant, min(size, 0.025))
            yield Lesion(kind, float(x), float(y), float(size))

    def cluster(
        self, kind: LesionKind, count: tuple[int, int], radius: tuple[float, float]
    ) -> Iterator[Lesion]:
        """Place a group of lesions close to each other."""
        centre = self.free_place(None, 0.1)
        for _ in range(self.rng.integers(count[0], count[1] + 1)):
            x, y = centre + self.rng.normal(0, 0.045, 2)
            yield Lesion(kind, float(x), float(y), float(self.rng.uniform(*radius)))

    def beaded_vein(self, quadrant: Quadrant) -> Iterator[Lesion]:
        """Place beads along a section of the largest vein in a quadrant."""
        veins = [vessel for vessel in self.anatomy.vessels if vessel.vein]
        vein = max(veins, key=lambda vein: _calibre_within(vein, quadrant))
        inside = np.flatnonzero(_within(vein.course, quadrant))
        for index in inside[2:-1:2]:
            (x, y), size = vein.course[index], 0.012 + vein.calibre[index] * 0.75
            yield Lesion(LesionKind.BEAD, float(x), float(y), float(size))

    def on_disc(self) -> Lesion:
        """Place new vessels at the optic disc (NVD)."""
        x, y = self.anatomy.disc + self.rng.normal(0, 0.03, 2)
        return Lesion(
            LesionKind.NEW_VESSELS, float(x), float(y), float(self.rng.uniform(0.24, 0.3))
        )


def _near(place: Points, other: Points, distance: float) -> bool:
    return bool(np.linalg.norm(place - other) < distance)


def _within(points: Points, quadrant: Quadrant) -> npt.NDArray[np.bool_]:
    """Return a mask [n] of the points [n, 2] that lie in a quadrant of the field."""
    in_quadrant = (points * quadrant > 0).all(axis=1)
    in_field = np.linalg.norm(points, axis=1) < _FIELD
    inside: npt.NDArray[np.bool_] = np.logical_and(in_quadrant, in_field)
    return inside


def _calibre_within(vessel: Vessel, quadrant: Quadrant) -> float:
    return float((vessel.calibre * _within(vessel.course, quadrant)).sum())


def plan_lesions(rng: np.random.Generator, anatomy: Anatomy, grade: Grade) -> list[Lesion]:
    """Return the lesions of an eye of this grade."""
    placer = _Placer(rng, anatomy)
    match grade:
        case Grade.NO_DR:
            return []
        case Grade.MILD:
            return list(_microaneurysms(placer))
        case Grade.MODERATE:
            return list(_moderate(placer))
        case Grade.SEVERE:
            return list(_severe(placer))
        case Grade.PDR:
            before = _severe if rng.random() < 0.5 else _moderate  # noqa: PLR2004
            return [*before(placer), *_proliferation(placer)]
        case _:
            assert_never(grade)


def _microaneurysms(placer: _Placer) -> Iterator[Lesion]:
    yield from placer.scatter(LesionKind.MICROANEURYSM, (6, 12), (0.016, 0.021))


def _moderate(placer: _Placer) -> Iterator[Lesion]:
    """Yield microaneurysms, exudates, haemorrhages and, in most eyes, cotton-wool spots.

    There are only a few haemorrhages, in two or three quadrants.
    """
    yield from _microaneurysms(placer)
    for quadrant in placer.some_quadrants():
        yield from placer.scatter(LesionKind.HAEMORRHAGE, (1, 4), (0.026, 0.045), quadrant)
    for _ in range(placer.rng.integers(1, 5)):
        yield from placer.cluster(LesionKind.EXUDATE, (5, 14), (0.010, 0.020))
    yield from placer.scatter(LesionKind.COTTON_WOOL, (0, 3), (0.045, 0.07))


def _severe(placer: _Placer) -> Iterator[Lesion]:
    """Yield lesions that meet all parts of the 4-2-1 rule.

    The rule is haemorrhages in four quadrants, venous beading in two or IRMA in one.
    """
    yield from _microaneurysms(placer)
    for quadrant in _QUADRANTS:
        yield from placer.scatter(LesionKind.HAEMORRHAGE, (21, 27), (0.016, 0.045), quadrant)
    for quadrant in placer.some_quadrants():
        yield from placer.beaded_vein(quadrant)
    yield from placer.scatter(LesionKind.IRMA, (1, 4), (0.06, 0.09))
    yield from placer.scatter(LesionKind.COTTON_WOOL, (0, 4), (0.045, 0.07))
    if placer.rng.random() < 0.5:  # noqa: PLR2004
        yield from placer.cluster(LesionKind.EXUDATE, (5, 14), (0.010, 0.020))


def _proliferation(placer: _Placer) -> Iterator[Lesion]:
    """Yield new vessels, a preretinal haemorrhage, or both.

    The new vessels are at the disc, elsewhere, or in both places.
    """
    form = placer.rng.integers(4)
    if form in {0, 1}:
        yield placer.on_disc()
    if form in {1, 2}:
        yield from placer.scatter(LesionKind.NEW_VESSELS, (1, 2), (0.2, 0.28))
    if form in {2, 3} or placer.rng.random() < 0.4:  # noqa: PLR2004
        yield from placer.scatter(LesionKind.PRERETINAL, (1, 1), (0.24, 0.36))
