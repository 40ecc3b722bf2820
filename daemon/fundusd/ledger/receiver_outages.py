"""Record when a receiver is away and when it is back, and queue what waited for it.

The audit chain is the record; there is no table of receivers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import orjson
import sqlalchemy as sa

from fundusd.domain.delivery import DeliveryState
from fundusd.ledger import audit
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.database import epoch_now
from fundusd.ledger.tables import audit_event, delivery

if TYPE_CHECKING:
    from collections.abc import Mapping

_EVENTS = (AuditEvent.RECEIVER_AWAY, AuditEvent.RECEIVER_BACK)
_WITHIN = 50_000  # audit events: without an index, only the newest are searched


@dataclass(frozen=True, slots=True)
class ReceiverOutage:
    """An outage of a receiver: since when, and the last reason that was recorded."""

    since: datetime
    reason: str


def receiver_away(connection: sa.Connection, receiver: str, reason: str, since: datetime) -> None:
    """Record that a receiver is away; call this again every hour while it is."""
    detail = {"receiver": receiver, "problem": reason, "since": since.isoformat()}
    audit.append(connection, audit.Entry(AuditEvent.RECEIVER_AWAY, detail=detail))


def receiver_back(connection: sa.Connection, receiver: str, *, queue_waiting: bool) -> None:
    """Record that a receiver is back.

    If `queue_waiting`, what was tried in vain and waits for its next attempt is due at once.
    """
    audit.append(connection, audit.Entry(AuditEvent.RECEIVER_BACK, detail={"receiver": receiver}))
    if queue_waiting:
        is_waiting = sa.and_(
            delivery.c.receiver == receiver,
            delivery.c.state == DeliveryState.QUEUED,
            delivery.c.attempts > 0,
        )
        connection.execute(sa.update(delivery).where(is_waiting).values(available_at=epoch_now()))


def receivers_away(connection: sa.Connection) -> Mapping[str, ReceiverOutage]:
    """Return the receivers that are away."""
    newest = connection.scalar(sa.select(sa.func.max(audit_event.c.seq))) or 0
    query = sa.select(audit_event.c.event, audit_event.c.detail).where(
        audit_event.c.seq > newest - _WITHIN, audit_event.c.event.in_(_EVENTS)
    )
    outages: dict[str, ReceiverOutage] = {}
    for row in connection.execute(query.order_by(audit_event.c.seq)):
        detail = orjson.loads(row.detail)
        outages.pop(detail["receiver"], None)
        if row.event == AuditEvent.RECEIVER_AWAY:
            since = datetime.fromisoformat(detail["since"])
            outages[detail["receiver"]] = ReceiverOutage(since, detail["problem"])
    return outages
