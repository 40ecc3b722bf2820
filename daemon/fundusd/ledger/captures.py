"""Read and write the metadata of captures: eye, patient, time and warnings."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.clinical import attribution
from fundusd.clinical.acquisition_day import in_utc, local_day, real_day
from fundusd.clinical.attribution import Attribution
from fundusd.clinical.field_position import field_shown
from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.clinical_terms import Eye, EyeSource, Outcome
from fundusd.domain.decoding import Content
from fundusd.ledger import moved_files, related_exams
from fundusd.ledger.tables import capture, storable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from fundusd.clinical.pseudonyms import Identifiers

    Row = Mapping[Any, Any]


def content_text(content: Content | None, identifiers: Identifiers) -> str:
    """Return the metadata and measures that were read from a capture's bytes, as canonical JSON.

    The text is stored with the result, so that later captures of the same bytes can be attributed.
    """
    if content is None:
        return "{}"
    header = attribution.of_header(content, identifiers)
    fields = {name: getattr(content, name) for name in Content.__slots__}
    fields["patient_id"] = header.patient_id
    fields["issuer"] = identifiers.kept(content.issuer)
    fields["accession"] = identifiers.kept(content.accession)
    fields["patient_key"] = header.patient_key
    fields["named_key"] = header.bare_key
    if not identifiers.issuer:  # otherwise every number without an issuer is that issuer's
        fields["bare_key"] = header.bare_key
    stored: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, str):
            stored[name] = storable(value)
        elif value is not None:
            stored[name] = value
    return orjson.dumps(stored, option=orjson.OPT_SORT_KEYS).decode()


def refreshed(before: Row, again: Row | None, origin: Row | None) -> dict[str, Any]:
    """Return a capture's row, updated with `again`, its newly read columns.

    The row is not updated if `again` is None, or if the camera's database answered at admission but
    does not answer now. What the columns do not say is taken from `origin`, the capture whose file
    was moved.
    """
    if again is None or attribution.has_lost_answer(
        _codes(again["warnings"]), _codes(before["warnings"])
    ):
        return dict(before)
    return dict(before) | moved_files.inherited(again, origin)


def settled(
    before: Row, of_capture: Row, content: Row, *, is_old: bool, are_clear: bool
) -> dict[str, Any]:
    """Return the columns of a capture whose content is known.

    `before` is the capture's row so far, and `of_capture` the result. `is_old` is true if the
    capture belongs to the backlog.
    """
    received_at = before.get("first_received_at", before["received_at"])
    final = attribution.settle(
        _recorded(before),
        _header(content),
        received_at,
        shown_field=field_shown(content.get("measures", {}), Outcome(of_capture["outcome"])),
        is_backlog=is_old,
        are_clear=are_clear,
    )
    waited = of_capture["created_at"] - before["received_at"]
    columns = attribution_columns(final)
    columns["turnaround_ms"] = max(0, round(waited.total_seconds() * 1000))
    for name in ("media_type", "width", "height", "sop_uid"):
        columns[name] = content.get(name)
    return columns


def attribution_columns(attributed: Attribution) -> dict[str, Any]:
    """Return the columns of a capture that hold its attribution."""
    return {
        "eye": attributed.eye,
        "eye_source": attributed.eye_source,
        "field": attributed.field,
        "patient_id": attributed.patient_id,
        "patient_key": attributed.patient_key,
        "other_patient_id": attributed.other_patient_id,
        "other_patient_key": attributed.other_patient_key,
        "acquired_at": attributed.acquired_at,
        "acquired_day": _text(attributed.acquired_day),
        "other_acquired_day": _text(attributed.other_acquired_day),
        "warnings": orjson.dumps(attributed.warnings).decode(),
    }


def add_warnings(connection: sa.Connection, job_id: int, codes: Sequence[str]) -> None:
    """Add warnings to the captures of a job that has no result.

    Text in the pixels keeps other files of the same shot off pages, even if this file is damaged.
    """
    if not codes:
        return
    query = sa.select(capture.c.id, capture.c.warnings).where(capture.c.job_id == job_id)
    for row in connection.execute(query).all():
        warnings = orjson.dumps(list(dict.fromkeys([*_codes(row.warnings), *codes]))).decode()
        update = sa.update(capture).where(capture.c.id == row.id)
        connection.execute(update.values(warnings=warnings))


def flag_shared(
    connection: sa.Connection, captures: Sequence[dict[str, Any]], exam_ids: Collection[int] = ()
) -> set[int | None]:
    """Add a warning to captures that have the same bytes as a capture of another patient.

    Captures of these exams are looked at, too.

    Files that were overwritten count, too, and so do those that a person has given to a patient by
    joining exams. A number without its issuer is no other patient than the only one of them who has
    it. Return the exams of these captures, because the warning leaves no negative result.
    """
    digests = {row["digest"] for row in captures}
    if exam_ids:
        of_exams = sa.select(capture.c.digest).where(capture.c.exam_id.in_(exam_ids))
        digests |= set(connection.scalars(of_exams))
    if not digests:
        return set()
    patient_key = related_exams.patient_of(capture)
    query = sa.select(
        *(capture.c.id, capture.c.exam_id, capture.c.digest, capture.c.warnings),
        *(patient_key.label("patient_key"), related_exams.number_of(capture).label("number")),
    ).where(
        capture.c.digest.in_(digests),
        patient_key.is_not(None),
        moved_files.counts(),
    )
    rows = connection.execute(query).all()
    numbers = {(row.digest, row.number) for row in rows}
    patients = {(row.digest, row.patient_key) for row in rows} - numbers
    shared = attribution.digests_of_several_patients(patients)
    flagged: dict[int, str] = {}
    of_two: set[int | None] = set()
    for row in rows:
        if row.digest in shared:
            of_two.add(row.exam_id)
            codes = [*_codes(row.warnings), CaptureWarning.DIGEST_OF_TWO_PATIENTS]
            flagged[row.id] = orjson.dumps(list(dict.fromkeys(codes))).decode()
    if not flagged:
        return set()
    changed = [{"at_id": number, "warnings": warnings} for number, warnings in flagged.items()]
    connection.execute(sa.update(capture).where(capture.c.id == sa.bindparam("at_id")), changed)
    for changed_capture in captures:
        number = changed_capture["id"]
        changed_capture["warnings"] = flagged.get(number, changed_capture["warnings"])
    return of_two


def _recorded(row: Row) -> Attribution:
    """Return the attribution that is stored in the columns of a capture."""
    return Attribution(
        Eye(row["eye"] or Eye.UNKNOWN),
        EyeSource(row["eye_source"] or EyeSource.NONE),
        field=row["field"],
        patient_id=row["patient_id"],
        patient_key=row["patient_key"],
        other_patient_id=row["other_patient_id"],
        other_patient_key=row["other_patient_key"],
        acquired_at=row["acquired_at"],
        acquired_day=_stored_day(row["acquired_day"]) or local_day(row["acquired_at"]),
        other_acquired_day=_stored_day(row["other_acquired_day"]),
        warnings=_codes(row["warnings"]),
    )


def _header(content: Row) -> Attribution:
    """Return the attribution that was read from a file's header.

    The attribution is stored in the content of the result.
    """
    acquired_at = content.get("acquired_at")
    if acquired_at is not None:
        acquired_at = in_utc(datetime.fromisoformat(acquired_at))
    return Attribution(
        Eye(content.get("eye", Eye.UNKNOWN)),
        EyeSource(content.get("eye_source", EyeSource.NONE)),
        field=content.get("field"),
        patient_id=content.get("patient_id"),
        patient_key=content.get("patient_key"),
        bare_key=content.get("named_key", content.get("bare_key")),
        acquired_at=acquired_at,
        acquired_day=local_day(acquired_at) or real_day(_stored_day(content.get("acquired_day"))),
        warnings=tuple(content.get("warnings", ())),
    )


def _stored_day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _codes(warnings: str | None) -> tuple[str, ...]:
    return tuple(orjson.loads(warnings or "[]"))
