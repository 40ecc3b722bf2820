from __future__ import annotations

import warnings
import zlib
from typing import TYPE_CHECKING, Any

import pydicom.uid as syntax
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from tests import imaging_cases as cases
from tests.dicom_cases import RETINA, assert_same, opened, read, refused

from fundusd.domain.clinical_terms import Reason

if TYPE_CHECKING:
    pass


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["native", "jpeg", "rle", "j2k", "deflated"])
def test_a_file_cut_short_is_refused(kind: str, kept: float) -> None:
    whole = {
        "native": lambda: cases.native(RETINA),
        "jpeg": lambda: cases.jpeg_dicom(RETINA),
        "rle": lambda: cases.compressed(RETINA, syntax.RLELossless),
        "j2k": lambda: cases.compressed(RETINA, syntax.JPEG2000Lossless),
        "deflated": lambda: cases.native(RETINA, syntax.DeflatedExplicitVRLittleEndian),
    }[kind]()
    assert refused(whole[: int(len(whole) * kept)]) in {Reason.TRUNCATED, Reason.NO_PIXEL_DATA}


def test_every_cut_of_a_header_is_refused() -> None:
    whole = cases.native(RETINA)
    pixels = whole.rindex(b"\xe0\x7f\x10\0OB")
    for end in range(140, pixels + 12, 7):
        assert refused(whole[:end]) in {
            Reason.TRUNCATED,
            Reason.NO_PIXEL_DATA,
            Reason.WRONG_MODALITY,
            Reason.DECODE_ERROR,
        }


@pytest.mark.parametrize("kept", [0.5, 0.9, 0.99])
def test_a_jpeg_cut_inside_its_fragment_is_truncated(kept: float) -> None:
    frame = cases.encode(RETINA, "JPEG", quality=95)
    assert (
        refused(cases.jpeg_dicom(RETINA, frame=frame[: int(len(frame) * kept)])) is Reason.TRUNCATED
    )


def test_a_lossless_jpeg_without_its_end_mark_is_truncated() -> None:
    frame = cases.lossless_jpeg(RETINA)[:-2]
    assert refused(cases.encapsulated(RETINA, frame, syntax.JPEGLosslessSV1)) is Reason.TRUNCATED


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_a_lossless_jpeg_that_was_cut_and_given_an_end_mark_is_truncated(
    kept: float, photometric: str
) -> None:
    whole = cases.lossless_jpeg(RETINA)
    frame = whole[: int(len(whole) * kept)] + b"\xff\xd9"
    file = cases.encapsulated(
        RETINA, frame, syntax.JPEGLosslessSV1, PhotometricInterpretation=photometric
    )
    assert refused(file) is Reason.TRUNCATED


def test_a_header_cut_inside_a_value_is_truncated() -> None:
    whole = cases.native(RETINA)
    assert refused(whole[: whole.index(b"PATIENT-7") + 3]) is Reason.TRUNCATED


def test_a_jpeg_2000_cut_inside_its_fragment_is_truncated() -> None:
    frame = cases.encode(RETINA, "JPEG2000", no_jp2=True)
    file = cases.encapsulated(RETINA, frame[: len(frame) // 2], syntax.JPEG2000Lossless)
    assert refused(file) is Reason.TRUNCATED


def test_items_without_a_delimiter_are_truncated() -> None:
    whole = cases.jpeg_dicom(RETINA)
    assert whole.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0")
    assert refused(whole[:-8]) is Reason.TRUNCATED


def test_pixel_data_that_is_missing_is_told_apart() -> None:
    file = cases.write(cases.header(RETINA), syntax.ExplicitVRLittleEndian)
    assert refused(file) is Reason.NO_PIXEL_DATA


def test_pixel_data_cut_inside_its_element_header_is_truncated() -> None:
    whole = cases.native(RETINA)
    start = whole.rindex(b"\xe0\x7f\x10\0OB")
    assert refused(whole[: start + 10]) is Reason.TRUNCATED


@pytest.mark.parametrize("broken", ["missing", "short", "odd bits", "no such VR"])
def test_a_broken_palette_is_a_decode_error(broken: str) -> None:
    changes: dict[str, Any] = {
        "PhotometricInterpretation": "PALETTE COLOR",
        "PlanarConfiguration": None,
    }
    for name in ("Red", "Green", "Blue"):
        changes[f"{name}PaletteColorLookupTableDescriptor"] = [
            256,
            0,
            6 if broken == "odd bits" else 8,
        ]
        changes[f"{name}PaletteColorLookupTableData"] = bytes(4 if broken == "short" else 256)
    if broken == "missing":
        del changes["GreenPaletteColorLookupTableData"]
    whole = cases.native(RETINA[..., 0], **changes)
    if broken == "no such VR":
        whole = whole.replace(b"\x28\0\x01\x11US", b"\x28\0\x01\x11UW")
    assert refused(whole) is Reason.DECODE_ERROR


def test_a_vr_that_does_not_exist_is_a_decode_error() -> None:
    whole = cases.native(RETINA)
    at = whole.index(b"\x08\0\x16\0UI") + 5
    assert refused(whole[:at] + b"\1" + whole[at + 1 :]) is Reason.DECODE_ERROR


def test_float_pixels_are_unsupported() -> None:
    ds = cases.header(RETINA)
    ds.add_new("FloatPixelData", "OF", bytes(16))
    assert refused(cases.write(ds, syntax.ExplicitVRLittleEndian)) is Reason.UNSUPPORTED_PIXELS


def test_native_pixels_that_are_too_few_are_truncated() -> None:
    assert refused(cases.native(RETINA[:-2], Rows=RETINA.shape[0])) is Reason.TRUNCATED


@pytest.mark.parametrize("changes", [{"Columns": 159}, {"Columns": 80}, {"Rows": 127}])
def test_native_pixels_that_are_too_many_are_a_decode_error(changes: dict[str, Any]) -> None:
    """With a column fewer than there are, every row would begin a pixel later than the last."""
    assert refused(cases.native(RETINA, **changes)) is Reason.DECODE_ERROR


def test_padding_after_native_pixels_is_accepted() -> None:
    ds = cases.header(RETINA)
    ds.add_new("PixelData", "OB", RETINA.tobytes() + bytes(300))
    assert_same(read(cases.write(ds, syntax.ExplicitVRLittleEndian)))


def test_a_jpeg_that_says_ycbcr_under_an_rgb_label_is_a_colour_mismatch() -> None:
    assert (
        refused(cases.jpeg_dicom(RETINA, PhotometricInterpretation="RGB")) is Reason.COLOUR_MISMATCH
    )


def test_a_jpeg_that_says_rgb_under_a_ycbcr_label_is_a_colour_mismatch() -> None:
    frame = cases.encode(RETINA, "JPEG", quality=95, keep_rgb=True)
    assert refused(cases.jpeg_dicom(RETINA, frame=frame)) is Reason.COLOUR_MISMATCH
    assert_same(
        read(cases.jpeg_dicom(RETINA, frame=frame, PhotometricInterpretation="RGB")), tolerance=2
    )


def test_a_jpeg_with_rgb_components_under_a_jfif_mark_is_rgb_as_labelled() -> None:
    frame = cases.encode(RETINA, "JPEG", quality=95, keep_rgb=True)
    jfif = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
    file = cases.jpeg_dicom(
        RETINA, frame=frame[:2] + jfif + frame[2:], PhotometricInterpretation="RGB"
    )
    assert_same(read(file), tolerance=2)


def test_a_jpeg_that_says_nothing_of_its_colours_follows_the_label() -> None:
    ycc = cases.without_markers(cases.encode(RETINA, "JPEG", quality=95, subsampling=0))
    assert_same(read(cases.jpeg_dicom(RETINA, frame=ycc)), tolerance=1.5)
    picture = Image.frombytes("YCbCr", (160, 128), RETINA.tobytes())  # RGB stored untransformed
    rgb = cases.without_markers(cases.encode(picture, "JPEG", quality=95, subsampling=0))
    assert_same(
        read(cases.jpeg_dicom(RETINA, frame=rgb, PhotometricInterpretation="RGB")), tolerance=1.5
    )


@pytest.mark.parametrize(
    ("labelled", "actual"),
    [
        (syntax.JPEG2000, "JPEG"),
        (syntax.JPEGBaseline8Bit, "JPEG2000"),
        (syntax.JPEGLSLossless, "JPEG"),
        (syntax.JPEGLosslessSV1, "JPEG"),
        (syntax.RLELossless, "JPEG"),
        (syntax.RLELossless, "nothing"),
    ],
)
def test_a_codec_under_another_codecs_label_is_a_codec_mismatch(labelled: str, actual: str) -> None:
    frame = b"\0\0" if actual == "nothing" else cases.encode(RETINA, actual)
    assert refused(cases.encapsulated(RETINA, frame, labelled)) is Reason.CODEC_MISMATCH


def test_native_pixels_under_a_codecs_label_and_the_reverse_are_a_codec_mismatch() -> None:
    raw, rle = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0"
    assert refused(cases.native(RETINA).replace(raw, rle, 1)) is Reason.CODEC_MISMATCH
    file = cases.compressed(RETINA, syntax.RLELossless)
    assert refused(file.replace(rle, raw, 1)) is Reason.CODEC_MISMATCH


@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000"])
def test_a_frame_of_another_size_is_a_decode_error(kind: str) -> None:
    frame = cases.encode(cases.retina(168, 128), kind)
    transfer_syntax = syntax.JPEGBaseline8Bit if kind == "JPEG" else syntax.JPEG2000
    file = cases.encapsulated(
        RETINA, frame, transfer_syntax, PhotometricInterpretation="YBR_FULL_422"
    )
    assert refused(file) is Reason.DECODE_ERROR


def test_items_that_are_none_are_a_decode_error() -> None:
    whole = cases.jpeg_dicom(RETINA)
    first = whole.index(b"\xfe\xff\x00\xe0")
    assert refused(whole[:first] + b"\x08\0\x16\0" + whole[first + 4 :]) is Reason.DECODE_ERROR


# --- bombs ---


def test_a_deflated_bomb_is_refused_before_it_unfolds() -> None:
    file = cases.native(RETINA, syntax.DeflatedExplicitVRLittleEndian)
    start = 144 + int.from_bytes(file[140:144], "little")
    bomb = zlib.compressobj(wbits=-15)
    assert (
        refused(file[:start] + bomb.compress(bytes(9_000_000)) + bomb.flush())
        is Reason.TOO_MANY_BYTES
    )
    assert refused(file[:start] + b"\xff" * 50) is Reason.DECODE_ERROR


@pytest.mark.usefixtures("as_in_a_decoder_process")
def test_sequences_nested_a_thousand_deep_are_a_decode_error() -> None:
    whole = cases.native(RETINA)
    sequence = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
    start = whole.index(b"\x08\0\x16\0UI")
    assert refused(whole[:start] + sequence * 3000) is Reason.DECODE_ERROR


def test_nesting_that_pydicom_calls_a_missing_tag_is_a_decode_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The reader catches whatever reading an item's tag raises, RecursionError included."""

    def at_the_limit(*_given: object) -> None:
        raise RecursionError

    ds = cases.header(RETINA)
    ds.OriginalAttributesSequence = Sequence([Dataset()])
    ds["OriginalAttributesSequence"].is_undefined_length = True
    file = cases.write(ds, syntax.ExplicitVRLittleEndian)
    monkeypatch.setattr("pydicom.filereader.unpack", at_the_limit)
    assert refused(file) is Reason.DECODE_ERROR


def test_a_sequence_that_never_ends_is_truncated() -> None:
    ds = cases.header(RETINA)
    item = Dataset()
    item.PatientID = "PHANTOM-8"
    ds.OriginalAttributesSequence = Sequence([item])
    ds["OriginalAttributesSequence"].is_undefined_length = True
    whole = cases.write(ds, syntax.ExplicitVRLittleEndian)
    assert refused(whole[:-12]) in {Reason.TRUNCATED, Reason.NO_PIXEL_DATA}


def test_reading_gives_no_warnings_with_values_in_them() -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        capture = opened(cases.native(RETINA, NumberOfFrames="1"))
        capture.load()
    assert heard == []
