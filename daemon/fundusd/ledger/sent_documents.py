"""Remember what each receiver was sent about an exam."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.domain.clinical_terms import Eye
from fundusd.domain.delivery import DocumentKind, DocumentStatus, SentDocument
from fundusd.ledger.tables import sent_document

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


_NEVER_FINAL = (DocumentStatus.PRELIMINARY, DocumentStatus.ENTERED_IN_ERROR)  # by themselves


def sent_to(
    connection: sa.Connection, receiver: str, exam_id: int, document: DocumentKind
) -> tuple[SentDocument, ...]:
    """Return what a receiver was sent about an exam, in the order in which it was last sent."""
    query = (
        sa.select(sent_document)
        .where(
            sent_document.c.exam_id == exam_id,
            sent_document.c.receiver == receiver,
            sent_document.c.document == document,
        )
        .order_by(sent_document.c.id)
    )
    return tuple(_sent(row) for row in connection.execute(query))


def _sent(row: sa.Row[Any]) -> SentDocument:
    return SentDocument(
        document=DocumentKind(row.document),
        eye=None if row.eye is None else Eye(row.eye),
        identifier=row.identifier,
        status=DocumentStatus(row.status),
        content=row.content,
        photographs=tuple(row.photographs.split()),
        study_uid=row.study_uid,
        series_uid=row.series_uid,
        is_accepted=row.sent_at is not None,
        has_been_final=row.has_been_final,
    )


def begin(
    connection: sa.Connection, receiver: str, exam_id: int, documents: Sequence[SentDocument]
) -> None:
    """Store what is about to be sent to a receiver, after everything that was sent before.

    The receiver's confirmation of the same document is kept.
    """
    accepted = {}
    been_final: set[str] = set()
    is_of_exam = sa.and_(
        sent_document.c.exam_id == exam_id,
        sent_document.c.receiver == receiver,
        sent_document.c.identifier.in_([document.identifier for document in documents]),
    )
    for row in connection.execute(sa.select(sent_document).where(is_of_exam)):
        accepted[row.identifier, row.content, row.status] = row.sent_at
        if row.has_been_final:
            been_final.add(row.identifier)
    connection.execute(sa.delete(sent_document).where(is_of_exam))
    rows = []
    for document in documents:
        key = (document.identifier, document.content, document.status)
        columns = {"receiver": receiver, "exam_id": exam_id, "sent_at": accepted.get(key)}
        is_final = document.status not in _NEVER_FINAL or document.identifier in been_final
        columns["has_been_final"] = is_final
        rows.append(columns | _columns(document))
    if rows:
        connection.execute(sa.insert(sent_document), rows)


def confirm(
    connection: sa.Connection, receiver: str, exam_id: int, documents: Iterable[SentDocument]
) -> None:
    """Store that a receiver has confirmed documents."""
    identifiers = [document.identifier for document in documents]
    is_meant = sa.and_(
        sent_document.c.exam_id == exam_id,
        sent_document.c.receiver == receiver,
        sent_document.c.identifier.in_(identifiers),
    )
    connection.execute(sa.update(sent_document).where(is_meant).values(sent_at=datetime.now(UTC)))


def _columns(document: SentDocument) -> dict[str, Any]:
    return {
        "document": document.document,
        "eye": document.eye,
        "identifier": document.identifier,
        "status": document.status,
        "content": document.content,
        "photographs": " ".join(document.photographs),
        "study_uid": document.study_uid,
        "series_uid": document.series_uid,
    }


def informed(connection: sa.Connection, receiver: str, exam_ids: Sequence[int]) -> set[int]:
    """Return those exams about which a receiver was sent something."""
    query = sa.select(sent_document.c.exam_id).where(
        sent_document.c.exam_id.in_(exam_ids), sent_document.c.receiver == receiver
    )
    return set(connection.scalars(query.distinct()))
