"""Render photographs to measure with; one version of Pillow gives the same bytes everywhere."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fundusd.domain.clinical_terms import Eye, Grade
from fundusd.imaging import phantoms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fundusd.domain.decoding import Pixels

_WIDTH, _HEIGHT = 4096, 3072
_QUALITY = 90
_GRAIN = 5  # grey levels: makes files as large as a camera's, and each one different
_DARK = 16  # grey levels: outside the aperture cameras write black
_SMALL = (640, 480)
_COMMENT = b"\xff\xfe"  # a JPEG segment that every decoder steps over


def large(folder: Path, count: int, on_step: Callable[[str], None] = lambda _: None) -> list[Path]:
    """Return the first `count` captures of 12 megapixels in a folder; missing ones are made."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"capture-{number:03}.jpg" for number in range(count)]
    for grade in Grade:
        rendered = None  # once per grade, and only if a capture is missing
        for number in range(grade.value, count, len(Grade)):
            if paths[number].is_file():
                continue
            on_step(f"rendering capture {number + 1} of {count}")
            if rendered is None:
                rendered = phantoms.render(grade, Eye.RIGHT, 1, _WIDTH, _HEIGHT)
            _write(paths[number], encode(_grained(rendered, number)))
    return paths


def _write(path: Path, data: bytes) -> None:
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_bytes(data)
    unfinished.rename(path)


def _grained(rendered: Pixels, seed: int) -> Pixels:
    """Add sensor noise that is different for each capture."""
    grain = np.random.default_rng(seed).integers(-_GRAIN, _GRAIN + 1, rendered.shape[:2], np.int16)
    grain[rendered.max(axis=2) < _DARK] = 0
    pixels: Pixels = np.clip(rendered + grain[..., None], 0, 255).astype(np.uint8)
    return pixels


def encode(pixels: Pixels) -> bytes:
    """Return a JPEG as most cameras write it: baseline, chroma at half size in both directions."""
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=_QUALITY, subsampling="4:2:0")
    return stream.getvalue()


def eyes(count: int) -> Iterator[bytes]:
    """Yield phantoms of `count` different eyes, cycling through the grades."""
    for number in range(count):
        yield encode(phantoms.render(Grade(number % len(Grade)), tuple(Eye)[number % 2], number))


def small(count: int) -> Iterator[bytes]:
    """Yield small captures: copies of a few images, made different by a JPEG comment."""
    pictures = [encode(phantoms.render(grade, Eye.RIGHT, 1, *_SMALL)) for grade in Grade]
    for number in range(count):
        picture, note = pictures[number % len(pictures)], str(number).encode()
        yield picture[:2] + _COMMENT + (len(note) + 2).to_bytes(2) + note + picture[2:]
