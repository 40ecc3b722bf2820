"""Determine from a DICOM data set's bytes how it is encoded, because its label may be wrong.

Some exporters write another encoding than the transfer syntax says. pydicom and DCMTK also believe
the first element, but only whether its VR is explicit.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pydicom.valuerep import STANDARD_VR

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.errors import CaptureError

NATIVE = {
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
}
_VRS = {vr.value.encode() for vr in STANDARD_VR}
_ELEMENT = 8  # bytes of the shortest element header
_ZLIB = 0x78  # the first byte in zlib's format, with which no deflated data set begins


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set that begins at `start` of `data`, and is not deflated.

    `syntax` is the transfer syntax that the file declares, unless it is one of native pixels. In
    that case, it is the one that the bytes have.
    """

    data: bytes
    start: int
    syntax: UID
    implicit: bool
    little_endian: bool


def find_data_set(data: bytes, start: int, label: str, max_bytes: int) -> DataSet:
    """Return the data set that begins, perhaps deflated, at `start`.

    `label` is the transfer syntax that the file declares, or "". Raises CaptureError if the bytes
    there are neither a data set nor a deflated one, or if they cannot be inflated.
    """
    actual = _native_syntax(data[start : start + _ELEMENT])
    if actual is None:
        data, start = _inflate(data[start:], max_bytes), 0
        actual = _native_syntax(data[:_ELEMENT]) or ExplicitVRLittleEndian
    return DataSet(
        data,
        start,
        UID(actual if label in {"", *NATIVE} else label),
        implicit=actual == ImplicitVRLittleEndian,
        little_endian=actual != ExplicitVRBigEndian,
    )


def _native_syntax(first: bytes) -> UID | None:
    """Return how a data set with these first bytes is encoded, or None if they are not an element.

    The group of a first element is less than 256, so one of its bytes is zero. An implicit VR is
    followed by 32 bits for the length, and first elements are short.
    """
    group, vr, upper_length = first[:2], first[4:6], first[6:]
    if vr in _VRS:
        if group[1] == 0:
            return ExplicitVRLittleEndian
        return ExplicitVRBigEndian if group[0] == 0 else None
    is_implicit = group[1:] == b"\0" and upper_length in {b"\0\0", b"\xff\xff"}
    return ImplicitVRLittleEndian if is_implicit else None


def _inflate(deflated: bytes, max_bytes: int) -> bytes:
    """Return inflated bytes; some exporters write zlib's format instead of bare deflated bytes."""
    is_zlib = deflated.startswith(bytes([_ZLIB]))
    inflater = zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)
    try:
        data = inflater.decompress(deflated, max_bytes)
    except zlib.error:
        raise CaptureError(Reason.DECODE_ERROR) from None
    if inflater.unconsumed_tail and not inflater.eof:
        raise CaptureError(Reason.TOO_MANY_BYTES)
    if not inflater.eof:
        raise CaptureError(Reason.TRUNCATED)
    return data
