"""Every layout of a TIFF is decoded to the pixels that a second program wrote, or refused."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests import imaging_cases as cases

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.decoding import MediaType, Preprocessing
from fundusd.domain.errors import CaptureError
from fundusd.imaging.decode import decode
from fundusd.imaging.limits import Limits
from fundusd.imaging.raster import open_raster

if TYPE_CHECKING:
    from typing import Literal

    import numpy.typing as npt

    from fundusd.domain.decoding import Pixels
    from fundusd.imaging.opened_image import OpenedImage

    ByteOrder = Literal["<", ">"]

RETINA = cases.retina(160, 128)
LIMITS = Limits(max_pixels=200_000, max_bytes=2_000_000)
PARTS = [
    {},
    {"rowsperstrip": 7},
    {"tile": (64, 64)},
    {"tile": (32, 48)},
    {"compression": "zlib"},
    {"compression": "zlib", "predictor": True},
    {"compression": "zlib", "rowsperstrip": 7},
    {"compression": "zlib", "tile": (64, 64), "predictor": True},
]


def opened(pixels: npt.NDArray[Any], **options: Any) -> OpenedImage:
    """Write a TIFF with tifffile and open it."""
    file = BytesIO()
    tifffile.imwrite(file, pixels, photometric="rgb", **options)
    return open_raster(file.getvalue(), MediaType.TIFF, LIMITS)


def with_alpha(pixels: npt.NDArray[Any], opaque: int) -> npt.NDArray[Any]:
    return np.dstack([pixels, np.full(pixels.shape[:2], opaque, pixels.dtype)])


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("has_alpha", [False, True])
@pytest.mark.parametrize("parts", PARTS, ids=str)
@pytest.mark.parametrize(("bits", "planes"), [(8, False), (16, False), (8, True)])
def test_decoded_pixels_are_those_that_were_written(
    bits: int, planes: bool, parts: dict[str, Any], has_alpha: bool, byte_order: str
) -> None:
    pixels = RETINA if bits == 8 else RETINA.astype(np.uint16) * 257
    options: dict[str, Any] = {"byteorder": byte_order, **parts}
    if has_alpha:
        pixels = with_alpha(pixels, 2**bits - 1)
        options["extrasamples"] = ["unassalpha"]
    if planes:
        pixels = np.moveaxis(pixels, 2, 0)
        options["planarconfig"] = "separate"
    capture = opened(pixels, **options)
    assert capture.reason is None
    decoded, _ = capture.load()
    assert np.abs(decoded.astype(int) - RETINA).max() <= 1


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("has_alpha", [False, True])
@pytest.mark.parametrize("parts", PARTS, ids=str)
def test_planes_of_more_than_8_bits_are_refused(
    parts: dict[str, Any], has_alpha: bool, byte_order: str
) -> None:
    pixels = RETINA.astype(np.uint16) * 257
    options: dict[str, Any] = {"byteorder": byte_order, "planarconfig": "separate", **parts}
    if has_alpha:
        pixels = with_alpha(pixels, 2**16 - 1)
        options["extrasamples"] = ["unassalpha"]
    assert opened(np.moveaxis(pixels, 2, 0), **options).reason is Reason.UNSUPPORTED_PIXELS


@pytest.mark.parametrize("kind", [np.float32, np.uint32, np.int16])
def test_samples_that_are_not_unsigned_8_or_16_bits_are_refused(kind: type) -> None:
    assert reason_of(bytes(written(RETINA.astype(kind), photometric="rgb"))) is (
        Reason.UNSUPPORTED_PIXELS
    )


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate"])
def test_compressions_without_loss_give_the_pixels_that_were_written(compression: str) -> None:
    file = BytesIO()
    Image.fromarray(RETINA).save(file, "TIFF", compression=compression)
    decoded, _ = open_raster(file.getvalue(), MediaType.TIFF, LIMITS).load()
    assert np.array_equal(decoded, RETINA)


def entries_of(file: bytes) -> dict[int, int]:
    """Return where the entry of each tag begins in a little-endian TIFF."""
    start = int.from_bytes(file[4:8], "little")
    count = int.from_bytes(file[start : start + 2], "little")
    entries = {}
    for place in range(start + 2, start + 2 + 12 * count, 12):
        entries[int.from_bytes(file[place : place + 2], "little")] = place
    return entries


def written(pixels: npt.NDArray[Any], **options: Any) -> bytearray:
    file = BytesIO()
    tifffile.imwrite(file, pixels, byteorder="<", **options)
    return bytearray(file.getvalue())


def reason_of(file: bytes) -> Reason | None:
    try:
        return open_raster(file, MediaType.TIFF, LIMITS).reason
    except CaptureError as error:
        return error.reason


@pytest.mark.parametrize(
    ("tag", "options"),
    [
        (273, {"rowsperstrip": 7}),
        (279, {"rowsperstrip": 7}),
        (324, {"tile": (64, 64)}),
        (273, {"planarconfig": "separate"}),
    ],
)
def test_a_missing_strip_tile_or_plane_is_missing_data(tag: int, options: dict[str, Any]) -> None:
    pixels = np.moveaxis(RETINA, 2, 0) if "planarconfig" in options else RETINA
    file = written(pixels, photometric="rgb", **options)
    assert reason_of(bytes(file)) is None
    place = entries_of(bytes(file))[tag] + 4
    count = int.from_bytes(file[place : place + 4], "little")
    file[place : place + 4] = (count - 1).to_bytes(4, "little")
    assert reason_of(bytes(file)) is Reason.TRUNCATED


def test_a_strip_that_ends_beyond_the_file_is_missing_data() -> None:
    file = written(RETINA, photometric="rgb", rowsperstrip=7)
    assert reason_of(bytes(file[:-1])) is Reason.TRUNCATED


def test_a_strip_at_no_offset_is_missing_data() -> None:
    file = written(RETINA, photometric="rgb", rowsperstrip=7)
    place = entries_of(bytes(file))[273] + 8
    offsets = int.from_bytes(file[place : place + 4], "little")
    file[offsets + 4 : offsets + 8] = bytes(4)
    assert reason_of(bytes(file)) is Reason.TRUNCATED


@pytest.mark.parametrize(("offset", "reason"), [(None, None), (10**6, Reason.TRUNCATED)])
def test_strips_without_their_lengths_lie_inside_the_file(
    offset: int | None, reason: Reason | None
) -> None:
    file = written(RETINA, photometric="rgb")
    entries = entries_of(bytes(file))
    file[entries[279] : entries[279] + 2] = (280).to_bytes(2, "little")  # MinSampleValue
    if offset is not None:
        file[entries[273] + 8 : entries[273] + 12] = offset.to_bytes(4, "little")
    assert reason_of(bytes(file)) is reason


def test_a_fourth_sample_that_is_not_declared_is_refused() -> None:
    file = written(with_alpha(RETINA, 0), photometric="rgb", extrasamples=["unassalpha"])
    place = entries_of(bytes(file))[338]
    file[place : place + 2] = (337).to_bytes(2, "little")
    assert reason_of(bytes(file)) is Reason.UNSUPPORTED_PIXELS


@pytest.mark.parametrize(("greatest", "reason"), [(4095, Reason.UNSUPPORTED_PIXELS), (65535, None)])
def test_12_bits_in_samples_of_16_are_refused(greatest: int, reason: Reason | None) -> None:
    pixels = RETINA.astype(np.uint16) << 8
    tag = (281, "H", 3, (greatest,) * 3, True)
    assert reason_of(bytes(written(pixels, photometric="rgb", extratags=[tag]))) is reason


@pytest.mark.parametrize(
    ("tag", "values", "reason"),
    [
        (532, (16, 235, 128, 240, 128, 240), Reason.UNSUPPORTED_PIXELS),
        (532, (0, 255, 128, 255, 128, 255), None),
        (529, (0.2126, 0.7152, 0.0722), Reason.UNSUPPORTED_PIXELS),
        (529, (0.299, 0.587, 0.114), None),
    ],
)
def test_unusual_constants_of_ycbcr_are_refused(
    tag: int, values: tuple[float, ...], reason: Reason | None
) -> None:
    ycc = Image.fromarray(RETINA).convert("YCbCr")
    assert reason_of(cases.encode(ycc, "TIFF", tiffinfo={tag: values})) is reason


def read(file: bytes) -> Pixels:
    capture = open_raster(file, MediaType.TIFF, LIMITS)
    assert capture.reason is None
    return capture.load()[0]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("parts", [{}, {"compression": "zlib"}, {"tile": (64, 64)}], ids=str)
def test_grey_is_as_bright_as_it_was_written(
    parts: dict[str, Any], photometric: str, bits: int
) -> None:
    grey = RETINA[..., 1]
    samples = grey if bits == 8 else grey.astype(np.uint16) * 257
    if photometric == "miniswhite":
        samples = 2**bits - 1 - samples
    decoded = read(bytes(written(samples, photometric=photometric, **parts)))
    assert np.array_equal(decoded, np.dstack([grey] * 3))


def test_inverted_words_in_big_endian_are_refused() -> None:
    file = BytesIO()
    samples = RETINA[..., 1].astype(np.uint16)
    tifffile.imwrite(file, samples, photometric="miniswhite", byteorder=">")
    assert reason_of(file.getvalue()) is Reason.UNSUPPORTED_PIXELS


@pytest.mark.parametrize(("byte_order", "reason"), [("<", None), (">", Reason.UNSUPPORTED_PIXELS)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_bigtiff_is_read_in_little_endian_only(
    kind: type, byte_order: ByteOrder, reason: Reason | None
) -> None:
    file = BytesIO()
    tifffile.imwrite(
        file, RETINA.astype(kind), photometric="rgb", byteorder=byte_order, bigtiff=True
    )
    assert reason_of(file.getvalue()) is reason


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("scale", [1, 256, 257])
def test_maps_of_8_bits_and_of_16_give_the_same_colours(scale: int, byte_order: ByteOrder) -> None:
    """Libtiff takes a map without a value above 255 for one of bytes, too."""
    indexed = Image.fromarray(RETINA).quantize(256)
    colours = np.array(indexed.getpalette(), np.uint16).reshape(-1, 3)
    colours = np.vstack([colours, np.zeros((256 - len(colours), 3), np.uint16)])
    file = BytesIO()
    tifffile.imwrite(
        file,
        np.asarray(indexed),
        photometric="palette",
        colormap=colours.T * scale,
        byteorder=byte_order,
    )
    assert np.array_equal(read(file.getvalue()), np.asarray(indexed.convert("RGB")))


def test_a_colour_map_of_an_image_without_indices_is_ignored() -> None:
    tag = (320, "H", 768, tuple(range(256)) * 3, True)
    assert np.array_equal(read(bytes(written(RETINA, photometric="rgb", extratags=[tag]))), RETINA)


def jpeg_in_tiff(
    jpeg: bytes, photometric: int, sampling: int = 0x0101, size: tuple[int, int] = (160, 128)
) -> bytes:
    """Return a TIFF around a JPEG with three components, under any label."""
    width, height = size
    fields = [
        *((256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, 146)),
        *((259, 3, 1, 7), (262, 3, 1, photometric), (273, 4, 1, 152)),
        *((277, 3, 1, 3), (278, 4, 1, height), (279, 4, 1, len(jpeg)), (284, 3, 1, 1)),
        (530, 3, 2, sampling % 256 << 16 | sampling >> 8),
    ]
    directory = struct.pack("<H", len(fields))
    for field in fields:
        directory += struct.pack("<HHII", *field)
    file = struct.pack("<2sHI", b"II", 42, 8) + directory + bytes(4)
    return file + struct.pack("<HHH", 8, 8, 8) + jpeg


YCC_JPEG = cases.encode(RETINA, "JPEG", quality=95, subsampling=0)
RGB_JPEG = cases.encode(RETINA, "JPEG", quality=95, keep_rgb=True)


@pytest.mark.parametrize(
    ("jpeg", "photometric"),
    [(YCC_JPEG, 6), (cases.without_markers(YCC_JPEG), 6), (RGB_JPEG, 2)],
    ids=["YCbCr", "YCbCr without a marker", "RGB"],
)
def test_jpeg_in_tiff_is_what_it_is_as_a_file(jpeg: bytes, photometric: int) -> None:
    alone, _ = open_raster(jpeg, MediaType.JPEG, LIMITS).load()
    decoded = read(jpeg_in_tiff(jpeg, photometric))
    assert np.abs(decoded.astype(int) - alone).max() <= 1


@pytest.mark.parametrize(("jpeg", "photometric"), [(YCC_JPEG, 2), (RGB_JPEG, 6)])
def test_a_jpeg_in_tiff_of_other_colours_than_its_label_is_refused(
    jpeg: bytes, photometric: int
) -> None:
    assert reason_of(jpeg_in_tiff(jpeg, photometric)) is Reason.COLOUR_MISMATCH


def test_a_jpeg_in_tiff_that_declares_no_colours_is_judged_by_its_looks() -> None:
    """Under the wrong label it is no retina, but would be one under the right label."""
    ycc = cases.encode(cases.retina(), "JPEG", quality=95, subsampling=0)
    for photometric, reason in ((6, None), (2, Reason.COLOUR_MISMATCH)):
        file = jpeg_in_tiff(cases.without_markers(ycc), photometric, size=(512, 480))
        assert decode(file, Preprocessing.PAD_SQUARE, 64, Limits()).reason is reason


@pytest.mark.parametrize("sampling", [0x0201, 0x0202])
def test_a_jpeg_in_tiff_of_another_sampling_than_its_label_is_not_graded(sampling: int) -> None:
    capture = open_raster(jpeg_in_tiff(YCC_JPEG, 6, sampling), MediaType.TIFF, LIMITS)
    with pytest.raises(CaptureError) as caught:
        capture.load()
    assert caught.value.reason is Reason.DECODE_ERROR
