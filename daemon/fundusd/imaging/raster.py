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
from PIL import Image, ImagePalette, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.clinical_terms import Reason
from fundusd.domain.decoding import Content, MediaType
from fundusd.domain.errors import CaptureError
from fundusd.imaging import (
    jpeg_decode,
    jpeg_markers,
    multi_picture,
    png_chunks,
    tiff_layout,
    tiff_pages,
)
from fundusd.imaging.colour import cmyk_to_srgb, to_srgb
from fundusd.imaging.opened_image import OpenedImage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.domain.decoding import Pixels
    from fundusd.imaging.limits import Limits

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
    if media is MediaType.JPEG:
        return _open_jpeg(data, limits)
    if media is MediaType.PNG:
        return _open_png(data, limits)
    return _open_tiff(data, limits)


def _open_jpeg(data: bytes, limits: Limits) -> OpenedImage:
    stream = jpeg_markers.read_markers(data)
    end_warnings = _check_end(data, stream.end)
    # Pillow refuses some files for their metadata, so it is shown none
    with _pillow_guard(limits.max_pixels):
        header = jpeg_markers.strip_metadata(data, stream)
        image = Image.open(BytesIO(header), formats=("JPEG",))
    reason = _refusal(image)
    if multi_picture.has_other_photographs(data, stream):
        reason = Reason.MULTIFRAME
    load = partial(_load_jpeg, image.mode, data, stream, limits)
    return OpenedImage(_content(MediaType.JPEG, image, end_warnings), reason, load)


def _open_png(data: bytes, limits: Limits) -> OpenedImage:
    chunks = png_chunks.read_chunks(data)
    end_warnings = _check_end(data, chunks.end)
    with _pillow_guard(limits.max_pixels):
        image = Image.open(BytesIO(chunks.image), formats=("PNG",))
    reason = Reason.MULTIFRAME if chunks.is_animated else _refusal(image)
    load = partial(_load, image, limits, chunks.icc, chunks.exif)
    return OpenedImage(_content(MediaType.PNG, image, end_warnings), reason, load)


def _open_tiff(data: bytes, limits: Limits) -> OpenedImage:
    page, is_only_photograph = tiff_pages.find_photograph(data)
    with _pillow_guard(limits.max_pixels, unidentified=Reason.UNSUPPORTED_PIXELS):
        image = Image.open(BytesIO(page), formats=("TIFF",))
        exif = image.info.get("exif", b"")  # load() applies the orientation and removes it
    reason = _refusal(image) if is_only_photograph else Reason.MULTIFRAME
    if isinstance(image, TiffImageFile):
        if not tiff_layout.is_complete(image.tag_v2, len(page)):
            raise CaptureError(Reason.TRUNCATED)
        if not tiff_layout.is_supported(image.tag_v2):
            reason = Reason.UNSUPPORTED_PIXELS
        elif tiff_layout.contradicts_jpeg(image.tag_v2, page):
            reason = Reason.COLOUR_MISMATCH
        if image.mode == "P" and (colours := tiff_layout.map_of_bytes(image.tag_v2)):
            image.palette = ImagePalette.raw("RGB;L", colours)
    load = partial(_load, image, limits, image.info.get("icc_profile"), exif)
    return OpenedImage(_content(MediaType.TIFF, image), reason, load)


def _content(media: MediaType, image: Image.Image, codes: tuple[str, ...] = ()) -> Content:
    width, height = image.size
    return Content(media, width=width, height=height, warnings=codes)


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


def _check_end(data: bytes, end: int | None) -> tuple[str, ...]:
    """Return a warning code if bytes follow the end of the image.

    Anything after a complete first image (Ultra HDR gain maps, vendors' trailers, padding) is never
    read. Raises CaptureError if the end marker is missing.
    """
    if end is None:
        raise CaptureError(Reason.TRUNCATED)
    if end < len(data):
        return (CaptureWarning.TRAILING_BYTES,)
    return ()


@contextmanager
def _pillow_guard(max_pixels: int, unidentified: Reason = Reason.DECODE_ERROR) -> Iterator[None]:
    """Make Pillow refuse decompression bombs, and turn its errors into CaptureError.

    `unidentified` is the reason for an image whose header Pillow does not understand.
    """
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
        raise CaptureError(unidentified) from None
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
    return None


def _load_jpeg(
    mode: str, data: bytes, stream: jpeg_markers.Codestream, limits: Limits
) -> tuple[Pixels, tuple[str, ...]]:
    pixels = read_jpeg(data, stream, limits)
    if mode in _GREY:
        return _apply_orientation(pixels, (CaptureWarning.GREY,), stream.exif)
    if mode == "CMYK":
        image = Image.fromarray(pixels, "CMYK")
        return _apply_orientation(*cmyk_to_srgb(image, stream.icc), stream.exif)
    return _apply_orientation(*to_srgb(pixels, stream.icc), stream.exif)


def _load(
    image: Image.Image, limits: Limits, icc: bytes | None, exif: bytes
) -> tuple[Pixels, tuple[str, ...]]:
    with _pillow_guard(limits.max_pixels):
        image.load()
        return _apply_orientation(*_to_rgb(image, icc), exif)


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


def _to_rgb(image: Image.Image, icc: bytes | None) -> tuple[Pixels, tuple[str, ...]]:
    """Return an image of any accepted mode as sRGB pixels, and warning codes.

    Transparency is composited on black, like the surround.
    """
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
        levels = (np.asarray(image) >> 8).astype(np.uint8)
        if isinstance(image, TiffImageFile) and tiff_layout.is_inverted(image.tag_v2):
            levels = ~levels  # Pillow inverts 8 bits only
        return Image.fromarray(levels)
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
