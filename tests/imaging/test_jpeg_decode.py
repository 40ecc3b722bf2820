"""The strict decoder agrees with Pillow on whole files and refuses damaged ones."""

from __future__ import annotations

import base64
import struct
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from tests import imaging_cases as cases

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.decoding import MediaType
from fundusd.domain.errors import CaptureError
from fundusd.files.media_type import sniff
from fundusd.imaging import jpeg_decode
from fundusd.imaging.dicom import open_dicom
from fundusd.imaging.jpeg_markers import has_zeroed_run, read_markers, strip_metadata
from fundusd.imaging.limits import Limits
from fundusd.imaging.raster import open_raster

if TYPE_CHECKING:
    from fundusd.domain.decoding import Pixels

DATA = Path(__file__).parents[3] / "shared" / "data"
LIMITS = Limits()
NOISE = np.random.default_rng(7).integers(-20, 21, (256, 256, 3))


def textured(width: int, height: int) -> Pixels:
    return np.clip(cases.retina(width, height).astype(int) + NOISE[:height, :width], 0, 255).astype(
        np.uint8
    )


def decoded(data: bytes) -> Pixels:
    stream = read_markers(data)
    assert jpeg_decode.can_read(stream)
    return jpeg_decode.decode(data, stream)


def by_pillow(data: bytes) -> Pixels:
    with Image.open(BytesIO(data), formats=("JPEG",)) as picture:
        return np.asarray(picture if picture.mode == "CMYK" else picture.convert("RGB"))


def refused(data: bytes) -> Reason | None:
    is_dicom = sniff(data) is MediaType.DICOM
    try:
        opened = open_dicom(data, LIMITS) if is_dicom else open_raster(data, MediaType.JPEG, LIMITS)
        if opened.reason is None:
            opened.load()
    except CaptureError as error:
        return error.reason
    return opened.reason


def of_mode(pixels: Pixels, mode: str, **options: object) -> bytes:
    return cases.encode(Image.fromarray(pixels).convert(mode), "JPEG", **options)


@given(
    width=st.integers(1, 80),
    height=st.integers(1, 80),
    mode=st.sampled_from(["RGB", "RGB", "L", "CMYK"]),
    subsampling=st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
    progressive=st.booleans(),
    restart=st.integers(0, 3),
    quality=st.integers(20, 100),
)
def test_whole_files_come_out_as_by_pillow(
    width: int,
    height: int,
    mode: str,
    subsampling: str,
    *,
    progressive: bool,
    restart: int,
    quality: int,
) -> None:
    data = of_mode(
        textured(width, height),
        mode,
        subsampling=subsampling if mode == "RGB" else "4:4:4",
        progressive=progressive,
        restart_marker_blocks=restart,
        quality=quality,
    )
    assert np.array_equal(decoded(data), by_pillow(data))


FACTORS = list(product((1, 2, 3, 4), repeat=2))


@given(st.tuples(*[st.sampled_from(FACTORS)] * 3), st.integers(1, 70), st.integers(1, 70))
def test_what_pillow_reads_comes_out_alike_whatever_the_subsampling(
    factors: tuple[tuple[int, int], ...], width: int, height: int
) -> None:
    data = cases.blocky_jpeg(width, height, factors)
    try:
        expected = by_pillow(data)
    except OSError:
        assert refused(data) is Reason.DECODE_ERROR
        return
    pixels, _ = open_raster(data, MediaType.JPEG, LIMITS).load()
    assert np.array_equal(pixels, expected)


@pytest.mark.parametrize("factors", ["11", "12", "21", "22", "41", "14"])
def test_the_usual_subsamplings_are_read_strictly(factors: str) -> None:
    luma = (int(factors[0]), int(factors[1]))
    data = cases.blocky_jpeg(61, 45, [luma, (1, 1), (1, 1)])
    assert np.array_equal(decoded(data), by_pillow(data))


def test_the_kinds_said_to_be_readable_are_those_the_decoder_accepts() -> None:
    data = bytearray(cases.blocky_jpeg(16, 16, [(1, 1)] * 3))
    sof = data.index(b"\xff\xc0")
    for factors in product(FACTORS, repeat=3):
        for number, (horizontal, vertical) in enumerate(factors):
            data[sof + 11 + 3 * number] = horizontal << 4 | vertical
        try:
            simplejpeg.decode_jpeg_header(bytes(data))
            accepted = True
        except KeyError:  # 4:4:1, for which simplejpeg has no name, though it decodes it
            accepted = True
        except ValueError:
            accepted = False
        assert jpeg_decode.can_read(read_markers(bytes(data))) == accepted, factors


# 16 by 16 pixels, by cjpeg -arithmetic: Pillow has no encoder
ARITHMETIC = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAQDAwMDAgQDAwMEBAQFBgoGBgUFBgwICQcKDgwPDg4MDQ0PERYTDxAVEQ0NExoTFRcYGRkZDxIbHR"
    "sYHRYYGRj/2wBDAQQEBAYFBgsGBgsYEA0QGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBj/yQARCAAQ"
    "ABADASEAAhEBAxEB/8wACgAQEAUBEBEF/9oADAMBAAIRAxEAPwD/ANpPw/kiVY1iLGybdsox4+UwsfL6HqXxwCQqQsLQRRSUGSpPHLFN9EuDiB"
    "77/cF6qCdMtNbiRqQ2V5GMjVsnPnkpwjQ37js+mvGwmu5LdXCFy1uYsk+csdHL3loTGtRAqm4RuIPOktpnyQGRDAGBOjsDeSKtmPTC+d2iGJFB"
    "0x0GKJQptay12Zb+if79cEJ5Oy8xMpYYg2R9PYOB4MRTGXyWed1JOkb1L67z94Ovvwdo5bj/2Q=="
)


def test_arithmetic_and_lossless_coding_are_read_too() -> None:
    pixels = textured(40, 30)
    assert np.array_equal(decoded(cases.lossless_jpeg(pixels)), pixels)
    assert np.array_equal(decoded(ARITHMETIC), by_pillow(ARITHMETIC))


def test_twelve_bits_are_not_for_this_decoder() -> None:
    data = bytearray(cases.encode(textured(64, 48), "JPEG"))
    data[data.index(b"\xff\xc0") + 4] = 12
    assert not jpeg_decode.can_read(read_markers(bytes(data)))
    assert refused(bytes(data)) is Reason.DECODE_ERROR


def test_components_called_rgb_are_not_transformed() -> None:
    pixels = textured(64, 48)
    marked = cases.encode(pixels, "JPEG", quality=95, keep_rgb=True)
    for data in (marked, cases.without_markers(marked)):
        assert np.array_equal(decoded(data), by_pillow(data))
        assert np.abs(decoded(data).astype(int) - pixels).mean() < 2
    as_ycc = of_mode(pixels, "RGB", quality=95, subsampling=0)
    raw = jpeg_decode.decode(as_ycc, read_markers(as_ycc), untransformed=True)
    assert np.abs(raw.astype(int) - np.asarray(Image.fromarray(pixels).convert("YCbCr"))).mean() < 2


BIG = textured(256, 240)
WHOLE = {
    "baseline": of_mode(BIG, "RGB", quality=90),
    "4:2:0": of_mode(BIG, "RGB", quality=90, subsampling="4:2:0"),
    "progressive": of_mode(BIG, "RGB", quality=90, progressive=True),
    "restarts": of_mode(BIG, "RGB", quality=90, restart_marker_rows=1),
    "grey": of_mode(BIG, "L", quality=90),
    "CMYK": of_mode(BIG, "CMYK", quality=90),
}
DAMAGE = {Reason.TRUNCATED, Reason.DECODE_ERROR}


def zeroed(data: bytes, start: int) -> bytes:
    return data[:start] + bytes(400) + data[start + 400 :]


@pytest.mark.parametrize("kind", WHOLE)
def test_zeroed_bytes_in_the_middle_are_refused(kind: str) -> None:
    data = WHOLE[kind]
    assert refused(data) is None
    reasons = [refused(zeroed(data, len(data) * number // 32)) for number in range(8, 28)]
    # The last scans of a progressive JPEG, nearly half of its bytes here, hold raw bits, in which
    # zeros are valid
    assert sum(reason in DAMAGE for reason in reasons) >= (10 if kind == "progressive" else 20)


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_a_cut_that_was_given_an_end_mark_is_truncated(kind: str, kept: float) -> None:
    data = WHOLE[kind]
    assert refused(data[: int(len(data) * kept)] + b"\xff\xd9") is Reason.TRUNCATED


@pytest.mark.parametrize("kind", ["baseline", "4:2:0", "progressive", "restarts"])
def test_damage_inside_a_dicom_fragment_is_refused(kind: str) -> None:
    frame = WHOLE[kind]
    middle = len(frame) // 2
    assert refused(cases.jpeg_dicom(BIG, frame=frame)) is None
    assert refused(cases.jpeg_dicom(BIG, frame=zeroed(frame, middle))) in DAMAGE
    assert refused(cases.jpeg_dicom(BIG, frame=frame[:middle] + b"\xff\xd9")) is Reason.TRUNCATED


def test_unusual_subsampling_is_read_from_dicom_too() -> None:
    frame = cases.blocky_jpeg(256, 240, [(2, 2), (2, 1), (1, 2)])
    pixels, _ = open_dicom(cases.jpeg_dicom(BIG, frame=frame), LIMITS).load()
    assert np.array_equal(pixels, by_pillow(frame))


@pytest.mark.parametrize(
    "junk",
    [
        b"hello",
        b"\xff\xe0\0\x10JFIF\0\x09\1\0\0\1\0\1\0\0",  # an unknown major version
        b"\xff\xe2\0\x12ICC_PROFILE\0\x09\x01no",  # chunk 9 of 1
        b"\xff\xed\0\x04ab and two bytes more than its length says",
        b"\xff\xee\0\x0eAdobe\0d\0\0\0\0\x07",  # an unknown colour transform
    ],
)
def test_junk_between_the_headers_is_no_damage_to_the_pixels(junk: bytes) -> None:
    data = cases.without_markers(WHOLE["baseline"])
    first = data.index(b"\xff\xdb")
    strange = data[:first] + junk + data[first:]
    with pytest.raises(ValueError, match=r"."):
        simplejpeg.decode_jpeg(strange, strict=True)
    assert np.array_equal(decoded(strange), decoded(data))


def test_decoding_sees_neither_metadata_nor_what_follows_the_end() -> None:
    data = WHOLE["baseline"]
    noted = data[:2] + b"\xff\xe1" + struct.pack(">H", 12) + b"Exif\0\0JANE" + data[2:] + b"JANE"
    stripped = strip_metadata(noted, read_markers(noted))
    assert b"JANE" not in stripped
    assert len(stripped) <= len(data)


@pytest.mark.parametrize("kind", ["baseline", "4:2:0", "restarts", "grey", "CMYK"])
def test_a_short_hole_that_decodes_is_found_by_its_zeros(kind: str) -> None:
    data = WHOLE[kind]
    assert not has_zeroed_run(data, read_markers(data))
    damaged = zeroed(data, len(data) // 2)
    assert has_zeroed_run(damaged, read_markers(damaged))


def test_the_many_zeros_of_a_black_surround_are_no_hole() -> None:
    black = np.zeros((640, 640, 3), np.uint8)
    black[300:340, 300:340] = textured(40, 40)
    seen = 0
    for options in ({}, {"optimize": True}, {"progressive": True}):
        for mode in ("RGB", "L", "CMYK"):
            data = of_mode(black, mode, quality=85, **options)
            stream = read_markers(data)
            seen += data.find(bytes(64), stream.scan) >= 0
            assert not has_zeroed_run(data, stream)
            assert refused(data) is None
    assert seen > 0


def test_a_hole_is_not_looked_for_where_each_component_has_a_scan_of_its_own() -> None:
    data = zeroed(WHOLE["baseline"], 10_000)
    scan = data.index(b"\xff\xda")
    assert not has_zeroed_run(data[: scan + 4] + b"\1" + data[scan + 5 :], read_markers(data))


def test_a_second_frame_header_behind_the_first_scan_says_nothing() -> None:
    data = WHOLE["baseline"]
    later = data[:-2] + b"\xff\xc0\0\x11\x08\0\x01\0\x01\3\1\x11\0\2\x11\0\3\x11\0" + data[-2:]
    stream = read_markers(later)
    assert (stream.width, stream.height) == (256, 240)
    assert refused(cases.jpeg_dicom(BIG[:1, :1], frame=later)) is Reason.DECODE_ERROR


def test_memory_that_libjpeg_does_not_get_is_a_memory_error() -> None:
    assert isinstance(jpeg_decode._failure("Insufficient memory (case 4)"), MemoryError)


REAL = sorted(path for path in DATA.rglob("*") if path.suffix in {".jpg", ".jpeg"})


@pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared/data here")
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
@pytest.mark.filterwarnings("ignore:Image appears to be a malformed MPO file")
def test_every_photograph_of_the_collection_comes_out_as_by_pillow(path: Path) -> None:
    data = path.read_bytes()
    reason = refused(data) if sniff(data) is MediaType.JPEG else Reason.UNKNOWN_FORMAT
    assert path.parents[1].name != "fundus" or reason is None
    if reason is None:
        pixels, codes = open_raster(data, MediaType.JPEG, LIMITS).load()
        with Image.open(BytesIO(data)) as picture:
            expected = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
        assert np.array_equal(pixels, expected) or "icc_converted" in codes
