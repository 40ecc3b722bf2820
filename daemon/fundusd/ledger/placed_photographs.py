"""Photographs that people put into an exam before it was known whom their headers name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.ledger import visits
from fundusd.ledger.tables import exam

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Row = Mapping[Any, Any]


def note_conflicts(
    connection: sa.Connection, captures: Sequence[dict[str, Any]], headers: Sequence[Row]
) -> None:
    """Warn of captures whose sources name another patient than that of the exam they were put into.

    They are captures of the exam's patient, as the person said, and of another one, as the sources
    say; so both are in doubt. If the sources name two others, the capture keeps these, and all
    three are in doubt.
    """
    placed = [row["placed_exam_id"] for row in captures if row["placed_exam_id"]]
    if not placed:
        return
    final = visits.followed(connection, placed)
    query = sa.select(*exam.c["id", "patient_key", "bare_key"])
    query = query.where(exam.c.id.in_(set(final.values())), exam.c.patient_key.is_not(None))
    exams = {row.id: row for row in connection.execute(query)}
    for row, header in zip(captures, headers, strict=True):
        of_exam = exams.get(final.get(row["placed_exam_id"]))
        if of_exam is None or not row["patient_key"]:
            continue
        of_patient = {of_exam.patient_key, of_exam.bare_key}
        # the number alone does not say that it is the same person
        is_of_exam = row["patient_key"] in of_patient
        is_of_exam = is_of_exam or header.get("bare_key") == of_exam.patient_key
        if not row["belongs"] and not is_of_exam:
            codes = [*orjson.loads(row["warnings"] or "[]"), CaptureWarning.PATIENT_CONFLICT]
            row["warnings"] = orjson.dumps(list(dict.fromkeys(codes))).decode()
            key, patient_id = of_exam.patient_key, None
            if row["other_patient_key"] not in {None, *of_patient}:
                key, patient_id = row["other_patient_key"], row["other_patient_id"]
            row["other_patient_key"], row["other_patient_id"] = (
                row["patient_key"],
                row["patient_id"],
            )
            row["patient_key"], row["patient_id"] = key, patient_id
