"""Check a JPEG 2000 codestream, and read from it what a DICOM header may say wrongly.

The markers are described in ITU-T T.800, annex A.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.errors import CaptureError

if TYPE_CHECKING:
    from fundusd.imaging.dicom_header import PixelLayout

_SOC_SIZ = b"\xff\x4f\xff\x51"
_COD, _SOT = 0xFF52, 0xFF90
_EOC = b"\xff\xd9"
_JP2_BOX = b"\0\0\0\x0cjP  "
_COMPONENTS = 42  # bytes from the beginning to the first component in SIZ, 3 bytes each
_SIGNED = 0x80
_BYTE, _WORD = 8, 16  # bits


def decoded_layout(frame: bytes, layout: PixelLayout) -> PixelLayout:
    """Check a frame, and return the layout of the samples that OpenJPEG makes of it.

    The codestream decides their precision and whether they are RGB, because some exporters write
    other values into the header. Missing data must be found here, because OpenJPEG silently fills
    it in. Raises CaptureError if the frame is truncated, is not supported or contradicts the
    header.
    """
    start = 0
    if frame.startswith(_JP2_BOX):
        start = frame.find(_SOC_SIZ)
    if start < 0 or not frame.startswith(_SOC_SIZ, start):
        raise CaptureError(Reason.CODEC_MISMATCH)
    if not frame.rstrip(b"\0\xff").endswith(_EOC):
        raise CaptureError(Reason.TRUNCATED)
    stream = frame[start:]
    length, right, bottom, left, top = struct.unpack_from(">H2xIIII", stream, 4)
    if (right - left, bottom - top) != (layout.columns, layout.rows):
        raise CaptureError(Reason.DECODE_ERROR)
    precision = _precision(stream, layout.samples)
    photometric = layout.photometric
    if _is_transformed(stream, 4 + length):
        photometric = "RGB"  # after the inverse transform
    allocated = _BYTE if precision == _BYTE else _WORD
    return replace(layout, allocated=allocated, stored=precision, photometric=photometric, planar=0)


def _precision(stream: bytes, samples: int) -> int:
    """Return the bits of each sample, from 8 to 16.

    Raises CaptureError if the number of components differs from `samples`, or if the components
    are signed, subsampled or of unequal precision.
    """
    (count,) = struct.unpack_from(">H", stream, _COMPONENTS - 2)
    components = stream[_COMPONENTS : _COMPONENTS + 3 * count]
    if count != samples:
        raise CaptureError(Reason.CODEC_MISMATCH)
    depths, steps = components[::3], components[1::3] + components[2::3]
    bits = depths[0] + 1
    is_plain = set(steps) == {1} and len(set(depths)) == 1 and depths[0] < _SIGNED
    if not is_plain or not _BYTE <= bits <= _WORD:
        raise CaptureError(Reason.UNSUPPORTED_PIXELS)
    return bits


def _is_transformed(stream: bytes, position: int) -> bool:
    """Return whether the marker segment COD declares a colour transform of the components.

    `position` is that of the marker after SIZ. Raises CaptureError if COD is missing.
    """
    while len(stream) - position > 8:  # noqa: PLR2004  where COD has the transform
        marker, length = struct.unpack_from(">HH", stream, position)
        if marker == _COD:
            return stream[position + 8] == 1
        if marker == _SOT:
            break
        position += 2 + length
    raise CaptureError(Reason.DECODE_ERROR)
