"""JPEG, PNG and TIFF to RGB: headers through Pillow with nothing else switched on, JPEG pixels strictly."""

from __future__ import annotations

import struct
import warnings
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.clinical_terms import Reason
from fundusd.domain.decoding import Content, MediaType
from fundusd.domain.errors import CaptureError
from fundusd.imaging import jpeg_decode, jpeg_markers
from fundusd.imaging.colour import cmyk_to_srgb, to_srgb
from fundusd.imaging.opened_image import Opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.domain.decoding import Pixels
    from fundusd.imaging.limits import Limits

FORMATS = ("JPEG", "PNG", "TIFF")  # leaves out most of what Pillow ever had to fix

_PLAIN = {"RGB", "CMYK"}
_CONVERTIBLE = {"RGBX", "YCbCr"}
_TRANSPARENT = {"RGBA", "RGBa", "LA", "La", "PA", "P"}
_GREY = {"L", "1", "I;16", "I;16L", "I;16B", "I;16N"}
# Exif's orientations: whether rows and columns are exchanged, then how each of them runs
_TURNS = {
    2: (False, 1, -1),
    3: (False, -1, -1),
    4: (False, -1, 1),
    5: (True, 1, 1),
    6: (True, 1, -1),
    7: (True, -1, -1),
    8: (True, -1, 1),
}
_ORIENTATION = 0x0112


def open_raster(data: bytes, media: MediaType, limits: Limits) -> Opened:
    """Read the header of a JPEG, PNG or TIFF; raises CaptureError where there is no honest header."""
    stream = jpeg_markers.read_markers(data) if media is MediaType.JPEG else None
    end_warnings = _check_end(data, media, stream)
    with _guarded(limits.max_pixels):
        picture = Image.open(BytesIO(data), formats=FORMATS)
        reason = _refusal(picture)
    width, height = picture.size
    content = Content(media, width=width, height=height, warnings=end_warnings)
    load = (
        partial(_load_jpeg, picture, data, stream, limits)
        if stream
        else partial(_load, picture, limits)
    )
    return Opened(content, reason, load)


def read_jpeg(
    data: bytes, stream: jpeg_markers.Codestream, limits: Limits, *, untransformed: bool = False
) -> Pixels:
    """Decode a JPEG to RGB, or CMYK with 0 for no ink; `untransformed` takes three components for RGB.

    Pillow reads what the strict decoder does not know by kind, and overlooks damage there. Raises CaptureError.
    """
    if jpeg_markers.has_hole(data, stream):
        raise CaptureError(Reason.DECODE_ERROR)
    if jpeg_decode.can_read(stream):
        return jpeg_decode.decode(data, stream, untransformed=untransformed)
    with _guarded(limits.max_pixels):
        bare = BytesIO(jpeg_markers.bare(data, stream, untransformed=untransformed))
        return np.asarray(Image.open(bare, formats=("JPEG",)))


def _check_end(
    data: bytes, media: MediaType, stream: jpeg_markers.Codestream | None
) -> tuple[str, ...]:
    """Refuse a file that stops before its own end mark; bytes behind it are only worth a warning.

    What follows a whole first image (Ultra HDR gain maps, vendors' trailers, padding) is never read.
    """
    if stream:
        end = stream.end
    elif media is MediaType.PNG:
        end = _png_end(data)
    else:
        return ()
    if end is None:
        raise CaptureError(Reason.TRUNCATED)
    return (CaptureWarning.TRAILING_BYTES,) if end < len(data) else ()


def _png_end(data: bytes) -> int | None:
    position = 8
    while position + 12 <= len(data):
        kind = data[position + 4 : position + 8]
        position += 12 + int.from_bytes(data[position : position + 4])
        if kind == b"IEND":
            return position
    return None


@contextmanager
def _guarded(max_pixels: int) -> Iterator[None]:
    """Make Pillow refuse bombs before decoding, and turn its errors into reasons."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise CaptureError(Reason.TOO_MANY_PIXELS) from None
    except UnidentifiedImageError:
        raise CaptureError(Reason.DECODE_ERROR) from None
    except OSError as error:
        # Pillow has one exception for a stream that ends early and one that is broken; its text tells
        raise CaptureError(
            Reason.TRUNCATED if "truncated" in str(error) else Reason.DECODE_ERROR
        ) from None
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _refusal(picture: Image.Image) -> Reason | None:
    if picture.mode not in _PLAIN | _CONVERTIBLE | _TRANSPARENT | _GREY:
        return Reason.UNSUPPORTED_PIXELS
    if picture.format == "MPO" or getattr(picture, "n_frames", 1) > 1:
        return Reason.MULTIFRAME
    return None


def _load_jpeg(
    picture: Image.Image, data: bytes, stream: jpeg_markers.Codestream, limits: Limits
) -> tuple[Pixels, tuple[str, ...]]:
    pixels = read_jpeg(data, stream, limits)
    icc = picture.info.get("icc_profile")
    exif = picture.info.get("exif", b"")
    if picture.mode in _GREY:
        return _turn(pixels, (CaptureWarning.GREY,), exif)
    if picture.mode == "CMYK":
        return _turn(*cmyk_to_srgb(Image.fromarray(pixels, "CMYK"), icc), exif)
    return _turn(*to_srgb(pixels, icc), exif)


def _load(picture: Image.Image, limits: Limits) -> tuple[Pixels, tuple[str, ...]]:
    exif = picture.info.get(
        "exif", b""
    )  # read before: loading a TIFF applies its orientation and forgets it
    with _guarded(limits.max_pixels):
        picture.load()
        return _turn(*_to_rgb(picture), exif)


def _turn(rgb: Pixels, codes: tuple[str, ...], exif: bytes) -> tuple[Pixels, tuple[str, ...]]:
    """Set a picture upright by its Exif orientation, without moving a pixel in memory."""
    turn = _TURNS.get(orientation(exif))
    if turn is None:
        return rgb, codes
    exchange, down, right = turn
    return (rgb.swapaxes(0, 1) if exchange else rgb)[::down, ::right], (
        *codes,
        CaptureWarning.TURNED,
    )


def _to_rgb(picture: Image.Image) -> tuple[Pixels, tuple[str, ...]]:
    """Convert every accepted mode; what is see-through is laid on black, as the surround is."""
    icc = picture.info.get("icc_profile")
    if picture.mode in _GREY:
        return np.asarray(_grey(picture).convert("RGB")), (CaptureWarning.GREY,)
    if picture.mode == "CMYK":
        return cmyk_to_srgb(picture, icc)
    if picture.mode in _TRANSPARENT or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        flat = Image.new("RGB", rgba.size)
        flat.paste(rgba, mask=rgba.getchannel("A"))
    else:
        flat = picture.convert("RGB") if picture.mode in _CONVERTIBLE else picture
    return to_srgb(np.asarray(flat), icc)


def _grey(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    return picture.convert("L")


def orientation(exif: bytes) -> int:
    """Read the orientation, 1 to 8, from Exif's first directory; 1 wherever that is damaged."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "4xI", tiff)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for index in range(count):
            tag, value = struct.unpack_from(order + "H6xH", tiff, start + 2 + 12 * index)
            if tag == _ORIENTATION:
                return int(value)
    except struct.error:
        pass
    return 1
