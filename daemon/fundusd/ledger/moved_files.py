"""Files that were moved or renamed: what their captures keep of those at the old places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.clinical_terms import EyeSource
from fundusd.domain.readings import ExclusionReason
from fundusd.ledger import audit, visits
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.database import picked
from fundusd.ledger.tables import capture, exam

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    Row = Mapping[Any, Any]

CORRECTED = ("corrected_eye", "excluded", "placed_exam_id", "belongs")
# why a photograph does not count in one exam, although it may in another
_OF_THE_VISIT = (ExclusionReason.NOT_THIS_PATIENT, ExclusionReason.RETAKEN)
_PATIENT = ("patient_id", "patient_key", "other_patient_id", "other_patient_key")
_EYE = ("eye", "eye_source")
_DAY = ("acquired_at", "acquired_day", "other_acquired_day")
INHERITED = (*_PATIENT, *_EYE, "field", *_DAY, "warnings")


def counts(of: sa.FromClause = capture) -> sa.ColumnElement[bool]:
    """Return the condition that a capture counts in its exam.

    A capture whose file was moved counts until a capture at a later place has a result, because a
    failure there is no judgement. One whose file was overwritten counts for good.
    """
    later = capture.alias()
    is_judged_elsewhere = sa.exists().where(
        later.c.id > of.c.id,
        later.c.outcome.is_not(None),
        sa.or_(later.c.id == of.c.moved_to, later.c.moved_to == of.c.moved_to),
    )
    return sa.or_(of.c.moved_to.is_(None), ~is_judged_elsewhere)


# -- at admission


def corrected(origin: Row | None) -> dict[str, Any]:
    """Return the columns that people have corrected of the capture whose file was moved."""
    if origin is None:
        return {**dict.fromkeys(CORRECTED), "belongs": False}
    return {name: origin[name] for name in CORRECTED}


def inherited(columns: Row, origin: Row | None) -> dict[str, Any]:
    """Return the metadata columns of a capture, completed from the capture whose file was moved.

    Only what its own sources do not say is taken from `origin`: a name that says less than the old
    one does not take a photograph away from its patient. Conflicts about it are taken, too.
    """
    if origin is None:
        return dict(columns)
    names: list[str] = []
    conflicts: list[CaptureWarning] = []
    if columns["patient_key"] is None:
        names += _PATIENT
        conflicts.append(CaptureWarning.PATIENT_CONFLICT)
    if columns["eye_source"] == EyeSource.NONE:
        names += _EYE
    if columns["field"] is None:
        names.append("field")
        conflicts.append(CaptureWarning.FIELD_CONFLICT)
    if columns["acquired_day"] is None:
        names += _DAY
        conflicts += (CaptureWarning.DATE_CONFLICT, CaptureWarning.TIME_CONFLICT)
    elif columns["acquired_at"] is None and columns["acquired_day"] == origin["acquired_day"]:
        names.append("acquired_at")
    codes = orjson.loads(columns["warnings"] or "[]")
    codes += sorted({*orjson.loads(origin["warnings"] or "[]")}.intersection(conflicts))
    warnings = orjson.dumps(list(dict.fromkeys(codes))).decode()
    return dict(columns) | picked(origin, names) | {"warnings": warnings}


# -- when a capture is assigned to its exam


def origins(connection: sa.Connection, ids: Iterable[int]) -> dict[int, Row]:
    """Return, by their numbers, those of these captures that each have an origin, with it.

    The origin is the capture at the last place from which the file was moved.
    """
    query = sa.select(capture).where(capture.c.moved_to.in_(list(ids))).order_by(capture.c.id)
    by_capture: dict[int, Row] = {}
    for row in connection.execute(query).mappings():
        by_capture[row["moved_to"]] = row  # the last place comes last
    return by_capture


def judged_origins(connection: sa.Connection, ids: Iterable[int]) -> dict[int, Row]:
    """Return the same of the last places at which the files were in an exam.

    A file may have been moved again before it had a result.
    """
    query = sa.select(capture).where(
        capture.c.moved_to.in_(list(ids)), capture.c.exam_id.is_not(None)
    )
    rows = connection.execute(query.order_by(capture.c.id)).mappings()
    return {row["moved_to"]: row for row in rows}


def exams_left(connection: sa.Connection, ids: Sequence[int]) -> set[int | None]:
    """Return the exams of the captures whose files were moved and are these captures now.

    They count in these exams until one of the new captures has a result.
    """
    query = sa.select(capture.c.exam_id).where(capture.c.moved_to.in_(ids))
    return set(connection.scalars(query))


def keep_exams(
    connection: sa.Connection, captures: Sequence[dict[str, Any]], of_captures: Mapping[int, Row]
) -> None:
    """Keep captures of renamed files in the exams of their origins (`of_captures`).

    Those are kept that still are of the same known patient, or name the number of the exam's
    patient, and are of the same day. If the day is that of the reception, the new place was
    received on another one.
    """
    if not of_captures:
        return
    query = sa.select(*exam.c["id", "bare_key", "day"]).where(
        exam.c.id.in_({origin["exam_id"] for origin in of_captures.values()})
    )
    exams = {row.id: row for row in connection.execute(query)}
    for row in captures:
        origin = of_captures.get(row["id"])
        if origin is None or origin["placed_exam_id"] is not None or not row["patient_key"]:
            continue
        of_exam = exams[origin["exam_id"]]
        is_same_patient = row["patient_key"] in {origin["patient_key"], of_exam.bare_key}
        if is_same_patient and row["acquired_day"] in {origin["acquired_day"], of_exam.day}:
            row["kept_exam_id"] = origin["exam_id"]


def forget_placing(
    connection: sa.Connection, captures: Sequence[dict[str, Any]], of_captures: Mapping[int, Row]
) -> None:
    """Take renamed captures out of the exams of people whom, or of days that, they do not name.

    What a person said of the old name, that the capture belongs to an exam, does not hold for
    another patient, nor for another day. `of_captures` are their origins.
    """
    renamed = [row for row in captures if row["placed_exam_id"] and row["exam_id"] is None]
    if not renamed:
        return
    final = visits.followed(connection, [row["placed_exam_id"] for row in renamed])
    query = sa.select(*exam.c["id", "patient_key", "bare_key", "day"])
    query = query.where(exam.c.id.in_(set(final.values())))
    exams = {row.id: row for row in connection.execute(query)}
    for row in renamed:
        placed = exams[final[row["placed_exam_id"]]]
        named = {row["patient_key"], row["other_patient_key"]} - {None}
        is_another = bool(named) and named.isdisjoint({placed.patient_key, placed.bare_key})
        origin = of_captures.get(row["id"], row)  # without one if it was moved again
        known_days = {None, placed.day, origin["acquired_day"]}
        if is_another or row["acquired_day"] not in known_days:
            row["placed_exam_id"] = None


def forget_others(
    before: Sequence[Row], captures: Sequence[dict[str, Any]], of_captures: Mapping[int, Row]
) -> list[dict[str, Any]]:
    """Forget what was said of the membership of captures whose sources name new patients.

    That is: that they belong to their exam, or that they were excluded there as another patient's
    or retaken. `before` are the captures as they were, and `of_captures` the origins of those whose
    files were moved. Return the captures of which something was forgotten.
    """
    changed = []
    for row, known in _known(before, captures, of_captures):
        named = {known["patient_key"], known["other_patient_key"], None}
        if not {row["patient_key"], row["other_patient_key"]} <= named and _forget(row):
            changed.append(row)
    return changed


def forget_membership(
    before: Sequence[Row],
    captures: Sequence[dict[str, Any]],
    exam_ids: Sequence[int],
    of_captures: Mapping[int, Row],
) -> list[dict[str, Any]]:
    """Forget the same of captures that their new names or headers put into other exams."""
    exams = {row["id"]: exam_id for row, exam_id in zip(captures, exam_ids, strict=True)}
    changed = []
    for row, known in _known(before, captures, of_captures):
        if known["exam_id"] != exams[row["id"]] and _forget(row):
            changed.append(row)
    return changed


def _known(
    before: Sequence[Row], captures: Sequence[dict[str, Any]], of_captures: Mapping[int, Row]
) -> Iterator[tuple[dict[str, Any], Row]]:
    """Yield captures with what was known when something could be said of them."""
    for old, row in zip(before, captures, strict=True):
        known = of_captures.get(row["id"]) if old["exam_id"] is None else old
        if known is not None:
            yield row, known


def _forget(row: dict[str, Any]) -> bool:
    """Forget what was said of a capture's membership, and return whether that was anything."""
    corrected = audit.corrected_state(row)
    row["belongs"] = False
    if row["excluded"] in _OF_THE_VISIT:
        row["excluded"] = None
    return audit.corrected_state(row) != corrected


def forgotten(row: Row) -> audit.Entry:
    """Return the audit entry for a capture whose old exam was forgotten before it has a result."""
    detail = {"corrected": {str(row["id"]): audit.corrected_state(row)}}
    return audit.Entry(
        AuditEvent.CAPTURE_MOVED, "capture", row["id"], digest=row["digest"], detail=detail
    )
