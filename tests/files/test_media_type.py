from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from tests import imaging_cases as cases

from fundusd.domain.decoding import MediaType
from fundusd.domain.files import IgnoreReason
from fundusd.files.media_type import HEAD_BYTES, sniff

TINY = cases.retina(32, 32)


@pytest.mark.parametrize(
    ("kind", "media"), [("JPEG", MediaType.JPEG), ("PNG", MediaType.PNG), ("TIFF", MediaType.TIFF)]
)
def test_pictures_are_known_by_their_first_bytes(kind: str, media: MediaType) -> None:
    assert sniff(cases.encode(TINY, kind)[:HEAD_BYTES]) is media


@pytest.mark.parametrize("head", [b"MM\0*", b"II+\0", b"MM\0+"])
def test_every_byte_order_and_bigtiff_is_a_tiff(head: bytes) -> None:
    assert sniff(head + bytes(HEAD_BYTES)) is MediaType.TIFF


@pytest.mark.parametrize("kind", ["GIF", "BMP", "WEBP", "JPEG2000", "ICO", "AVIF"])
def test_other_pictures_are_ignored_by_name_of_reason(kind: str) -> None:
    assert (
        sniff(cases.encode(Image.fromarray(TINY), kind)[:HEAD_BYTES])
        is IgnoreReason.OTHER_IMAGE_FORMAT
    )


@pytest.mark.parametrize("head", [b"\0\0\0\x18ftypheic", b"\xff\x4f\xff\x51\0\x29"])
def test_heif_and_bare_jpeg_2000_are_other_pictures(head: bytes) -> None:
    assert sniff(head + bytes(HEAD_BYTES)) is IgnoreReason.OTHER_IMAGE_FORMAT


def test_dicom_is_known_behind_its_preamble_whatever_that_holds() -> None:
    file = cases.native(TINY)
    assert sniff(file[:HEAD_BYTES]) is MediaType.DICOM
    assert sniff(b"II*\0" + file[4:HEAD_BYTES]) is MediaType.DICOM


def test_dicom_is_known_without_preamble() -> None:
    assert sniff(cases.native(TINY)[132:][:HEAD_BYTES]) is MediaType.DICOM


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian]
)
def test_dicom_is_known_without_file_meta_group(syntax: str) -> None:
    file = cases.native(TINY, syntax)
    meta_length = struct.unpack_from("<I", file, 140)[0]
    assert sniff(file[144 + meta_length :]) is MediaType.DICOM


@pytest.mark.parametrize(
    "head", [b"", b"\0", b"%PDF-1.7", b"BM and some text", b"\0\0\0\x18ftypmp42", b"<html>"]
)
def test_anything_else_is_nothing_we_know(head: bytes) -> None:
    assert sniff(head) is None


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise(head: bytes) -> None:
    sniff(head)
