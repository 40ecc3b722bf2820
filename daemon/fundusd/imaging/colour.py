"""Convert the colours of decoded images to sRGB, with 8 bits per channel."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms

from fundusd.domain.capture_warnings import CaptureWarning

if TYPE_CHECKING:
    from fundusd.domain.decoding import Pixels

_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
_UNUSABLE = (ImageCms.PyCMSError, OSError, TypeError, ValueError)


def to_srgb(rgb: Pixels, icc: bytes | None) -> tuple[Pixels, tuple[str, ...]]:
    """Return the pixels in sRGB, and any warning codes.

    The pixels are converted if the ICC profile describes another colour space.
    """
    if not icc:
        return rgb, ()
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(icc))
        if "sRGB" in ImageCms.getProfileDescription(profile):
            return rgb, ()
        return _convert(Image.fromarray(rgb), profile), (CaptureWarning.ICC_CONVERTED,)
    except _UNUSABLE:
        return rgb, (CaptureWarning.ICC_UNUSABLE,)


def cmyk_to_srgb(image: Image.Image, icc: bytes | None) -> tuple[Pixels, tuple[str, ...]]:
    """Return a CMYK image converted to sRGB, and any warning codes.

    The conversion uses the ICC profile if it is present and valid, otherwise Pillow's formula.
    """
    code = CaptureWarning.CMYK_WITHOUT_PROFILE
    if icc:
        try:
            profile = ImageCms.ImageCmsProfile(BytesIO(icc))
            return _convert(image, profile), (CaptureWarning.ICC_CONVERTED,)
        except _UNUSABLE:
            code = CaptureWarning.ICC_UNUSABLE
    return np.asarray(image.convert("RGB")), (code,)


def _convert(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Pixels:
    converted = ImageCms.profileToProfile(image, profile, _SRGB, outputMode="RGB")
    return np.asarray(converted or image)


def ycc_to_rgb(width: int, height: int, components: bytes) -> Pixels:
    """Convert interleaved full-range YCbCr (ITU-R BT.601, as in JPEG and YBR_FULL) to RGB."""
    return np.asarray(Image.frombytes("YCbCr", (width, height), components).convert("RGB"))


def deep_ycc_to_rgb(ycc: np.ndarray, bits: int) -> Pixels:
    """Convert full-range YCbCr [height, width, 3] with more than 8 bits to RGB with 8 bits.

    The samples are not reduced to 8 bits before the conversion, which would falsify blue by up to
    three levels.
    """
    centre, greatest = 1 << (bits - 1), (1 << bits) - 1
    luma = ycc[..., 0].astype(np.float32)
    blue, red = ycc[..., 1].astype(np.float32) - centre, ycc[..., 2].astype(np.float32) - centre
    rgb = np.empty(ycc.shape, np.uint8)
    # ITU-T T.871, 7
    channels = (luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue)
    for index, channel in enumerate(channels):
        levels = np.clip(np.rint(channel), 0, greatest).astype(np.uint16)
        rgb[..., index] = levels >> (bits - 8)
    return rgb
