"""Read the content of the documents about an exam."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from fundusd.domain.decoding import MediaType
from fundusd.ledger import exam_queries, releases
from fundusd.ledger.tables import capture, eye_result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fundusd.clinical.exam import Exam
    from fundusd.domain.inference import Release


@dataclass(frozen=True, slots=True)
class PhotographFile:
    """The file of a photograph, with the digest of its bytes at admission."""

    camera_id: str
    path: bytes
    digest: str
    is_dicom: bool


@dataclass(frozen=True, slots=True)
class DocumentContent:
    """The content of the documents about an exam: the exam, its releases and its photographs."""

    exam: Exam
    releases: Mapping[int, Release]
    resulted_at: datetime
    photographs: Mapping[int, PhotographFile]  # by capture


def document_content(connection: sa.Connection, exam_id: int) -> DocumentContent | None:
    """Return the content of the documents about an exam.

    Return None if there is no such exam, or if none of its eyes has a result any more.
    """
    exam = exam_queries.exam_by_id(connection, exam_id)
    if exam is None or not exam.eyes:
        return None
    query = sa.select(sa.func.max(eye_result.c.resulted_at)).where(eye_result.c.exam_id == exam_id)
    resulted_at = connection.scalar(query)
    release_ids = {eye.decisive.release_id for eye in exam.eyes}
    return DocumentContent(
        exam=exam,
        releases=releases.read(connection, sorted(release_ids)),
        resulted_at=resulted_at or datetime.now(UTC),
        photographs=_photographs(connection, exam),
    )


def _photographs(connection: sa.Connection, exam: Exam) -> dict[int, PhotographFile]:
    ids = []
    for eye in exam.eyes:
        for shot in eye.shots:
            ids.append(shot.capture_id)
    photographs = {}
    for row in connection.execute(sa.select(capture).where(capture.c.id.in_(ids))):
        is_dicom = row.media_type == MediaType.DICOM
        photographs[row.id] = PhotographFile(row.camera_id, bytes(row.path), row.digest, is_dicom)
    return photographs
