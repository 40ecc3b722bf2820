"""Settle what bytes, path and a camera's own database tell of a capture: which eye, whose, when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.clinical.camera_database import is_worse
from fundusd.clinical.laterality import resolve
from fundusd.clinical.path_rules import contradicted, without_likely
from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.clinical_terms import Eye, EyeSource
from fundusd.domain.decoding import Content
from fundusd.ledger.tables import capture, storable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundusd.clinical.pseudonyms import Identifiers

    Row = Mapping[Any, Any]

_COPIED = ("media_type", "width", "height", "sop_uid")
_BY_PATH = (EyeSource.NAME, EyeSource.LOOKUP, EyeSource.CONFLICT)
_AHEAD = timedelta(minutes=10)
_BEHIND = timedelta(days=2)  # a camera may hold a weekend's photographs back


def content_text(content: Content | None, identifiers: Identifiers) -> str:
    """Write down what the bytes say of themselves, as canonical JSON, so that a re-export can be told the same."""
    if content is None:
        return "{}"
    said = {name: getattr(content, name) for name in Content.__slots__} | {
        "patient_id": identifiers.kept(content.patient_id),
        "issuer": identifiers.kept(content.issuer),
        "patient_key": identifiers.key(content.issuer, content.patient_id),
        # paths tell of no issuer: theirs is another key of the same patient
        "bare_key": identifiers.key(None, content.patient_id) if content.issuer else None,
    }
    told = {
        name: storable(value) if isinstance(value, str) else value
        for name, value in said.items()
        if value is not None
    }
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS).decode()


def told_again(before: Row, again: Row | None) -> dict[str, Any]:
    """Return a capture as path and camera's database tell of it by now, unless that says less than at admission."""
    if again is None or is_worse(
        orjson.loads(again["warnings"]), orjson.loads(before["warnings"] or "[]")
    ):
        return dict(before)
    return dict(before) | dict(again)


def settled(
    before: Row, at: datetime, content: Row, *, is_old: bool, are_clear: bool
) -> dict[str, Any]:
    """Return the columns of a capture: content comes first, but an eye they disagree about is unknown.

    `before` is the capture as its path told of it. One that `is_old` lay in the inbox before the service came.
    """
    warnings = [*orjson.loads(before["warnings"] or "[]"), *content.get("warnings", [])]
    eye, eye_source = _eye(before, content, warnings)
    if eye_source is EyeSource.CONFLICT:
        warnings.append(CaptureWarning.EYE_CONFLICT)
    patient = content if content.get("patient_key") else before
    if patient is content and before["patient_key"] and not _is_same(before, content):
        warnings.append(CaptureWarning.PATIENT_CONFLICT)
    acquired_at = _moment(content.get("acquired_at")) or before["acquired_at"]
    received_at = before.get("first_received_at", before["received_at"])
    if acquired_at and _is_off(acquired_at - received_at, is_old=is_old):
        warnings.append(CaptureWarning.CLOCK_SKEW)
    return {
        "eye": eye,
        "eye_source": eye_source,
        "field": before["field"],
        "patient_id": patient.get("patient_id") if are_clear else None,
        "patient_key": patient["patient_key"],
        "warnings": orjson.dumps(without_likely(eye, warnings)).decode(),
        "acquired_at": acquired_at,
        "turnaround_ms": max(0, round((at - before["received_at"]).total_seconds() * 1000)),
    } | {name: content.get(name) for name in _COPIED}


def flag_shared(connection: sa.Connection, captures: Sequence[dict[str, Any]]) -> None:
    """Warn on all captures of the same bytes that lie under different patients: for one of them they are wrong."""
    digests = {one["digest"] for one in captures if one["patient_key"]}
    if not digests:
        return
    query = sa.select(
        capture.c.id, capture.c.digest, capture.c.patient_key, capture.c.warnings
    ).where(
        capture.c.digest.in_(digests),
        capture.c.patient_key.is_not(None),
        capture.c.superseded.is_(False),
    )
    rows = connection.execute(query).all()
    patients: dict[str, set[str]] = {}
    for row in rows:
        patients.setdefault(row.digest, set()).add(row.patient_key)
    flagged = {
        row.id: _with(row.warnings, CaptureWarning.DIGEST_OF_TWO_PATIENTS)
        for row in rows
        if len(patients[row.digest]) > 1
    }
    if not flagged:
        return
    changed = [{"at_id": number, "warnings": warnings} for number, warnings in flagged.items()]
    connection.execute(sa.update(capture).where(capture.c.id == sa.bindparam("at_id")), changed)
    for one in captures:
        one["warnings"] = flagged.get(one["id"], one["warnings"])


def _eye(before: Row, content: Row, warnings: Sequence[str]) -> tuple[Eye, EyeSource]:
    by_path = before["eye_source"] in _BY_PATH
    eye, source = resolve(
        Eye(content.get("eye", Eye.UNKNOWN)),
        EyeSource(content.get("eye_source", EyeSource.NONE)),
        Eye(before["eye"]) if by_path else Eye.UNKNOWN,
        EyeSource(before["eye_source"]) if by_path else EyeSource.NONE,
    )
    return (Eye.UNKNOWN, EyeSource.CONFLICT) if contradicted(eye, warnings) else (eye, source)


def _is_same(before: Row, content: Row) -> bool:
    by_key = before["patient_key"] in {content["patient_key"], content.get("bare_key")}
    return by_key or (
        before["patient_id"] is not None and before["patient_id"] == content.get("patient_id")
    )


def _is_off(ahead: timedelta, *, is_old: bool) -> bool:
    return ahead > _AHEAD or (ahead < -_BEHIND and not is_old)


def _with(warnings: str | None, code: str) -> str:
    return orjson.dumps(list(dict.fromkeys([*orjson.loads(warnings or "[]"), code]))).decode()


def _moment(said: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(said).astimezone(UTC) if said else None
    except OverflowError:  # 00010101: some cameras write the first day of all time for none
        return None
