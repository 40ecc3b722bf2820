"""Captures damaged as by a failed copy, a disk or an attacker; the same ones on every run."""

from __future__ import annotations

import random
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pydicom.uid as syntax
from PIL import Image
from tests import imaging_cases as cases

from fundusd.domain.clinical_terms import Eye, Grade
from fundusd.imaging import phantoms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fundusd.domain.decoding import Pixels

    Mutation = Callable[[bytes, random.Random], bytes]

# of the seeds: small ones are ungradable, and fast; the others reach the model
SIZES = [(320, 240), (480, 360), (640, 480)]
_EXTREMES = (0, 1, 2, 3, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)
_LONG_EXTREMES = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_DEEP = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"


class Mutant(NamedTuple):
    """One damaged capture and how it was damaged."""

    number: int
    seed: str
    mutation: str
    data: bytes

    @property
    def name(self) -> str:
        words = f"{self.number:05}_{self.seed}_{self.mutation}".replace(" ", "_")
        return words + ".jpg"  # whatever it is: the content decides


@cache
def seeds() -> dict[str, bytes]:
    """Make phantoms as every supported kind of JPEG and DICOM; JPEG-LS has no encoder at hand."""
    made = {}
    for number, (width, height) in enumerate(SIZES):
        pixels = phantoms.render(tuple(Grade)[number], Eye.RIGHT, number, width, height)
        made[f"baseline {width}"] = phantoms.as_jpeg(pixels)
        made[f"dicom {width}"] = phantoms.as_dicom(pixels, Eye.LEFT, "phantom-1", seed=number)
    pixels = phantoms.render(Grade.MILD, Eye.LEFT, 9, 320, 240)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "PHANTOM"
    profile = b"\0\0\2\0lcms\2\x10\0\0mntrRGB XYZ " + bytes(488)
    made["progressive"] = cases.encode(
        pixels, "JPEG", progressive=True, exif=exif, icc_profile=profile
    )
    made["grey"] = cases.encode(Image.fromarray(pixels).convert("L"), "JPEG")
    made["cmyk"] = cases.encode(
        Image.fromarray(pixels).convert("CMYK"), "JPEG", restart_marker_rows=1
    )
    made["native"] = cases.native(pixels)
    made["palette"] = _palette(pixels)
    made["implicit"] = cases.native(pixels, syntax.ImplicitVRLittleEndian)
    made["big endian"] = cases.native(
        pixels.astype(np.uint16) * np.uint16(257), syntax.ExplicitVRBigEndian
    )
    made["deflated"] = cases.native(pixels, syntax.DeflatedExplicitVRLittleEndian)
    made["rle"] = cases.compressed(pixels, syntax.RLELossless)
    made["jpeg 2000"] = cases.compressed(pixels, syntax.JPEG2000Lossless)
    made["lossless"] = cases.encapsulated(
        pixels, cases.lossless_jpeg(pixels), syntax.JPEGLosslessSV1
    )
    return made


def _palette(pixels: Pixels) -> bytes:
    picture = Image.fromarray(pixels).quantize(256)
    levels = np.asarray(picture.getpalette(), np.uint8).reshape(-1, 3)
    changes: dict[str, Any] = {
        "PhotometricInterpretation": "PALETTE COLOR",
        "PlanarConfiguration": None,
    }
    for number, name in enumerate(("Red", "Green", "Blue")):
        table = levels[:, number].tobytes().ljust(256, b"\0")
        changes[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 8]
        changes[f"{name}PaletteColorLookupTableData"] = table
    return cases.native(np.asarray(picture), **changes)


def mutants(count: int, start: int = 0) -> Iterator[Mutant]:
    """Yield `count` damaged seeds from number `start` on; a number always means the same bytes."""
    names = sorted(seeds())
    for number in range(start, start + count):
        chance = random.Random(number)
        seed, mutation = names[number % len(names)], chance.choice(sorted(MUTATIONS))
        yield Mutant(number, seed, mutation, MUTATIONS[mutation](seeds()[seed], chance))


def _head(data: bytes) -> int:
    """Return roughly where the coded pixels begin: at the first scan, or at PixelData."""
    for mark in (b"\xff\xda", b"\xe0\x7f\x10\0", b"\x7f\xe0\0\x10"):
        if (position := data.find(mark)) > 0:
            return position + 12
    return min(1024, len(data))


def _put(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def _flipped(data: bytes, chance: random.Random, end: int, most: int) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, most)):
        changed[chance.randrange(end)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _stretch(data: bytes, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(len(data))
    return start, min(len(data), start + chance.choice([1, 2, 16, 128, 512, 4096, 20000]))


def flip_bits(data: bytes, chance: random.Random) -> bytes:
    return _flipped(data, chance, len(data), 16)


def flip_header_bits(data: bytes, chance: random.Random) -> bytes:
    return _flipped(data, chance, _head(data), 4)


def zero(data: bytes, chance: random.Random) -> bytes:
    start, end = _stretch(data, chance)
    return _put(data, start, bytes(end - start))


def overwrite(data: bytes, chance: random.Random) -> bytes:
    start, end = _stretch(data, chance)
    return _put(data, start, chance.randbytes(end - start))


def overwrite_header(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(_head(data))
    return _put(data, start, chance.randbytes(chance.choice([1, 2, 4, 8, 32])))


def truncate(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(1, len(data))]


def truncate_header(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(1, _head(data))]


def cut_and_end(data: bytes, chance: random.Random) -> bytes:
    end = chance.randrange(_head(data), len(data))
    return data[:end] + chance.choice([b"\xff\xd9", b"\xfe\xff\xdd\xe0\0\0\0\0"])


def duplicate(data: bytes, chance: random.Random) -> bytes:
    start, end = _stretch(data, chance)
    return data[:end] + data[start:end] * chance.choice([1, 1, 3]) + data[end:]


def remove(data: bytes, chance: random.Random) -> bytes:
    start, end = _stretch(data, chance)
    return (data[:start] + data[end:]) or b"\0"


def insert(data: bytes, chance: random.Random) -> bytes:
    start, end = _stretch(data, chance)
    return data[:start] + chance.randbytes(end - start) + data[start:]


def exchange(data: bytes, chance: random.Random) -> bytes:
    middle = chance.randrange(1, len(data))
    return data[middle:] + data[:middle]


def lie_about_a_length(data: bytes, chance: random.Random) -> bytes:
    """Change the length of a JPEG segment or of a DICOM element."""
    fields = list(_lengths(data))
    at, width, order = chance.choice(fields) if fields else (chance.randrange(len(data)), 2, "<")
    byte_order: Literal["little", "big"] = "little" if order == "<" else "big"
    length = int.from_bytes(data[at : at + width], byte_order)
    extremes = _EXTREMES if width == 2 else _LONG_EXTREMES
    lies = [length + 1, length - 1, length * 2, len(data), *extremes]
    lie = chance.choice(lies) % (1 << 8 * width)
    return _put(data, at, lie.to_bytes(width, byte_order))


def _lengths(data: bytes) -> Iterator[tuple[int, int, str]]:
    """Yield the length fields: offset, width in bytes, byte order; good enough for the seeds."""
    end = _head(data)
    for at in range(len(data[:end]) - 8):
        if data[at] == 0xFF and data[at + 1] in {0xC0, 0xC2, 0xC4, 0xDA, 0xDB, 0xE0, 0xE1, 0xE2}:
            yield at + 2, 2, ">"
        elif data[at : at + 2].isupper() and data[at - 2] in {0, 2, 8, 16, 32, 40}:
            long = data[at : at + 2] in {b"OB", b"OW", b"SQ", b"UN", b"UT"}
            yield (at + 4, 4, "<") if long else (at + 2, 2, "<")
        elif data[at : at + 4] == b"\xfe\xff\0\xe0":
            yield at + 4, 4, "<"


def lie_about_a_number(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(_head(data))
    value = chance.choice([*_EXTREMES, *_LONG_EXTREMES])
    width = 2 if value < 1 << 16 else 4
    return _put(data, at, value.to_bytes(width, chance.choice(["little", "big"])))


def nest(data: bytes, chance: random.Random) -> bytes:
    """Insert nested sequences into the header, up to many more levels than Python's stack holds."""
    at = chance.randrange(_head(data))
    return data[:at] + _DEEP * chance.choice([1, 30, 300, 3000]) + data[at:]


def splice(data: bytes, chance: random.Random) -> bytes:
    """Join the beginning of one seed and the end of another."""
    other = seeds()[chance.choice(sorted(seeds()))]
    return data[: chance.randrange(1, len(data))] + other[chance.randrange(len(other)) :]


def several(data: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.randint(2, 5)):
        mutation = chance.choice(
            [flip_bits, flip_header_bits, zero, remove, lie_about_a_length, lie_about_a_number]
        )
        data = mutation(data, chance)
    return data


_HEADER_AND_BITS = (flip_bits, flip_header_bits, zero, overwrite, overwrite_header)
_STRUCTURE = (truncate, truncate_header, cut_and_end, duplicate, remove, insert, exchange, splice)
_FIELDS = (lie_about_a_length, lie_about_a_number, nest, several)
MUTATIONS: dict[str, Mutation] = {
    mutation.__name__: mutation for mutation in (*_HEADER_AND_BITS, *_STRUCTURE, *_FIELDS)
}
