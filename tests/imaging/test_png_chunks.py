"""The metadata of a PNG never costs the photograph; its pixels are checked strictly."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms
from tests import imaging_cases as cases
from tests.container_cases import chunk, with_chunks

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.decoding import MediaType
from fundusd.domain.errors import CaptureError
from fundusd.imaging.limits import Limits
from fundusd.imaging.raster import open_raster

if TYPE_CHECKING:
    from fundusd.domain.decoding import Pixels

RETINA = cases.retina(160, 128)
PNG = cases.encode(RETINA, "PNG")
BOMB = zlib.compress(bytes(80_000_000))
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def read(data: bytes) -> tuple[Pixels, tuple[str, ...]]:
    opened = open_raster(data, MediaType.PNG, Limits())
    assert opened.reason is None
    pixels, codes = opened.load()
    return pixels, (*opened.content.warnings, *codes)


def refused(data: bytes) -> Reason | None:
    try:
        opened = open_raster(data, MediaType.PNG, Limits())
        if opened.reason is None:
            opened.load()
    except CaptureError as error:
        return error.reason
    return opened.reason


TEXTS = [
    chunk(b"zTXt", b"Comment\0\0" + BOMB),
    chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + BOMB),
    chunk(b"tEXt", b"Comment\0" + bytes(3_000_000)),
    chunk(b"zTXt", b"Comment\0\0no stream"),
    chunk(b"zTXt", b"Comment\0\x07" + zlib.compress(b"unknown method")),
    chunk(b"iTXt", b"no separators"),
    chunk(b"tEXt", b""),
    chunk(b"tEXt", b"Comment\0text", checksum=1),
    chunk(b"eXIf", b"II*\0\xff\xff\xff\xff"),
    chunk(b"eXIf", b"no exif", checksum=1),
    chunk(b"gAMA", b""),
    chunk(b"cHRM", b"short"),
    chunk(b"pHYs", b""),
    chunk(b"tIME", bytes(3), checksum=0),
    chunk(b"sRGB", b""),
    chunk(b"caNv", b"private"),
]


@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize("metadata", TEXTS, ids=range(len(TEXTS)))
def test_metadata_costs_nothing(metadata: bytes, before: bytes) -> None:
    pixels, codes = read(with_chunks(PNG, metadata, before=before))
    assert np.array_equal(pixels, RETINA)
    assert codes == ()


def test_many_bombs_together_cost_nothing() -> None:
    pixels, _ = read(with_chunks(PNG, *TEXTS[:2] * 40))
    assert np.array_equal(pixels, RETINA)


@pytest.mark.parametrize(
    "profile",
    [
        chunk(b"iCCP", b"bomb\0\0" + BOMB),
        chunk(b"iCCP", b"name\0\0no stream"),
        chunk(b"iCCP", b"name\0\0" + zlib.compress(SRGB)[:-9]),
        chunk(b"iCCP", b"name\0\0" + zlib.compress(b"no profile")),
        chunk(b"iCCP", b"name\0\0" + zlib.compress(SRGB), checksum=1),
        chunk(b"iCCP", b"no end of the name"),
        chunk(b"iCCP", b""),
    ],
    ids=["bomb", "no stream", "cut", "no profile", "checksum", "name", "empty"],
)
def test_a_broken_profile_is_left_out_with_a_warning(profile: bytes) -> None:
    pixels, codes = read(with_chunks(PNG, profile))
    assert np.array_equal(pixels, RETINA)
    assert codes == ("icc_unusable",)


def test_a_profile_beyond_the_limit_of_pillow_is_used() -> None:
    swapped = SRGB.replace(b"rXYZ", b"tmp_").replace(b"bXYZ", b"rXYZ").replace(b"tmp_", b"bXYZ")
    swapped = swapped.replace("sRGB".encode("utf-16-be"), "wide".encode("utf-16-be"))
    padded = swapped.replace(b"sRGB", b"wide") + bytes(2_000_000)
    padded = struct.pack(">I", len(padded)) + padded[4:]
    png = with_chunks(PNG, chunk(b"iCCP", b"wide\0\0" + zlib.compress(padded)))
    pixels, codes = read(png)
    assert codes == ("icc_converted",)
    assert pixels[64, 80, 2] > pixels[64, 80, 0]


def test_the_orientation_in_exif_still_counts() -> None:
    exif = b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\3\0\0\0\0\0\0"
    pixels, codes = read(with_chunks(PNG, chunk(b"eXIf", exif), before=b"IEND"))
    assert np.array_equal(pixels, RETINA[::-1, ::-1])
    assert codes == ("turned",)


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"])
def test_a_wrong_checksum_of_the_pixels_is_an_error(kind: bytes) -> None:
    palette = Image.fromarray(RETINA).quantize(256)
    data = bytearray(cases.encode(palette, "PNG", transparency=3))
    place = data.index(kind)
    length = int.from_bytes(data[place - 4 : place])
    data[place + 4 + length] ^= 1
    assert refused(bytes(data)) is Reason.DECODE_ERROR


def test_an_unknown_chunk_that_decoders_must_know_is_an_error() -> None:
    assert refused(with_chunks(PNG, chunk(b"CgBI", b"\x50\0\x20\2"))) is Reason.DECODE_ERROR


def test_an_animation_is_several_pictures_and_a_stray_mark_is_not() -> None:
    frame = struct.pack(">IIIIIHHBB", 0, 160, 128, 0, 0, 1, 10, 0, 0)
    control = [chunk(b"acTL", struct.pack(">II", 2, 0)), chunk(b"fcTL", frame)]
    still = with_chunks(PNG, *control)
    assert np.array_equal(read(still)[0], RETINA)
    second = chunk(b"fdAT", struct.pack(">I", 2) + zlib.compress(b"pixels"))
    assert refused(with_chunks(still, second, before=b"IEND")) is Reason.MULTIFRAME


@given(st.binary(max_size=40), st.sampled_from([b"iCCP", b"zTXt", b"iTXt", b"eXIf", b"acTL"]))
def test_no_content_of_a_metadata_chunk_costs_the_photograph(content: bytes, kind: bytes) -> None:
    pixels, _ = read(with_chunks(PNG, chunk(kind, content)))
    assert pixels.size == RETINA.size
