"""Decode JPEG, PNG and TIFF to RGB.

Pillow reads the headers, with only these formats enabled. A strict decoder reads the pixels of the
usual kinds of JPEG.
"""

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
from fundusd.imaging.opened_image import OpenedImage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.domain.decoding import Pixels
    from fundusd.imaging.limits import Limits

FORMATS = ("JPEG", "PNG", "TIFF")  # most of Pillow's security fixes concern other formats

_PLAIN = {"RGB", "CMYK"}
_CONVERTIBLE = {"RGBX", "YCbCr"}
_TRANSPARENT = {"RGBA", "RGBa", "LA", "La", "PA", "P"}
_GREY = {"L", "1", "I;16", "I;16L", "I;16B", "I;16N"}
# Exif orientation: whether rows and columns are exchanged, then the step along each of them
_ORIENTATIONS = {
    2: (False, 1, -1),
    3: (False, -1, -1),
    4: (False, -1, 1),
    5: (True, 1, 1),
    6: (True, 1, -1),
    7: (True, -1, -1),
    8: (True, -1, 1),
}
_ORIENTATION_TAG = 0x0112


def open_raster(data: bytes, media: MediaType, limits: Limits) -> OpenedImage:
    """Open a JPEG, PNG or TIFF, leaving its pixels encoded.

    Raises CaptureError if the file is truncated or its header is invalid.
    """
    stream = jpeg_markers.read_markers(data) if media is MediaType.JPEG else None
    end_warnings = _check_end(data, media, stream)
    with _pillow_guard(limits.max_pixels):
        image = Image.open(BytesIO(data), formats=FORMATS)
        reason = _refusal(image)
    width, height = image.size
    content = Content(media, width=width, height=height, warnings=end_warnings)
    load = partial(_load, image, limits)
    if stream:
        load = partial(_load_jpeg, image, data, stream, limits)
    return OpenedImage(content, reason, load)


def read_jpeg(
    data: bytes, stream: jpeg_markers.Codestream, limits: Limits, *, untransformed: bool = False
) -> Pixels:
    """Decode a JPEG to RGB, or to CMYK with 0 for no ink.

    If `untransformed` is true, three components are treated as RGB. Pillow decodes the kinds of
    JPEG that the strict decoder does not support, and may overlook damage in them. Raises
    CaptureError if damage is found.
    """
    if jpeg_markers.has_zeroed_run(data, stream):
        raise CaptureError(Reason.DECODE_ERROR)
    if jpeg_decode.can_read(stream):
        return jpeg_decode.decode(data, stream, untransformed=untransformed)
    with _pillow_guard(limits.max_pixels):
        codestream = jpeg_markers.strip_metadata(data, stream, untransformed=untransformed)
        return np.asarray(Image.open(BytesIO(codestream), formats=("JPEG",)))


def _check_end(
    data: bytes, media: MediaType, stream: jpeg_markers.Codestream | None
) -> tuple[str, ...]:
    """Return a warning code if bytes follow the end of the image.

    Anything after a complete first image (Ultra HDR gain maps, vendors' trailers, padding) is never
    read. Raises CaptureError if the end marker is missing.
    """
    if stream:
        end = stream.end
    elif media is MediaType.PNG:
        end = _png_end(data)
    else:
        return ()
    if end is None:
        raise CaptureError(Reason.TRUNCATED)
    if end < len(data):
        return (CaptureWarning.TRAILING_BYTES,)
    return ()


def _png_end(data: bytes) -> int | None:
    position = 8
    while position + 12 <= len(data):
        kind = data[position + 4 : position + 8]
        position += 12 + int.from_bytes(data[position : position + 4])
        if kind == b"IEND":
            return position
    return None


@contextmanager
def _pillow_guard(max_pixels: int) -> Iterator[None]:
    """Make Pillow refuse decompression bombs, and turn its errors into CaptureError."""
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
        # Only the text distinguishes a stream that ends early from one that is damaged
        if "truncated" in str(error):
            raise CaptureError(Reason.TRUNCATED) from None
        raise CaptureError(Reason.DECODE_ERROR) from None
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _refusal(image: Image.Image) -> Reason | None:
    if image.mode not in _PLAIN | _CONVERTIBLE | _TRANSPARENT | _GREY:
        return Reason.UNSUPPORTED_PIXELS
    if image.format == "MPO" or getattr(image, "n_frames", 1) > 1:
        return Reason.MULTIFRAME
    return None


def _load_jpeg(
    image: Image.Image, data: bytes, stream: jpeg_markers.Codestream, limits: Limits
) -> tuple[Pixels, tuple[str, ...]]:
    pixels = read_jpeg(data, stream, limits)
    icc = image.info.get("icc_profile")
    exif = image.info.get("exif", b"")
    if image.mode in _GREY:
        return _apply_orientation(pixels, (CaptureWarning.GREY,), exif)
    if image.mode == "CMYK":
        return _apply_orientation(*cmyk_to_srgb(Image.fromarray(pixels, "CMYK"), icc), exif)
    return _apply_orientation(*to_srgb(pixels, icc), exif)


def _load(image: Image.Image, limits: Limits) -> tuple[Pixels, tuple[str, ...]]:
    # Read this before load(), which applies a TIFF's orientation and removes it
    exif = image.info.get("exif", b"")
    with _pillow_guard(limits.max_pixels):
        image.load()
        return _apply_orientation(*_to_rgb(image), exif)


def _apply_orientation(
    rgb: Pixels, codes: tuple[str, ...], exif: bytes
) -> tuple[Pixels, tuple[str, ...]]:
    """Turn the pixels upright as Exif demands, and add a warning code if they were turned.

    The result is a view of the pixels, not a copy.
    """
    turn = _ORIENTATIONS.get(orientation(exif))
    if turn is None:
        return rgb, codes
    exchanges_axes, down, right = turn
    if exchanges_axes:
        rgb = rgb.swapaxes(0, 1)
    return rgb[::down, ::right], (*codes, CaptureWarning.TURNED)


def _to_rgb(image: Image.Image) -> tuple[Pixels, tuple[str, ...]]:
    """Return an image of any accepted mode as sRGB pixels, and warning codes.

    Transparency is composited on black, like the surround.
    """
    icc = image.info.get("icc_profile")
    if image.mode in _GREY:
        return np.asarray(_grey(image).convert("RGB")), (CaptureWarning.GREY,)
    if image.mode == "CMYK":
        return cmyk_to_srgb(image, icc)
    if image.mode in _TRANSPARENT or "transparency" in image.info:
        image = _composite_on_black(image)
    elif image.mode in _CONVERTIBLE:
        image = image.convert("RGB")
    return to_srgb(np.asarray(image), icc)


def _composite_on_black(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    opaque = Image.new("RGB", rgba.size)
    opaque.paste(rgba, mask=rgba.getchannel("A"))
    return opaque


def _grey(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("L")


def orientation(exif: bytes) -> int:
    """Return the orientation from Exif's first directory, or 1 if it is absent or damaged."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "4xI", tiff)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for index in range(count):
            tag, value = struct.unpack_from(order + "H6xH", tiff, start + 2 + 12 * index)
            if tag == _ORIENTATION_TAG:
                return int(value)
    except struct.error:
        pass
    return 1
