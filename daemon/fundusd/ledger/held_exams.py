"""Exams whose documents are held back until a reader has settled them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.clinical import document_rules
from fundusd.domain.delivery import DocumentKind
from fundusd.ledger import exam_queries
from fundusd.ledger.tables import delivery, exam, eye_result

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fundusd.domain.delivery import Subscription


def held(
    connection: sa.Connection, subscriptions: Iterable[Subscription], limit: int
) -> list[dict[str, Any]]:
    """Return the newest exams that each receiver with `when = "reviewed"` waits for.

    `waits_for` lists the reasons, for example "left eye not read".
    """
    rows = []
    for subscription in subscriptions:
        if subscription.when_reviewed:
            for exam_id in _unreleased(connection, subscription, limit):
                row = _row(connection, subscription, exam_id)
                if row["waits_for"]:
                    rows.append(row)
    return rows


def _unreleased(connection: sa.Connection, subscription: Subscription, limit: int) -> list[int]:
    """Return exams that have a result and an eye that no reader has settled, newest first."""
    is_queued = sa.exists().where(
        delivery.c.exam_id == exam.c.id, delivery.c.receiver == subscription.receiver
    )
    query = sa.select(exam.c.id).where(
        exam.c.is_reviewed.is_(False),
        sa.exists().where(eye_result.c.exam_id == exam.c.id),
        ~is_queued,
    )
    if subscription.document is DocumentKind.SR:
        query = query.where(exam.c.study_uid.is_not(None))
    return list(connection.scalars(query.order_by(exam.c.id.desc()).limit(limit)))


def _row(connection: sa.Connection, subscription: Subscription, exam_id: int) -> dict[str, Any]:
    held_exam = exam_queries.exam_by_id(connection, exam_id)
    return {
        "receiver": subscription.receiver,
        "document": subscription.document,
        "exam_id": exam_id,
        "waits_for": [] if held_exam is None else document_rules.waits_for(held_exam),
    }
