"""Read from a DICOM header whether the capture can be graded, its eye, field, patient and time.

No function here raises an exception, whatever values the header contains.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fundusd.clinical.pseudonyms import is_nobody
from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.clinical_terms import Reason
from fundusd.domain.decoding import Content, MediaType
from fundusd.imaging.dicom_dates import acquired_at, acquired_day
from fundusd.imaging.dicom_field import field_of_header
from fundusd.imaging.dicom_laterality import laterality
from fundusd.imaging.dicom_subject import is_not_of_a_patient
from fundusd.imaging.dicom_values import items, number, text

if TYPE_CHECKING:
    from pydicom import Dataset

    from fundusd.imaging.limits import Limits

_SOP = "1.2.840.10008.5.1.4.1.1."
_PHOTOGRAPHY = {
    _SOP + "77.1.5.1",  # Ophthalmic Photography 8 Bit
    _SOP + "77.1.5.2",  # Ophthalmic Photography 16 Bit
    _SOP + "77.1.4",  # VL Photographic
}
_SECONDARY_CAPTURE = {_SOP + "7", _SOP + "7.4"}

# PS3.3 C.8.17.2.1.4 defines REDFREE, RED, BLUE, FA and ICG; cameras also write the others. RED-FREE
# contains RED.
_NOT_COLOUR = {
    *("FA", "FFA", "ICG", "ICGA", "REDFREE", "LOWRED", "RED", "GREEN", "BLUE"),
    *("IR", "INFRARED", "FAF", "AF", "AUTOFLUORESCENCE", "FLUORESCENCE", "FLUORESCEIN"),
}
_MONTAGE = {"MONTAGE", "MOSAIC"}
_PHOTOMETRIC = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT", "PALETTE COLOR"}

_MAX_ID = 64  # PS3.5: UI and LO
_MAX_ACCESSION = 16  # PS3.5: SH
_UID = re.compile(r"(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))+", re.ASCII)
_DOTS_OF_A_UID = 4  # patient numbers may contain fewer
_AGENCIES = (
    "AssigningJurisdictionCodeSequence",
    "AssigningAgencyOrDepartmentCodeSequence",
)


@dataclass(frozen=True, slots=True)
class PixelLayout:
    """The description of the pixels by the Image Pixel module (PS3.3 C.7.6.3)."""

    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    high_bit: int
    signed: bool
    planar: int
    photometric: str

    @property
    def has_three_samples(self) -> bool:
        """Return whether each pixel has three samples."""
        return self.samples == 3  # noqa: PLR2004


def pixel_layout(ds: Dataset) -> PixelLayout:
    """Return the pixel description, with the standard's defaults for missing values."""
    allocated = number(ds, "BitsAllocated", 8)
    stored = number(ds, "BitsStored", allocated)
    return PixelLayout(
        rows=number(ds, "Rows", 0),
        columns=number(ds, "Columns", 0),
        samples=number(ds, "SamplesPerPixel", 1),
        allocated=allocated,
        stored=stored,
        high_bit=number(ds, "HighBit", stored - 1),
        signed=number(ds, "PixelRepresentation", 0) != 0,
        planar=number(ds, "PlanarConfiguration", 0),
        photometric=text(ds, "PhotometricInterpretation") or "",
    )


def refusal(ds: Dataset, limits: Limits) -> Reason | None:
    """Return the reason why the header rules out grading the capture, or None if it does not."""
    if text(ds, "SOPClassUID") not in _PHOTOGRAPHY | _SECONDARY_CAPTURE:
        return Reason.WRONG_MODALITY
    if number(ds, "NumberOfFrames", 1) > 1:
        return Reason.MULTIFRAME
    kinds = _image_kinds(ds)
    if not _MONTAGE.isdisjoint(kinds):
        return Reason.MONTAGE
    if not _NOT_COLOUR.isdisjoint(kinds):
        return Reason.REDFREE_OR_FA
    return _refusal_by_pixels(pixel_layout(ds), limits)


def _image_kinds(ds: Dataset) -> set[str]:
    """Return the words of ImageType after its first two values, in capitals.

    PS3.3 C.8.17.2 puts MONTAGE third and the colour fourth, but cameras also use other places, and
    join words, as in COLOR_MONTAGE and RED FREE. A word is a run of letters.
    """
    values = (text(ds, "ImageType") or "").split("\\")[2:]
    return set(re.findall(r"[A-Z]+", " ".join(values).upper()))


def _refusal_by_pixels(layout: PixelLayout, limits: Limits) -> Reason | None:
    if layout.photometric.startswith("MONOCHROME"):
        return Reason.REDFREE_OR_FA
    if layout.rows * layout.columns > limits.max_pixels:
        return Reason.TOO_MANY_PIXELS
    if not layout.photometric:
        return Reason.DECODE_ERROR
    if layout.photometric not in _PHOTOMETRIC:
        return Reason.UNSUPPORTED_PHOTOMETRIC
    if min(layout.rows, layout.columns) < 1:
        return Reason.DECODE_ERROR
    if not _is_supported(layout):
        return Reason.UNSUPPORTED_PIXELS
    return None


def _is_supported(layout: PixelLayout) -> bool:
    samples = 1 if layout.photometric == "PALETTE COLOR" else 3
    return (
        layout.samples == samples
        and layout.allocated in {8, 16}
        and 8 <= layout.stored <= layout.allocated  # noqa: PLR2004  bits of an sRGB channel
        and layout.high_bit == layout.stored - 1
        and layout.planar in {0, 1}
        and not layout.signed
    )


def content(ds: Dataset) -> Content:
    """Return the eye, field, patient, time and other facts that the header states about a capture.

    Blank and invalid values count as absent.
    """
    warnings: list[str] = []
    eye, eye_source = laterality(ds, warnings)
    study_uid = _uid(ds, "StudyInstanceUID", warnings)
    sop_uid = _uid(ds, "SOPInstanceUID", warnings)
    if text(ds, "SOPClassUID") in _SECONDARY_CAPTURE:
        warnings.append(CaptureWarning.SECONDARY_CAPTURE)
    if (text(ds, "BurnedInAnnotation") or "").upper() == "YES":
        warnings.append(CaptureWarning.BURNED_IN_ANNOTATION)
    if _has_oblong_pixels(ds):
        warnings.append(CaptureWarning.PIXELS_NOT_SQUARE)
    if is_not_of_a_patient(ds):
        warnings.append(CaptureWarning.NOT_A_PATIENT)
    return Content(
        MediaType.DICOM,
        width=number(ds, "Columns", 0) or None,
        height=number(ds, "Rows", 0) or None,
        eye=eye,
        eye_source=eye_source,
        field=field_of_header(ds),
        patient_id=_patient(ds, warnings),
        issuer=_issuer(ds),
        accession=_accession(ds),
        study_uid=study_uid,
        sop_uid=sop_uid,
        acquired_at=acquired_at(ds),
        acquired_day=acquired_day(ds),
        warnings=tuple(warnings),
    )


def _has_oblong_pixels(ds: Dataset) -> bool:
    """Return whether PixelAspectRatio says that pixels are not as wide as they are high."""
    sides = set()
    for side in (text(ds, "PixelAspectRatio") or "").split("\\"):
        sides.add(side.strip().lstrip("+0"))
    return len(sides) > 1


def _uid(ds: Dataset, keyword: str, warnings: list[str]) -> str | None:
    """Return a UID, or None if it is absent or invalid.

    An invalid UID adds a warning, as some cameras store patient identifiers in its place.
    """
    value = text(ds, keyword)
    if value is None or (len(value) <= _MAX_ID and _UID.fullmatch(value)):
        return value
    if CaptureWarning.UID_INVALID not in warnings:
        warnings.append(CaptureWarning.UID_INVALID)
    return None


def _patient(ds: Dataset, warnings: list[str]) -> str | None:
    """Return the patient's identifier, or None if there is no usable one.

    Placeholders and UIDs are not usable. If None is returned, a warning is added.
    """
    value = text(ds, "PatientID")
    if value is None or is_nobody(value):
        warnings.append(CaptureWarning.PATIENT_BLANK)
    elif _UID.fullmatch(value) and value.count(".") >= _DOTS_OF_A_UID:
        warnings.append(CaptureWarning.PATIENT_IS_UID)
    elif len(value) > _MAX_ID or "\\" in value:
        warnings.append(CaptureWarning.PATIENT_UNREADABLE)
    else:
        return value
    return None


def _accession(ds: Dataset) -> str | None:
    value = text(ds, "AccessionNumber") or ""
    if "\\" in value or len(value) > _MAX_ACCESSION:
        return None
    return value or None


def _issuer(ds: Dataset) -> str | None:
    """Return who issued the patient's identifier, or None if the header does not say.

    An issuer with qualifiers is written in the notation of HL7 CX-4 to CX-10, for example
    "CLINIC&1.2.3&ISO": the same namespace may exist in two institutions (PS3.3 C.7.1.1, and table
    10-18 for the qualifiers).
    """
    namespace = text(ds, "IssuerOfPatientID") or ""
    qualifiers = items(ds, "IssuerOfPatientIDQualifiersSequence")
    if not qualifiers:
        return namespace or None
    issuer = namespace
    for item in qualifiers:
        fields = [
            _joined(item, "UniversalEntityID", "UniversalEntityIDType"),
            text(item, "IdentifierTypeCode") or "",
        ]
        for facility in items(item, "AssigningFacilitySequence"):
            keywords = ("LocalNamespaceEntityID", "UniversalEntityID", "UniversalEntityIDType")
            fields.append(_joined(facility, *keywords))
        for agency in _AGENCIES:
            for code in items(item, agency):
                fields.append(_joined(code, "CodeValue", "CodingSchemeDesignator"))
        issuer += "&" + "^".join(fields)
    return issuer.rstrip("&^") or None


def _joined(ds: Dataset, *keywords: str) -> str:
    return "&".join(text(ds, keyword) or "" for keyword in keywords)
