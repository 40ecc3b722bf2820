"""Every layout of a TIFF is decoded to the pixels that a second program wrote, or refused."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests import imaging_cases as cases

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.decoding import MediaType
from fundusd.domain.errors import CaptureError
from fundusd.imaging.limits import Limits
from fundusd.imaging.raster import open_raster

if TYPE_CHECKING:
    import numpy.typing as npt

    from fundusd.imaging.opened_image import OpenedImage

RETINA = cases.retina(160, 128)
LIMITS = Limits(max_pixels=200_000, max_bytes=2_000_000)
PARTS = [
    {},
    {"rowsperstrip": 7},
    {"tile": (64, 64)},
    {"tile": (32, 48)},
    {"compression": "zlib"},
    {"compression": "zlib", "predictor": True},
    {"compression": "zlib", "rowsperstrip": 7},
    {"compression": "zlib", "tile": (64, 64), "predictor": True},
]


def opened(pixels: npt.NDArray[Any], **options: Any) -> OpenedImage:
    """Write a TIFF with tifffile and open it."""
    file = BytesIO()
    tifffile.imwrite(file, pixels, photometric="rgb", **options)
    return open_raster(file.getvalue(), MediaType.TIFF, LIMITS)


def with_alpha(pixels: npt.NDArray[Any], opaque: int) -> npt.NDArray[Any]:
    return np.dstack([pixels, np.full(pixels.shape[:2], opaque, pixels.dtype)])


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("has_alpha", [False, True])
@pytest.mark.parametrize("parts", PARTS, ids=str)
@pytest.mark.parametrize(("bits", "planes"), [(8, False), (16, False), (8, True)])
def test_decoded_pixels_are_those_that_were_written(
    bits: int, planes: bool, parts: dict[str, Any], has_alpha: bool, byte_order: str
) -> None:
    pixels = RETINA if bits == 8 else RETINA.astype(np.uint16) * 257
    options: dict[str, Any] = {"byteorder": byte_order, **parts}
    if has_alpha:
        pixels = with_alpha(pixels, 2**bits - 1)
        options["extrasamples"] = ["unassalpha"]
    if planes:
        pixels = np.moveaxis(pixels, 2, 0)
        options["planarconfig"] = "separate"
    capture = opened(pixels, **options)
    assert capture.reason is None
    decoded, _ = capture.load()
    assert np.abs(decoded.astype(int) - RETINA).max() <= 1


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("has_alpha", [False, True])
@pytest.mark.parametrize("parts", PARTS, ids=str)
def test_planes_of_more_than_8_bits_are_refused(
    parts: dict[str, Any], has_alpha: bool, byte_order: str
) -> None:
    pixels = RETINA.astype(np.uint16) * 257
    options: dict[str, Any] = {"byteorder": byte_order, "planarconfig": "separate", **parts}
    if has_alpha:
        pixels = with_alpha(pixels, 2**16 - 1)
        options["extrasamples"] = ["unassalpha"]
    assert opened(np.moveaxis(pixels, 2, 0), **options).reason is Reason.UNSUPPORTED_PIXELS


@pytest.mark.parametrize("kind", [np.float32, np.uint32, np.int16])
def test_samples_that_are_not_unsigned_8_or_16_bits_are_refused(kind: type) -> None:
    with pytest.raises(CaptureError) as caught:
        opened(RETINA.astype(kind))
    assert caught.value.reason is Reason.DECODE_ERROR


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate"])
def test_compressions_without_loss_give_the_pixels_that_were_written(compression: str) -> None:
    file = BytesIO()
    Image.fromarray(RETINA).save(file, "TIFF", compression=compression)
    decoded, _ = open_raster(file.getvalue(), MediaType.TIFF, LIMITS).load()
    assert np.array_equal(decoded, RETINA)
