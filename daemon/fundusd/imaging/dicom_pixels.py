"""DICOM pixel data to RGB, with the checks that pydicom and its codecs leave out."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom.uid as syntax
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.errors import CaptureError
from fundusd.imaging import jpeg_decode, jpeg_markers
from fundusd.imaging.colour import to_srgb, ycc_to_rgb
from fundusd.imaging.dicom_header import BAD_VALUE
from fundusd.imaging.raster import read_jpeg

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

    from fundusd.domain.decoding import Pixels
    from fundusd.imaging.dicom_header import Layout
    from fundusd.imaging.limits import Limits

_NATIVE = {
    syntax.ImplicitVRLittleEndian,
    syntax.ExplicitVRLittleEndian,
    syntax.ExplicitVRBigEndian,
    syntax.DeflatedExplicitVRLittleEndian,
}
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
SUPPORTED = _NATIVE | set(_JPEG_PROCESSES) | _JPEG_2000 | {syntax.RLELossless}

_SOC_SIZ = b"\xff\x4f\xff\x51"
_EOC = b"\xff\xd9"
_JP2_BOX = b"\0\0\0\x0cjP  "
_ITEM, _DELIMITER = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
_UNDEFINED = 0xFFFFFFFF
_RLE_HEADER = 64


@dataclass(frozen=True, slots=True)
class Element:
    """The PixelData element as it lies in the file."""

    vr: str
    value: bytes  # native pixels, or the items
    frame: bytes | None  # the joined fragments of the one frame; None: native


def find_element(data: bytes, position: int, *, implicit: bool, little_endian: bool) -> Element:
    """Cut PixelData out of the file, from its tag on; raises NO_PIXEL_DATA or TRUNCATED."""
    order = "<" if little_endian else ">"
    if len(data) - position < 8:  # noqa: PLR2004  the shortest element header
        raise CaptureError(Reason.NO_PIXEL_DATA)
    if struct.unpack_from(order + "HH", data, position) != (0x7FE0, 0x0010):
        raise CaptureError(Reason.UNSUPPORTED_PIXELS)  # float pixels
    if implicit:
        vr, start = "OW", position + 8
    else:
        vr, start = data[position + 4 : position + 6].decode("latin-1"), position + 12
    if start > len(data):
        raise CaptureError(Reason.TRUNCATED)
    (length,) = struct.unpack_from(order + "I", data, start - 4)
    if length == _UNDEFINED:
        frame, end = _join_fragments(data, start)
        return Element(vr, data[start:end], frame)
    if length > len(data) - start:
        raise CaptureError(Reason.TRUNCATED)
    return Element(vr, data[start : start + length], None)


def _join_fragments(data: bytes, position: int) -> tuple[bytes, int]:
    """Walk the items up to the sequence delimiter; the first is the offset table."""
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
    ds: Dataset, uid: UID, pixels: Layout, element: Element, limits: Limits
) -> tuple[Pixels, tuple[str, ...]]:
    """Decode the one frame to RGB [rows, columns, 3] in sRGB; raises CaptureError."""
    if (element.frame is None) != (uid in _NATIVE):
        raise CaptureError(Reason.CODEC_MISMATCH)
    if element.frame is None:
        _check_length(pixels, element)
        rgb = _through_pydicom(ds, uid, pixels, element)
    elif uid in _JPEG_PROCESSES:
        rgb = _through_jpeg(ds, uid, pixels, element, limits)
    else:
        (_check_rle if uid == syntax.RLELossless else _check_j2k)(element.frame, pixels)
        rgb = _through_pydicom(ds, uid, pixels, element)
    return to_srgb(rgb, ds.get("ICCProfile"))


def _check_length(pixels: Layout, element: Element) -> None:
    samples = 2 if pixels.photometric == "YBR_FULL_422" else pixels.samples
    if len(element.value) < pixels.rows * pixels.columns * samples * pixels.allocated // 8:
        raise CaptureError(Reason.TRUNCATED)


def _check_j2k(frame: bytes, pixels: Layout) -> None:
    """Check magic, size and end: openjpeg fills what is missing without a word."""
    start = frame.find(_SOC_SIZ) if frame.startswith(_JP2_BOX) else 0
    if start < 0 or not frame.startswith(_SOC_SIZ, start):
        raise CaptureError(Reason.CODEC_MISMATCH)
    if not frame.rstrip(b"\0").endswith(_EOC):
        raise CaptureError(Reason.TRUNCATED)
    right, bottom, left, top = struct.unpack_from(">IIII", frame, start + 8)
    if (right - left, bottom - top) != (pixels.columns, pixels.rows):
        raise CaptureError(Reason.DECODE_ERROR)


def _check_rle(frame: bytes, pixels: Layout) -> None:
    segments = pixels.samples * pixels.allocated // 8
    if len(frame) < _RLE_HEADER or struct.unpack_from("<II", frame) != (segments, _RLE_HEADER):
        raise CaptureError(Reason.CODEC_MISMATCH)


def _check_jpeg(frame: bytes, uid: UID, pixels: Layout) -> jpeg_markers.Codestream:
    """Check magic, end, size and colour space against the header."""
    if not frame.startswith(b"\xff\xd8\xff"):
        raise CaptureError(Reason.CODEC_MISMATCH)
    stream = jpeg_markers.read_markers(frame)
    if stream.process is not None and stream.process not in _JPEG_PROCESSES[uid]:
        raise CaptureError(Reason.CODEC_MISMATCH)
    if stream.end is None:
        raise CaptureError(Reason.TRUNCATED)
    if (stream.width, stream.height, len(stream.components)) != (
        pixels.columns,
        pixels.rows,
        pixels.samples,
    ):
        raise CaptureError(Reason.DECODE_ERROR)
    if pixels.samples == 3 and stream.is_ycc not in {None, pixels.photometric != "RGB"}:  # noqa: PLR2004
        raise CaptureError(Reason.COLOUR_MISMATCH)
    return stream


def _through_jpeg(
    ds: Dataset, uid: UID, pixels: Layout, element: Element, limits: Limits
) -> Pixels:
    frame = element.frame or b""
    stream = _check_jpeg(frame, uid, pixels)
    if stream.process in _LOSSLESS and jpeg_decode.can_read(stream) and pixels.samples == 3:  # noqa: PLR2004  RGB
        # pylibjpeg fills what is missing without a word
        components = jpeg_decode.decode(frame, stream, untransformed=True)
        return _to_rgb(components) if pixels.photometric.startswith("YBR_FULL") else components
    if stream.process not in _DCT or stream.precision != 8 or pixels.samples == 1:  # noqa: PLR2004
        return _through_pydicom(ds, uid, pixels, element)
    # libjpeg takes a stream that does not say, or says JFIF, for YCbCr; the header knows better
    return read_jpeg(frame, stream, limits, untransformed=pixels.photometric == "RGB")


def _through_pydicom(ds: Dataset, uid: UID, pixels: Layout, element: Element) -> Pixels:
    """Decode by pydicom's native reader or by pylibjpeg, then scale to 8 bits and convert the colours."""
    options: Any = {
        "rows": pixels.rows,
        "columns": pixels.columns,
        "number_of_frames": 1,
        "samples_per_pixel": pixels.samples,
        "photometric_interpretation": pixels.photometric,
        "pixel_representation": 0,
        "bits_allocated": pixels.allocated,
        "bits_stored": pixels.stored,
        "planar_configuration": pixels.planar,
        "pixel_keyword": "PixelData",
        "pixel_vr": element.vr,
    }
    plugin = "" if element.frame is None else "pylibjpeg"
    try:
        decoded, _ = get_decoder(uid).as_array(
            element.value, raw=True, index=0, decoding_plugin=plugin, **options
        )
    except (
        RuntimeError,
        ValueError,
    ):  # what codecs say of damage, and pydicom of what a codec gave it
        raise CaptureError(Reason.DECODE_ERROR) from None
    if pixels.photometric == "PALETTE COLOR":
        return _to_8_bits(*_looked_up(decoded, ds))
    components = _to_8_bits(decoded, pixels.stored)
    return _to_rgb(components) if pixels.photometric.startswith("YBR_FULL") else components


def _to_rgb(ycc: Pixels) -> Pixels:
    rows, columns = ycc.shape[:2]
    return ycc_to_rgb(columns, rows, ycc.tobytes())


def _looked_up(indices: np.ndarray, ds: Dataset) -> tuple[np.ndarray, int]:
    try:
        bits = int(ds.RedPaletteColorLookupTableDescriptor[2])
        return apply_color_lut(indices, ds), bits
    except BAD_VALUE:
        raise CaptureError(Reason.DECODE_ERROR) from None


def _to_8_bits(decoded: np.ndarray, bits: int) -> Pixels:
    return (decoded >> (bits - 8) if bits > 8 else decoded).astype(np.uint8, copy=False)  # noqa: PLR2004
