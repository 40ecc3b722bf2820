"""Ask the views: what the commands of the command line print of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.domain.errors import RequestError
from fundusd.ledger import audit
from fundusd.ledger.tables import capture, exam
from fundusd.ledger.views import VIEWS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SHORTEST = 12  # digits of a patient_key, as logs show it
_AFTER = "g"  # follows every hexadecimal digit, in any collation
_ABOUT = {
    "exams": ("v_person_exam", ("-day",)),
    "eyes": ("v_eye_result", ("-day", "-eye")),
    "reviews": ("v_review", ("-review_id",)),
    "progression": ("v_progression", ("-day", "-eye")),
}


@dataclass(frozen=True, slots=True)
class Question:
    """Which rows of a view are asked for, in which order; a minus before a column's name turns it round."""

    view: str
    order: Sequence[str]
    equal: Mapping[str, Any] = field(default_factory=dict)
    since: tuple[str, Any] | None = None  # a column, and the least of what it holds
    limit: int | None = None


def ask(connection: sa.Connection, asked: Question) -> list[dict[str, Any]]:
    """Return the rows of a view."""
    view = VIEWS[asked.view]
    query = sa.select(view).where(*(view.c[name] == value for name, value in asked.equal.items()))
    if asked.since is not None:
        name, least = asked.since
        query = query.where(view.c[name] >= least)
    order = (
        view.c[name[1:]].desc() if name.startswith("-") else view.c[name] for name in asked.order
    )
    return [
        dict(row)
        for row in connection.execute(query.order_by(*order).limit(asked.limit)).mappings()
    ]


def person(connection: sa.Connection, key: str) -> dict[str, Any]:
    """Return all exams of a person, by patient key or its first digits, or by patient id; audited. Raises RequestError.

    The error names nobody: it may end up in a log.
    """
    keys = _keys(connection, key)
    if not keys:
        raise RequestError(
            "There is no person of that key or patient id.",
            hint=f"Type a patient_key, at least its first {_SHORTEST} digits, as fundusd worklist shows it.",
        )
    if len(keys) > 1:
        raise RequestError(
            f"{len(keys)} persons are meant by that.",
            hint=f"Their keys: {', '.join(one[:20] for one in keys[:9])}.",
        )
    audit.append(connection, audit.Entry("person.queried", "person", None, keys[0]))
    told = {
        name: ask(connection, Question(view, order, {"patient_key": keys[0]}))
        for name, (view, order) in _ABOUT.items()
    }  # fmt: skip
    return {"patient_key": keys[0], "patient_id": _patient_id(told["exams"])} | told


def _keys(connection: sa.Connection, key: str) -> list[str]:
    """Find the keys that are meant: of those there are exams of."""
    is_key = len(key) >= _SHORTEST and set(key) <= set("0123456789abcdef")
    if is_key:
        by_key = sa.and_(exam.c.patient_key >= key, exam.c.patient_key < key + _AFTER)
        if keys := connection.scalars(sa.select(exam.c.patient_key).where(by_key).distinct()).all():
            return sorted(keys)
    by_id = sa.select(exam.c.patient_key).join(capture, capture.c.exam_id == exam.c.id)
    by_id = by_id.where(capture.c.patient_id == key, exam.c.patient_key.isnot(None))
    return sorted(connection.scalars(by_id.distinct()))


def _patient_id(exams: Sequence[Mapping[str, Any]]) -> str | None:
    return next((row["patient_id"] for row in exams if row["patient_id"]), None)
