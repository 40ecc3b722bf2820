"""Decide which lesions an eye of a given ICDR grade has.

The counts follow the International Clinical Diabetic Retinopathy scale (Wilkinson et al.,
Ophthalmology 2003): microaneurysms only; more than that; the 4-2-1 rule; new vessels or
preretinal haemorrhage. Sizes are larger than life, so that they survive 448 pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, assert_never

import numpy as np

from fundusd.domain.clinical_terms import Grade

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.imaging.phantoms.anatomy import Anatomy, Points

Quadrant = tuple[int, int]  # signs of x and y

_QUADRANTS: tuple[Quadrant, ...] = ((1, -1), (-1, -1), (-1, 1), (1, 1))
_FIELD = 0.86  # lesions keep this far inside the rim


class Kind(StrEnum):
    """What diabetes leaves on a retina, in the order in which it is painted."""

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
    """One lesion; place and radius in retina radii, as a right eye."""

    kind: Kind
    x: float
    y: float
    radius: float


class _Placer:
    """Places lesions in one eye."""

    def __init__(self, rng: np.random.Generator, anatomy: Anatomy) -> None:
        self.rng = rng
        self.anatomy = anatomy
        self.vessel_points = anatomy.vessel_points()

    def some_quadrants(self) -> list[Quadrant]:
        """Choose two or three quadrants."""
        order = self.rng.permutation(4)[: self.rng.integers(2, 4)]
        return [_QUADRANTS[index] for index in order]

    def free(self, quadrant: Quadrant | None, clearance: float) -> Points:
        """Find a place off disc, fovea and vessels; in the given quadrant, where one is given."""
        signs = quadrant or _QUADRANTS[self.rng.integers(4)]
        while True:
            place = np.abs(self.rng.uniform(0.04, _FIELD, 2)) * signs
            if np.linalg.norm(place) > _FIELD or _near(place, self.anatomy.disc, 0.22 + clearance):
                continue
            if _near(place, self.anatomy.fovea, 0.06 + clearance) or self._on_vessel(
                place, clearance
            ):
                continue
            return place

    def _on_vessel(self, place: Points, clearance: float) -> bool:
        return bool((np.linalg.norm(self.vessel_points - place, axis=1) < clearance).any())

    def scatter(
        self,
        kind: Kind,
        count: tuple[int, int],
        radius: tuple[float, float],
        quadrant: Quadrant | None = None,
    ) -> Iterator[Lesion]:
        """Place `count` (from, to) lesions of `radius` (from, to)."""
        for _ in range(self.rng.integers(count[0], count[1] + 1)):
            size = self.rng.uniform(*radius)
            x, y = self.free(quadrant, min(size, 0.025))
            yield Lesion(kind, float(x), float(y), float(size))

    def cluster(
        self, kind: Kind, count: tuple[int, int], radius: tuple[float, float]
    ) -> Iterator[Lesion]:
        """Place a group of lesions close together."""
        centre = self.free(None, 0.1)
        for _ in range(self.rng.integers(count[0], count[1] + 1)):
            x, y = centre + self.rng.normal(0, 0.045, 2)
            yield Lesion(kind, float(x), float(y), float(self.rng.uniform(*radius)))

    def beaded_vein(self, quadrant: Quadrant) -> Iterator[Lesion]:
        """Thread beads along a stretch of the largest vein in a quadrant."""
        course, calibre = max(
            ((v.course, v.calibre) for v in self.anatomy.vessels if v.vein),
            key=lambda vein: float((vein[1] * _within(vein[0], quadrant)).sum()),
        )
        inside = np.flatnonzero(_within(course, quadrant))
        for index in inside[2:-1:2]:
            (x, y), size = course[index], 0.012 + calibre[index] * 0.75
            yield Lesion(Kind.BEAD, float(x), float(y), float(size))

    def on_disc(self) -> Lesion:
        """Place new vessels at the optic disc (NVD)."""
        x, y = self.anatomy.disc + self.rng.normal(0, 0.03, 2)
        return Lesion(Kind.NEW_VESSELS, float(x), float(y), float(self.rng.uniform(0.24, 0.3)))


def _near(place: Points, other: Points, distance: float) -> bool:
    return bool(np.linalg.norm(place - other) < distance)


def _within(points: Points, quadrant: Quadrant) -> Points:
    """Tell for [n, 2] points whether they lie in a quadrant of the field."""
    inside: Points = ((points * quadrant) > 0).all(axis=1) & (
        np.linalg.norm(points, axis=1) < _FIELD
    )
    return inside


def plan(rng: np.random.Generator, anatomy: Anatomy, grade: Grade) -> list[Lesion]:
    """List the lesions of an eye of this grade."""
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
    yield from placer.scatter(Kind.MICROANEURYSM, (6, 12), (0.016, 0.021))


def _moderate(placer: _Placer) -> Iterator[Lesion]:
    """More than microaneurysms alone, in at most three quadrants few haemorrhages."""
    yield from _microaneurysms(placer)
    for quadrant in placer.some_quadrants():
        yield from placer.scatter(Kind.HAEMORRHAGE, (1, 4), (0.026, 0.045), quadrant)
    for _ in range(placer.rng.integers(1, 5)):
        yield from placer.cluster(Kind.EXUDATE, (5, 14), (0.010, 0.020))
    yield from placer.scatter(Kind.COTTON_WOOL, (0, 3), (0.045, 0.07))


def _severe(placer: _Placer) -> Iterator[Lesion]:
    """Fulfil all of 4-2-1: haemorrhages in four quadrants, beading in two, IRMA in one."""
    yield from _microaneurysms(placer)
    for quadrant in _QUADRANTS:
        yield from placer.scatter(Kind.HAEMORRHAGE, (21, 27), (0.016, 0.045), quadrant)
    for quadrant in placer.some_quadrants():
        yield from placer.beaded_vein(quadrant)
    yield from placer.scatter(Kind.IRMA, (1, 4), (0.06, 0.09))
    yield from placer.scatter(Kind.COTTON_WOOL, (0, 4), (0.045, 0.07))
    if placer.rng.random() < 0.5:  # noqa: PLR2004
        yield from placer.cluster(Kind.EXUDATE, (5, 14), (0.010, 0.020))


def _proliferation(placer: _Placer) -> Iterator[Lesion]:
    """Add new vessels at the disc or elsewhere, a preretinal haemorrhage, or both."""
    form = placer.rng.integers(4)
    if form in {0, 1}:
        yield placer.on_disc()
    if form in {1, 2}:
        yield from placer.scatter(Kind.NEW_VESSELS, (1, 2), (0.2, 0.28))
    if form in {2, 3} or placer.rng.random() < 0.4:  # noqa: PLR2004
        yield from placer.scatter(Kind.PRERETINAL, (1, 1), (0.24, 0.36))
