"""List and count deliveries for commands, and queue them again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from fundusd.domain.delivery import REMOVE, DeliveryState
from fundusd.domain.errors import RequestError
from fundusd.ledger import audit
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.database import epoch_now, rows_as_dicts
from fundusd.ledger.deliveries import REQUESTED_AT
from fundusd.ledger.tables import delivery

_OPEN = (DeliveryState.QUEUED, DeliveryState.FAILED)
_LISTED = (
    "id",
    "receiver",
    "document",
    "exam_id",
    "state",
    "attempts",
    "answer",
    "created_at",
    "delivered_at",
)
_RECENTLY, _ADVISED = timedelta(days=1), timedelta(days=30)


def listed(
    connection: sa.Connection, state: DeliveryState | None, limit: int
) -> list[dict[str, Any]]:
    """Return deliveries in a state, newest first.

    If `state` is None, return those that are queued or have failed, after them those delivered
    within a month after which somebody has to remove reports, and then those delivered within a
    day.
    """
    is_queued = delivery.c.state == DeliveryState.QUEUED
    is_open = delivery.c.state.in_(_OPEN)
    is_listed = delivery.c.state == state
    has_advice = delivery.c.answer.contains(REMOVE, autoescape=True)
    if state is None:
        now = datetime.now(UTC)
        is_advice = has_advice & (delivery.c.delivered_at >= now - _ADVISED)
        is_listed = is_open | is_advice | (delivery.c.delivered_at >= now - _RECENTLY)
    left = delivery.c.available_at - epoch_now()
    waits = sa.case((is_queued & (left > 0), left), (is_queued, 0.0), else_=sa.null())
    query = (
        sa.select(*delivery.c[_LISTED], waits.label("next_in_seconds"))
        .where(is_listed)
        .order_by(sa.case((is_open, 0), (has_advice, 1), else_=2), delivery.c.id.desc())
        .limit(limit)
    )
    return rows_as_dicts(connection, query)


def counts(connection: sa.Connection) -> list[dict[str, Any]]:
    """Return the numbers of queued and of failed deliveries for each receiver.

    There is one row per receiver and state, which also contains the highest number of attempts.
    """
    is_open = delivery.c.state.in_(_OPEN)
    query = (
        sa.select(delivery.c.receiver, delivery.c.state, sa.func.count().label("count"))
        .add_columns(sa.func.max(delivery.c.attempts).label("attempts"))
        .where(is_open)
        .group_by(delivery.c.receiver, delivery.c.state)
        .order_by(delivery.c.receiver, delivery.c.state)
    )
    return rows_as_dicts(connection, query)


def retry(connection: sa.Connection, delivery_id: int | None, *, again: bool = False) -> int:
    """Queue a delivery so that it is due at once, unless it has been delivered.

    If `again`, a delivered one is queued, too. If `delivery_id` is None, all failed deliveries are
    queued. Return the number of deliveries that were queued. Raises RequestError if there is no
    such delivery.
    """
    detail: dict[str, Any] = {}
    if delivery_id is None:
        which = delivery.c.state == DeliveryState.FAILED
    else:
        which = delivery.c.id == delivery_id
        if connection.scalar(sa.select(delivery.c.id).where(which)) is None:
            raise RequestError(
                f"There is no document {delivery_id}.", hint="fundusd outbox lists the documents."
            )
        detail["delivery_id"] = delivery_id
        if not again:
            which = sa.and_(which, delivery.c.state.in_(_OPEN))
    queued = {"state": DeliveryState.QUEUED, "attempts": 0, "available_at": REQUESTED_AT}
    count = connection.execute(sa.update(delivery).where(which).values(**queued)).rowcount
    if count:
        audit.append(
            connection, audit.Entry(AuditEvent.DOCUMENT_QUEUED, detail=detail | {"count": count})
        )
    return count
