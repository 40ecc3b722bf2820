"""What a DICOM header says: whether we grade it, which eye, whose, when. No value of it ever raises."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from itertools import chain
from typing import TYPE_CHECKING, Any

from pydicom.errors import BytesLengthException

from fundusd.clinical.pseudonyms import is_nobody
from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.clinical_terms import Eye, EyeSource, Reason
from fundusd.domain.decoding import Content, MediaType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom import Dataset

    from fundusd.imaging.limits import Limits

_SOP = "1.2.840.10008.5.1.4.1.1."
_PHOTOGRAPHY = {
    _SOP + "77.1.5.1",
    _SOP + "77.1.5.2",
    _SOP + "77.1.4",
}  # OP 8 bit, OP 16 bit, VL photographic
_SECONDARY_CAPTURE = {_SOP + "7", _SOP + "7.4"}

# PS3.3 C.8.17.2.1.4 has REDFREE, RED, BLUE, FA and ICG; the others are what cameras write besides
_NOT_COLOUR = {
    *("FA", "FFA", "ICG", "ICGA", "REDFREE", "LOWRED", "RED", "GREEN", "BLUE"),
    *("IR", "INFRARED", "FAF", "AF", "AUTOFLUORESCENCE"),
}
_PHOTOMETRIC = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT", "PALETTE COLOR"}

# pydicom converts a value when it is first looked at; these are the ways it fails on bad bytes
BAD_VALUE = (
    *(ValueError, TypeError, LookupError, AttributeError, NotImplementedError, ArithmeticError),
    *(OSError, EOFError, struct.error, BytesLengthException),
)

_LONGEST_TEXT = 256
_LONGEST_ID = 64  # PS3.5: UI and LO
_UID = re.compile(r"(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))+", re.ASCII)
_DOTS_OF_A_UID = 4  # numbers of patients may well hold some
_DATE = re.compile(r"(\d{4})[.-]?(\d\d)[.-]?(\d\d)$")
_TIME = re.compile(r"(\d\d):?(\d\d):?(\d\d)?(?:\.(\d{1,6}))?$")
_DATETIME = re.compile(r"(\d{8})(\d{4}(?:\d\d)?(?:\.\d{1,6})?)([+-]\d{4})?$")
_OFFSET = re.compile(r"([+-])(\d\d)(\d\d)$")


@dataclass(frozen=True, slots=True)
class Layout:
    """How the pixels are described: PS3.3 C.7.6.3."""

    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    high_bit: int
    signed: bool
    planar: int
    photometric: str


def text(ds: Dataset, keyword: str) -> str | None:
    """Return a value as clean text; None where it is absent, blank or unreadable."""
    try:
        value = ds.get(keyword)
        parts = [value] if isinstance(value, str) else list(value or ())
        joined = "\\".join(str(part) for part in parts)
    except BAD_VALUE:
        return None
    clean = "".join(letter for letter in joined if letter.isprintable()).strip()
    return clean if 0 < len(clean) <= _LONGEST_TEXT else None


def number(ds: Dataset, keyword: str, default: int) -> int:
    """Return a value as a whole number; `default` where it is absent, multiple or unreadable."""
    try:
        return int(ds.get(keyword, default))
    except BAD_VALUE:
        return default


def layout(ds: Dataset) -> Layout:
    """Read the pixel description, with the standard's defaults for what is missing."""
    allocated = number(ds, "BitsAllocated", 8)
    stored = number(ds, "BitsStored", allocated)
    return Layout(
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
    """Tell why a header suffices to refuse the capture."""
    if text(ds, "SOPClassUID") not in _PHOTOGRAPHY | _SECONDARY_CAPTURE:
        return Reason.WRONG_MODALITY
    if number(ds, "NumberOfFrames", 1) > 1:
        return Reason.MULTIFRAME
    kinds = [
        "".join(filter(str.isalpha, kind)).upper()
        for kind in (text(ds, "ImageType") or "").split("\\")
    ]
    if kinds[2:3] == ["MONTAGE"]:
        return Reason.MONTAGE
    if set(kinds[3:4]) & _NOT_COLOUR:
        return Reason.REDFREE_OR_FA
    return _pixel_refusal(layout(ds), limits)


def _pixel_refusal(pixels: Layout, limits: Limits) -> Reason | None:
    if pixels.photometric.startswith("MONOCHROME"):
        return Reason.REDFREE_OR_FA
    if pixels.rows * pixels.columns > limits.max_pixels:
        return Reason.TOO_MANY_PIXELS
    if pixels.photometric not in _PHOTOMETRIC:
        return Reason.UNSUPPORTED_PHOTOMETRIC if pixels.photometric else Reason.DECODE_ERROR
    if min(pixels.rows, pixels.columns) < 1:
        return Reason.DECODE_ERROR
    understood = (
        pixels.samples == (1 if pixels.photometric == "PALETTE COLOR" else 3)
        and pixels.allocated in {8, 16}
        and 8 <= pixels.stored <= pixels.allocated  # noqa: PLR2004  bits of an sRGB channel
        and pixels.high_bit == pixels.stored - 1
        and pixels.planar in {0, 1}
        and not pixels.signed
    )
    return None if understood else Reason.UNSUPPORTED_PIXELS


def content(ds: Dataset) -> Content:
    """Collect what the header says of the capture; blank and invalid values count as not given."""
    eye, eye_source = laterality(ds)
    warnings: list[str] = []
    if eye is Eye.UNKNOWN and eye_source not in {EyeSource.NONE, EyeSource.CONFLICT}:
        warnings.append(CaptureWarning.EYE_BOTH)
    study_uid, sop_uid = (
        _uid(ds, keyword, warnings) for keyword in ("StudyInstanceUID", "SOPInstanceUID")
    )
    if text(ds, "SOPClassUID") in _SECONDARY_CAPTURE:
        warnings.append(CaptureWarning.SECONDARY_CAPTURE)
    if (text(ds, "BurnedInAnnotation") or "").upper() == "YES":
        warnings.append(CaptureWarning.BURNED_IN_ANNOTATION)
    return Content(
        MediaType.DICOM,
        width=number(ds, "Columns", 0) or None,
        height=number(ds, "Rows", 0) or None,
        eye=eye,
        eye_source=eye_source,
        patient_id=_patient(ds, warnings),
        issuer=text(ds, "IssuerOfPatientID"),
        study_uid=study_uid,
        sop_uid=sop_uid,
        acquired_at=acquired_at(ds),
        warnings=tuple(warnings),
    )


def _uid(ds: Dataset, keyword: str, warnings: list[str]) -> str | None:
    """Return a UID; one that is none counts as not given: some cameras write identifiers of patients into it."""
    value = text(ds, keyword)
    if value is None or (len(value) <= _LONGEST_ID and _UID.fullmatch(value)):
        return value
    if CaptureWarning.UID_INVALID not in warnings:
        warnings.append(CaptureWarning.UID_INVALID)
    return None


def _patient(ds: Dataset, warnings: list[str]) -> str | None:
    """Return the patient's identifier; what stands for nobody, or for a study or picture, counts as not given."""
    value = text(ds, "PatientID")
    if value is None or is_nobody(value):
        warnings.append(CaptureWarning.PATIENT_BLANK)
    elif _UID.fullmatch(value) and value.count(".") >= _DOTS_OF_A_UID:
        warnings.append(CaptureWarning.PATIENT_IS_UID)
    elif len(value) > _LONGEST_ID or "\\" in value:
        warnings.append(CaptureWarning.PATIENT_UNREADABLE)
    else:
        return value
    return None


def laterality(ds: Dataset) -> tuple[Eye, EyeSource]:
    """Read the eye from the first tag that names one; tags that disagree are a conflict, B is unknown."""
    said = [
        (value, source)
        for keyword, source in (
            ("ImageLaterality", EyeSource.IMAGE_LATERALITY),
            ("Laterality", EyeSource.LATERALITY),
        )
        for value in _sides(text(ds, keyword))
    ]
    said += [(value, EyeSource.FRAME_LATERALITY) for value in _frame_sides(ds)]
    if not said:
        return Eye.UNKNOWN, EyeSource.NONE
    if len({value for value, _ in said}) > 1:
        return Eye.UNKNOWN, EyeSource.CONFLICT
    value, source = said[0]
    return (Eye.UNKNOWN if value == "B" else Eye(value)), source


def _sides(value: str | None) -> list[str]:
    return [
        part
        for part in (value or "").upper().replace(" ", "").split("\\")
        if part in {"R", "L", "B"}
    ]


def _frame_sides(ds: Dataset) -> Iterator[str]:
    groups = chain(
        _items(ds, "SharedFunctionalGroupsSequence"), _items(ds, "PerFrameFunctionalGroupsSequence")
    )
    for group in groups:
        for anatomy in _items(group, "FrameAnatomySequence"):
            yield from _sides(text(anatomy, "FrameLaterality"))


def _items(ds: Dataset, keyword: str) -> list[Any]:
    try:
        return list(ds.get(keyword) or ())
    except BAD_VALUE:
        return []


def acquired_at(ds: Dataset) -> datetime | None:
    """Return when the photograph was taken; without a time zone where the file gives none."""
    zone = _zone(text(ds, "TimezoneOffsetFromUTC"))
    stamp = _DATETIME.match(text(ds, "AcquisitionDateTime") or "")
    if stamp and (moment := _moment(stamp[1], stamp[2])):
        return moment.replace(tzinfo=_zone(stamp[3]) or zone)
    for kind in ("Acquisition", "Content", "Study"):
        if moment := _moment(text(ds, f"{kind}Date"), text(ds, f"{kind}Time")):
            return moment.replace(tzinfo=zone)
    return None


def _moment(date: str | None, time: str | None) -> datetime | None:
    day, clock = _DATE.match(date or ""), _TIME.match(time or "")
    if not day or not clock:
        return None
    year, month, date_of_month = (int(part) for part in day.groups())
    hour, minute, second = (int(part) for part in clock.groups(default="0")[:3])
    microsecond = int((clock[4] or "0").ljust(6, "0"))
    second = min(second, 59)  # DICOM has leap seconds, datetime has not
    try:
        return datetime(year, month, date_of_month, hour, minute, second, microsecond)  # noqa: DTZ001  the zone is another tag's
    except ValueError:
        return None


def _zone(offset: str | None) -> timezone | None:
    match = _OFFSET.match(offset or "")
    if not match:
        return None
    minutes = int(match[2]) * 60 + int(match[3])
    if minutes == 0:
        return UTC
    delta = timedelta(minutes=-minutes if match[1] == "-" else minutes)
    return timezone(delta) if abs(delta) <= timedelta(hours=14) else None
