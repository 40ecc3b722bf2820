"""Decode JPEG with libjpeg-turbo in strict mode, in which any damage is an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import simplejpeg

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.errors import CaptureError
from fundusd.imaging import jpeg_markers

if TYPE_CHECKING:
    from fundusd.domain.decoding import Pixels

_PROCESSES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA}
_PRECISION = 8  # bits
# The sampling factors of three components that TurboJPEG supports; a fourth component must have
# the same factors as the first
_SAMPLINGS = frozenset(
    bytes.fromhex(factors)
    for factors in (
        *("111111", "121212", "131313", "212121", "313131"),  # 4:4:4
        *("211111", "221212", "121111", "222121"),  # 4:2:2, 4:4:0
        *("221111", "411111", "141111"),  # 4:2:0, 4:1:1, 4:4:1
    )
)


def can_read(stream: jpeg_markers.Codestream) -> bool:
    """Return whether `decode` can read a JPEG with these markers."""
    if stream.process not in _PROCESSES or stream.precision != _PRECISION or stream.scan is None:
        return False
    if len(stream.components) == 1:
        return True
    factors = stream.sampling
    return factors[:3] in _SAMPLINGS and factors[3:] in {b"", factors[:1]}


def decode(data: bytes, stream: jpeg_markers.Codestream, *, untransformed: bool = False) -> Pixels:
    """Decode a JPEG that `can_read` accepts.

    Returns RGB [height, width, 3], or CMYK [height, width, 4] with 0 for no ink. If `untransformed`
    is true, three components are treated as RGB, whatever the stream declares. Raises CaptureError
    if the JPEG is damaged.
    """
    is_cmyk = len(stream.components) == 4  # noqa: PLR2004
    colour_space = "CMYK" if is_cmyk else "RGB"
    codestream = jpeg_markers.strip_metadata(data, stream, untransformed=untransformed)
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(codestream, colour_space, strict=True)
    except ValueError as error:
        raise _failure(str(error)) from None
    if is_cmyk:
        return ~pixels  # Adobe stores CMYK inverted, and only Adobe writes it
    return pixels


def _failure(text: str) -> Exception:
    """Return the exception to raise for one of libjpeg's messages."""
    if "Insufficient memory" in text:
        return MemoryError()
    if "remature end" in text:
        return CaptureError(Reason.TRUNCATED)
    return CaptureError(Reason.DECODE_ERROR)
