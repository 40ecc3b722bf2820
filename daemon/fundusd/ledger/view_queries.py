"""Queries of the views, for commands that print rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.domain.errors import RequestError
from fundusd.ledger import audit, views
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.tables import capture, exam

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

_SHORTEST_PREFIX = 12  # digits of a patient_key, as logs show it
_ROWS_AT_ONCE = 500
_AFTER_DIGITS = "g"  # sorts after every hexadecimal digit, in any collation
_HISTORY = {
    "exams": ("v_person_exam", ("-day",)),
    "eyes": ("v_eye_result", ("-day", "-eye")),
    "reviews": ("v_review", ("-review_id",)),
    "corrections": ("v_correction", ("-correction_id",)),
    "follow_ups": ("v_follow_up", ("-follow_up_id",)),
    "progression": ("v_progression", ("-day", "-eye")),
}


@dataclass(frozen=True, slots=True)
class ViewQuery:
    """A query of a view.

    A name in `order` that begins with "-" sorts by that column in descending order.
    """

    view: str
    order: Sequence[str]
    equal: Mapping[str, Any] = field(default_factory=dict)
    since: tuple[str, Any] | None = None  # a column and its smallest value
    limit: int | None = None

    def select(self) -> sa.Select[Any]:
        """Return the SELECT statement for this query."""
        query = sa.select(sa.text("*")).select_from(sa.table(self.view)).limit(self.limit)
        for name, value in self.equal.items():
            query = query.where(views.column(name) == value)
        if self.since is not None:
            name, smallest = self.since
            query = query.where(views.column(name) >= smallest)
        for name in self.order:
            column = views.column(name.removeprefix("-"))
            query = query.order_by(column.desc() if name.startswith("-") else column)
        return query


def ask(connection: sa.Connection, query: ViewQuery) -> list[dict[str, Any]]:
    """Return the rows that a query selects from a view."""
    return list(views.rows(connection.execute(query.select())))


def columns_of(connection: sa.Connection, view: str) -> list[str]:
    """Return the names of a view's columns."""
    empty = sa.select(sa.text("*")).select_from(sa.table(view)).limit(0)
    return list(connection.execute(empty).keys())


def results(
    connection: sa.Connection,
    *,
    since: datetime | None = None,
    superseded: bool = False,
    limit: int | None = None,
    **equal: Any,
) -> Iterator[dict[str, Any]]:
    """Yield rows of v_result as they are read, newest first.

    `since` is the earliest time of arrival. If `superseded` is true, older revisions are included.
    `equal` maps columns to the values that they must have, where None matches any value.
    """
    wanted = {name: value for name, value in equal.items() if value is not None}
    if not superseded:
        wanted["superseded"] = False
    arrived = None if since is None else ("received_at", since)
    query = ViewQuery("v_result", ("-capture_id",), wanted, arrived, limit)
    statement = query.select().execution_options(yield_per=_ROWS_AT_ONCE)
    # closed even if the caller stops early, because the server's cursor must not stay open
    with connection.execute(statement) as result:
        yield from views.rows(result)


def person(connection: sa.Connection, key: str) -> dict[str, Any]:
    """Return the exams, eyes, readings, corrections, follow-ups and progression of a person.

    `key` is a patient key, the first digits of a patient key, or a patient id. The query is
    recorded in the audit trail. Raises RequestError if no person matches or several people match.
    The error contains no patient id, because it may be logged.
    """
    keys = _matching_keys(connection, key)
    if not keys:
        raise RequestError(
            "No person has this key or patient id.",
            hint=f"Give a patient_key or at least its first {_SHORTEST_PREFIX} digits; "
            "fundusd worklist --json and --csv print the keys.",
        )
    if len(keys) > 1:
        raise RequestError(
            f"{len(keys)} people match this key or patient id.",
            hint=f"Their keys: {', '.join(match[:20] for match in keys[:9])}.",
        )
    patient_key = keys[0]
    audit.append(connection, audit.Entry(AuditEvent.PERSON_QUERIED, "person", None, patient_key))
    history: dict[str, Any] = {"patient_key": patient_key, "patient_id": None}
    for name, (view, order) in _HISTORY.items():
        history[name] = ask(connection, ViewQuery(view, order, {"patient_key": patient_key}))
    for row in history["exams"]:
        history["patient_id"] = history["patient_id"] or row["patient_id"]
    return history


def _matching_keys(connection: sa.Connection, key: str) -> list[str]:
    """Return the patient keys that begin with `key`.

    If there are none, treat `key` as a patient id, and return its patient keys.
    """
    keys = sa.select(exam.c.patient_key).distinct()
    if len(key) >= _SHORTEST_PREFIX and set(key) <= set("0123456789abcdef"):
        begins = sa.and_(exam.c.patient_key >= key, exam.c.patient_key < key + _AFTER_DIGITS)
        if matches := connection.scalars(keys.where(begins)).all():
            return sorted(matches)
    keys = keys.join(capture, capture.c.exam_id == exam.c.id)
    of_exam = [exam.c.patient_key, exam.c.bare_key]
    named = sa.and_(capture.c.patient_id == key, capture.c.patient_key.in_(of_exam))
    otherwise_named = sa.and_(
        capture.c.other_patient_id == key, capture.c.other_patient_key.in_(of_exam)
    )
    keys = keys.where(sa.or_(named, otherwise_named))
    return sorted(connection.scalars(keys))
