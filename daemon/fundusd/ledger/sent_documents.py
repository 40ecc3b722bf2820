"""Remember what each receiver was sent about an exam."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.domain.clinical_terms import Eye
from fundusd.domain.delivery import DocumentKind, DocumentStatus, SentDocument
from fundusd.ledger.database import insert_or_update
from fundusd.ledger.tables import sent_document

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_CHANGES = ("status", "content", "photographs")


def sent_to(
    connection: sa.Connection, receiver: str, exam_id: int, document: DocumentKind
) -> tuple[SentDocument, ...]:
    """Return what a receiver was sent about an exam, in the order in which it was first sent."""
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
    )


def remember(
    connection: sa.Connection,
    receiver: str,
    exam_id: int,
    documents: Iterable[SentDocument],
    *,
    is_accepted: bool,
) -> None:
    """Store what is being sent to a receiver or, if `is_accepted`, what it has confirmed.

    A repeated delivery updates the rows of the first one.
    """
    rows = []
    for document in documents:
        rows.append({"receiver": receiver, "exam_id": exam_id} | _columns(document))
    if not rows:
        return
    insert = insert_or_update(connection.dialect.name, sent_document)
    changes: dict[str, Any] = {name: insert.excluded[name] for name in _CHANGES}
    if is_accepted:
        insert = insert.values(sent_at=datetime.now(UTC))
        changes["sent_at"] = insert.excluded.sent_at
    else:
        is_same = sa.and_(
            sent_document.c.content == insert.excluded.content,
            sent_document.c.status == insert.excluded.status,
        )
        changes["sent_at"] = sa.case((is_same, sent_document.c.sent_at), else_=sa.null())
    key = [sent_document.c.exam_id, sent_document.c.receiver, sent_document.c.identifier]
    connection.execute(insert.on_conflict_do_update(index_elements=key, set_=changes), rows)


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
