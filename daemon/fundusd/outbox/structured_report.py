"""The result of an eye as a DICOM Structured Report.

The report follows TID 1500, is stored as Comprehensive 3D SR, and contains no pixels. There is one
document per eye, because the photographs of the two eyes may come from different studies and may be
read at different times.
"""

from __future__ import annotations

import re
import threading
import warnings
from io import BytesIO
from typing import TYPE_CHECKING, Any

from fundusd.domain.clinical_terms import Eye
from fundusd.outbox import codes, document_ids, sr_measurements
from fundusd.outbox.sr_evidence import LONGEST_LO, evidence_of

if TYPE_CHECKING:
    from datetime import datetime

    from pydicom import Dataset

    from fundusd.clinical.exam import Exam, EyeResult
    from fundusd.domain.inference import Release
    from fundusd.outbox.document_ids import Document

MEDIA_TYPE = "application/dicom"
SERIES_NUMBER = 901  # high, so that viewers list the series after those of the camera
_INSTANCE_NUMBERS = {Eye.RIGHT: 1, Eye.LEFT: 2, Eye.UNKNOWN: 3}
# highdicom and pydicom quote values in their warnings; a warning filter affects the whole process
_warnings_lock = threading.Lock()


def report(exam: Exam, eye: EyeResult, release: Release, source: Dataset, at: datetime) -> Document:
    """Return the report on an eye.

    `source` is the header of the eye's photograph, to whose study the report belongs. `at` is the
    time at which the result was reached. The SOP Instance UID is derived from the study, the
    patient and the verdict, so that the same verdict always has the same UID. Raises
    InvalidUidError if a UID in the header is missing or invalid.
    """
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = _report(exam, eye, release, evidence_of(exam, source), at)
        file = BytesIO()
        dataset.save_as(file, enforce_file_format=True)
    return document_ids.Document(f"{dataset.SOPInstanceUID}.dcm", MEDIA_TYPE, file.getvalue())


def _report(
    exam: Exam, eye: EyeResult, release: Release, evidence: Dataset, at: datetime
) -> Dataset:
    from highdicom.coding_schemes import CodingSchemeIdentificationItem
    from highdicom.sr import Comprehensive3DSR, MeasurementReport
    from pydicom.sr.codedict import codes as dicom

    study, release_digest = evidence.StudyInstanceUID, document_ids.release_digest(release)
    verdict = document_ids.verdict_digest(eye, release)
    content = MeasurementReport(
        observation_context=_context(eye, release, release_digest),
        procedure_reported=dicom.SCT.ImagingProcedure,  # the closest code in CID 100
        imaging_measurements=list(sr_measurements.groups(eye, release, evidence, verdict)),
        title=dicom.DCM.ImagingMeasurementReport,
    )
    local = at.astimezone()
    dataset: Dataset = Comprehensive3DSR(
        evidence=[evidence],
        content=content,
        series_instance_uid=document_ids.uid_for("series", study, release_digest),
        series_number=SERIES_NUMBER,
        sop_instance_uid=document_ids.uid_for("sr", study, exam.patient_id, verdict),
        instance_number=_INSTANCE_NUMBERS[eye.eye],
        manufacturer="fundusd",
        manufacturer_model_name=release.model[:LONGEST_LO],
        software_versions=release.program_version[:LONGEST_LO],
        device_serial_number=release_digest[:LONGEST_LO],
        series_description="fundusd: diabetic retinopathy, research use only",
        is_complete=True,
        is_final=eye.is_read,
        is_verified=False,  # verification needs a signature, and a review has none
        coding_schemes=[CodingSchemeIdentificationItem(codes.PRIVATE, name="Codes of fundusd")],
        content_date=local.date(),
        content_time=local.time().replace(tzinfo=None),
        specific_character_set="ISO_IR 192",
    )
    dataset.InstanceCreationDate = dataset.ContentDate
    dataset.InstanceCreationTime = dataset.ContentTime
    for equipment in dataset.get("ContributingEquipmentSequence", ()):
        del equipment.ContributionDateTime  # the current time, which would change the bytes
    dataset.TimezoneOffsetFromUTC = local.strftime("%z")
    return dataset


def _context(eye: EyeResult, release: Release, release_digest: str) -> Any:
    from highdicom.sr import (
        DeviceObserverIdentifyingAttributes,
        ObservationContext,
        ObserverContext,
        PersonObserverIdentifyingAttributes,
    )
    from pydicom.sr.codedict import codes as dicom

    device = DeviceObserverIdentifyingAttributes(
        uid=document_ids.uid_for("device", release_digest),
        name="fundusd",
        manufacturer_name="fundusd",
        model_name=release.model,
        serial_number=release_digest,
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
