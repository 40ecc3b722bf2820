"""A drawn retina in DICOM files, and how the tests read such files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pydicom.uid as syntax
from PIL import Image
from tests import imaging_cases

from fundusd.domain.errors import CaptureError
from fundusd.imaging.dicom import open_dicom
from fundusd.imaging.limits import Limits

if TYPE_CHECKING:
    from fundusd.domain.clinical_terms import Reason
    from fundusd.domain.decoding import Pixels
    from fundusd.imaging.opened_image import OpenedImage

RETINA = imaging_cases.retina(160, 128)
YCC = np.asarray(Image.fromarray(RETINA).convert("YCbCr"))
LIMITS = Limits(max_pixels=200_000, max_bytes=2_000_000)
OP_16_BIT = "1.2.840.10008.5.1.4.1.1.77.1.5.2"
NATIVE = [
    syntax.ImplicitVRLittleEndian,
    syntax.ExplicitVRLittleEndian,
    syntax.ExplicitVRBigEndian,
    syntax.DeflatedExplicitVRLittleEndian,
]


def opened(data: bytes) -> OpenedImage:
    return open_dicom(data, LIMITS)


def read(data: bytes) -> Pixels:
    capture = opened(data)
    assert capture.reason is None
    return capture.load()[0]


def refused(data: bytes) -> Reason | None:
    try:
        capture = opened(data)
        if capture.reason is None:
            capture.load()
    except CaptureError as error:
        return error.reason
    return capture.reason


def assert_same(pixels: Pixels, tolerance: float = 0) -> None:
    """Compare pixels with the drawn retina; `tolerance` is in levels, on average."""
    assert pixels.shape == RETINA.shape
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - RETINA).mean() <= tolerance
    assert pixels[..., 0].mean() > pixels[..., 2].mean()
