"""Which picture of a container is the photograph: JPEG with an index, TIFF pages, raw files."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests import container_cases as containers
from tests import imaging_cases as cases
from tests.container_cases import Page

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.decoding import MediaType, Preprocessing
from fundusd.domain.errors import CaptureError
from fundusd.domain.files import IgnoreReason
from fundusd.files.media_type import detect, is_raw
from fundusd.imaging.decode import decode
from fundusd.imaging.limits import Limits
from fundusd.imaging.raster import open_raster

if TYPE_CHECKING:
    from fundusd.domain.decoding import Pixels

RETINA = cases.retina(160, 128)
SMALL = cases.retina(40, 32)
JPEG = cases.encode(RETINA, "JPEG", quality=95)
SMALL_JPEG = cases.encode(SMALL, "JPEG")
OTHER_JPEG = cases.encode(RETINA[:, ::-1], "JPEG")
REDUCED, MASK, PAGE = 1, 4, 2
READABLE = [("<", False), (">", False), ("<", True)]  # Pillow reads no BigTIFF in big endian
CFA, LINEAR_RAW = 32803, 34892


def kind_of(data: bytes) -> MediaType | IgnoreReason | None:
    return detect(lambda size, offset: data[offset : offset + size])


def is_raw_file(data: bytes) -> bool:
    return is_raw(lambda size, offset: data[offset : offset + size])


def opened(data: bytes) -> tuple[Reason | None, Pixels | None]:
    media = kind_of(data)
    assert isinstance(media, MediaType)
    image = open_raster(data, media, Limits())
    if image.reason is not None:
        return image.reason, None
    return None, image.load()[0]


def photograph(data: bytes) -> Pixels:
    reason, pixels = opened(data)
    assert reason is None
    assert pixels is not None
    return pixels


# -- JPEG


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("kind", "picture"),
    [
        (containers.LARGE_THUMBNAIL_VGA, SMALL_JPEG),
        (containers.LARGE_THUMBNAIL_HD, OTHER_JPEG),
        (0x010005, OTHER_JPEG),
        (containers.ORIGINAL, OTHER_JPEG),
        (containers.GAIN_MAP, OTHER_JPEG),
        (containers.UNTYPED, SMALL_JPEG),
        (containers.UNTYPED, cases.encode(Image.fromarray(RETINA).convert("L"), "JPEG")),
        (containers.UNTYPED, JPEG[:2] + b"\xff\xe1\0\x0fhdrgm:Version" + JPEG[2:]),
        (containers.UNTYPED, b""),
        (containers.UNTYPED, b"not a picture"),
    ],
)
def test_a_version_of_the_first_picture_is_no_second_photograph(
    kind: int, picture: bytes, order: str
) -> None:
    pixels = photograph(containers.multi_picture(JPEG, (kind, picture), order=order))
    assert np.abs(pixels.astype(int) - RETINA).mean() < 2


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "kind",
    [
        *(containers.PANORAMA, containers.DISPARITY, containers.MULTI_ANGLE, containers.PRIMARY),
        containers.UNTYPED,
    ],
)
def test_a_second_view_is_refused(kind: int, order: str) -> None:
    data = containers.multi_picture(JPEG, (kind, OTHER_JPEG), order=order)
    assert opened(data)[0] is Reason.MULTIFRAME


@pytest.mark.parametrize("kind", [containers.PANORAMA, containers.PRIMARY])
def test_an_index_that_points_to_no_picture_names_no_second_photograph(kind: int) -> None:
    photograph(containers.multi_picture(JPEG, (kind, b"no picture")))
    whole = containers.multi_picture(JPEG, (kind, OTHER_JPEG))
    photograph(whole[: -len(OTHER_JPEG)])


def test_a_preview_beside_a_second_view_does_not_hide_it() -> None:
    data = containers.multi_picture(
        JPEG,
        (containers.LARGE_THUMBNAIL_VGA, SMALL_JPEG),
        (containers.DISPARITY, OTHER_JPEG),
    )
    assert opened(data)[0] is Reason.MULTIFRAME


@given(st.integers(0, 120), st.binary(min_size=1, max_size=60))
def test_a_damaged_index_never_costs_the_photograph(place: int, junk: bytes) -> None:
    data = bytearray(containers.multi_picture(JPEG, (containers.LARGE_THUMBNAIL_VGA, SMALL_JPEG)))
    start = data.index(b"MPF\0") + 4
    end = min(start + place + len(junk), start + 90)
    data[start + place : end] = junk[: max(0, end - start - place)]
    reason, _ = opened(bytes(data))
    assert reason in {None, Reason.MULTIFRAME}


@pytest.mark.parametrize(
    "segment",
    [
        b"\xff\xed\0\x16Photoshop 3.0\0008BIM",  # ends within a resource
        b"\xff\xe0\0\x07JFIF\0",
        b"\xff\xee\0\x07Adobe",
        b"\xff\xe2\0\x0eICC_PROFILE\0",
        b"\xff\xe1\0\x0eExif\0\0II*\0\xff\xff",
    ],
)
def test_damaged_metadata_of_a_jpeg_never_costs_the_photograph(segment: bytes) -> None:
    pixels = photograph(JPEG[:2] + segment + JPEG[2:])
    assert np.abs(pixels.astype(int) - RETINA).mean() < 2


def test_an_index_of_a_billion_pictures_is_not_read_to_its_end() -> None:
    data = bytearray(containers.multi_picture(JPEG, (containers.LARGE_THUMBNAIL_VGA, SMALL_JPEG)))
    entry = data.index(struct.pack("<HH", 0xB002, 7))
    struct.pack_into("<I", data, entry + 4, 0xFFFFFFF0)
    before = time.process_time()
    assert opened(bytes(data + bytes(64 << 20)))[0] is None
    assert time.process_time() - before < 2


# -- TIFF


@pytest.mark.parametrize(("order", "big"), READABLE)
@pytest.mark.parametrize("tags", [{254: REDUCED}, {254: REDUCED | PAGE}, {255: 2}, {254: MASK}])
@pytest.mark.parametrize("is_first", [False, True])
def test_a_page_marked_as_reduced_or_as_a_mask_is_not_the_photograph(
    tags: dict[int, int], order: str, *, is_first: bool, big: bool
) -> None:
    pages = [Page(RETINA, {254: 0}), Page(SMALL, tags)]
    if is_first:
        pages.reverse()
    assert np.array_equal(photograph(containers.tiff(*pages, order=order, big=big)), RETINA)


@pytest.mark.parametrize(("order", "big"), READABLE)
def test_the_photograph_may_be_in_the_sub_directory_of_its_thumbnail(
    order: str, *, big: bool
) -> None:
    preview = Page(RETINA[::2, ::2], {254: REDUCED})
    thumbnail = Page(SMALL, {254: REDUCED}, subs=[preview, Page(RETINA)])
    assert np.array_equal(photograph(containers.tiff(thumbnail, order=order, big=big)), RETINA)


def test_a_pyramid_in_sub_directories_is_one_photograph() -> None:
    levels = [Page(RETINA[::2, ::2], {254: REDUCED}), Page(RETINA[::4, ::4], {254: REDUCED})]
    assert np.array_equal(photograph(containers.tiff(Page(RETINA, subs=levels))), RETINA)


@pytest.mark.parametrize("tags", [{}, {254: 0}, {254: PAGE}, {255: 3}])
@pytest.mark.parametrize("order", ["<", ">"])
def test_real_pages_stay_refused(tags: dict[int, int], order: str) -> None:
    pages = [Page(RETINA, tags), Page(RETINA[:, ::-1], tags)]
    assert opened(containers.tiff(*pages, order=order))[0] is Reason.MULTIFRAME
    with_thumbnail = [*pages, Page(SMALL, {254: REDUCED})]
    assert opened(containers.tiff(*with_thumbnail, order=order))[0] is Reason.MULTIFRAME


@pytest.mark.parametrize("is_first", [False, True])
def test_a_much_smaller_page_without_a_mark_is_a_thumbnail(*, is_first: bool) -> None:
    pages = [Page(RETINA), Page(RETINA[::4, ::4])]
    if is_first:
        pages.reverse()
    assert np.array_equal(photograph(containers.tiff(*pages)), RETINA)
    half = containers.tiff(Page(RETINA), Page(RETINA[::2, ::2]))
    assert opened(half)[0] is Reason.MULTIFRAME


def test_if_every_page_is_marked_as_reduced_the_largest_is_the_photograph() -> None:
    pages = [Page(SMALL, {254: REDUCED}), Page(RETINA, {254: REDUCED})]
    assert np.array_equal(photograph(containers.tiff(*pages)), RETINA)


def test_a_page_beyond_the_end_of_the_file_means_that_the_file_was_cut() -> None:
    data = containers.tiff(Page(RETINA), Page(RETINA))
    with pytest.raises(CaptureError) as caught:
        opened(data[: len(data) - 60])
    assert caught.value.reason is Reason.TRUNCATED


def test_pages_in_a_circle_are_pages_once() -> None:
    data = bytearray(containers.tiff(Page(RETINA)))
    (first,) = struct.unpack_from("<I", data, 4)
    data[-4:] = struct.pack("<I", first)
    assert np.array_equal(photograph(bytes(data)), RETINA)


# -- raw files


def raw_files(order: str) -> dict[str, bytes]:
    """Return files with a thumbnail first, built like the raw files of several makers."""
    thumbnail = {254: REDUCED}
    sensor = Page(RETINA, {254: 0, 262: CFA})
    preview = Page(RETINA, {254: REDUCED})
    return {
        "NEF, ARW": containers.tiff(Page(SMALL, thumbnail, [preview, sensor]), order=order),
        "DNG": containers.tiff(Page(SMALL, thumbnail | {50706: 0x01040000}), order=order),
        "linear DNG": containers.tiff(
            Page(SMALL, thumbnail, [Page(RETINA, {262: LINEAR_RAW})]), order=order
        ),
        "PEF": containers.tiff(Page(RETINA, {259: 65535, 262: CFA}), order=order),
        "3FR": containers.tiff(Page(SMALL, thumbnail), sensor, order=order),
        "CR2": containers.tiff(Page(RETINA), Page(SMALL), order=order, tail=b"CR\2\0\0\0\0\0"),
        "IIQ": containers.tiff(Page(RETINA), order=order, tail=b"IIII\0\0\0\0"),
        "NEF, compressed": containers.tiff(
            Page(SMALL, thumbnail, [Page(RETINA, {259: 34713})]), order=order
        ),
        "BigTIFF": containers.tiff(
            Page(SMALL, thumbnail, [preview, sensor]), order=order, big=True
        ),
    }


@pytest.mark.parametrize("order", ["<", ">"])
def test_raw_files_are_ignored_by_their_content(order: str) -> None:
    for name, data in raw_files(order).items():
        assert kind_of(data) is IgnoreReason.OTHER_IMAGE_FORMAT, name
        assert is_raw_file(data), name
        decoded = decode(data, Preprocessing.PAD_SQUARE, 448, Limits())
        assert decoded.reason is Reason.UNKNOWN_FORMAT


@pytest.mark.parametrize(
    "head",
    [
        *(b"IIRO\x08\0\0\0", b"IIRS\x08\0\0\0", b"MMOR\0\0\0\x08"),
        *(b"IIU\0\x18\0\0\0", b"FUJIFILMCCD-RAW 0201", b"FOVb\0\0\2\0", b"\0MRM\0\0\0\0"),
        *(b"II\x1a\0\0\0HEAPCCDR", b"\0\0\0\x18ftypcrx \0\0\0\1"),
    ],
)
def test_raw_files_with_magic_numbers_are_ignored(head: bytes) -> None:
    assert kind_of(head + bytes(200)) is IgnoreReason.OTHER_IMAGE_FORMAT
    assert is_raw_file(head + bytes(200))


@pytest.mark.parametrize(
    "head", [b"GIF89a", b"\0\0\0\x18ftypheic\0\0\0\1", b"\xff\xd8\xff", b"", b"II*\0"]
)
def test_other_files_are_not_raw_files(head: bytes) -> None:
    assert not is_raw_file(head + bytes(200))


@pytest.mark.parametrize("kind", ["tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "raw"])
def test_a_photograph_as_tiff_is_no_raw_file(kind: str) -> None:
    assert kind_of(cases.encode(RETINA, "TIFF", compression=kind)) is MediaType.TIFF


@pytest.mark.parametrize("entries", [4000, 60_000])
def test_overlapping_directories_do_not_keep_the_watcher_busy(entries: int) -> None:
    data = bytearray(b"II*\0" + struct.pack("<I", 8) + bytes(12 * 61_000 + 16 * 900))
    for number in range(900):
        offset = 8 + 16 * number
        struct.pack_into("<H", data, offset, entries)
    for number in range(899):
        link = 8 + 16 * number + 2 + 12 * entries
        struct.pack_into("<I", data, link, 8 + 16 * (number + 1))
    before = time.process_time()
    assert kind_of(bytes(data)) is MediaType.TIFF
    assert time.process_time() - before < 2


@given(st.binary(max_size=200), st.sampled_from([b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"]))
def test_no_bytes_behind_a_tiff_header_make_it_raise(rest: bytes, magic: bytes) -> None:
    assert kind_of(magic + rest) in {MediaType.TIFF, IgnoreReason.OTHER_IMAGE_FORMAT}
