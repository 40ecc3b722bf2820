"""DICOM bytes to an opened capture; pydicom reads from memory, never from a name."""

from __future__ import annotations

import contextlib
import struct
import warnings
import zlib
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

from pydicom.dataelem import RawDataElement
from pydicom.filereader import read_dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.errors import CaptureError
from fundusd.imaging import dicom_header as header
from fundusd.imaging.dicom_pixels import SUPPORTED, find_element, to_rgb
from fundusd.imaging.opened_image import Opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom import Dataset
    from pydicom.tag import BaseTag

    from fundusd.domain.decoding import Pixels
    from fundusd.imaging.limits import Limits

_PREAMBLE = 132
_META_GROUP, _PIXEL_GROUP = 0x0002, 0x7FE0
_UNDEFINED = 0xFFFFFFFF


def open_dicom(data: bytes, limits: Limits) -> Opened:
    """Read the header up to the pixels; raises CaptureError where there is none to speak of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings quote values
        with _as_capture_errors():
            syntax, plain, ds, position = _read_header(data, limits.max_bytes)
            cut = _is_cut(ds)  # first: looking at a value converts it
        content = header.content(ds)
        reason = Reason.TRUNCATED if cut else header.refusal(ds, limits)
    if reason is None and syntax not in SUPPORTED:
        reason = Reason.UNSUPPORTED_TRANSFER_SYNTAX
    return Opened(content, reason, partial(_load, syntax, plain, ds, position, limits))


def read_header(data: bytes, max_bytes: int) -> Dataset:
    """Return the data set before the pixels, of bytes that a decoder process has opened before; raises CaptureError."""
    with _as_capture_errors():
        return _read_header(data, max_bytes)[2]


@contextlib.contextmanager
def _as_capture_errors() -> Iterator[None]:
    try:
        yield
    except (
        RecursionError,
        NotImplementedError,
    ):  # sequences nested a thousand deep; a VR that does not exist
        raise CaptureError(Reason.DECODE_ERROR) from None
    except (
        EOFError,
        OSError,
        struct.error,
    ) as error:  # pydicom's ways to say that bytes are missing
        nested = isinstance(
            error.__context__, RecursionError
        )  # it turns even that into OSError, at some depths
        raise CaptureError(Reason.DECODE_ERROR if nested else Reason.TRUNCATED) from None


def _read_header(data: bytes, max_bytes: int) -> tuple[UID, bytes, Dataset, int]:
    """Return transfer syntax, bytes (inflated), the data set before the pixels, and where it stops."""
    file = BytesIO(data)
    file.seek(_PREAMBLE if data[128:_PREAMBLE] == b"DICM" else 0)
    meta = read_dataset(file, is_implicit_VR=False, is_little_endian=True, stop_when=_behind_meta)
    start = file.tell()
    syntax = UID(header.text(meta, "TransferSyntaxUID") or _guess_syntax(data[start : start + 6]))
    if syntax == DeflatedExplicitVRLittleEndian:
        data, start = _inflate(data[start:], max_bytes), 0
        file = BytesIO(data)
    file.seek(start)
    ds = read_dataset(file, *_encoding(syntax), stop_when=_at_pixels)
    if sop_class := header.text(meta, "MediaStorageSOPClassUID"):
        ds.setdefault("SOPClassUID", sop_class)
    return syntax, data, ds, file.tell()


def _behind_meta(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag >> 16 != _META_GROUP


def _at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag >> 16 == _PIXEL_GROUP


def _guess_syntax(first: bytes) -> str:
    """Tell the encoding of a data set without file meta group from its first element."""
    if not first[4:6].isalpha():
        return ImplicitVRLittleEndian
    return ExplicitVRBigEndian if first.startswith(b"\0") else ExplicitVRLittleEndian


def _encoding(syntax: UID) -> tuple[bool, bool]:
    """Return (is implicit VR, is little endian)."""
    return syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian


def _inflate(deflated: bytes, max_bytes: int) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflater.decompress(deflated, max_bytes)
    except zlib.error:
        raise CaptureError(Reason.DECODE_ERROR) from None
    if not inflater.eof:
        raise CaptureError(Reason.TOO_MANY_BYTES if inflater.unconsumed_tail else Reason.TRUNCATED)
    return data


def _is_cut(ds: Dataset) -> bool:
    """Tell whether the file ends inside the header: pydicom shortens the last value without a word."""
    if not ds:
        return True
    last = ds.get_item(max(ds.keys()))
    if not isinstance(last, RawDataElement) or last.length == _UNDEFINED:
        return False
    return len(last.value or b"") < last.length


def _load(
    syntax: UID, data: bytes, ds: Dataset, position: int, limits: Limits
) -> tuple[Pixels, tuple[str, ...]]:
    implicit, little_endian = _encoding(syntax)
    element = find_element(data, position, implicit=implicit, little_endian=little_endian)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return to_rgb(ds, syntax, header.layout(ds), element, limits)
