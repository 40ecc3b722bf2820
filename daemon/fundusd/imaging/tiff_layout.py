"""Check the layout of a TIFF's pixels, because Pillow reads some layouts wrongly.

The tags are described in TIFF 6.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fundusd.imaging import jpeg_markers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Tags = Mapping[int, Any]

_WIDTH, _HEIGHT = 256, 257
_BITS_PER_SAMPLE, _SAMPLES_PER_PIXEL, _EXTRA_SAMPLES = 258, 277, 338
_COMPRESSION, _PHOTOMETRIC, _PLANAR_CONFIGURATION = 259, 262, 284
_MAX_SAMPLE_VALUE = 281
_STRIP_OFFSETS, _ROWS_PER_STRIP, _STRIP_BYTE_COUNTS = 273, 278, 279
_TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS, _TILE_BYTE_COUNTS = 322, 323, 324, 325
_YCC_COEFFICIENTS, _REFERENCE_BLACK_WHITE = 529, 532
_COLOUR_MAP = 320
_WHITE_IS_ZERO, _RGB, _YCC = 0, 2, 6  # photometric interpretations
_JPEG = 7  # a compression
_PLANES = 2  # a planar configuration: one plane for each sample
_BYTE, _WORD, _COLOURS = 8, 16, 3
_BYTE_MAX = 255
_LEAST_RANGE = 1 << 13  # of samples of 16 bits; less is 12 bits or fewer
_USUAL_COEFFICIENTS = (0.299, 0.587, 0.114)
_USUAL_REFERENCE = (0, 255, 128, 255, 128, 255)
_TOLERANCE = 0.01


def is_complete(tags: Tags, length: int) -> bool:
    """Return whether all strips or tiles of an image lie inside a file of `length` bytes.

    Missing parts would be black, and a missing plane would change the colours.
    """
    width, height = int(tags.get(_WIDTH, 0)), int(tags.get(_HEIGHT, 0))
    if _TILE_OFFSETS in tags:
        across = -(-width // max(1, int(tags.get(_TILE_WIDTH, width))))
        parts = across * -(-height // max(1, int(tags.get(_TILE_LENGTH, height))))
        offsets, counts = _numbers(tags, _TILE_OFFSETS), _numbers(tags, _TILE_BYTE_COUNTS)
    else:
        parts = -(-height // max(1, int(tags.get(_ROWS_PER_STRIP, height))))
        offsets, counts = _numbers(tags, _STRIP_OFFSETS), _numbers(tags, _STRIP_BYTE_COUNTS)
    if tags.get(_PLANAR_CONFIGURATION) == _PLANES:
        parts *= int(tags.get(_SAMPLES_PER_PIXEL, 1))
    if len(offsets) < parts:
        return False
    if not counts:  # old files may lack them
        return all(0 < offset < length for offset in offsets)
    if len(counts) < parts:
        return False
    ends = [offset + count for offset, count in zip(offsets, counts, strict=False)]
    return bool(min(offsets) > 0 and max(ends) <= length)


def is_supported(tags: Tags) -> bool:
    """Return whether Pillow makes the pixels of the file that its tags describe.

    Pillow 13.0.0 takes planes of 16-bit samples for planes of 8-bit samples and an undeclared
    fourth sample for transparency. It ignores a range of 12 bits in samples of 16, and unusual
    constants of YCbCr.
    """
    bits = _numbers(tags, _BITS_PER_SAMPLE) or (1,)
    if tags.get(_PLANAR_CONFIGURATION) == _PLANES and set(bits) != {_BYTE}:
        return False
    photometric, samples = tags.get(_PHOTOMETRIC), int(tags.get(_SAMPLES_PER_PIXEL, 1))
    if photometric == _RGB and samples > _COLOURS and not _numbers(tags, _EXTRA_SAMPLES):
        return False
    ranges = _numbers(tags, _MAX_SAMPLE_VALUE)
    if ranges and max(bits) == _WORD and max(ranges) < _LEAST_RANGE:
        return False
    if photometric != _YCC or tags.get(_COMPRESSION) == _JPEG:
        return True
    coefficients = _numbers(tags, _YCC_COEFFICIENTS) or _USUAL_COEFFICIENTS
    reference = _numbers(tags, _REFERENCE_BLACK_WHITE) or _USUAL_REFERENCE
    return _are_close(coefficients, _USUAL_COEFFICIENTS) and _are_close(reference, _USUAL_REFERENCE)


def is_inverted(tags: Tags) -> bool:
    """Return whether an image is grey with 0 for white."""
    return tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def map_of_bytes(tags: Tags) -> bytes:
    """Return a colour map, all reds first, if its entries are bytes in words; otherwise b"".

    The entries should use all 16 bits. libtiff also takes maps without an entry above 255 for maps
    of bytes.
    """
    entries = _numbers(tags, _COLOUR_MAP)
    return bytes(entries) if entries and max(entries) <= _BYTE_MAX else b""


def contradicts_jpeg(tags: Tags, data: bytes) -> bool:
    """Return whether a JPEG in a TIFF declares other colours than the tags do.

    Pillow follows the tags.
    """
    photometric = tags.get(_PHOTOMETRIC)
    if tags.get(_COMPRESSION) != _JPEG or photometric not in {_RGB, _YCC}:
        return False
    offset = (_numbers(tags, _TILE_OFFSETS) or _numbers(tags, _STRIP_OFFSETS))[0]
    is_ycc = jpeg_markers.read_markers(data[offset:]).is_ycc
    return is_ycc is not None and is_ycc != (photometric == _YCC)


def _numbers(tags: Tags, tag: int) -> tuple[Any, ...]:
    value = tags.get(tag, ())
    return value if isinstance(value, tuple) else (value,)


def _are_close(values: Sequence[Any], usual: Sequence[float]) -> bool:
    if len(values) != len(usual):
        return False
    return all(
        abs(float(value) - other) < _TOLERANCE for value, other in zip(values, usual, strict=True)
    )
