"""JPEG to pixels by libjpeg-turbo, told to stop at the first sign of damage instead of guessing on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import simplejpeg

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.errors import CaptureError
from fundusd.imaging import jpeg_markers

if TYPE_CHECKING:
    from fundusd.domain.decoding import Pixels

_PROCESSES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA}
# Sampling factors of three components that TurboJPEG has a name for; of a fourth, it wants the first one's
_SAMPLINGS = frozenset(
    bytes.fromhex(factors)
    for factors in (
        *("111111", "121212", "131313", "212121", "313131"),  # 4:4:4
        *("211111", "221212", "121111", "222121"),  # 4:2:2, 4:4:0
        *("221111", "411111", "141111"),  # 4:2:0, 4:1:1, 4:4:1
    )
)


def can_read(stream: jpeg_markers.Codestream) -> bool:
    """Tell by its markers whether a JPEG is of a kind that `decode` reads."""
    if stream.process not in _PROCESSES or stream.precision != 8 or stream.scan is None:  # noqa: PLR2004
        return False
    if len(stream.components) == 1:
        return True
    factors = stream.sampling
    return factors[:3] in _SAMPLINGS and factors[3:] in {b"", factors[:1]}


def decode(data: bytes, stream: jpeg_markers.Codestream, *, untransformed: bool = False) -> Pixels:
    """Decode a JPEG that `can_read` to RGB [height, width, 3], or CMYK [height, width, 4] with 0 for no ink.

    `untransformed` takes three components for RGB whatever the stream says of them. Raises CaptureError.
    """
    inks = len(stream.components) == 4  # noqa: PLR2004
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(
            jpeg_markers.bare(data, stream, untransformed=untransformed),
            "CMYK" if inks else "RGB",
            strict=True,
        )
    except ValueError as error:
        raise _failure(str(error)) from None
    return ~pixels if inks else pixels  # Adobe stores CMYK inverted, and nobody else writes it


def _failure(text: str) -> Exception:
    """Turn libjpeg's words for what it met, which name no file, into a reason."""
    if "Insufficient memory" in text:
        return MemoryError()
    return CaptureError(Reason.TRUNCATED if "remature end" in text else Reason.DECODE_ERROR)
