"""The bytes of a DICOM data set decide how it is encoded, whatever its label says."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pydicom.uid as syntax
import pytest
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from tests import imaging_cases as cases
from tests.dicom_cases import NATIVE, RETINA, assert_same, opened, read

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.errors import CaptureError

if TYPE_CHECKING:
    pass


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
