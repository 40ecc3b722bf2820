"""Read the content of the documents about an exam."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.domain.decoding import MediaType
from fundusd.ledger import exam_queries, releases, sent_documents
from fundusd.ledger.result_columns import IS_RESULT_OF_JOB
from fundusd.ledger.tables import capture, eye_result, job, result

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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


@dataclass(frozen=True, slots=True)
class DocumentContent:
    """The content of the documents about an exam for a receiver."""

    exam: Exam
    releases: Mapping[int, Release]
    resulted_at: datetime
    photographs: Mapping[int, PhotographFile] = field(default_factory=dict)  # by capture
    issuer: str | None = None  # of the patient's identifier, as the headers name it
    accession_numbers: tuple[str, ...] = ()
    sent: tuple[SentDocument, ...] = ()  # what the receiver was sent before


def document_content(connection: sa.Connection, due: Due) -> DocumentContent | None:
    """Return the content of the documents of a delivery.

    Return None if there is no such exam, or if none of its eyes has a result and the receiver was
    never sent anything about it.
    """
    exam = exam_queries.exam_by_id(connection, due.exam_id)
    if exam is None:
        return None
    sent = sent_documents.sent_to(connection, due.receiver, due.exam_id, due.document)
    if not exam.eyes and not sent:
        return None
    query = sa.select(sa.func.max(eye_result.c.resulted_at)).where(
        eye_result.c.exam_id == due.exam_id
    )
    resulted_at = connection.scalar(query)
    release_ids = {eye.decisive.release_id for eye in exam.eyes}
    captures = _captures(connection, exam)
    contents = [orjson.loads(row.content or "{}") for row in captures]
    return DocumentContent(
        exam=exam,
        releases=releases.read(connection, sorted(release_ids)),
        resulted_at=resulted_at or datetime.now(UTC),
        photographs=_photographs(captures),
        issuer=_issuer(exam.patient_key, captures, contents),
        accession_numbers=_accession_numbers(contents),
        sent=sent,
    )


def _captures(connection: sa.Connection, exam: Exam) -> Sequence[Any]:
    """Return the captures of an exam, each with the content of its result."""
    ids = []
    for eye in exam.eyes:
        for shot in eye.shots:
            ids.append(shot.capture_id)
    query = (
        sa.select(*capture.c[_OF_CAPTURE], result.c.content)
        .select_from(capture)
        .join(job, job.c.id == capture.c.job_id)
        .outerjoin(result, IS_RESULT_OF_JOB)  # a failed capture has none
        .where(capture.c.id.in_(ids))
        .order_by(capture.c.id)
    )
    return connection.execute(query).all()


def _photographs(captures: Iterable[Any]) -> dict[int, PhotographFile]:
    photographs = {}
    for row in captures:
        is_dicom = row.media_type == MediaType.DICOM
        photographs[row.id] = PhotographFile(row.camera_id, bytes(row.path), row.digest, is_dicom)
    return photographs


def _issuer(
    patient_key: str | None, captures: Iterable[Any], contents: Iterable[Mapping[str, Any]]
) -> str | None:
    """Return the issuer that the header of the patient's first photograph names."""
    for row, content in zip(captures, contents, strict=True):
        if row.patient_key and row.patient_key == patient_key:
            issuer: str | None = content.get("issuer")
            return issuer
    return None


def _accession_numbers(contents: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    numbers = [content["accession"] for content in contents if content.get("accession")]
    return tuple(dict.fromkeys(numbers))
