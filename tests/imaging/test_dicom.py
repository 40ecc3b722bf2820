from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom.uid as syntax
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from tests import imaging_cases as cases
from tests.dicom_cases import OP_16_BIT, RETINA, YCC, assert_same, opened, read

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.errors import CaptureError

if TYPE_CHECKING:
    pass


@pytest.mark.parametrize(
    "transfer_syntax",
    [
        syntax.ImplicitVRLittleEndian,
        syntax.ExplicitVRLittleEndian,
        syntax.ExplicitVRBigEndian,
        syntax.DeflatedExplicitVRLittleEndian,
    ],
)
def test_native_pixels_come_back_bit_for_bit(transfer_syntax: str) -> None:
    assert_same(read(cases.native(RETINA, transfer_syntax)))


@pytest.mark.parametrize("transfer_syntax", [syntax.RLELossless, syntax.JPEG2000Lossless])
def test_losslessly_compressed_pixels_come_back_bit_for_bit(transfer_syntax: str) -> None:
    assert_same(read(cases.compressed(RETINA, transfer_syntax)))


@pytest.mark.parametrize("transfer_syntax", [syntax.JPEGLossless, syntax.JPEGLosslessSV1])
def test_lossless_jpeg_comes_back_bit_for_bit(transfer_syntax: str) -> None:
    assert_same(read(cases.encapsulated(RETINA, cases.lossless_jpeg(RETINA), transfer_syntax)))


@pytest.mark.parametrize("transfer_syntax", [syntax.JPEGBaseline8Bit, syntax.JPEGExtended12Bit])
@pytest.mark.parametrize("photometric", ["YBR_FULL_422", "YBR_FULL"])
def test_jpeg_comes_back_within_its_losses(transfer_syntax: str, photometric: str) -> None:
    frame = cases.encode(RETINA, "JPEG", quality=95, subsampling=0)
    file = cases.encapsulated(RETINA, frame, transfer_syntax, PhotometricInterpretation=photometric)
    assert_same(read(file), tolerance=1.5)


def test_lossy_jpeg_2000_comes_back_within_its_losses() -> None:
    frame = cases.encode(RETINA, "JPEG2000", no_jp2=True, irreversible=True, quality_layers=[6])
    file = cases.encapsulated(RETINA, frame, syntax.JPEG2000, PhotometricInterpretation="YBR_ICT")
    assert_same(read(file), tolerance=3)


def test_boxed_jpeg_2000_is_understood() -> None:
    frame = cases.encode(RETINA, "JPEG2000")
    assert_same(read(cases.encapsulated(RETINA, frame, syntax.JPEG2000Lossless)))


def test_a_frame_in_several_fragments_is_one_frame() -> None:
    ds = cases.header(RETINA, PhotometricInterpretation="YBR_FULL_422")
    frame = cases.encode(RETINA, "JPEG", quality=95, subsampling=0)
    ds.add_new("PixelData", "OB", encapsulate([frame], fragments_per_frame=3))
    ds["PixelData"].is_undefined_length = True
    assert_same(read(cases.write(ds, syntax.JPEGBaseline8Bit)), tolerance=1.5)


def test_full_and_halved_chroma_are_converted_to_rgb() -> None:
    assert_same(read(cases.native(YCC, PhotometricInterpretation="YBR_FULL")), tolerance=1)
    pairs = YCC.reshape(-1, 2, 3)
    halved = np.stack([pairs[:, 0, 0], pairs[:, 1, 0], pairs[:, 0, 1], pairs[:, 0, 2]], axis=1)
    ds = cases.header(RETINA, PhotometricInterpretation="YBR_FULL_422")
    ds.add_new("PixelData", "OB", halved.tobytes())
    assert_same(read(cases.write(ds, syntax.ExplicitVRLittleEndian)), tolerance=2)


def test_planes_are_interleaved() -> None:
    ds = cases.header(RETINA, PlanarConfiguration=1)
    ds.add_new("PixelData", "OB", np.moveaxis(RETINA, 2, 0).tobytes())
    assert_same(read(cases.write(ds, syntax.ExplicitVRLittleEndian)))


@pytest.mark.parametrize(
    "transfer_syntax", [syntax.ExplicitVRLittleEndian, syntax.ExplicitVRBigEndian]
)
@pytest.mark.parametrize("stored", [12, 16])
def test_more_bits_are_scaled_down(transfer_syntax: str, stored: int) -> None:
    deep = RETINA.astype(np.uint16) << (stored - 8)
    file = cases.native(
        deep, transfer_syntax, SOPClassUID=OP_16_BIT, BitsStored=stored, HighBit=stored - 1
    )
    assert_same(read(file))


@pytest.mark.parametrize(
    "transfer_syntax", [syntax.ExplicitVRLittleEndian, syntax.ExplicitVRBigEndian]
)
@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_is_looked_up(bits: int, transfer_syntax: str) -> None:
    indexed = Image.fromarray(RETINA).quantize(256)
    table = np.array(indexed.getpalette(), np.uint16).reshape(-1, 3)
    table = np.vstack([table, np.zeros((256 - len(table), 3), np.uint16)])
    changes: dict[str, Any] = {
        "PhotometricInterpretation": "PALETTE COLOR",
        "PlanarConfiguration": None,
    }
    for channel, name in enumerate(("Red", "Green", "Blue")):
        changes[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
        levels = (table[:, channel] << (bits - 8)).astype(f"<u{bits // 8}").tobytes()
        if transfer_syntax == syntax.ExplicitVRBigEndian:  # entries of 8 bits lie in words, too
            levels = np.frombuffer(levels, np.uint16).byteswap().tobytes()
        changes[f"{name}PaletteColorLookupTableData"] = levels
    pixels = read(cases.native(np.asarray(indexed), transfer_syntax, **changes))
    assert np.array_equal(pixels, np.asarray(indexed.convert("RGB")))


def test_a_profile_in_the_header_is_honoured() -> None:
    _, codes = opened(cases.native(RETINA, ICCProfile=b"nonsense")).load()
    assert codes == ("icc_unusable",)


def test_a_sop_class_that_stands_in_the_meta_group_only_is_enough() -> None:
    ds = cases.header(RETINA)
    ds.add_new("PixelData", "OB", RETINA.tobytes())
    file = cases.write(ds, syntax.ExplicitVRLittleEndian)
    element = b"\x08\0\x16\0UI" + (len(cases.OP_8_BIT) + 1 & ~1).to_bytes(2, "little")
    start = file.index(element)
    end = start + 8 + (len(cases.OP_8_BIT) + 1 & ~1)
    assert_same(read(file[:start] + file[end:]))


@pytest.mark.parametrize("implicit", [False, True])
def test_elements_before_the_pixels_are_passed_over(implicit: bool) -> None:
    transfer_syntax = syntax.ImplicitVRLittleEndian if implicit else syntax.ExplicitVRLittleEndian
    file = cases.native(RETINA, transfer_syntax)
    tag = b"\xe0\x7f\x10\x00"
    position = file.rindex(tag)
    length = len(file) - position
    kind = b"\x04\0\0\0" if implicit else b"UL\x04\0"
    group_length = b"\xe0\x7f\x00\x00" + kind + length.to_bytes(4, "little")
    assert_same(read(file[:position] + group_length + file[position:]))


def test_an_extended_offset_table_is_passed_over() -> None:
    frame = cases.encode(RETINA, "JPEG", quality=95, subsampling=0)
    frame += b"\0" * (len(frame) % 2)
    changes = {
        "PhotometricInterpretation": "YBR_FULL_422",
        "ExtendedOffsetTable": bytes(8),
        "ExtendedOffsetTableLengths": len(frame).to_bytes(8, "little"),
        "EncapsulatedPixelDataValueTotalLength": len(frame),
    }
    file = cases.encapsulated(RETINA, frame, syntax.JPEGBaseline8Bit, **changes)
    assert_same(read(file), tolerance=1.5)


def test_float_pixels_are_refused_after_a_group_length() -> None:
    file = cases.native(RETINA)
    position = file.rindex(b"\xe0\x7f\x10\x00")
    floats = b"\xe0\x7f\x08\x00OF\0\0\x04\0\0\0\0\0\0\0"
    group = b"\xe0\x7f\x00\x00UL\x04\0" + len(floats).to_bytes(4, "little")
    capture = opened(file[:position] + group + floats)
    with pytest.raises(CaptureError) as caught:
        capture.load()
    assert caught.value.reason is Reason.UNSUPPORTED_PIXELS


@pytest.mark.parametrize("planar", [0, 1])
def test_the_codestream_decides_where_samples_lie(planar: int) -> None:
    changes: dict[str, Any] = {"PlanarConfiguration": planar}
    label = {"PhotometricInterpretation": "YBR_RCT"}
    codestream = cases.encode(RETINA, "JPEG2000", no_jp2=True)
    assert_same(
        read(cases.encapsulated(RETINA, codestream, syntax.JPEG2000Lossless, **changes, **label))
    )
    jpeg = cases.encode(RETINA, "JPEG", quality=95, subsampling=0)
    label = {"PhotometricInterpretation": "YBR_FULL_422"}
    file = cases.encapsulated(RETINA, jpeg, syntax.JPEGBaseline8Bit, **changes, **label)
    assert_same(read(file), tolerance=1.5)


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("label", ["YBR_FULL", "YBR_FULL_422"])
def test_chroma_of_more_bits_keeps_its_colours(label: str, bits: int) -> None:
    """Reduced to 8 bits before the conversion, colours would shift by half a level on average."""
    rgb = RETINA.astype(float)
    luma = rgb @ (0.299, 0.587, 0.114) + 0.5  # the middle of the level
    blue, red = (rgb[..., 2] + 0.5 - luma) / 1.772, (rgb[..., 0] + 0.5 - luma) / 1.402
    ycc = np.stack([luma, blue + 128, red + 128], axis=2)
    if label == "YBR_FULL_422":
        pairs = ycc.reshape(-1, 2, 3)
        ycc = np.stack([pairs[:, 0, 0], pairs[:, 1, 0], pairs[:, 0, 1], pairs[:, 0, 2]], axis=1)
    deep = np.rint(ycc * 2 ** (bits - 8)).astype("<u2")
    ds = cases.header(RETINA.astype(np.uint16), PhotometricInterpretation=label)
    ds.BitsStored, ds.HighBit = bits, bits - 1
    ds.add_new("PixelData", "OW", deep.tobytes())
    pixels = read(cases.write(ds, syntax.ExplicitVRLittleEndian)).astype(int)
    if label == "YBR_FULL":
        assert np.abs(pixels - RETINA).max() <= 1
    bias = (pixels - RETINA).reshape(-1, 3).mean(axis=0)
    assert np.abs(bias).max() <= 0.3
