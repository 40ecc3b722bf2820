"""An eye's result as a DICOM Structured Report beside the photograph: TID 1500 in Comprehensive 3D SR, without pixels.

One document for each eye: eyes may come from different studies, and are read at different times.
"""

from __future__ import annotations

import re
import threading
import warnings
from io import BytesIO
from typing import TYPE_CHECKING, Any

from fundusd.domain.clinical_terms import SAFETY_WORDS, Action, Eye, Outcome
from fundusd.domain.errors import FundusdError
from fundusd.imaging import dicom_header
from fundusd.outbox import codes, document_ids

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from highdicom.sr import MeasurementsAndQualitativeEvaluations, QualitativeEvaluation
    from pydicom import Dataset

    from fundusd.clinical.exam import Exam, EyeResult
    from fundusd.domain.inference import Release
    from fundusd.outbox.codes import Code
    from fundusd.outbox.document_ids import Document

MEDIA_TYPE = "application/dicom"
SERIES_NUMBER = 901  # high, to stand behind the camera's own series
_NUMBERS = {Eye.RIGHT: 1, Eye.LEFT: 2, Eye.UNKNOWN: 3}
_LONGEST_TEXT = 64  # LO
_SHORT = 16  # SH
_DATE, _TIME = re.compile(r"\d{8}$"), re.compile(r"\d\d([0-5]\d([0-5]\d(\.\d{1,6})?)?)?$")
# highdicom and pydicom quote values in their warnings; the filters are the whole process's
_quietly = threading.Lock()


class NoReport(FundusdError):  # noqa: N818  says what is the case
    """There is no study to put a structured report into."""


def report(exam: Exam, eye: EyeResult, release: Release, source: Dataset, at: datetime) -> Document:
    """Make the report of an eye from the header of its decisive photograph; raises NoReport.

    `at` is when the result was judged. The same verdict has the same SOP Instance UID, another one another.
    """
    with _quietly, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = _report(exam, eye, release, _evidence(exam, source), at)
        file = BytesIO()
        made.save_as(file, enforce_file_format=True)
    return document_ids.Document(f"{made.SOPInstanceUID}.dcm", MEDIA_TYPE, file.getvalue())


def _report(
    exam: Exam, eye: EyeResult, release: Release, evidence: Dataset, at: datetime
) -> Dataset:
    from highdicom.coding_schemes import CodingSchemeIdentificationItem
    from highdicom.sr import Comprehensive3DSR, MeasurementReport
    from pydicom.sr.codedict import codes as dicom

    study, released = evidence.StudyInstanceUID, document_ids.of_release(release)
    verdict = document_ids.of_verdict(eye, release)
    groups = [*_by_model(eye, release, evidence, verdict), *_by_reader(eye, evidence, verdict)]
    content = MeasurementReport(
        observation_context=_context(eye, release, released),
        procedure_reported=dicom.SCT.ImagingProcedure,  # CID 100 has nothing nearer
        imaging_measurements=groups,
        title=dicom.DCM.ImagingMeasurementReport,
    )
    local = at.astimezone()
    made: Dataset = Comprehensive3DSR(
        evidence=[evidence],
        content=content,
        series_instance_uid=document_ids.uid("series", study, released),
        series_number=SERIES_NUMBER,
        sop_instance_uid=document_ids.uid("sr", study, exam.patient_id, verdict),
        instance_number=_NUMBERS[eye.eye],
        manufacturer="fundusd",
        manufacturer_model_name=release.model[:_LONGEST_TEXT],
        software_versions=release.program_version[:_LONGEST_TEXT],
        device_serial_number=released[:_LONGEST_TEXT],
        series_description="fundusd: diabetic retinopathy, research use only",
        is_complete=True,
        is_final=eye.is_read,
        is_verified=False,  # verifying takes a person who signs: a review here is none
        coding_schemes=[CodingSchemeIdentificationItem(codes.PRIVATE, name="Words of fundusd")],
        content_date=local.date(),
        content_time=local.time().replace(tzinfo=None),
        specific_character_set="ISO_IR 192",
    )
    made.InstanceCreationDate, made.InstanceCreationTime = made.ContentDate, made.ContentTime
    for equipment in made.get("ContributingEquipmentSequence", ()):
        del equipment.ContributionDateTime  # the present one
    made.TimezoneOffsetFromUTC = local.strftime("%z")
    return made


def _evidence(exam: Exam, source: Dataset) -> Dataset:
    """Take over what files the report beside its photograph, and only that; raises NoReport."""
    from pydicom import Dataset
    from pydicom.uid import UID

    made = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        value = UID(dicom_header.text(source, keyword) or "")
        if not value or not value.is_valid:
            raise NoReport(
                f"There is no report in DICOM: its photograph has no valid {keyword}.",
                hint="Look at the export of the camera; CSV and FHIR need none.",
            )
        setattr(made, keyword, value)
    made.Rows, made.Columns = (
        dicom_header.number(source, keyword, 1) for keyword in ("Rows", "Columns")
    )
    made.Modality = dicom_header.text(source, "Modality") or "OP"
    made.StudyDate = _matching(source, "StudyDate", _DATE)
    made.StudyTime = _matching(source, "StudyTime", _TIME)
    is_named = exam.patient_id is not None
    made.PatientID = (
        (dicom_header.text(source, "PatientID") or exam.patient_id)
        if is_named
        else exam.patient_key or ""
    )
    made.PatientName = _name(source) if is_named else ""
    made.PatientBirthDate = _matching(source, "PatientBirthDate", _DATE) if is_named else ""
    sex = dicom_header.text(source, "PatientSex")
    made.PatientSex = sex if is_named and sex in {"F", "M", "O"} else ""
    for keyword in ("AccessionNumber", "StudyID"):
        text = dicom_header.text(source, keyword) or ""
        setattr(
            made, keyword, text if is_named and len(text) <= _SHORT and "\\" not in text else ""
        )
    issuer = dicom_header.text(source, "IssuerOfPatientID")
    if is_named and issuer:
        made.IssuerOfPatientID = issuer
    made.ReferringPhysicianName = ""
    return made


def _matching(source: Dataset, keyword: str, pattern: re.Pattern[str]) -> str:
    value = dicom_header.text(source, keyword) or ""
    return value if pattern.match(value) else ""


def _name(source: Dataset) -> str:
    try:
        written = str(source.get("PatientName") or "")
    except dicom_header.BAD_VALUE:
        return ""
    clean = "".join(letter for letter in written if letter.isprintable() and letter != "\\").strip()
    return clean if "^" in clean or not clean else f"{clean}^"


def _context(eye: EyeResult, release: Release, released: str) -> Any:
    from highdicom.sr import (
        DeviceObserverIdentifyingAttributes,
        ObservationContext,
        ObserverContext,
        PersonObserverIdentifyingAttributes,
    )
    from pydicom.sr.codedict import codes as dicom

    device = DeviceObserverIdentifyingAttributes(
        uid=document_ids.uid("device", released),
        name="fundusd",
        manufacturer_name="fundusd",
        model_name=release.model,
        serial_number=released,
    )
    person = None
    if eye.reading is not None:
        name = re.sub(r"[\\^=\s]+", " ", eye.reading.reviewer).strip()
        person = ObserverContext(
            observer_type=dicom.DCM.Person,
            observer_identifying_attributes=PersonObserverIdentifyingAttributes(name=f"{name}^"),
        )
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=dicom.DCM.Device, observer_identifying_attributes=device
        ),
        observer_person_context=person,
    )


def _by_model(
    eye: EyeResult, release: Release, evidence: Dataset, verdict: str
) -> Iterable[MeasurementsAndQualitativeEvaluations]:
    from highdicom.sr import AlgorithmIdentification, Measurement
    from pydicom.sr.codedict import codes as dicom

    said = [(codes.OUTCOME, codes.own(eye.outcome)), (codes.REFERABLE, codes.own(eye.referable))]
    if eye.grade is not None:
        said.insert(0, (codes.SEVERITY_OF_EYE[eye.eye], codes.SEVERITY[eye.grade]))
    if eye.reason is not None:
        said.append((codes.REASON, codes.own(eye.reason)))
    if eye.action is not Action.NONE:
        said.append((codes.ACTION, codes.own(eye.action)))
    said += [(codes.MISSING_FIELDS, codes.own(field)) for field in eye.missing_fields]
    algorithm = AlgorithmIdentification(
        name=release.model,
        version=release.revision or release.weights_digest,
        parameters=[f"{name}: {value}" for name, value in _parameters(release)],
        family=dicom.cid7162.ArtificialIntelligence,
    )
    scores = eye.decisive.scores if eye.outcome is Outcome.GRADED else None
    measurements = [
        Measurement(name=_code(name), value=round(score, 6), unit=dicom.UCUM.NoUnits)
        for name, score in zip(codes.SCORES, scores or (), strict=False)
    ]
    found = codes.FINDING.get(eye.grade) if eye.grade is not None else None
    yield _group(
        f"{codes.NAMES[eye.eye]}, by the model",
        document_ids.uid("by-model", verdict),
        eye,
        evidence,
        SAFETY_WORDS,
        algorithm_id=algorithm,
        finding_type=_code(found) if found else None,
        measurements=measurements or None,
        qualitative_evaluations=_evaluations(said),
    )


def _parameters(release: Release) -> Iterable[tuple[str, str]]:
    names = (
        "weights_digest",
        "preprocessing",
        "prompt_set",
        "prompt_digest",
        "head",
        "referable_rule",
        "quality_gate",
    )
    for name in (*names, "dtype", "runtime", "program_version"):
        yield name, getattr(release, name)


def _by_reader(
    eye: EyeResult, evidence: Dataset, verdict: str
) -> Iterable[MeasurementsAndQualitativeEvaluations]:
    if eye.reading is None:
        return
    said = [
        (codes.VERDICT, codes.own(eye.reading.verdict)),
        (codes.REFERABLE, codes.own(eye.reading.referable)),
    ]
    if eye.reading.grade is not None:
        said.insert(0, (codes.SEVERITY_OF_EYE[eye.eye], codes.SEVERITY[eye.reading.grade]))
    if eye.reading.reason:
        said.append((codes.DISAGREES, codes.own(eye.reading.reason)))
    blinded = (
        "without having seen the model's result"
        if eye.reading.is_blinded
        else "having seen the model's result"
    )
    comment = f"Read by a person ({eye.reading.role}), {blinded}."
    found = codes.FINDING.get(eye.reading.grade) if eye.reading.grade is not None else None
    yield _group(
        f"{codes.NAMES[eye.eye]}, by a reader",
        document_ids.uid("by-reader", verdict),
        eye,
        evidence,
        comment,
        finding_type=_code(found) if found else None,
        qualitative_evaluations=_evaluations(said),
    )


def _group(
    name: str, uid: str, eye: EyeResult, evidence: Dataset, comment: str, **said: Any
) -> MeasurementsAndQualitativeEvaluations:
    from highdicom.sr import (
        FindingSite,
        MeasurementsAndQualitativeEvaluations,
        RelationshipTypeValues,
        SourceImageForMeasurementGroup,
        TextContentItem,
        TrackingIdentifier,
    )
    from pydicom.sr.codedict import codes as dicom

    laterality = codes.LATERALITY.get(eye.eye)
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=uid, identifier=name),
        finding_sites=[
            FindingSite(_code(codes.EYE), laterality=_code(laterality) if laterality else None)
        ],
        source_images=[SourceImageForMeasurementGroup.from_source_image(evidence)],
        **said,
    )
    remark = TextContentItem(dicom.DCM.Comment, comment, RelationshipTypeValues.CONTAINS)
    group[0].ContentSequence.append(remark)
    return group


def _evaluations(said: Iterable[tuple[Code, Code]]) -> list[QualitativeEvaluation]:
    from highdicom.sr import QualitativeEvaluation

    return [QualitativeEvaluation(_code(name), _code(value)) for name, value in said]


def _code(code: Code) -> Any:
    from highdicom.sr import CodedConcept

    return CodedConcept(code.value, code.scheme, code.meaning)
