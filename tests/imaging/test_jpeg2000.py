from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pydicom.uid as syntax
import pytest
from PIL import Image
from tests import imaging_cases as cases
from tests.dicom_cases import RETINA, YCC, assert_same, opened, read

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.errors import CaptureError

if TYPE_CHECKING:
    pass


def j2k(**options: Any) -> bytes:
    return cases.encode(RETINA, "JPEG2000", no_jp2=True, **options)


@pytest.mark.parametrize("padding", [b"", b"\0", b"\xff", b"\xff\xff\0"])
def test_padding_after_jpeg_2000_is_not_missing_data(padding: bytes) -> None:
    file = cases.encapsulated(
        RETINA, j2k() + padding, syntax.JPEG2000Lossless, PhotometricInterpretation="YBR_RCT"
    )
    assert_same(read(file))


@pytest.mark.parametrize("label", ["RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"])
def test_the_codestream_of_jpeg_2000_decides_whether_its_samples_are_rgb(label: str) -> None:
    file = cases.encapsulated(
        RETINA, j2k(mct=1), syntax.JPEG2000Lossless, PhotometricInterpretation=label
    )
    assert_same(read(file))
    ycc = cases.encode(Image.fromarray(YCC), "JPEG2000", no_jp2=True, mct=0)
    file = cases.encapsulated(RETINA, ycc, syntax.JPEG2000Lossless, PhotometricInterpretation=label)
    if label.startswith("YBR_FULL"):
        assert_same(read(file), tolerance=1.5)


@pytest.mark.parametrize("stored", [8, 12, 16])
def test_the_codestream_of_jpeg_2000_decides_its_precision(stored: int) -> None:
    allocated = 8 if stored == 8 else 16
    file = cases.encapsulated(
        RETINA,
        j2k(),
        syntax.JPEG2000Lossless,
        BitsAllocated=allocated,
        BitsStored=stored,
        HighBit=stored - 1,
    )
    assert_same(read(file))


@pytest.mark.parametrize(
    ("position", "byte", "reason"),
    [
        (42, 0x87, Reason.UNSUPPORTED_PIXELS),  # signed
        (42, 0x08, Reason.UNSUPPORTED_PIXELS),  # of unequal precision
        (43, 0x02, Reason.UNSUPPORTED_PIXELS),  # subsampled
        (41, 0x01, Reason.CODEC_MISMATCH),  # one component instead of three
    ],
)
def test_unusual_components_of_jpeg_2000_are_refused(
    position: int, byte: int, reason: Reason
) -> None:
    frame = bytearray(j2k())
    frame[position] = byte
    capture = opened(cases.encapsulated(RETINA, bytes(frame), syntax.JPEG2000Lossless))
    with pytest.raises(CaptureError) as caught:
        capture.load()
    assert caught.value.reason is reason
