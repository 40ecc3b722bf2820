"""Determine which page of a TIFF file is the photograph."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.errors import CaptureError
from fundusd.files.tiff_directories import (
    HEIGHT,
    NEW_SUBFILE_TYPE,
    PHOTOMETRIC,
    SUBFILE_TYPE,
    WIDTH,
    TiffReader,
)

if TYPE_CHECKING:
    from fundusd.files.tiff_directories import Directory

# NewSubfileType is a set of bits; the older SubfileType has one value for reduced resolution
_REDUCED_BIT, _MASK_BIT, _OLD_REDUCED = 1, 4, 2
_TRANSPARENCY_MASK = 4  # as PhotometricInterpretation
_BIG = 43
# an unmarked page this many times smaller than the largest one is a thumbnail
_THUMBNAIL_SHARE = 16


def find_photograph(data: bytes) -> tuple[bytes, bool]:
    """Return a TIFF whose first page is the photograph, and whether it is the only one.

    Pages that are marked as masks or as reduced-resolution versions of another page are not
    photographs, and neither are pages of a 16th of the largest one's pixels or less. If all pages
    are marked, the largest one is the photograph. Raises CaptureError (TRUNCATED) if the file ends
    before a directory does.
    """
    try:
        reader = TiffReader(lambda size, offset: data[offset : offset + size])
        pages = list(reader.directories())
        photographs = _photographs(reader, pages)
    except EOFError:
        raise CaptureError(Reason.TRUNCATED) from None
    if not photographs:  # Pillow reports what is wrong
        return data, True
    if photographs[0].offset != pages[0].offset:
        data = _starting_at(data, photographs[0].offset)
    return data, len(photographs) == 1


def _photographs(reader: TiffReader, pages: list[Directory]) -> list[Directory]:
    full, other = [], []
    for page in pages:
        if _is_photograph(page):
            full.append(page)
            continue
        other.append(page)
        # a thumbnail's sub-directory may be its photograph
        full += [
            directory for directory in reader.sub_directories(page) if _is_photograph(directory)
        ]
    if not full:
        largest = max(map(_area, other), default=0)
        return [page for page in other if _area(page) == largest]
    largest = max(map(_area, full))
    return [page for page in full if _area(page) * _THUMBNAIL_SHARE > largest]


def _is_photograph(page: Directory) -> bool:
    kind = page.value(NEW_SUBFILE_TYPE)
    is_reduced = bool(kind & _REDUCED_BIT) or page.value(SUBFILE_TYPE) == _OLD_REDUCED
    is_mask = bool(kind & _MASK_BIT) or page.value(PHOTOMETRIC) == _TRANSPARENCY_MASK
    return not (is_reduced or is_mask)


def _area(page: Directory) -> int:
    return page.value(WIDTH) * page.value(HEIGHT)


def _starting_at(data: bytes, offset: int) -> bytes:
    """Return the TIFF with the directory at `offset` as its first."""
    order = "<" if data[:2] == b"II" else ">"
    if _BIG in data[2:4]:
        return data[:8] + struct.pack(order + "Q", offset) + data[16:]
    return data[:4] + struct.pack(order + "I", offset) + data[8:]
