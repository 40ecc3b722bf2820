"""The attributes that a structured report copies from the header of its photograph."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fundusd.domain.errors import FundusdError
from fundusd.imaging import dicom_values

if TYPE_CHECKING:
    from pydicom import Dataset

    from fundusd.clinical.pseudonyms import Identifiers
    from fundusd.ledger.document_content import DocumentContent

LONGEST_LO, _LONGEST_SH = 64, 16  # characters in a value of the representations LO and SH
_SOP_CLASS = "SOPClassUID"  # says what kind of object it is, not which one
_OF_ISSUER = (
    *("UniversalEntityID", "UniversalEntityIDType", "IdentifierTypeCode"),
    *("LocalNamespaceEntityID", "CodeValue", "CodingSchemeDesignator", "CodeMeaning"),
)
_PARTS_OF_ISSUER = (
    "AssigningFacilitySequence",
    "AssigningJurisdictionCodeSequence",
    "AssigningAgencyOrDepartmentCodeSequence",
)
_DATE, _TIME = re.compile(r"\d{8}$"), re.compile(r"\d\d([0-5]\d([0-5]\d(\.\d{1,6})?)?)?$")


class InvalidUidError(FundusdError):
    """The header of a photograph lacks a valid UID that the report needs."""


def evidence_of(content: DocumentContent, source: Dataset, identifiers: Identifiers) -> Dataset:
    """Return the header attributes of a photograph that its report shares, and no others.

    What it says of the patient is shared only if it names the patient of the exam. Otherwise, that
    is empty, but for the identifier of the exam with its issuer or, if either is not known, the
    pseudonym. A pseudonymous site also replaces the UIDs. Raises InvalidUidError if a UID in the
    header is missing or invalid.
    """
    from pydicom import Dataset

    evidence = Dataset()
    _copy_uids(source, evidence, identifiers)
    evidence.Rows = dicom_values.number(source, "Rows", 1)
    evidence.Columns = dicom_values.number(source, "Columns", 1)
    # no report holds it, but highdicom refuses some modalities, which cameras may state wrongly
    evidence.Modality = "OP"
    evidence.StudyDate = _matching(source, "StudyDate", _DATE)
    evidence.StudyTime = _matching(source, "StudyTime", _TIME)
    evidence.ReferringPhysicianName = ""
    patient_id = content.exam.patient_id
    if patient_id and dicom_values.text(source, "PatientID") == patient_id:
        _copy_patient(source, evidence, patient_id)
    else:
        _add_identifier(content, evidence)
    return evidence


def _copy_uids(source: Dataset, evidence: Dataset, identifiers: Identifiers) -> None:
    from pydicom.uid import UID

    for keyword in (_SOP_CLASS, "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        value = UID(dicom_values.text(source, keyword) or "")
        if not value or not value.is_valid:
            raise InvalidUidError(
                f"No structured report can be made: the photograph has no valid {keyword}.",
                hint="Check the DICOM export of the camera; CSV and FHIR do not need this UID.",
            )
        if keyword != _SOP_CLASS:
            value = UID(identifiers.uid(value))
        setattr(evidence, keyword, value)


def _add_identifier(content: DocumentContent, evidence: Dataset) -> None:
    patient_id, issuer = content.exam.patient_id, content.issuer or ""
    # IssuerOfPatientID holds no qualifiers, which follow a "&"
    can_be_said = len(issuer) <= LONGEST_LO and not {"&", "\\"} & set(issuer)
    if patient_id and content.is_issuer_known and can_be_said:
        evidence.PatientID = patient_id
        if issuer:
            evidence.IssuerOfPatientID = issuer
    else:
        evidence.PatientID = content.exam.patient_key or ""
    for keyword in ("PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(evidence, keyword, "")


def _copy_patient(source: Dataset, evidence: Dataset, patient_id: str) -> None:
    evidence.PatientID = patient_id
    evidence.PatientName = _name(source)
    evidence.PatientBirthDate = _matching(source, "PatientBirthDate", _DATE)
    evidence.PatientSex = _sex(source)
    for keyword in ("AccessionNumber", "StudyID"):
        setattr(evidence, keyword, _short_text(source, keyword))
    issuer = dicom_values.text(source, "IssuerOfPatientID")
    if issuer:
        evidence.IssuerOfPatientID = issuer
    qualifiers = dicom_values.items(source, "IssuerOfPatientIDQualifiersSequence")
    if qualifiers:
        evidence.IssuerOfPatientIDQualifiersSequence = [_qualifiers(item) for item in qualifiers]


def _qualifiers(source: Dataset) -> Dataset:
    """Return what an item says of an issuer, because two institutions may have the same name."""
    from pydicom import Dataset

    item = Dataset()
    for keyword in _OF_ISSUER:
        value = dicom_values.text(source, keyword)
        if value:
            setattr(item, keyword, value)
    for keyword in _PARTS_OF_ISSUER:
        parts = dicom_values.items(source, keyword)
        if parts:
            setattr(item, keyword, [_qualifiers(part) for part in parts])
    return item


def _matching(source: Dataset, keyword: str, pattern: re.Pattern[str]) -> str:
    value = dicom_values.text(source, keyword) or ""
    if not pattern.match(value):
        return ""
    return value


def _sex(source: Dataset) -> str | None:
    sex = dicom_values.text(source, "PatientSex")
    if sex not in {"F", "M", "O"}:
        return ""
    return sex


def _short_text(source: Dataset, keyword: str) -> str:
    text = dicom_values.text(source, keyword) or ""
    if len(text) > _LONGEST_SH or "\\" in text:
        return ""
    return text


def _name(source: Dataset) -> str:
    """Return the patient's name without the characters that DICOM forbids.

    A name that has only one part is marked as a family name.
    """
    try:
        text = str(source.get("PatientName") or "")
    except dicom_values.BAD_VALUE:
        return ""
    name = "".join(char for char in text if char.isprintable() and char != "\\").strip()
    if not name or "^" in name:
        return name
    return f"{name}^"
