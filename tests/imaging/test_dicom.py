from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
import pydicom.uid as syntax
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from tests import imaging_cases as cases

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.errors import CaptureError
from fundusd.imaging.dicom import open_dicom
from fundusd.imaging.limits import Limits

if TYPE_CHECKING:
    from fundusd.domain.decoding import Pixels
    from fundusd.imaging.opened_image import OpenedImage

RETINA = cases.retina(160, 128)
YCC = np.asarray(Image.fromarray(RETINA).convert("YCbCr"))
LIMITS = Limits(max_pixels=200_000, max_bytes=2_000_000)
OP_16_BIT = "1.2.840.10008.5.1.4.1.1.77.1.5.2"


def opened(data: bytes) -> OpenedImage:
    return open_dicom(data, LIMITS)


def read(data: bytes) -> Pixels:
    capture = opened(data)
    assert capture.reason is None
    return capture.load()[0]


def assert_same(pixels: Pixels, tolerance: float = 0) -> None:
    assert pixels.shape == RETINA.shape
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - RETINA).mean() <= tolerance
    assert pixels[..., 0].mean() > pixels[..., 2].mean()


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


def test_a_file_without_preamble_or_meta_group_is_read() -> None:
    whole = cases.native(RETINA)
    assert_same(read(whole[132:]))
    for transfer_syntax in (
        syntax.ExplicitVRLittleEndian,
        syntax.ExplicitVRBigEndian,
        syntax.ImplicitVRLittleEndian,
    ):
        file = cases.native(RETINA, transfer_syntax)
        assert_same(read(file[meta_length(file) :]))


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


NATIVE = [
    syntax.ImplicitVRLittleEndian,
    syntax.ExplicitVRLittleEndian,
    syntax.ExplicitVRBigEndian,
    syntax.DeflatedExplicitVRLittleEndian,
]


def meta_length(file: bytes) -> int:
    return 144 + int.from_bytes(file[140:144], "little")


def labelled(file: bytes, transfer_syntax: str) -> bytes:
    """Return a file with native pixels under another transfer syntax's label."""
    other = cases.native(RETINA, transfer_syntax)
    return other[: meta_length(other)] + file[meta_length(file) :]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("written", NATIVE, ids=lambda uid: uid.name)
@pytest.mark.parametrize("label", NATIVE, ids=lambda uid: uid.name)
def test_the_encoding_is_that_of_the_bytes_not_that_of_the_label(
    label: str, written: str, bits: int
) -> None:
    pixels = RETINA if bits == 8 else RETINA.astype(np.uint16) * 257
    capture = opened(labelled(cases.native(pixels, written), label))
    assert capture.reason is None
    assert capture.content.patient_id == "PATIENT-7"
    assert_same(capture.load()[0])


@pytest.mark.parametrize("label", [syntax.JPEGBaseline8Bit, syntax.RLELossless])
def test_a_deflated_data_set_under_a_codecs_label_keeps_its_patient(label: str) -> None:
    file = cases.native(RETINA, syntax.DeflatedExplicitVRLittleEndian)
    other = cases.encapsulated(RETINA, b"\0\0", label)
    capture = opened(other[: meta_length(other)] + file[meta_length(file) :])
    assert capture.content.patient_id == "PATIENT-7"
    with pytest.raises(CaptureError) as caught:
        capture.load()
    assert caught.value.reason is Reason.CODEC_MISMATCH


def test_a_data_set_in_zlibs_format_is_inflated() -> None:
    plain = cases.native(RETINA)
    data_set = zlib.compress(plain[meta_length(plain) :])
    label = cases.native(RETINA, syntax.DeflatedExplicitVRLittleEndian)
    assert_same(read(label[: meta_length(label)] + data_set))


@pytest.mark.parametrize("level", [0, 1, 9])
def test_a_deflated_data_set_is_inflated_at_every_level(level: int) -> None:
    plain = cases.native(RETINA)
    deflater = zlib.compressobj(level, wbits=-15)
    data_set = deflater.compress(plain[meta_length(plain) :]) + deflater.flush()
    for transfer_syntax in NATIVE:
        label = cases.native(RETINA, transfer_syntax)
        assert_same(read(label[: meta_length(label)] + data_set))


def test_a_deflated_data_set_that_looks_like_an_element_is_inflated() -> None:
    """The length of a stored block is written first, and may look like a group number."""
    plain = cases.native(RETINA)
    data_set = plain[meta_length(plain) :]
    data_set += bytes(-len(data_set) % 256)
    length = len(data_set)
    stored = struct.pack("<BHH", 1, length, length ^ 0xFFFF) + data_set
    assert stored[:2] == b"\x01\0"
    assert_same(read(plain[: meta_length(plain)] + stored))


@pytest.mark.parametrize("label", NATIVE, ids=lambda uid: uid.name)
def test_bytes_that_are_no_data_set_are_a_decode_error(label: str) -> None:
    file = cases.native(RETINA, label)
    with pytest.raises(CaptureError) as caught:
        opened(file[: meta_length(file)] + b"\xff" * 500)
    assert caught.value.reason is Reason.DECODE_ERROR


def test_an_encapsulated_frame_in_a_data_set_with_implicit_vrs_is_read() -> None:
    frame = cases.encode(RETINA, "JPEG", quality=95, subsampling=0)
    changes = {"PhotometricInterpretation": "YBR_FULL_422"}
    file = cases.encapsulated(RETINA, frame, syntax.JPEGBaseline8Bit, **changes)
    ds = pydicom.dcmread(BytesIO(file))
    out = BytesIO()
    out.write(file[: meta_length(file)])
    raw = DicomBytesIO()
    raw.is_implicit_VR, raw.is_little_endian = True, True
    write_dataset(raw, ds)
    assert_same(read(out.getvalue() + raw.getvalue()), tolerance=1.5)


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


@pytest.mark.parametrize("planar", [0, 1])
def test_the_codestream_decides_where_samples_lie(planar: int) -> None:
    changes: dict[str, Any] = {"PlanarConfiguration": planar}
    label = {"PhotometricInterpretation": "YBR_RCT"}
    assert_same(
        read(cases.encapsulated(RETINA, j2k(), syntax.JPEG2000Lossless, **changes, **label))
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
