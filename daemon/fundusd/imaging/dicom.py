"""Open the bytes of a DICOM file as a capture.

pydicom reads from memory, never from a path.
"""

from __future__ import annotations

import contextlib
import struct
import warnings
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

from pydicom.dataelem import RawDataElement
from pydicom.filereader import read_dataset

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.errors import CaptureError
from fundusd.imaging import dicom_header as header
from fundusd.imaging import dicom_values
from fundusd.imaging.dicom_encoding import DataSet, find_data_set
from fundusd.imaging.dicom_pixels import SUPPORTED, find_pixel_data, to_rgb
from fundusd.imaging.opened_image import OpenedImage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom import Dataset
    from pydicom.tag import BaseTag

    from fundusd.domain.decoding import Pixels
    from fundusd.imaging.limits import Limits

_PREAMBLE = 132
_META_GROUP, _PIXEL_GROUP = 0x0002, 0x7FE0
_UNDEFINED = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class _File:
    """A DICOM file whose header was read, up to `position` in the bytes of its data set."""

    data_set: DataSet
    header: Dataset
    position: int


def open_dicom(data: bytes, limits: Limits) -> OpenedImage:
    """Open a capture, leaving its pixels encoded.

    Raises CaptureError if the header cannot be read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings quote values
        with _as_capture_errors():
            file = _read_header(data, limits.max_bytes)
            is_truncated = _is_truncated(file.header)  # before reading a value, which converts it
        content = header.content(file.header)
        reason = Reason.TRUNCATED if is_truncated else header.refusal(file.header, limits)
    if reason is None and file.data_set.syntax not in SUPPORTED:
        reason = Reason.UNSUPPORTED_TRANSFER_SYNTAX
    return OpenedImage(content, reason, partial(_load, file, limits))


def read_header(data: bytes, max_bytes: int) -> Dataset:
    """Return the data set of a DICOM file up to its pixels.

    Call this only with bytes that a decoder process has already opened. Raises CaptureError if the
    data set cannot be read.
    """
    with _as_capture_errors():
        return _read_header(data, max_bytes).header


@contextlib.contextmanager
def _as_capture_errors() -> Iterator[None]:
    try:
        yield
    except (RecursionError, NotImplementedError):
        # Sequences are nested a thousand deep, or a VR does not exist
        raise CaptureError(Reason.DECODE_ERROR) from None
    except (EOFError, OSError, struct.error) as error:
        # These mean that bytes are missing, but at some depths pydicom turns RecursionError into
        # OSError
        if isinstance(error.__context__, RecursionError):
            raise CaptureError(Reason.DECODE_ERROR) from None
        raise CaptureError(Reason.TRUNCATED) from None


def _read_header(data: bytes, max_bytes: int) -> _File:
    file = BytesIO(data)
    file.seek(_PREAMBLE if data[128:_PREAMBLE] == b"DICM" else 0)
    meta = read_dataset(file, is_implicit_VR=False, is_little_endian=True, stop_when=_is_after_meta)
    label = dicom_values.text(meta, "TransferSyntaxUID") or ""
    data_set = find_data_set(data, file.tell(), label, max_bytes)
    file = BytesIO(data_set.data)
    file.seek(data_set.start)
    ds = read_dataset(file, data_set.implicit, data_set.little_endian, stop_when=_is_pixel_group)
    if sop_class := dicom_values.text(meta, "MediaStorageSOPClassUID"):
        ds.setdefault("SOPClassUID", sop_class)
    return _File(data_set, ds, file.tell())


def _is_after_meta(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag >> 16 != _META_GROUP


def _is_pixel_group(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag >> 16 == _PIXEL_GROUP


def _is_truncated(ds: Dataset) -> bool:
    """Return whether the file ends inside the header.

    pydicom silently shortens the last value of such a header.
    """
    if not ds:
        return True
    last = ds.get_item(max(ds.keys()))
    if not isinstance(last, RawDataElement) or last.length == _UNDEFINED:
        return False
    return len(last.value or b"") < last.length


def _load(file: _File, limits: Limits) -> tuple[Pixels, tuple[str, ...]]:
    encoded = find_pixel_data(file.data_set, file.position)
    layout = header.pixel_layout(file.header)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return to_rgb(file.header, file.data_set.syntax, layout, encoded, limits)
