"""The results that the decoder returns for the bytes of a capture."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import Eye, EyeSource, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    import numpy as np
    import numpy.typing as npt

    Pixels = npt.NDArray[np.uint8]


class Preprocessing(StrEnum):
    """How an RGB image is converted to the model's square input, as recorded in the release."""

    PAD_SQUARE = "pad-square/bilinear448"
    CROP_SQUARE = "crop-square/pil-bilinear448"
    CROP_DISC = "crop-disc/bilinear448"


class MediaType(StrEnum):
    """The file format, detected from the content."""

    JPEG = "image/jpeg"
    PNG = "image/png"
    TIFF = "image/tiff"
    DICOM = "application/dicom"


@dataclass(frozen=True, slots=True)
class Content:
    """The properties of a capture that are read from its bytes, regardless of its path.

    `field` is "macula", "disc", OTHER_FIELD, or None if the header names no field. `warnings` holds
    codes of `CaptureWarning`, never values from the file.
    """

    media_type: MediaType
    width: int | None = None
    height: int | None = None
    eye: Eye = Eye.UNKNOWN
    eye_source: EyeSource = EyeSource.NONE
    patient_id: str | None = None
    issuer: str | None = None
    study_uid: str | None = None
    sop_uid: str | None = None
    acquired_at: datetime | None = None
    acquired_day: date | None = None  # as the header writes it, even if it gives no time
    warnings: tuple[str, ...] = ()
    measures: Mapping[str, float] = dataclasses.field(default_factory=dict)
    field: str | None = None
    accession: str | None = None  # AccessionNumber, the number of the order


@dataclass(frozen=True, slots=True)
class Decoded:
    """The decoder's result: pixels ready for the model, or the reason why there are none."""

    content: Content | None
    reason: Reason | None
    pixels: Pixels | None  # uint8 [side, side, 3], RGB, preprocessed
    decode_ms: float
