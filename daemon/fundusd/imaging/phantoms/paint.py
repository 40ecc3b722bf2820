"""Paint the retina, vessels and lesions onto an image, each kind through a separate mask."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from fundusd.imaging.phantoms.anatomy import DISC_RADIUS
from fundusd.imaging.phantoms.lesions import LesionKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fundusd.imaging.phantoms.anatomy import Anatomy, Frame, Points, Vessel
    from fundusd.imaging.phantoms.lesions import Lesion

Colour = tuple[int, int, int]

_VEIN: Colour = (138, 44, 32)
_ARTERY: Colour = (172, 66, 40)
_DISC: Colour = (250, 208, 140)
_CUP: Colour = (255, 234, 190)
_MACULA: Colour = (120, 48, 24)
# The colour, and the softness of the edge in retina radii
_LOOKS: dict[LesionKind, tuple[Colour, float]] = {
    LesionKind.COTTON_WOOL: ((246, 222, 176), 0.012),
    LesionKind.EXUDATE: ((255, 236, 120), 0.002),
    LesionKind.BEAD: ((128, 34, 30), 0.002),
    LesionKind.HAEMORRHAGE: ((92, 14, 12), 0.004),
    LesionKind.MICROANEURYSM: ((104, 12, 12), 0.002),
    LesionKind.IRMA: ((150, 26, 26), 0.001),
    LesionKind.NEW_VESSELS: ((158, 16, 26), 0.001),
    LesionKind.PRERETINAL: ((88, 6, 10), 0.012),
}


def paint_anatomy(image: Image.Image, frame: Frame, anatomy: Anatomy) -> None:
    """Paint the macula, optic disc and vessels."""
    mask, draw = _mask(frame)
    draw.ellipse(frame.box(anatomy.fovea, 0.11), fill=150)
    _apply(image, mask, _MACULA, 0.055 * frame.radius)
    for colour, share, soft in ((_DISC, 1.0, 0.012), (_CUP, 0.5, 0.025)):
        mask, draw = _mask(frame)
        draw.ellipse(frame.box(anatomy.disc, DISC_RADIUS * share), fill=235)
        _apply(image, mask, colour, soft * frame.radius)
    for colour, vein in ((_VEIN, True), (_ARTERY, False)):
        mask, draw = _mask(frame)
        for vessel in anatomy.vessels:
            if vessel.vein is vein:
                _draw_vessel(draw, frame, vessel)
        _apply(image, mask, colour, 0.0025 * frame.radius)


def paint_lesions(
    image: Image.Image, frame: Frame, lesions: Iterable[Lesion], rng: np.random.Generator
) -> None:
    """Paint the lesions, one kind after another."""
    by_kind: dict[LesionKind, list[Lesion]] = {}
    for lesion in lesions:
        by_kind.setdefault(lesion.kind, []).append(lesion)
    for kind in LesionKind:
        if kind not in by_kind:
            continue
        mask, draw = _mask(frame)
        for lesion in by_kind[kind]:
            _draw_lesion(draw, frame, lesion, rng)
        colour, soft = _LOOKS[kind]
        _apply(image, mask, colour, soft * frame.radius)


def _mask(frame: Frame) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    mask = Image.new("L", (frame.width, frame.height))
    return mask, ImageDraw.Draw(mask)


def _apply(image: Image.Image, mask: Image.Image, colour: Colour, blur: float) -> None:
    """Paint a colour onto the image through the blurred mask."""
    box = mask.getbbox()
    if box is None:
        return
    margin = int(4 * blur) + 2
    box = (
        max(0, box[0] - margin),
        max(0, box[1] - margin),
        min(image.width, box[2] + margin),
        min(image.height, box[3] + margin),
    )
    image.paste(colour, box, mask.crop(box).filter(ImageFilter.GaussianBlur(blur)))


def _draw_vessel(draw: ImageDraw.ImageDraw, frame: Frame, vessel: Vessel) -> None:
    course = frame.pixels(vessel.course)
    for begin, end, calibre in zip(course[:-1], course[1:], vessel.calibre, strict=False):
        draw.line([*begin, *end], fill=225, width=max(1, round(calibre * frame.radius)))


def _draw_lesion(
    draw: ImageDraw.ImageDraw, frame: Frame, lesion: Lesion, rng: np.random.Generator
) -> None:
    match lesion.kind:
        case LesionKind.MICROANEURYSM | LesionKind.BEAD | LesionKind.EXUDATE:
            draw.ellipse(frame.box(_centre(lesion), lesion.radius), fill=245)
        case LesionKind.HAEMORRHAGE | LesionKind.COTTON_WOOL:
            _draw_blob(draw, frame, lesion, rng)
        case LesionKind.IRMA:
            _draw_fronds(draw, frame, lesion, rng, count=4)
        case LesionKind.NEW_VESSELS:
            _draw_fronds(draw, frame, lesion, rng, count=16)
        case LesionKind.PRERETINAL:
            _draw_boat(draw, frame, lesion)
        case _:
            assert_never(lesion.kind)


def _draw_blob(
    draw: ImageDraw.ImageDraw, frame: Frame, lesion: Lesion, rng: np.random.Generator
) -> None:
    """Draw an irregular, roundish patch."""
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    reach = lesion.radius * rng.uniform(0.75, 1.15, 12)
    outline = _centre(lesion) + np.column_stack([np.cos(angles), np.sin(angles)]) * reach[:, None]
    draw.polygon(_flat(frame.pixels(outline)), fill=235)


def _draw_boat(draw: ImageDraw.ImageDraw, frame: Frame, lesion: Lesion) -> None:
    """Draw a boat-shaped preretinal haemorrhage: a level top and a round bottom."""
    left, top, right, bottom = frame.box(_centre(lesion), lesion.radius)
    sink = 0.3 * lesion.radius * frame.radius
    draw.chord((left, top + sink, right, bottom - sink), -8, 188, fill=232)


def _draw_fronds(
    draw: ImageDraw.ImageDraw, frame: Frame, lesion: Lesion, rng: np.random.Generator, *, count: int
) -> None:
    """Draw a network of fine vessels that wind outwards from one point."""
    for angle in rng.uniform(0, 2 * np.pi, count):
        headings = angle + np.cumsum(rng.normal(0, 0.55, 12))
        steps = np.column_stack([np.cos(headings), np.sin(headings)]) * lesion.radius / 9
        course = _centre(lesion) + np.cumsum(steps, axis=0)
        width = max(1, round(0.010 * frame.radius))
        draw.line(_flat(frame.pixels(course)), fill=230, width=width, joint="curve")


def _centre(lesion: Lesion) -> Points:
    return np.array([lesion.x, lesion.y])


def _flat(points: Points) -> list[float]:
    return [float(value) for value in points.ravel()]
