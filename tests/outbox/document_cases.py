"""Exams and headers of photographs for tests of documents and receivers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import dcmread
from pydicom.uid import UID, EncapsulatedPDFStorage
from tests import exam_cases, imaging_cases, ledger_cases

from fundusd.clinical.exam import Exam
from fundusd.clinical.judgement import judge
from fundusd.clinical.reading import Reading
from fundusd.clinical.shot import Shot
from fundusd.domain.clinical_terms import (
    Eye,
    Grade,
    Outcome,
    Reason,
    Referable,
    ReviewReason,
    ReviewVerdict,
)
from fundusd.imaging.dicom import read_header
from fundusd.ledger.document_content import DocumentContent

if TYPE_CHECKING:
    from fundusd.domain.delivery import SentDocument
    from fundusd.outbox.document_ids import Document

NAME, PATIENT, ACCESSION = "Plantee^Paula", "PLANTED-77", "ACC-PLANTED"
KEY = "ab" * 32
STUDY = "1.2.826.0.1.3680043.8.498.1"
AT = datetime(2026, 1, 5, 10, 20, 30, tzinfo=UTC)
RELEASES = {1: ledger_cases.release()}
OVERRIDE = Reading(
    review_id=1,
    verdict=ReviewVerdict.OVERRIDE,
    referable=Referable.YES,
    grade=Grade.SEVERE,
    reason=ReviewReason.MISSED_LESION,
    reviewer="reader.one",
    role="ophthalmologist",
    is_blinded=True,
    at=AT,
    basis=exam_cases.NOTHING,
)
AGREES = replace(OVERRIDE, verdict=ReviewVerdict.AGREE, grade=Grade.MODERATE, reason=None)


def shot(eye: Eye = Eye.RIGHT, grade: Grade = Grade.MODERATE, **changes: Any) -> Shot:
    scores = [0.05] * len(Grade)
    scores[grade] = 0.8
    made = Shot(
        capture_id=1,
        camera_id="cam",
        path=f"P77_{eye}.dcm",
        stem=f"P77_{eye}",
        digest=ledger_cases.digest_of(eye),
        release_id=1,
        eye=eye,
        field="macula",
        outcome=Outcome.GRADED,
        reason=None,
        grade=grade,
        referable=Referable.YES if grade >= Grade.MODERATE else Referable.NO,
        scores=tuple(scores),
    )
    return replace(made, **changes)


def ungraded(reason: Reason, eye: Eye = Eye.RIGHT) -> Shot:
    return replace(
        shot(eye),
        outcome=reason.outcome,
        reason=reason,
        grade=None,
        scores=None,
        referable=Referable.INDETERMINATE,
    )


def exam(*shots: Shot, reading: Reading | None = None, **changes: Any) -> Exam:
    """Return the exam of some shots; a reading applies to each eye."""
    eyes = tuple(exam_cases.read(eye, reading) if reading else eye for eye in judge(shots))
    made = Exam(1, date(2026, 1, 5), KEY, PATIENT, STUDY, eyes)
    return replace(made, **changes)


def content(made: Exam, **changes: Any) -> DocumentContent:
    """Return the content of the documents about an exam of which nothing was sent before."""
    return replace(DocumentContent(made, RELEASES, AT), **changes)


def accepted(document: Document) -> tuple[SentDocument, ...]:
    """Return what is remembered about a document that a receiver has confirmed."""
    return tuple(replace(record, is_accepted=True) for record in document.sent)


def source(**changes: Any) -> bytes:
    """Return a small DICOM photograph whose header names a planted patient."""
    planted = {
        "PatientName": NAME,
        "PatientID": PATIENT,
        "PatientBirthDate": "19610203",
        "PatientSex": "F",
        "AccessionNumber": ACCESSION,
        "SeriesInstanceUID": f"{STUDY}.1",
        "StudyDate": "20260105",
        "StudyTime": "101500",
        "StudyID": "1",
        "ReferringPhysicianName": "Referrer^Rita",
    }
    return imaging_cases.native(np.full((16, 16, 3), 90, np.uint8), **planted | changes)


def encapsulated_pdf() -> bytes:
    """Return a DICOM file that holds a document and no image."""
    dataset = dcmread(BytesIO(source(Modality="DOC")))
    for keyword in ("Rows", "Columns", "SamplesPerPixel", "PixelRepresentation", "PixelData"):
        delattr(dataset, keyword)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EncapsulatedPDFStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3.5")
    dataset.EncapsulatedDocument = b"%PDF-1.4"
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    file = BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def header(**changes: Any) -> Any:
    return read_header(source(**changes), 1 << 20)
