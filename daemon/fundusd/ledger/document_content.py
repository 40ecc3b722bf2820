"""Read the content of the documents about an exam.

A person may have given a photograph to another patient than its header names. What such a header
says, for example the number of an order, is about somebody else, and is in no document.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.domain.decoding import MediaType
from fundusd.ledger import exam_queries, releases, sent_documents
from fundusd.ledger.result_columns import IS_RESULT_OF_JOB
from fundusd.ledger.tables import capture, exam, eye_result, job, result

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fundusd.clinical.exam import Exam
    from fundusd.domain.delivery import SentDocument
    from fundusd.domain.inference import Release
    from fundusd.ledger.deliveries import Due

_OF_CAPTURE = ("id", "camera_id", "path", "digest", "media_type", "patient_key")


@dataclass(frozen=True, slots=True)
class PhotographFile:
    """The file of a photograph, with the digest of its bytes at admission."""

    camera_id: str
    path: bytes
    digest: str
    is_dicom: bool
    is_of_other: bool = False  # its header names another patient than that of the exam


@dataclass(frozen=True, slots=True)
class DocumentContent:
    """The content of the documents about an exam for a receiver."""

    exam: Exam
    releases: Mapping[int, Release]
    resulted_at: datetime
    photographs: Mapping[int, PhotographFile] = field(default_factory=dict)  # by capture
    issuer: str | None = None  # of the patient's identifier, as the headers name it
    is_issuer_known: bool = True  # otherwise the identifier may be somebody else's as well
    accession_numbers: tuple[str, ...] = ()
    sent: tuple[SentDocument, ...] = ()  # what the receiver was sent before


@dataclass(frozen=True, slots=True)
class _File:
    """A capture of an exam, with what was read from its header."""

    row: Any
    header: Mapping[str, Any]  # empty if the capture has failed
    is_of_other: bool


def document_content(connection: sa.Connection, due: Due) -> DocumentContent | None:
    """Return the content of the documents of a delivery.

    Return None if there is no such exam, or if none of its eyes has a result and the receiver was
    never sent anything about it.
    """
    judged = exam_queries.exam_by_id(connection, due.exam_id)
    if judged is None:
        return None
    sent = sent_documents.sent_to(connection, due.receiver, due.exam_id, due.document)
    if not judged.eyes and not sent:
        return None
    query = sa.select(sa.func.max(eye_result.c.resulted_at)).where(
        eye_result.c.exam_id == due.exam_id
    )
    resulted_at = connection.scalar(query)
    release_ids = {eye.decisive.release_id for eye in judged.eyes}
    every = _files(connection, judged)
    counted = {shot.capture_id for eye in judged.eyes for shot in eye.shots}
    files = [file for file in every if file.row.id in counted]
    issuer, is_issuer_known = _issuer(connection, judged.patient_key, every)
    return DocumentContent(
        exam=replace(judged, study_uid=_own_study(judged, every)),
        releases=releases.read(connection, sorted(release_ids)),
        resulted_at=resulted_at or datetime.now(UTC),
        photographs={file.row.id: _photograph(file) for file in files},
        issuer=issuer,
        is_issuer_known=is_issuer_known,
        accession_numbers=_accession_numbers(judged.patient_key, files),
        sent=sent,
    )


def _files(connection: sa.Connection, judged: Exam) -> list[_File]:
    """Return the captures of an exam, also those that do not count any more."""
    query = (
        sa.select(*capture.c[_OF_CAPTURE], result.c.content, exam.c.bare_key)
        .select_from(capture)
        .join(job, job.c.id == capture.c.job_id)
        .join(exam, exam.c.id == capture.c.exam_id)
        .outerjoin(result, IS_RESULT_OF_JOB)  # a failed capture has none
        .where(capture.c.exam_id == judged.exam_id)
        .order_by(capture.c.id)
    )
    files = []
    for row in connection.execute(query):
        header = orjson.loads(row.content or "{}")
        named, own = header.get("patient_key"), {None, judged.patient_key}
        if row.content is None:  # whoever the header names takes precedence over the name
            named, own = row.patient_key, {*own, row.bare_key}
        files.append(_File(row, header, is_of_other=named not in own))
    return files


def _photograph(file: _File) -> PhotographFile:
    row = file.row
    is_dicom = row.media_type == MediaType.DICOM
    return PhotographFile(row.camera_id, bytes(row.path), row.digest, is_dicom, file.is_of_other)


def _own_study(judged: Exam, files: Iterable[_File]) -> str | None:
    """Return the study of an exam, or None if only headers that name other patients give it."""
    if judged.patient_key is None:
        return judged.study_uid  # no header names a patient, and ids are derived from it
    for file in files:
        has_failed = file.row.content is None and file.row.media_type == MediaType.DICOM
        is_of_study = has_failed or file.header.get("study_uid") == judged.study_uid
        if is_of_study and not file.is_of_other:
            return judged.study_uid
    return None


def _issuer(
    connection: sa.Connection, patient_key: str | None, files: Iterable[_File]
) -> tuple[str | None, bool]:
    """Return the issuer that headers of the patient name, and whether it is known.

    If no header of the exam names the patient, those of the patient's other exams count.
    """
    if patient_key is None:
        return None, True
    for file in files:
        if file.header.get("patient_key") == patient_key:
            return file.header.get("issuer"), True
    of_person = (
        sa.select(result.c.content)
        .select_from(exam)
        .join(capture, capture.c.exam_id == exam.c.id)
        .join(job, job.c.id == capture.c.job_id)
        .join(result, IS_RESULT_OF_JOB)
        .where(
            exam.c.patient_key == patient_key,
            result.c.content.contains(f'"patient_key":"{patient_key}"'),
        )
    )
    content = connection.scalar(of_person.order_by(capture.c.id).limit(1))
    if content is not None:
        return orjson.loads(content).get("issuer"), True
    # a header with an issuer, which is not stored because its file was damaged
    with_issuer = sa.exists().where(exam.c.patient_key == patient_key, exam.c.bare_key.is_not(None))
    return None, not connection.scalar(sa.select(with_issuer))


def _accession_numbers(patient_key: str | None, files: Iterable[_File]) -> tuple[str, ...]:
    """Return the numbers of the orders in headers that name the patient of the exam."""
    numbers = []
    for file in files:
        if file.header.get("patient_key") == patient_key and file.header.get("accession"):
            numbers.append(file.header["accession"])
    return tuple(dict.fromkeys(numbers))
