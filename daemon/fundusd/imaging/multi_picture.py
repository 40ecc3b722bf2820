"""Determine from a JPEG's Multi-Picture index (CIPA DC-007) whether it has other photographs.

Cameras use the index for previews and gain maps of the first picture too.
"""

from __future__ import annotations

import struct
from itertools import islice
from typing import TYPE_CHECKING

from fundusd.imaging.jpeg_markers import read_markers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.imaging.jpeg_markers import Codestream

_ENTRIES_TAG = 0xB002
_ENTRY_BYTES = 16
_SOI = b"\xff\xd8"
_MAX_PICTURES = 1000  # a damaged index may claim any number
_TYPE_BITS = 0xFFFFFF
# CIPA DC-007, table 4: the types of pictures
_MULTI_FRAME = range(0x020000, 0x030000)  # panorama, disparity, multi-angle
_PRIMARY = 0x030000
_VERSIONS_OF_THE_FIRST = (
    range(0x010000, 0x020000),  # large thumbnails, from VGA to 16K
    range(0x040000, 0x050000),  # the original of an edited picture
    range(0x050000, 0x060000),  # a gain map
)
# Ultra HDR, ISO 21496-1 and Apple, whose gain maps have no type
_GAIN_MAP = (b"hdrgm:Version", b"hdr-gain-map", b"urn:iso:std:iso:ts:21496", b"hdrgainmap")


def has_other_photographs(data: bytes, stream: Codestream) -> bool:
    """Return whether the index of a JPEG lists a photograph besides the first picture.

    A damaged index counts as none, because only the first picture is read.
    """
    if stream.index is None:
        return False
    try:
        entries = list(islice(_entries(data, stream.index), _MAX_PICTURES))
    except struct.error:
        return False
    return any(_is_photograph(data, stream, *entry) for entry in entries[1:])


def _entries(data: bytes, base: int) -> Iterator[tuple[int, int, int]]:
    """Yield the type, offset and size of each picture in the index at the offset `base`."""
    order = "<" if data[base : base + 2] == b"II" else ">"
    (directory,) = struct.unpack_from(order + "4xI", data, base)
    (count,) = struct.unpack_from(order + "H", data, base + directory)
    for number in range(count):
        place = base + directory + 2 + 12 * number
        tag, length, value = struct.unpack_from(order + "H2xII", data, place)
        if tag == _ENTRIES_TAG:
            for start in range(base + value, base + value + length, _ENTRY_BYTES):
                attributes, size, offset = struct.unpack_from(order + "III4x", data, start)
                # the offset of the first picture is 0, that of the others is relative to the base
                yield attributes & _TYPE_BITS, offset and base + offset, size


def _is_photograph(data: bytes, first: Codestream, kind: int, offset: int, size: int) -> bool:
    """Return whether a picture of the index is another photograph.

    A damaged entry may point to no JPEG, or into the first picture. If the picture has a type, the
    type decides. Otherwise, a picture in colours with at least as many pixels as the first one is a
    photograph unless it is a gain map.
    """
    picture = data[offset : offset + size]
    if not picture.startswith(_SOI) or offset < (first.end or 0):
        return False
    if kind in _MULTI_FRAME or kind == _PRIMARY:
        return True
    if any(kind in versions for versions in _VERSIONS_OF_THE_FIRST):
        return False
    other = read_markers(picture)
    if len(other.components) != len(first.components):
        return False
    headers = data[: first.scan] + picture[: other.scan]
    if any(word in headers for word in _GAIN_MAP):
        return False
    return other.width * other.height >= first.width * first.height
