"""The result of an eye as a DICOM Structured Report.

The report follows TID 1500, is stored as Comprehensive 3D SR, and contains no pixels. There is one
document per eye, because the photographs of the two eyes may come from different studies and may be
read at different times.
"""

from __future__ import annotations

import re
import threading
import warnings
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any

from fundusd.domain.clinical_terms import Eye
from fundusd.domain.delivery import DocumentStatus
from fundusd.domain.readings import ReadingState
from fundusd.outbox import codes, document_ids, eye_values, sr_measurements, sr_versions
from fundusd.outbox.sr_evidence import LONGEST_LO, InvalidUidError, evidence_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom import Dataset

    from fundusd.clinical.eye_result import EyeResult
    from fundusd.domain.delivery import SentDocument
    from fundusd.domain.inference import Release
    from fundusd.ledger.document_content import DocumentContent
    from fundusd.outbox.document_ids import Document
    from fundusd.outbox.sender import Sender

MEDIA_TYPE = "application/dicom"
SERIES_NUMBER = 901  # high, so that viewers list the series after those of the camera
_INSTANCE_NUMBERS = {Eye.RIGHT: 1, Eye.LEFT: 2, Eye.UNKNOWN: 3}
# highdicom and pydicom quote values in their warnings; a warning filter affects the whole process
_warnings_lock = threading.Lock()


def report(
    content: DocumentContent, eye: EyeResult, sources: Sequence[Dataset], sender: Sender
) -> Document:
    """Return the report on an eye.

    `sources` are the headers of the eye's photographs; the report belongs to the study of the first
    of them. Others that lack a valid UID are left out. The SOP Instance UID is derived from the
    study, the patient, the verdict and the reports that this one replaces, so that the same report
    always has the same UID. Raises InvalidUidError if a UID in the first header is missing or
    invalid.
    """
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evidence = [evidence_of(content, sources[0], sender.identifiers)]
        for source in sources[1:]:
            with suppress(InvalidUidError):
                evidence.append(evidence_of(content, source, sender.identifiers))
        dataset, record = _report(content, eye, evidence)
        file = BytesIO()
        dataset.save_as(file, enforce_file_format=True)
    name = f"{dataset.SOPInstanceUID}.dcm"
    return document_ids.Document(name, MEDIA_TYPE, file.getvalue(), (record,))


def _report(
    content: DocumentContent, eye: EyeResult, evidence: Sequence[Dataset]
) -> tuple[Dataset, SentDocument]:
    from highdicom.coding_schemes import CodingSchemeIdentificationItem
    from highdicom.sr import Comprehensive3DSR, MeasurementReport
    from pydicom.sr.codedict import codes as dicom

    release = content.releases[eye.decisive.release_id]
    release_digest = document_ids.release_digest(release)
    verdict = document_ids.verdict_digest(content.exam, eye, release)
    record = sr_versions.record(content, eye, verdict, evidence[0].StudyInstanceUID, release_digest)
    replaced = sr_versions.replaced(content.sent, eye, verdict)
    measurements = MeasurementReport(
        observation_context=_context(eye, release, release_digest),
        procedure_reported=dicom.SCT.ImagingProcedure,  # the closest code in CID 100
        imaging_measurements=list(
            sr_measurements.groups(content.exam, eye, release, evidence, verdict)
        ),
        title=dicom.DCM.ImagingMeasurementReport,
    )
    local = content.resulted_at.astimezone()
    dataset: Dataset = Comprehensive3DSR(
        evidence=evidence,
        content=measurements,
        series_instance_uid=record.series_uid,
        series_number=SERIES_NUMBER,
        sop_instance_uid=record.identifier,
        instance_number=_INSTANCE_NUMBERS[eye.eye],
        manufacturer="fundusd",
        manufacturer_model_name=release.model[:LONGEST_LO],
        software_versions=release.program_version[:LONGEST_LO],
        device_serial_number=release_digest[:LONGEST_LO],
        series_description="fundusd: diabetic retinopathy, research use only",
        is_complete=eye.is_read or record.status is DocumentStatus.PRELIMINARY,
        is_final=record.status is not DocumentStatus.PRELIMINARY,
        is_verified=False,  # verification needs a signature, and a review has none
        coding_schemes=[CodingSchemeIdentificationItem(codes.PRIVATE, name="Codes of fundusd")],
        previous_versions=[_reference(each) for each in replaced] or None,
        content_date=local.date(),
        content_time=local.time().replace(tzinfo=None),
        specific_character_set="ISO_IR 192",
    )
    dataset.CompletionFlagDescription = _completion(eye, record.status)
    dataset.InstanceCreationDate = dataset.ContentDate
    dataset.InstanceCreationTime = dataset.ContentTime
    for equipment in dataset.get("ContributingEquipmentSequence", ()):
        del equipment.ContributionDateTime  # the current time, which would change the bytes
    dataset.TimezoneOffsetFromUTC = local.strftime("%z")
    return dataset, record


def _completion(eye: EyeResult, status: DocumentStatus) -> str:
    """Return the status in words of at most 64 characters.

    A report that follows a final one is flagged as final, too, so that no archive prefers the old
    one; the words say if the eye has to be read again.
    """
    if eye.is_read:
        return f"{status.capitalize()}: read by a person"
    if eye.state is ReadingState.DISPUTED:
        return f"{status.capitalize()}: readers differ"
    if status is DocumentStatus.PRELIMINARY:
        return "Preliminary: not read by a person"
    return f"{status.capitalize()}: changed since it was read, not read again"


def _reference(sent: SentDocument) -> Dataset:
    from pydicom import Dataset
    from pydicom.uid import Comprehensive3DSRStorage

    reference = Dataset()
    reference.StudyInstanceUID, reference.SeriesInstanceUID = sent.study_uid, sent.series_uid
    reference.SOPClassUID = Comprehensive3DSRStorage
    reference.SOPInstanceUID = sent.identifier
    return reference


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
    reading = eye_values.reading(eye)
    if reading is not None:
        name = re.sub(r"[\\^=\s]+", " ", reading.reviewer).strip()
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
