"""Queue documents for receivers whenever an exam changes, and keep track of their delivery."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.clinical import document_rules
from fundusd.domain.delivery import DeliveryState, DocumentKind, Subscription
from fundusd.domain.retry_policy import LONGEST_PAUSE_SECONDS
from fundusd.ledger import audit, sent_documents
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.database import epoch_now, insert_or_update
from fundusd.ledger.tables import delivery, exam, storable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundusd.clinical.exam import Exam
    from fundusd.domain.delivery import SentDocument
    from fundusd.ledger.transactions import Recording

# `available_at` of what an operator has queued: it goes first, even while the receiver is away
REQUESTED_AT = 0.0


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that is due.

    `changes` counts the changes to the exam for which this delivery has been queued.
    """

    delivery_id: int
    receiver: str
    document: DocumentKind
    exam_id: int
    changes: int
    attempts: int


# -- queueing


def queue(recording: Recording, changed: Sequence[Exam]) -> None:
    """Queue documents about changed exams for the receivers that want them.

    At any time, there is only one delivery per exam and receiver.
    """
    connection = recording.connection
    for subscription in recording.subscriptions:
        informed = _informed(connection, subscription, changed)
        rows, emptied = [], []
        for changed_exam in changed:
            was_informed = changed_exam.exam_id in informed
            if changed_exam.eyes and (was_informed or _is_wanted(subscription, changed_exam)):
                rows.append(_row(subscription, changed_exam))
            elif was_informed:
                emptied.append(changed_exam.exam_id)
        if rows:
            connection.execute(_queue_again(connection, subscription.quiet_seconds), rows)
        if emptied:
            connection.execute(_queue_emptied(subscription, emptied))


def _informed(
    connection: sa.Connection, subscription: Subscription, changed: Sequence[Exam]
) -> set[int]:
    """Return those exams that are not wanted, but about which the receiver was sent something.

    The receiver has to learn that it is outdated.
    """
    ids = [each.exam_id for each in changed if not _is_wanted(subscription, each)]
    if not ids:
        return set()
    return sent_documents.informed(connection, subscription.receiver, ids)


def _is_wanted(subscription: Subscription, changed: Exam) -> bool:
    if not changed.eyes:
        return False
    if subscription.document is DocumentKind.SR and changed.study_uid is None:
        return False  # there is no study to add a report to
    return not subscription.when_reviewed or document_rules.is_released(changed)


def _row(subscription: Subscription, changed: Exam) -> dict[str, Any]:
    return {
        "receiver": subscription.receiver,
        "document": subscription.document,
        "exam_id": changed.exam_id,
        "camera_id": changed.eyes[0].decisive.camera_id,
        "state": DeliveryState.QUEUED,
        "changes": 1,
        "attempts": 0,
        "created_at": datetime.now(UTC),
    }


def _queue_again(connection: sa.Connection, quiet_seconds: float) -> sa.Insert:
    insert = insert_or_update(connection.dialect.name, delivery)
    insert = insert.values(available_at=epoch_now() + quiet_seconds)
    return insert.on_conflict_do_update(
        index_elements=[delivery.c.receiver, delivery.c.exam_id],
        set_={
            "document": insert.excluded.document,
            "camera_id": insert.excluded.camera_id,
            "state": DeliveryState.QUEUED,
            "changes": delivery.c.changes + 1,
            "attempts": 0,
            "available_at": insert.excluded.available_at,
        },
    )


def _queue_emptied(subscription: Subscription, exam_ids: Sequence[int]) -> sa.Update:
    """Return an UPDATE that queues deliveries again although the exams have no eyes any more."""
    changes = {
        "state": DeliveryState.QUEUED,
        "changes": delivery.c.changes + 1,
        "attempts": 0,
        "available_at": epoch_now() + subscription.quiet_seconds,
    }
    is_meant = sa.and_(
        delivery.c.receiver == subscription.receiver, delivery.c.exam_id.in_(exam_ids)
    )
    return sa.update(delivery).where(is_meant).values(changes)


# -- delivering


def due(
    connection: sa.Connection,
    receiver: str,
    cameras: Sequence[str] = (),
    longest_pause: float = LONGEST_PAUSE_SECONDS,
    *,
    only_requested: bool = False,
) -> Due | None:
    """Return the delivery that has been due longest for a receiver, or None if none is due.

    A delivery that lies further ahead than any pause was postponed while the clock was wrong, and
    is due at once. If `cameras` is not empty, only deliveries for these cameras count. Other
    daemons handle the rest. If `only_requested`, only what an operator has queued again counts.
    """
    query = sa.select(delivery).where(
        delivery.c.state == sa.literal_column("'queued'"),
        delivery.c.receiver == receiver,
    )
    if cameras:
        query = query.where(delivery.c.camera_id.in_(cameras))
    query = query.order_by(delivery.c.available_at, delivery.c.id).limit(1)
    # two queries, because the index serves each of them and not both at once
    has_passed = delivery.c.available_at <= epoch_now()
    is_too_far = delivery.c.available_at > epoch_now() + longest_pause
    conditions = [has_passed, is_too_far]
    if only_requested:
        conditions = [delivery.c.available_at <= REQUESTED_AT]
    for condition in conditions:
        row = connection.execute(query.where(condition)).one_or_none()
        if row is not None:
            document = DocumentKind(row.document)
            return Due(row.id, receiver, document, row.exam_id, row.changes, row.attempts)
    return None


def begin_attempt(connection: sa.Connection, due_now: Due, wait_seconds: float) -> None:
    """Count an attempt before it is made, and schedule the next one.

    A delivery that kills the process is therefore neither tried at once after the restart nor
    tried for ever without a count.
    """
    columns = {"attempts": due_now.attempts + 1, "available_at": epoch_now() + wait_seconds}
    _settle(connection, due_now, columns)


def sending(connection: sa.Connection, due_now: Due, documents: Sequence[SentDocument]) -> None:
    """Store what is about to be sent, because the answer may be lost."""
    sent_documents.begin(connection, due_now.receiver, due_now.exam_id, documents)


def delivered(
    connection: sa.Connection,
    sent: Due,
    answer: str,
    count: int,
    documents: Sequence[SentDocument] = (),
) -> bool:
    """Store a receiver's answer to a delivery, and what it was sent.

    Return False if the exam has changed in the meantime. In that case, its document is sent again.
    """
    sent_documents.confirm(connection, sent.receiver, sent.exam_id, documents)
    columns = {
        "state": DeliveryState.DELIVERED,
        "attempts": sent.attempts + 1,
        "answer": storable(answer),
        "delivered_at": datetime.now(UTC),
    }
    is_newest = _settle(connection, sent, columns)
    _note(
        connection, AuditEvent.DOCUMENT_SENT, sent, {"count": count, "attempts": sent.attempts + 1}
    )
    return is_newest


def undelivered(
    connection: sa.Connection,
    sent: Due,
    answer: str,
    wait_seconds: float | None,
    documents: Sequence[SentDocument] = (),
) -> None:
    """Schedule another attempt at a delivery, or give up if `wait_seconds` is None.

    `answer` is the reason why not everything was delivered. `documents` are those that were.
    """
    sent_documents.confirm(connection, sent.receiver, sent.exam_id, documents)
    answer, attempts = storable(answer), sent.attempts + 1
    columns = {"attempts": attempts, "answer": answer}
    if wait_seconds is None:
        _settle(connection, sent, columns | {"state": DeliveryState.FAILED})
        _note(
            connection, AuditEvent.DOCUMENT_REFUSED, sent, {"attempts": attempts, "problem": answer}
        )
    else:
        _settle(connection, sent, columns | {"available_at": epoch_now() + wait_seconds})


def _settle(connection: sa.Connection, sent: Due, columns: Mapping[str, Any]) -> bool:
    same = sa.and_(delivery.c.id == sent.delivery_id, delivery.c.changes == sent.changes)
    return connection.execute(sa.update(delivery).where(same).values(**columns)).rowcount == 1


def _note(connection: sa.Connection, event: AuditEvent, sent: Due, detail: dict[str, Any]) -> None:
    patient_key = connection.scalar(sa.select(exam.c.patient_key).where(exam.c.id == sent.exam_id))
    detail |= {"receiver": sent.receiver, "document": sent.document}
    audit.append(connection, audit.Entry(event, "exam", sent.exam_id, patient_key, detail=detail))
