"""Exams whose documents are held back until a reader has settled them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.clinical import document_rules
from fundusd.domain.delivery import DocumentKind
from fundusd.ledger import exam_queries
from fundusd.ledger.tables import delivery, exam, eye_result

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fundusd.clinical.exam import Exam
    from fundusd.domain.delivery import Subscription

_SLICE = 200  # exams that are judged at once


def held(
    connection: sa.Connection, subscriptions: Iterable[Subscription], limit: int
) -> list[dict[str, Any]]:
    """Return the newest exams that each receiver with `when = "reviewed"` waits for.

    `waits_for` lists the reasons, for example "left eye not read".
    """
    rows: list[dict[str, Any]] = []
    for subscription in subscriptions:
        if subscription.when_reviewed:
            held_exams = _held(connection, subscription)
            rows += [_row(subscription, exam) for exam in itertools.islice(held_exams, limit)]
    return rows


def _held(connection: sa.Connection, subscription: Subscription) -> Iterator[Exam]:
    """Yield the exams that a receiver waits for, newest first.

    Whether an exam has been released is known only once it has been judged.
    """
    every = _unreviewed(connection, subscription)
    for start in range(0, len(every), _SLICE):
        exams = exam_queries.judged(connection, every[start : start + _SLICE])
        yield from (exam for exam in reversed(exams) if document_rules.waits_for(exam))


def _unreviewed(connection: sa.Connection, subscription: Subscription) -> list[int]:
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
    return list(connection.scalars(query.order_by(exam.c.id.desc())))


def _row(subscription: Subscription, held_exam: Exam) -> dict[str, Any]:
    return {
        "receiver": subscription.receiver,
        "document": subscription.document,
        "exam_id": held_exam.exam_id,
        "waits_for": document_rules.waits_for(held_exam),
    }
