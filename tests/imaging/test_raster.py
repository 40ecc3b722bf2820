from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps
from tests import imaging_cases as cases

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.decoding import MediaType
from fundusd.domain.errors import CaptureError
from fundusd.files.media_type import sniff
from fundusd.imaging.jpeg_markers import read_markers
from fundusd.imaging.limits import Limits
from fundusd.imaging.raster import open_raster, orientation

if TYPE_CHECKING:
    from fundusd.domain.decoding import Pixels

RETINA = cases.retina(160, 128)
LIMITS = Limits(max_pixels=200_000)


def read(data: bytes) -> tuple[Pixels, tuple[str, ...]]:
    media = sniff(data)
    assert isinstance(media, MediaType)
    opened = open_raster(data, media, LIMITS)
    assert opened.reason is None
    pixels, codes = opened.load()
    assert pixels.dtype == np.uint8
    return pixels, (*opened.content.warnings, *codes)


def refused(data: bytes) -> Reason | None:
    media = sniff(data)
    assert isinstance(media, MediaType)
    try:
        opened = open_raster(data, media, LIMITS)
        if opened.reason is None:
            opened.load()
    except CaptureError as error:
        return error.reason
    return opened.reason


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_lossless_files_come_back_bit_for_bit(kind: str) -> None:
    pixels, codes = read(cases.encode(RETINA, kind))
    assert np.array_equal(pixels, RETINA)
    assert codes == ()


def test_a_jpeg_comes_back_within_its_losses() -> None:
    pixels, _ = read(cases.encode(RETINA, "JPEG", quality=95, subsampling=0))
    assert np.abs(pixels.astype(int) - RETINA).mean() < 1.5


@pytest.mark.parametrize("kept", [0.3, 0.7, 0.99])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_file_cut_short_is_refused(kind: str, kept: float) -> None:
    data = cases.encode(RETINA, kind)
    reason = refused(data[: int(len(data) * kept)])
    assert reason in (
        {Reason.TRUNCATED, Reason.DECODE_ERROR} if kind == "TIFF" else {Reason.TRUNCATED}
    )


def test_a_jpeg_without_its_end_mark_is_truncated_though_all_pixels_decode() -> None:
    assert refused(cases.encode(RETINA, "JPEG")[:-2]) is Reason.TRUNCATED


def test_bytes_behind_a_whole_picture_are_only_worth_a_warning() -> None:
    for kind in ("JPEG", "PNG"):
        pixels, codes = read(cases.encode(RETINA, kind) + bytes(100))
        assert pixels.shape == RETINA.shape
        assert codes == ("trailing_bytes",)


def test_a_thumbnail_inside_a_jpeg_is_not_taken_for_its_end() -> None:
    data = cases.encode(RETINA, "JPEG")
    thumbnail = cases.encode(cases.retina(16, 16), "JPEG")
    app1 = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 8) + b"Exif\0\0" + thumbnail
    whole = data[:2] + app1 + data[2:]
    assert read_markers(whole).end == len(whole)
    assert read_markers(whole[:-2]).end is None
    assert refused(whole) is None


def test_damage_in_the_compressed_pixels_of_a_png_is_a_decode_error() -> None:
    data = bytearray(cases.encode(RETINA, "PNG"))
    data[len(data) // 2] ^= 0xFF
    assert refused(bytes(data)) in {Reason.DECODE_ERROR, Reason.TRUNCATED}


def test_a_jpeg_of_nothing_but_markers_is_a_decode_error() -> None:
    assert refused(b"\xff\xd8\xff\xd9") is Reason.DECODE_ERROR


def test_too_many_pixels_are_refused_by_the_header() -> None:
    for kind in ("JPEG", "PNG", "TIFF"):
        assert refused(cases.encode(cases.retina(640, 480), kind)) is Reason.TOO_MANY_PIXELS


def test_a_bomb_far_beyond_the_limit_is_never_decoded() -> None:
    bomb = bytearray(cases.encode(RETINA, "PNG"))
    bomb[16:24] = struct.pack(">II", 60_000, 60_000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))
    assert refused(bytes(bomb)) is Reason.TOO_MANY_PIXELS


@pytest.mark.parametrize("kind", ["TIFF", "MPO", "PNG"])
def test_several_pictures_in_one_file_are_refused(kind: str) -> None:
    pages = [Image.fromarray(RETINA), Image.fromarray(RETINA // 2)]
    assert (
        refused(cases.encode(pages[0], kind, save_all=True, append_images=pages[1:]))
        is Reason.MULTIFRAME
    )


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_the_orientation_is_applied(kind: str, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    pixels, _ = read(cases.encode(RETINA, kind, exif=exif, **options))
    tagged = Image.fromarray(RETINA)
    tagged.getexif()[0x0112] = turn
    expected = np.asarray(ImageOps.exif_transpose(tagged))
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).max() <= (30 if kind == "JPEG" else 0)


@given(st.binary(max_size=60), st.sampled_from([b"II*\0", b"MM\0*", b""]))
def test_broken_exif_never_raises(rest: bytes, order: bytes) -> None:
    assert isinstance(orientation(b"Exif\0\0" + order + rest), int)


def test_an_exif_directory_that_points_nowhere_counts_as_upright() -> None:
    broken = b"Exif\0\0II*\0\xff\xff\xff\x7f"
    pixels, _ = read(cases.encode(RETINA, "JPEG", exif=broken))
    assert pixels.shape == RETINA.shape


def test_a_profile_is_converted_to_srgb() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    pixels, codes = read(cases.encode(RETINA, "PNG", icc_profile=lab))
    assert codes == ("icc_unusable",) or not np.array_equal(pixels, RETINA)


def test_an_srgb_profile_changes_nothing() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels, codes = read(cases.encode(RETINA, "PNG", icc_profile=srgb))
    assert np.array_equal(pixels, RETINA)
    assert codes == ()


def test_another_rgb_profile_is_converted() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # the red and blue primaries swapped: what was red comes out blue
    swapped = srgb.replace(b"rXYZ", b"tmp_").replace(b"bXYZ", b"rXYZ").replace(b"tmp_", b"bXYZ")
    swapped = swapped.replace("sRGB".encode("utf-16-be"), "wide".encode("utf-16-be")).replace(
        b"sRGB", b"wide"
    )
    pixels, codes = read(cases.encode(RETINA, "PNG", icc_profile=swapped))
    assert codes == ("icc_converted",)
    assert pixels[64, 80, 2] > pixels[64, 80, 0]


def test_a_broken_profile_leaves_the_pixels_as_they_are() -> None:
    pixels, codes = read(cases.encode(RETINA, "PNG", icc_profile=b"no profile at all"))
    assert np.array_equal(pixels, RETINA)
    assert codes == ("icc_unusable",)


def test_cmyk_is_converted_with_a_warning() -> None:
    pixels, codes = read(cases.encode(Image.fromarray(RETINA).convert("CMYK"), "JPEG", quality=95))
    assert codes == ("cmyk_without_profile",)
    assert np.abs(pixels.astype(int) - RETINA).mean() < 6


@pytest.mark.parametrize("mode", ["L", "1", "I;16"])
def test_grey_pictures_become_grey_rgb(mode: str) -> None:
    grey = Image.fromarray(RETINA).convert("L")
    if mode == "I;16":
        grey = Image.fromarray(np.asarray(grey).astype(np.uint16) * 256)
    pixels, codes = read(cases.encode(grey.convert(mode) if mode == "1" else grey, "PNG"))
    assert codes == ("grey",)
    assert np.array_equal(pixels[..., 0], pixels[..., 2])
    assert pixels.max() > 120


def test_what_is_transparent_is_laid_on_black() -> None:
    rgba = np.dstack([RETINA, np.where(RETINA[..., 0] > 0, 255, 0)]).astype(np.uint8)
    rgba[0, 0] = (255, 255, 255, 0)
    pixels, _ = read(cases.encode(Image.fromarray(rgba), "PNG"))
    assert np.array_equal(pixels, RETINA)


def test_a_single_transparent_colour_and_a_palette_are_understood() -> None:
    pixels, _ = read(cases.encode(RETINA, "PNG", transparency=tuple(RETINA[64, 80].tolist())))
    assert not pixels[64, 80].any()
    pixels, _ = read(cases.encode(Image.fromarray(RETINA).quantize(256), "PNG"))
    assert np.abs(pixels.astype(int) - RETINA).mean() < 8


def test_ycbcr_tiffs_are_converted() -> None:
    pixels, _ = read(cases.encode(Image.fromarray(RETINA).convert("YCbCr"), "TIFF"))
    assert np.abs(pixels.astype(int) - RETINA).mean() < 3


@pytest.mark.parametrize("mode", ["I", "F", "LAB"])
def test_pixels_that_are_no_eight_bit_colours_are_refused(mode: str) -> None:
    picture = (
        Image.new("LAB", (64, 64))
        if mode == "LAB"
        else Image.fromarray(RETINA).convert("L").convert(mode)
    )
    assert refused(cases.encode(picture, "TIFF")) is Reason.UNSUPPORTED_PIXELS


@given(st.binary(max_size=300))
def test_no_bytes_make_the_marker_walk_raise(data: bytes) -> None:
    end = read_markers(b"\xff\xd8" + data).end
    assert end is None or end <= len(data) + 2
