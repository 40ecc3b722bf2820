"""Encode phantoms as the files that cameras write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    OphthalmicPhotography8BitImageStorage,
    generate_uid,
)

if TYPE_CHECKING:
    from fundusd.domain.clinical_terms import Eye
    from fundusd.domain.decoding import Pixels

_FIRST_VISIT = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)


def as_jpeg(pixels: Pixels, quality: int = 92) -> bytes:
    """Encode uint8 [h, w, 3] RGB as a baseline JPEG.

    The chroma is 4:2:2, which DICOM's YBR_FULL_422 requires.
    """
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality, subsampling="4:2:2")
    return stream.getvalue()


def as_dicom(pixels: Pixels, eye: Eye, patient_id: str, *, seed: int, raw: bool = False) -> bytes:
    """Encode uint8 [h, w, 3] RGB as an Ophthalmic Photography 8 Bit Image.

    The pixels are encoded as JPEG baseline or, if `raw` is true, stored uncompressed in Explicit VR
    Little Endian. UIDs and times are derived from the patient, the eye and the seed, so that the
    same arguments give the same bytes.
    """
    dataset = Dataset()
    _identify(dataset, eye, patient_id, seed)
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel, dataset.PlanarConfiguration, dataset.PixelRepresentation = 3, 0, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.file_meta = FileMetaDataset()
    if raw:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.PhotometricInterpretation = "RGB"
        dataset.LossyImageCompression = "00"
        dataset.PixelData = _even(np.ascontiguousarray(pixels).tobytes())
    else:
        _compress(dataset, pixels)
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _identify(dataset: Dataset, eye: Eye, patient_id: str, seed: int) -> None:
    """Set the data set's patient, eye, time and kind of photograph."""
    taken = _FIRST_VISIT + timedelta(minutes=seed % 500_000)
    dataset.SOPClassUID = OphthalmicPhotography8BitImageStorage
    dataset.StudyInstanceUID = _uid("study", patient_id, f"{taken:%Y%m%d}")
    dataset.SeriesInstanceUID = _uid("series", patient_id, f"{taken:%Y%m%d}")
    dataset.SOPInstanceUID = _uid("instance", patient_id, eye, str(seed))
    dataset.PatientID, dataset.IssuerOfPatientID = patient_id, "PHANTOM"
    dataset.PatientName = dataset.PatientBirthDate = dataset.PatientSex = ""
    dataset.ReferringPhysicianName = dataset.AccessionNumber = dataset.StudyID = ""
    dataset.StudyDate = dataset.ContentDate = f"{taken:%Y%m%d}"
    dataset.StudyTime = dataset.ContentTime = f"{taken:%H%M%S}"
    dataset.AcquisitionDateTime = f"{taken:%Y%m%d%H%M%S}+0000"
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "OP", 1, 1
    dataset.Manufacturer, dataset.ManufacturerModelName = "fundusd", "phantom"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "", "COLOR"]
    dataset.ImageLaterality = eye.value
    dataset.BurnedInAnnotation = "NO"


def _compress(dataset: Dataset, pixels: Pixels) -> None:
    """Store the pixels as one JPEG baseline frame."""
    frame = as_jpeg(pixels)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.LossyImageCompression = "01"
    dataset.LossyImageCompressionMethod = "ISO_10918_1"
    dataset.LossyImageCompressionRatio = f"{pixels.nbytes / len(frame):.2f}"
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"


def _uid(*parts: str) -> str:
    return generate_uid(entropy_srcs=["fundusd phantom", *parts])


def _even(payload: bytes) -> bytes:
    """Pad `payload` to an even length, which DICOM requires."""
    return payload + b"\0" * (len(payload) % 2)
