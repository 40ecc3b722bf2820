"""Decode DICOM pixel data to RGB, with the checks that pydicom and its codecs leave out."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom.uid as syntax
from pydicom.pixels.decoders.base import get_decoder
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.errors import CaptureError
from fundusd.imaging import jpeg2000, jpeg_decode, jpeg_markers
from fundusd.imaging.colour import deep_ycc_to_rgb, to_srgb, ycc_to_rgb
from fundusd.imaging.dicom_encoding import NATIVE
from fundusd.imaging.dicom_palette import apply_palette
from fundusd.imaging.raster import read_jpeg

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

    from fundusd.domain.decoding import Pixels
    from fundusd.imaging.dicom_encoding import DataSet
    from fundusd.imaging.dicom_header import PixelLayout
    from fundusd.imaging.limits import Limits

_DCT, _LOSSLESS, _JPEG_LS = {0xC0, 0xC1, 0xC2}, {0xC3}, {0xF7}
_JPEG_PROCESSES = {
    syntax.JPEGBaseline8Bit: _DCT,
    syntax.JPEGExtended12Bit: _DCT,
    syntax.JPEGLossless: _LOSSLESS,
    syntax.JPEGLosslessSV1: _LOSSLESS,
    syntax.JPEGLSLossless: _JPEG_LS,
    syntax.JPEGLSNearLossless: _JPEG_LS,
}
_JPEG_2000 = {syntax.JPEG2000Lossless, syntax.JPEG2000}
SUPPORTED = NATIVE | set(_JPEG_PROCESSES) | _JPEG_2000 | {syntax.RLELossless}

_PIXEL_DATA = (0x7FE0, 0x0010)
# the group's length and the Extended Offset Table, which a single frame does not need
_BEFORE_PIXELS = {(0x7FE0, 0x0000), (0x7FE0, 0x0001), (0x7FE0, 0x0002), (0x7FE0, 0x0003)}
_ITEM, _DELIMITER = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
_UNDEFINED = 0xFFFFFFFF
_RLE_HEADER = 64
_BYTE = 8  # bits of an sRGB channel


@dataclass(frozen=True, slots=True)
class PixelData:
    """The PixelData element as encoded in the file."""

    vr: str
    value: bytes  # native pixels, or the encapsulated items
    frame: bytes | None  # the joined fragments of the only frame; None if native
    little_endian: bool  # as is the whole data set


def find_pixel_data(data_set: DataSet, position: int) -> PixelData:
    """Return the PixelData element of the group that begins at `position`.

    Raises CaptureError if there is none, or if it is truncated or damaged.
    """
    data, little_endian = data_set.data, data_set.little_endian
    tag, vr, start, length = _element(data_set, position)
    while tag in _BEFORE_PIXELS:
        tag, vr, start, length = _element(data_set, start + length)
    if tag != _PIXEL_DATA:
        raise CaptureError(Reason.UNSUPPORTED_PIXELS)  # float pixels
    if length == _UNDEFINED:
        frame, end = _join_fragments(data, start)
        return PixelData(vr, data[start:end], frame, little_endian)
    if length > len(data) - start:
        raise CaptureError(Reason.TRUNCATED)
    return PixelData(vr, data[start : start + length], None, little_endian)


def _element(data_set: DataSet, position: int) -> tuple[tuple[int, int], str, int, int]:
    """Return the tag and VR of the element at `position`, and where its value begins and how long.

    The VR of an element with an implicit one is that of pixels. Raises CaptureError if no element
    begins at `position`, or if it is truncated.
    """
    data, order = data_set.data, "<" if data_set.little_endian else ">"
    if len(data) - position < 8:  # noqa: PLR2004  the shortest element header
        raise CaptureError(Reason.NO_PIXEL_DATA)
    tag = struct.unpack_from(order + "HH", data, position)
    vr, start, size = "OW", position + 8, "I"
    if not data_set.implicit:
        vr = data[position + 4 : position + 6].decode("latin-1")
        if vr in EXPLICIT_VR_LENGTH_32:
            start = position + 12
        else:
            size = "H"
    if start > len(data):
        raise CaptureError(Reason.TRUNCATED)
    (length,) = struct.unpack_from(order + size, data, start - struct.calcsize(size))
    return tag, vr, start, length


def _join_fragments(data: bytes, position: int) -> tuple[bytes, int]:
    """Return the joined fragments, without the offset table, and the position of the delimiter."""
    items: list[bytes] = []
    while position + 8 <= len(data):
        group, element, length = struct.unpack_from("<HHI", data, position)
        position += 8
        if (group, element) == _DELIMITER:
            return b"".join(items[1:]), position - 8
        if (group, element) != _ITEM:
            raise CaptureError(Reason.DECODE_ERROR)
        if length > len(data) - position:
            break
        items.append(data[position : position + length])
        position += length
    raise CaptureError(Reason.TRUNCATED)


def to_rgb(
    ds: Dataset, uid: UID, layout: PixelLayout, encoded: PixelData, limits: Limits
) -> tuple[Pixels, tuple[str, ...]]:
    """Return the single frame as sRGB [rows, columns, 3], and warning codes.

    Raises CaptureError if the frame is damaged or contradicts the header.
    """
    if (encoded.frame is None) != (uid in NATIVE):
        raise CaptureError(Reason.CODEC_MISMATCH)
    if encoded.frame is None:
        _check_native(layout, encoded)
        rgb = _decode_with_pydicom(ds, uid, layout, encoded)
    elif uid in _JPEG_PROCESSES:
        # PS3.5 8.2: the codestream decides where samples lie, whatever the header says
        rgb = _decode_jpeg(ds, uid, replace(layout, planar=0), encoded, limits)
    else:
        if uid == syntax.RLELossless:
            _check_rle(encoded.frame, layout)
        else:
            layout = jpeg2000.decoded_layout(encoded.frame, layout)
        rgb = _decode_with_pydicom(ds, uid, layout, encoded)
    return to_srgb(rgb, ds.get("ICCProfile"))


def _check_native(layout: PixelLayout, encoded: PixelData) -> None:
    """Raise CaptureError if there are too few pixels, or so many that Rows or Columns is wrong.

    A column too few would leave at least a pixel per row. Less than that is padding.
    """
    samples = layout.samples
    if layout.photometric == "YBR_FULL_422":
        samples = 2  # two pixels share two chroma samples
        if layout.planar:  # a layout that the standard does not have
            raise CaptureError(Reason.UNSUPPORTED_PIXELS)
    column = layout.rows * samples * layout.allocated // 8
    excess = len(encoded.value) - layout.columns * column
    if excess < 0:
        raise CaptureError(Reason.TRUNCATED)
    if excess >= min(column, layout.columns * column // layout.rows):
        raise CaptureError(Reason.DECODE_ERROR)


def _check_rle(frame: bytes, layout: PixelLayout) -> None:
    segments = layout.samples * layout.allocated // 8
    if len(frame) < _RLE_HEADER or struct.unpack_from("<II", frame) != (segments, _RLE_HEADER):
        raise CaptureError(Reason.CODEC_MISMATCH)


def _check_jpeg(frame: bytes, uid: UID, layout: PixelLayout) -> jpeg_markers.Codestream:
    """Return the markers of a JPEG frame.

    Raises CaptureError if they are incomplete or contradict the header.
    """
    if not frame.startswith(b"\xff\xd8\xff"):
        raise CaptureError(Reason.CODEC_MISMATCH)
    stream = jpeg_markers.read_markers(frame)
    if stream.process is not None and stream.process not in _JPEG_PROCESSES[uid]:
        raise CaptureError(Reason.CODEC_MISMATCH)
    if stream.end is None:
        raise CaptureError(Reason.TRUNCATED)
    declared = (layout.columns, layout.rows, layout.samples)
    if (stream.width, stream.height, len(stream.components)) != declared:
        raise CaptureError(Reason.DECODE_ERROR)
    if stream.process in _DCT and not layout.has_three_samples:
        raise CaptureError(Reason.COLOUR_MISMATCH)  # losses turn palette indices into other colours
    if layout.has_three_samples and stream.is_ycc not in {None, layout.photometric != "RGB"}:
        raise CaptureError(Reason.COLOUR_MISMATCH)
    return stream


def _decode_jpeg(
    ds: Dataset, uid: UID, layout: PixelLayout, encoded: PixelData, limits: Limits
) -> Pixels:
    frame = encoded.frame or b""
    stream = _check_jpeg(frame, uid, layout)
    if stream.process in _LOSSLESS and jpeg_decode.can_read(stream) and layout.has_three_samples:
        # Not with pylibjpeg, which silently fills in missing data
        components = jpeg_decode.decode(frame, stream, untransformed=True)
        return _components_to_rgb(components, layout)
    if stream.process not in _DCT or stream.precision != _BYTE:
        return _decode_with_pydicom(ds, uid, layout, encoded)
    # libjpeg assumes YCbCr for JFIF and for streams that declare nothing; the header decides
    return read_jpeg(frame, stream, limits, untransformed=layout.photometric == "RGB")


def _decode_with_pydicom(ds: Dataset, uid: UID, layout: PixelLayout, encoded: PixelData) -> Pixels:
    """Decode with pydicom's own reader or with pylibjpeg to RGB with 8 bits per channel."""
    options: Any = {
        "rows": layout.rows,
        "columns": layout.columns,
        "number_of_frames": 1,
        "samples_per_pixel": layout.samples,
        "photometric_interpretation": layout.photometric,
        "pixel_representation": 0,
        "bits_allocated": layout.allocated,
        "bits_stored": layout.stored,
        "planar_configuration": layout.planar,
        "pixel_keyword": "PixelData",
        "pixel_vr": encoded.vr,
    }
    plugin = ""
    if encoded.frame is not None:
        plugin = "pylibjpeg"
    try:
        decoded, _ = get_decoder(uid).as_array(
            encoded.value, raw=True, index=0, decoding_plugin=plugin, **options
        )
    except (RuntimeError, ValueError):
        # Raised by codecs for damaged data, and by pydicom for what a codec returned
        raise CaptureError(Reason.DECODE_ERROR) from None
    if layout.photometric == "PALETTE COLOR":
        return apply_palette(decoded, ds, little_endian=encoded.little_endian)
    if layout.stored > _BYTE and layout.photometric.startswith("YBR_FULL"):
        return deep_ycc_to_rgb(decoded, layout.stored)
    return _components_to_rgb(_to_8_bits(decoded, layout.stored), layout)


def _components_to_rgb(components: Pixels, layout: PixelLayout) -> Pixels:
    if not layout.photometric.startswith("YBR_FULL"):
        return components
    rows, columns = components.shape[:2]
    return ycc_to_rgb(columns, rows, components.tobytes())


def _to_8_bits(decoded: np.ndarray, bits: int) -> Pixels:
    if bits > _BYTE:
        decoded = decoded >> (bits - _BYTE)
    return decoded.astype(np.uint8, copy=False)
