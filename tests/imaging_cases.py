"""Builders for the imaging tests: one painted retina, as every kind of file."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
import pydicom.uid as syntax
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from fundusd.domain.decoding import Pixels

ARCS = (0.2, 0.4, 0.6, 0.8)  # where vessels cross, of the height
OP_8_BIT = "1.2.840.10008.5.1.4.1.1.77.1.5.1"


def retina(width: int = 512, height: int = 480) -> Pixels:
    """Paint an orange disc with a pale spot, grain and vessels, smooth enough for every codec."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    radius = min(width, height) * 0.46
    distance = np.hypot(x - width / 2, y - height / 2)
    light = 1 - 0.3 * distance / radius + 0.02 * np.sin(150 * x / radius) * np.sin(150 * y / radius)
    spot = 70 * np.exp(-((x - width * 0.65) ** 2 + (y - height / 2) ** 2) / (0.07 * width) ** 2)
    blood = sum(
        np.exp(-(((y - height * at) / radius + 0.1 * np.sin(7 * x / radius)) ** 2) / 0.00012)
        for at in ARCS
    )
    green, blue = 90 * light * (1 - 0.4 * blood), 50 * light * (1 - 0.3 * blood)
    rgb = np.stack([170 * light * (1 - 0.1 * blood) + spot, green + spot, blue + spot], axis=2)
    return np.where((distance < radius)[..., None], rgb, 0).round().astype(np.uint8)


def encode(pixels: Pixels | Image.Image, kind: str, **options: Any) -> bytes:
    """Encode with Pillow."""
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def header(pixels: npt.NDArray[Any], **changes: Any) -> pydicom.Dataset:
    """Describe pixels [height, width(, 3)] as an ophthalmic photograph; None removes a value."""
    ds = pydicom.Dataset()
    ds.SOPClassUID = OP_8_BIT
    ds.SOPInstanceUID = "1.2.826.0.1.3680043.8.498.2"
    ds.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    ds.PatientID = "PATIENT-7"
    ds.IssuerOfPatientID = "PHANTOMS"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "", "COLOR"]
    ds.ImageLaterality = "L"
    ds.AcquisitionDateTime = "20260105101500"
    ds.Rows, ds.Columns = pixels.shape[:2]
    ds.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    ds.PhotometricInterpretation = "RGB"
    ds.PlanarConfiguration = 0
    bits = pixels.dtype.itemsize * 8
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = bits, bits, bits - 1, 0
    for keyword, value in changes.items():
        if value is None:
            del ds[keyword]
        else:
            setattr(ds, keyword, value)
    return ds


def write(ds: pydicom.Dataset, transfer_syntax: str) -> bytes:
    """Serialise a data set."""
    file = BytesIO()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = syntax.UID(transfer_syntax)
    pydicom.dcmwrite(file, ds, enforce_file_format=True)
    return file.getvalue()


def native(
    pixels: npt.NDArray[Any],
    transfer_syntax: str = str(syntax.ExplicitVRLittleEndian),
    **changes: Any,
) -> bytes:
    """Make a DICOM file with native pixels."""
    ds = header(pixels, **changes)
    big = transfer_syntax == syntax.ExplicitVRBigEndian
    raw = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<")).tobytes()
    vr = "OB" if pixels.dtype.itemsize == 1 else "OW"
    ds.add_new("PixelData", vr, raw + b"\0" * (len(raw) % 2))
    return write(ds, transfer_syntax)


def encapsulated(pixels: Pixels, frame: bytes, transfer_syntax: str, **changes: Any) -> bytes:
    """Make a DICOM file around one encoded frame."""
    ds = header(pixels, **changes)
    ds.add_new("PixelData", "OB", encapsulate([frame]))
    ds["PixelData"].is_undefined_length = True
    return write(ds, transfer_syntax)


def jpeg_dicom(pixels: Pixels, *, frame: bytes | None = None, **changes: Any) -> bytes:
    """Make a JPEG baseline DICOM file, YBR_FULL_422 unless `changes` says otherwise."""
    options = {"PhotometricInterpretation": "YBR_FULL_422"} | changes
    whole = frame or encode(pixels, "JPEG", quality=95, subsampling=0)
    return encapsulated(pixels, whole, syntax.JPEGBaseline8Bit, **options)


def compressed(pixels: Pixels, transfer_syntax: str, **changes: Any) -> bytes:
    """Make a DICOM file with pydicom's own encoders (RLE, JPEG 2000)."""
    ds = header(pixels, **changes)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax.ExplicitVRLittleEndian
    ds.compress(transfer_syntax, pixels, generate_instance_uid=False, encoding_plugin="pylibjpeg")
    return write(ds, transfer_syntax)


def without_markers(jpeg: bytes) -> bytes:
    """Remove the segments of JFIF and Adobe, which declare the colour space, from a JPEG."""
    position, kept = 2, [jpeg[:2]]
    while jpeg[position + 1] != 0xDA:
        end = position + 2 + int.from_bytes(jpeg[position + 2 : position + 4])
        if jpeg[position + 1] not in {0xE0, 0xEE}:
            kept.append(jpeg[position:end])
        position = end
    return b"".join([*kept, jpeg[position:]])


def lossless_jpeg(pixels: Pixels) -> bytes:
    """Encode as JPEG lossless (process 14, selection value 1), for which no encoder is at hand.

    All Huffman codes are 4 bits long and equal their category, 0 to 8; source: ITU-T T.81, annex H.
    """
    left = np.roll(pixels, 1, axis=1).astype(int)
    left[:, 0] = np.roll(pixels, 1, axis=0)[:, 0]
    left[0, 0] = 128
    bits = "".join(_residual(int(value)) for value in (pixels - left).ravel())
    return _jpeg(0xC3, pixels.shape, [(1, 1)] * pixels.shape[2], bits, spectrum=bytes([1, 0, 0]))


def blocky_jpeg(
    width: int, height: int, factors: Sequence[tuple[int, int]], seed: int = 0
) -> bytes:
    """Encode blocks of random colours as baseline JPEG, with any sampling factors per component."""
    rng = np.random.default_rng(seed)
    across = 8 * max(horizontal for horizontal, _ in factors)
    down = 8 * max(vertical for _, vertical in factors)
    before, bits = [0] * len(factors), ""
    for _ in range(-(-width // across) * -(-height // down)):
        for number, (horizontal, vertical) in enumerate(factors):
            for value in rng.integers(-60, 60, horizontal * vertical).tolist():
                bits += _residual(value - before[number]) + "0"  # and the end of the block
                before[number] = value
    return _jpeg(0xC0, (height, width, len(factors)), factors, bits, spectrum=bytes([0, 63, 0]))


def _jpeg(
    process: int,
    shape: tuple[int, ...],
    factors: Sequence[tuple[int, int]],
    bits: str,
    *,
    spectrum: bytes,
) -> bytes:
    bits += "1" * (-len(bits) % 8)
    coded = int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\0")
    height, width, samples = shape
    components, selectors = b"", b""
    for number, (horizontal, vertical) in enumerate(factors, 1):
        components += bytes([number, horizontal << 4 | vertical, 0])
        selectors += bytes([number, 0])
    frame = bytes([8]) + height.to_bytes(2) + width.to_bytes(2) + bytes([samples]) + components
    segments = (
        (0xDB, bytes([0] + [8] * 64)),
        (process, frame),
        (0xC4, bytes([0, 0, 0, 0, 9, *[0] * 12, *range(9)])),
        (0xC4, bytes([0x10, 1, *[0] * 15, 0])),
        (0xDA, bytes([samples]) + selectors + spectrum),
    )
    jpeg = b"\xff\xd8"
    for code, body in segments:
        jpeg += bytes([0xFF, code]) + (len(body) + 2).to_bytes(2) + body
    return jpeg + coded + b"\xff\xd9"


def _residual(value: int) -> str:
    category = abs(value).bit_length()
    extra = value if value >= 0 else value + (1 << category) - 1
    return f"{category:04b}" + (f"{extra:0{category}b}" if category else "")
