"""What receivers are still to be told of which exams: queued with the change itself, kept until it is delivered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from fundusd.domain.decoding import MediaType
from fundusd.domain.delivery import DeliveryState, DocumentKind, Subscription
from fundusd.domain.inference import Release
from fundusd.ledger import audit
from fundusd.ledger.database import epoch_now
from fundusd.ledger.tables import capture, delivery, exam, eye_result, release

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundusd.clinical.exam import Exam


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery whose time has come; `changes` tells whether the exam is still the one that was sent."""

    delivery_id: int
    receiver: str
    document: DocumentKind
    exam_id: int
    changes: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Photograph:
    """A file that can be read again, by the digest that it had."""

    camera_id: str
    path: bytes
    digest: str
    is_dicom: bool


@dataclass(frozen=True, slots=True)
class Told:
    """All that documents about an exam are made of."""

    exam: Exam
    releases: Mapping[int, Release]
    resulted_at: datetime
    photographs: Mapping[int, Photograph]  # by capture


def queue(connection: sa.Connection, changed: Sequence[Exam]) -> None:
    """Queue exams that have changed for each receiver that wants to know, once, however often they change."""
    subscriptions: Sequence[Subscription] = connection.get_execution_options().get(
        "subscriptions", ()
    )
    for one in subscriptions:
        rows = [_row(one, each) for each in changed if _is_wanted(one, each)]
        if rows:
            connection.execute(_again(connection.dialect.name, one.quiet_seconds), rows)


def _is_wanted(one: Subscription, changed: Exam) -> bool:
    if not changed.eyes or (one.document is DocumentKind.SR and changed.study_uid is None):
        return False  # without a study there is nothing to put a report into
    return changed.is_reviewed or not one.when_reviewed


def _row(one: Subscription, changed: Exam) -> dict[str, Any]:
    return {
        "receiver": one.receiver,
        "document": one.document,
        "exam_id": changed.exam_id,
        "camera_id": changed.eyes[0].decisive.camera_id,
        "state": DeliveryState.QUEUED,
        "changes": 1,
        "attempts": 0,
        "created_at": datetime.now(UTC),
    }


def _again(dialect: str, quiet_seconds: float) -> sa.Insert:
    insert = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(delivery)
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


def due(connection: sa.Connection, receiver: str, mine: Sequence[str]) -> Due | None:
    """Return the delivery to a receiver that has waited longest, of our cameras, () for all; None when none is due."""
    query = sa.select(delivery).where(
        delivery.c.state == sa.literal_column("'queued'"),
        delivery.c.receiver == receiver,
        delivery.c.available_at <= epoch_now(),
    )
    if mine:
        query = query.where(delivery.c.camera_id.in_(mine))
    row = (
        connection.execute(query.order_by(delivery.c.available_at, delivery.c.id).limit(1))
        .mappings()
        .one_or_none()
    )
    if row is None:
        return None
    return Due(
        row["id"],
        receiver,
        DocumentKind(row["document"]),
        row["exam_id"],
        row["changes"],
        row["attempts"],
    )


def told(connection: sa.Connection, found: Exam) -> Told:
    """Add to an exam what else documents about it are made of."""
    resulted_at = connection.scalar(
        sa.select(eye_result.c.resulted_at)
        .where(eye_result.c.exam_id == found.exam_id)
        .order_by(eye_result.c.resulted_at.desc())
        .limit(1)
    )
    columns = [capture.c[name] for name in ("id", "camera_id", "path", "digest", "media_type")]
    captures = [shot.capture_id for eye in found.eyes for shot in eye.shots]
    rows = connection.execute(sa.select(*columns).where(capture.c.id.in_(captures)))
    photographs = {
        row.id: Photograph(
            row.camera_id, bytes(row.path), row.digest, row.media_type == MediaType.DICOM
        )
        for row in rows
    }
    return Told(found, _releases(connection, found), resulted_at or datetime.now(UTC), photographs)


def _releases(connection: sa.Connection, found: Exam) -> dict[int, Release]:
    ids = {eye.decisive.release_id for eye in found.eyes}
    rows = connection.execute(sa.select(release).where(release.c.id.in_(ids))).mappings()
    return {
        row["id"]: Release(
            **{name: row[name] for name in Release.__dataclass_fields__ if name != "files"},
            files=orjson.loads(row["files"]),
        )
        for row in rows
    }


def delivered(connection: sa.Connection, sent: Due, answer: str, count: int) -> bool:
    """Note what a receiver took; False when the exam has changed meanwhile, and is to be sent again."""
    columns = {
        "state": DeliveryState.DELIVERED,
        "attempts": sent.attempts + 1,
        "answer": answer,
        "delivered_at": datetime.now(UTC),
    }
    is_newest = _settle(connection, sent, columns)
    _note(connection, "document.sent", sent, {"count": count, "attempts": sent.attempts + 1})
    return is_newest


def failed(connection: sa.Connection, sent: Due, answer: str) -> None:
    """Give a delivery up, with the reason."""
    columns = {"state": DeliveryState.FAILED, "attempts": sent.attempts + 1, "answer": answer}
    _settle(connection, sent, columns)
    _note(connection, "document.refused", sent, {"attempts": sent.attempts + 1, "problem": answer})


def postponed(connection: sa.Connection, sent: Due, answer: str, wait_seconds: float) -> None:
    """Try a delivery again later."""
    later = epoch_now() + wait_seconds
    _settle(
        connection, sent, {"attempts": sent.attempts + 1, "answer": answer, "available_at": later}
    )


def _settle(connection: sa.Connection, sent: Due, columns: Mapping[str, Any]) -> bool:
    same = sa.and_(delivery.c.id == sent.delivery_id, delivery.c.changes == sent.changes)
    return connection.execute(sa.update(delivery).where(same).values(**columns)).rowcount == 1


def _note(connection: sa.Connection, event: str, sent: Due, detail: dict[str, Any]) -> None:
    key = connection.scalar(sa.select(exam.c.patient_key).where(exam.c.id == sent.exam_id))
    detail |= {"receiver": sent.receiver, "document": sent.document}
    audit.append(connection, audit.Entry(event, "exam", sent.exam_id, key, None, None, detail))


def listed(
    connection: sa.Connection, state: DeliveryState | None, limit: int
) -> list[dict[str, Any]]:
    """Return deliveries for people: those that wait or failed, or in one state; the newest first."""
    wanted = [DeliveryState.QUEUED, DeliveryState.FAILED] if state is None else [state]
    names = (
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
    waits = sa.case(
        (delivery.c.state == DeliveryState.QUEUED, delivery.c.available_at - epoch_now()),
        else_=sa.null(),
    ).label("next_in_seconds")
    query = sa.select(*(delivery.c[name] for name in names), waits).where(
        delivery.c.state.in_(wanted)
    )
    return [
        dict(row)
        for row in connection.execute(query.order_by(delivery.c.id.desc()).limit(limit)).mappings()
    ]


def counts(connection: sa.Connection) -> list[dict[str, Any]]:
    """Count what is queued and what failed for each receiver, with the last answer of one that waits."""
    is_open = delivery.c.state.in_([DeliveryState.QUEUED, DeliveryState.FAILED])
    query = (
        sa.select(delivery.c.receiver, delivery.c.state, sa.func.count().label("count"))
        .add_columns(sa.func.max(delivery.c.attempts).label("attempts"))
        .where(is_open)
        .group_by(delivery.c.receiver, delivery.c.state)
        .order_by(delivery.c.receiver, delivery.c.state)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def retry(connection: sa.Connection, delivery_id: int | None) -> int:
    """Queue a delivery again at once, or with None all that failed; return how many."""
    which = (
        delivery.c.state == DeliveryState.FAILED
        if delivery_id is None
        else delivery.c.id == delivery_id
    )
    again = {"state": DeliveryState.QUEUED, "attempts": 0, "available_at": epoch_now()}
    count = connection.execute(sa.update(delivery).where(which).values(**again)).rowcount
    if count:
        detail = {"count": count} | ({} if delivery_id is None else {"delivery_id": delivery_id})
        audit.append(connection, audit.Entry("document.queued", detail=detail))
    return count
