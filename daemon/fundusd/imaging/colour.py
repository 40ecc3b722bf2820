"""Colour of decoded pictures: everything becomes sRGB, 8 bits a channel."""

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
    """Convert RGB to sRGB by its profile, if it has another one; codes tell what was done or not possible."""
    if not icc:
        return rgb, ()
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(icc))
        if "sRGB" in ImageCms.getProfileDescription(profile):
            return rgb, ()
        return _convert(Image.fromarray(rgb), profile), (CaptureWarning.ICC_CONVERTED,)
    except _UNUSABLE:
        return rgb, (CaptureWarning.ICC_UNUSABLE,)


def cmyk_to_srgb(picture: Image.Image, icc: bytes | None) -> tuple[Pixels, tuple[str, ...]]:
    """Convert CMYK to sRGB by its profile, or by rule of thumb where that is not possible."""
    code = CaptureWarning.CMYK_WITHOUT_PROFILE
    if icc:
        try:
            return _convert(picture, ImageCms.ImageCmsProfile(BytesIO(icc))), (
                CaptureWarning.ICC_CONVERTED,
            )
        except _UNUSABLE:
            code = CaptureWarning.ICC_UNUSABLE
    return np.asarray(picture.convert("RGB")), (code,)


def _convert(picture: Image.Image, profile: ImageCms.ImageCmsProfile) -> Pixels:
    converted = ImageCms.profileToProfile(picture, profile, _SRGB, outputMode="RGB")
    return np.asarray(converted or picture)


def ycc_to_rgb(width: int, height: int, components: bytes) -> Pixels:
    """Convert full-range YCbCr (ITU-R BT.601, as JPEG and DICOM's YBR_FULL have it), interleaved."""
    return np.asarray(Image.frombytes("YCbCr", (width, height), components).convert("RGB"))
