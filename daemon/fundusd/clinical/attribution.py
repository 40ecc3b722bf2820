"""Decide the eye, the field, the patient and the time to record for a capture; pure.

A path, a row of the camera's own database and the header of the file each describe a capture. This
module decides what is recorded: `join` combines the metadata from the path and the database when a
capture is admitted, and `settle` adds the header's metadata once the file has been decoded. If
sources disagree about the eye or the field, it is unknown. Every disagreement adds a warning.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, time
from typing import TYPE_CHECKING, TypeVar

from fundusd.clinical.acquisition_day import in_utc, is_clock_off, local_day, real_day
from fundusd.clinical.eye_sources import LIKELY, checked_eye, resolve_eye
from fundusd.clinical.field_sources import agree_on_field, settled_field
from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.clinical_terms import Eye, EyeSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fundusd.clinical.pseudonyms import Identifiers
    from fundusd.domain.decoding import Content

_Value = TypeVar("_Value")

_UNREADABLE = {
    "eye": CaptureWarning.EYE_UNREADABLE,
    "patient": CaptureWarning.PATIENT_UNREADABLE,
    "date": CaptureWarning.DATE_UNREADABLE,
    "time": CaptureWarning.TIME_UNREADABLE,
}
_CONFLICT = {
    "patient": CaptureWarning.PATIENT_CONFLICT,
    "date": CaptureWarning.DATE_CONFLICT,
    "time": CaptureWarning.TIME_CONFLICT,
}
_NO_ANSWER = (
    CaptureWarning.LOOKUP_LOCKED,
    CaptureWarning.LOOKUP_MISSING,
    CaptureWarning.LOOKUP_BROKEN,
    CaptureWarning.LOOKUP_NO_ROW,
)
_OUTSIDE_THE_FILE = (EyeSource.NAME, EyeSource.LOOKUP, EyeSource.CONFLICT)


@dataclass(frozen=True, slots=True)
class CaptureMetadata:
    """The metadata of a capture given by its path or by a row of the camera's database.

    `warnings` holds codes, never parts of the path or of the row.
    """

    eye: Eye = Eye.UNKNOWN
    eye_source: EyeSource = EyeSource.NONE
    field: str | None = None
    patient: str | None = None
    other_patient: str | None = None  # whom another source names
    other_date: date | None = None
    date: date | None = None
    time: time | None = None
    warnings: tuple[str, ...] = ()

    @property
    def acquired_at(self) -> datetime | None:
        """Return the date and time of the capture by the camera's clock, without a time zone.

        Return None if the date or the time is missing.
        """
        if self.date is None or self.time is None:
            return None
        return datetime.combine(self.date, self.time)


@dataclass(frozen=True, slots=True)
class Attribution:
    """The eye, field, patient, time and warnings that are recorded for a capture."""

    eye: Eye = Eye.UNKNOWN
    eye_source: EyeSource = EyeSource.NONE
    field: str | None = None
    patient_id: str | None = None  # None also if the site stores only pseudonyms
    patient_key: str | None = None
    other_patient_id: str | None = None  # whom another source names
    other_patient_key: str | None = None
    bare_key: str | None = None  # the patient's key without the header's issuer, as for a path
    acquired_at: datetime | None = None  # UTC
    acquired_day: date | None = None  # the clinic's date, even if the time is not known
    other_acquired_day: date | None = None  # which another source names
    warnings: tuple[str, ...] = ()


def agree(what: str, values: Sequence[_Value | None], warnings: list[str]) -> _Value | None:
    """Return the value on which all parts of a source agree, or None if they do not.

    A warning is added if the values differ, or if one of them is None because it could not be
    read.

    >>> warnings = []
    >>> agree("date", [2, 2], warnings), agree("date", [2, 3], warnings), warnings[0].value
    (2, None, 'date_conflict')
    """
    if None in values:
        warnings.append(_UNREADABLE[what])
        return None
    if len(set(values)) > 1:
        warnings.append(_CONFLICT[what])
        return None
    return values[0] if values else None


def join(by_path: CaptureMetadata, by_row: CaptureMetadata) -> CaptureMetadata:
    """Combine the metadata given by the path and by the camera's database.

    The database takes precedence. If the two disagree about the eye or the field, that value is
    unknown.
    """
    warnings = [*by_path.warnings, *by_row.warnings]
    eye, eye_source = resolve_eye(by_row.eye, by_row.eye_source, by_path.eye, by_path.eye_source)
    eye, eye_source = checked_eye(eye, eye_source, warnings)
    patient, other_patient = by_row.patient or by_path.patient, None
    if by_path.patient not in {None, patient}:
        other_patient = by_path.patient
        warnings.append(CaptureWarning.PATIENT_CONFLICT)
    day, time_of_day, other_day = by_row.date or by_path.date, by_row.time or by_path.time, None
    if by_path.date not in {None, day}:
        time_of_day, other_day = by_row.time, by_path.date
        warnings.append(CaptureWarning.DATE_CONFLICT)
    return CaptureMetadata(
        eye,
        eye_source,
        field=agree_on_field([by_row.field, by_path.field], warnings),
        patient=patient,
        other_patient=other_patient,
        date=day,
        other_date=other_day,
        time=time_of_day,
        warnings=_final_warnings(eye, warnings),
    )


def of_metadata(metadata: CaptureMetadata, identifiers: Identifiers) -> Attribution:
    """Return the attribution to record for a capture before its file is decoded.

    Times are assumed to be in this machine's local time.
    """
    return Attribution(
        metadata.eye,
        metadata.eye_source,
        field=metadata.field,
        patient_id=identifiers.kept(metadata.patient),
        patient_key=identifiers.key(None, metadata.patient),
        other_patient_id=identifiers.kept(metadata.other_patient),
        other_patient_key=identifiers.key(None, metadata.other_patient),
        acquired_at=in_utc(metadata.acquired_at),
        acquired_day=real_day(metadata.date),
        other_acquired_day=real_day(metadata.other_date),
        warnings=metadata.warnings,
    )


def of_header(content: Content, identifiers: Identifiers) -> Attribution:
    """Return the attribution that a file's header gives for its capture."""
    bare_key = None
    if content.issuer:
        bare_key = identifiers.key(None, content.patient_id)
    acquired_at = in_utc(content.acquired_at)
    return Attribution(
        content.eye,
        content.eye_source,
        field=content.field,
        patient_id=identifiers.kept(content.patient_id),
        patient_key=identifiers.key(content.issuer, content.patient_id),
        bare_key=bare_key,
        acquired_at=acquired_at,
        acquired_day=local_day(acquired_at) or real_day(content.acquired_day),
        warnings=content.warnings,
    )


def settle(
    recorded: Attribution,
    header: Attribution,
    received_at: datetime,
    *,
    shown_field: str | None = None,
    is_backlog: bool = False,
    are_clear: bool = True,
) -> Attribution:
    """Combine the attribution recorded for a capture with the one given by its header.

    The header's patient and date take precedence. If record and header disagree about the eye, the
    eye is unknown. If they and the pixels (`shown_field`) disagree about the field, the field is
    unknown. A capture of the backlog may be of any age. The patient's identifier is kept
    only if the site stores identifiers in clear (`are_clear`).
    """
    warnings = [*recorded.warnings, *header.warnings]
    eye, eye_source = header.eye, header.eye_source
    if recorded.eye_source in _OUTSIDE_THE_FILE:
        eye, eye_source = resolve_eye(eye, eye_source, recorded.eye, recorded.eye_source)
    eye, eye_source = checked_eye(eye, eye_source, warnings)
    field = settled_field(recorded.field, header.field, shown_field, warnings)
    patient = recorded
    other_id, other_key = recorded.other_patient_id, recorded.other_patient_key
    if header.patient_key:
        patient = header
        if recorded.patient_key and not _is_same_patient(recorded, header):
            warnings.append(CaptureWarning.PATIENT_CONFLICT)
            other_id, other_key = recorded.patient_id, recorded.patient_key
    acquired_at, day, other_day = _settled_day(recorded, header, warnings)
    if is_clock_off(acquired_at, day, received_at, is_backlog=is_backlog):
        warnings.append(CaptureWarning.CLOCK_SKEW)
    settled = Attribution(
        eye,
        eye_source,
        field=field,
        patient_key=patient.patient_key,
        other_patient_key=other_key,
        acquired_at=acquired_at,
        acquired_day=day,
        other_acquired_day=other_day,
        warnings=_final_warnings(eye, warnings),
    )
    if are_clear:
        return replace(settled, patient_id=patient.patient_id, other_patient_id=other_id)
    return settled


def _settled_day(
    recorded: Attribution, header: Attribution, warnings: list[str]
) -> tuple[datetime | None, date | None, date | None]:
    """Return when a photograph was taken, its day, and another day that a source names."""
    day, other_day = recorded.acquired_day, recorded.other_acquired_day
    if header.acquired_day in {None, day}:
        return header.acquired_at or recorded.acquired_at, day, other_day
    if day is not None:
        other_day = day
        warnings.append(CaptureWarning.DATE_CONFLICT)
    return header.acquired_at, header.acquired_day, other_day


def has_lost_answer(after: Sequence[str], before: Sequence[str]) -> bool:
    """Return whether the camera's database answered before but not now, judging by the warnings."""
    return _has_no_answer(after) and not _has_no_answer(before)


def digests_of_several_patients(patients: Iterable[tuple[str, str]]) -> set[str]:
    """Return the digests that are paired with the keys of more than one patient."""
    key_of: dict[str, str] = {}
    shared: set[str] = set()
    for digest, patient_key in patients:
        if key_of.setdefault(digest, patient_key) != patient_key:
            shared.add(digest)
    return shared


def _final_warnings(eye: Eye, warnings: Iterable[str]) -> tuple[str, ...]:
    """Return each warning once.

    If the eye is known, warnings about a likely eye are omitted.
    """
    kept = dict.fromkeys(warnings)
    if eye is not Eye.UNKNOWN:
        for code in LIKELY.values():
            kept.pop(code, None)
    return tuple(kept)


def _is_same_patient(recorded: Attribution, header: Attribution) -> bool:
    if recorded.patient_key in {header.patient_key, header.bare_key}:
        return True
    return recorded.patient_id is not None and recorded.patient_id == header.patient_id


def _has_no_answer(warnings: Sequence[str]) -> bool:
    return any(code in _NO_ANSWER for code in warnings)
