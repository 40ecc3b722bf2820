"""Detect the format of a file from its first bytes, not from its name."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from fundusd.domain.decoding import MediaType
from fundusd.domain.files import IgnoreReason
from fundusd.files.camera_raw import is_camera_raw

if TYPE_CHECKING:
    from fundusd.files.tiff_directories import ReadAt

HEAD_BYTES = 132  # up to the end of DICOM's magic number

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_OTHER = (
    b"GIF87a",
    b"GIF89a",
    b"\0\0\0\x0cjP  \r\n\x87\n",  # JPEG 2000, boxed
    b"\xff\x4f\xff\x51",  # JPEG 2000, bare codestream
    b"\0\0\1\0",  # ICO
)
# Raw files of Olympus, Panasonic, Fujifilm, Sigma, Minolta, and Canon's CRW; others are TIFF
_RAW = (
    *(b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW", b"FOVb", b"\0MRM"),
    b"II\x1a\0\0\0HEAPCCDR",
)
# HEIF, AVIF, and Canon's CR3
_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif"}
_RAW_BRAND = b"crx "
_BRANDS |= {b"avis", _RAW_BRAND}
_BMP_HEADERS = {12, 40, 52, 56, 64, 108, 124}
_VRS = frozenset(
    b"AE AS AT CS DA DS DT FL FD IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR "
    b"US UT UV".split()
)
_FIRST_TAGS = {0x0000, 0x0001, 0x0005, 0x0006, 0x0008, 0x0012, 0x0014, 0x0016, 0x0018}
_LONGEST_FIRST_VALUE = 256


def detect(read: ReadAt) -> MediaType | IgnoreReason | None:
    """Return the format of a file, or the reason why the file is ignored.

    Return None if the format is unknown. Unlike `sniff`, which knows only the first bytes, this
    function distinguishes the raw files of cameras from TIFF.
    """
    media = sniff(read(HEAD_BYTES, 0))
    if media is MediaType.TIFF and is_camera_raw(read):
        return IgnoreReason.OTHER_IMAGE_FORMAT
    return media


def sniff(head: bytes) -> MediaType | IgnoreReason | None:
    """Return the format of a file, or the reason why the file is ignored.

    Return None if the format is unknown. `head` must hold at least the first `HEAD_BYTES` bytes of
    the file, or the whole file.
    """
    if head[128:132] == b"DICM":  # before TIFF: the preamble may look like one
        return MediaType.DICOM
    if head.startswith(b"\xff\xd8\xff"):
        return MediaType.JPEG
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return MediaType.PNG
    if head.startswith(_TIFF):
        return MediaType.TIFF
    if _starts_with_an_element(head):
        return MediaType.DICOM
    if _is_other_image(head):
        return IgnoreReason.OTHER_IMAGE_FORMAT
    return None


def is_raw(read: ReadAt) -> bool:
    """Return whether a file is a camera's raw file, which `detect` ignores."""
    head = read(HEAD_BYTES, 0)
    if sniff(head) is MediaType.TIFF:
        return is_camera_raw(read)
    return head.startswith(_RAW) or head[4:12] == b"ftyp" + _RAW_BRAND


def _is_other_image(head: bytes) -> bool:
    return (
        head.startswith(_OTHER + _RAW)
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[4:8] == b"ftyp" and head[8:12] in _BRANDS)
        or (head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS)
    )


def _starts_with_an_element(head: bytes) -> bool:
    """Return whether a file starts with a DICOM element of group 0002 or 0008.

    DICOM files without a preamble start with such an element.
    """
    if len(head) < 8:  # noqa: PLR2004  the shortest element header
        return False
    if head[4:6] in _VRS:
        return head[:2] in {b"\x02\0", b"\x08\0", b"\0\x08"}
    group, element, length = struct.unpack("<HHI", head[:8])
    is_first_element = group == 8 and element in _FIRST_TAGS  # noqa: PLR2004  0008: identification
    return is_first_element and length <= _LONGEST_FIRST_VALUE and length % 2 == 0
