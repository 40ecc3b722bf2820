"""Append events to the audit chain in the transaction that they describe, and verify the chain."""

from __future__ import annotations

import getpass
import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.ledger import hash_chain
from fundusd.ledger.database import picked
from fundusd.ledger.result_columns import LOGITS, SCORES
from fundusd.ledger.tables import audit_event, capture, result

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fundusd.ledger.audit_events import AuditEvent

    Row = Mapping[Any, Any]

_CHAINED = tuple(column.name for column in audit_event.c if column.name != "row_hash")
_OF_RESULT = (
    "release_id",
    "digest",
    "outcome",
    "reason",
    "action",
    "grade",
    "referable",
    "content",
)
_OF_CAPTURE = (
    "camera_id",
    "path",
    "revision",
    "digest",
    "eye",
    "eye_source",
    "field",
    "patient_id",
    "patient_key",
)
_NOT_CORRECTED = [None, None, False]  # see `corrected_state`
_DETAIL_KEYS = frozenset(
    {
        "camera", "revision", "size", "eye", "eye_source", "reason", "attempts", "result_digest",
        "capture_digest", "result_id", "reused", "lane", "model", "release_digest", "version",
        "by", "wait_seconds", "job_id", "count", "from_capture", "cosine", "tolerance", "problem",
        "verdict", "grade", "referable", "reviewer", "role", "blinded", "review_id", "receiver",
        "document", "delivery_id", "purpose", "photographs", "lesion", "maculopathy",
        "photocoagulation", "stable_treated", "follow_up", "how", "changes",
        "correction_id", "corrected", "kind", "capture_id", "other_exam_id", "until", "since",
        "accept_site_key", "regrouped", "seen_elsewhere", "without_lesion",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """An event to append to the chain.

    The keys of `detail` must be in the whitelist of this module.
    """

    event: AuditEvent
    entity_kind: str | None = None
    entity_id: int | None = None
    patient_key: str | None = None
    release_id: int | None = None
    digest: str | None = None
    detail: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a verification.

    `broken_seq` is the number of the first event that failed, or None if all events passed.
    """

    events: int
    results: int
    head: str
    broken_seq: int | None = None
    problem: str = ""


# -- appending


def append(connection: sa.Connection, *entries: Entry) -> None:
    """Append entries to the chain.

    Sequence numbers cannot collide, because only one transaction may write at a time.
    """
    if not entries:
        return
    newest = sa.select(audit_event.c.seq, audit_event.c.row_hash)
    newest = newest.order_by(audit_event.c.seq.desc()).limit(1)
    head = connection.execute(newest).one_or_none()
    seq, previous = 0, hash_chain.GENESIS
    if head is not None:
        seq, previous = head.seq, bytes(head.row_hash)
    rows = []
    for entry in entries:
        seq += 1
        row = _row(seq, entry, previous)
        previous = row["row_hash"]
        rows.append(row)
    connection.execute(sa.insert(audit_event), rows)


def _row(seq: int, entry: Entry, previous: bytes) -> dict[str, Any]:
    detail = dict(entry.detail or {})
    if unknown := detail.keys() - _DETAIL_KEYS:
        raise KeyError(f"not an audit detail: {sorted(unknown)}")
    row = {
        "seq": seq,
        "at": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "event": entry.event.value,
        "code": entry.event.code.value,
        "action": entry.event.action,
        "outcome": entry.event.severity.value,
        **_actor(),
        "entity_kind": entry.entity_kind,
        "entity_id": entry.entity_id,
        "patient_key": entry.patient_key,
        "release_id": entry.release_id,
        "digest": entry.digest,
        "detail": orjson.dumps(detail, option=orjson.OPT_SORT_KEYS).decode(),
        "prev_hash": previous,
    }
    row["row_hash"] = hash_chain.link(previous, picked(row, _CHAINED).values())
    return row


@cache
def _actor() -> dict[str, str]:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a passwd entry
        user = str(os.getuid())
    return {"actor_kind": "process", "actor_id": f"fundusd:{user}", "host": socket.gethostname()}


# -- what an event vouches for


def result_digest(row: Row) -> str:
    """Return the digest of a result for its audit event.

    Floats are hashed in hexadecimal notation, which is exact.
    """
    fields = list(picked(row, _OF_RESULT).values())
    for name in (*LOGITS, *SCORES):
        number = row[name]
        # + 0.0: SQLite stores -0.0 as 0.0
        fields.append(None if number is None else (float(number) + 0.0).hex())
    return hash_chain.digest(fields)


def capture_digest(row: Row) -> str:
    """Return the digest of a capture for its audit event.

    The digest covers, among other columns, the path, the bytes, the eye and the patient.
    """
    fields = picked(row, _OF_CAPTURE)
    return hash_chain.digest((fields | {"path": bytes(row["path"])}).values())


def corrected_state(row: Row) -> list[Any]:
    """Return what people have corrected about a capture, for the audit event of a correction."""
    return [row["corrected_eye"], row["excluded"], row["belongs"]]


# -- verifying


def verify(connection: sa.Connection) -> Verdict:
    """Verify each link of the chain, and compare the results and captures with the events."""
    check = _Check(connection)
    for row in _rows(connection):
        if problem := check.problem_of(row):
            return check.verdict(check.seq + 1, problem)
    return check.verdict(*check.problem_of_tables())


class _Check:
    """The progress of a verification, with the digests of the stored rows and of the events."""

    def __init__(self, connection: sa.Connection) -> None:
        self.seq, self._head = 0, hash_chain.GENESIS
        results = connection.execute(sa.select(result)).mappings()
        self._results = {row["id"]: result_digest(row) for row in results}
        captures = connection.execute(sa.select(capture)).mappings()
        self._captures: dict[int, str] = {}
        self._said: dict[int, list[Any]] = {}  # by capture: what people have corrected
        for row in captures:
            self._captures[row["id"]] = capture_digest(row)
            self._said[row["id"]] = corrected_state(row)
        self._corrected: dict[int, tuple[int, list[Any]]] = {}  # by capture: its last correction
        self._vouched: set[int] = set()  # results that an event vouches for
        self._described: dict[int, tuple[int, str]] = {}  # by capture: its last event and digest

    def problem_of(self, row: Row) -> str:
        """Check the next event, and return a description of the problem, or "" if it is valid."""
        if problem := _broken_link(row, self.seq + 1, self._head):
            return problem
        detail = orjson.loads(row["detail"])
        if "result_id" in detail:
            result_id = detail["result_id"]
            self._vouched.add(result_id)
            if self._results.get(result_id) != detail["result_digest"]:
                return f"result {result_id} is not what was recorded"
        if "capture_digest" in detail:
            self._described[row["entity_id"]] = (row["seq"], detail["capture_digest"])
        for capture_id, state in detail.get("corrected", {}).items():
            self._corrected[int(capture_id)] = (row["seq"], state)
        if detail.get("from_capture") in self._corrected:
            self._corrected[row["entity_id"]] = self._corrected[detail["from_capture"]]
        self.seq, self._head = row["seq"], bytes(row["row_hash"])
        return ""

    def problem_of_tables(self) -> tuple[int | None, str]:
        """Compare the stored captures and results with the events.

        Return the number of the first event that is contradicted, and a description of the problem.
        For a result without an event, the number is the one after the last event. If nothing is
        wrong, return None and "".
        """
        for capture_id, (seq, digest) in sorted(self._described.items(), key=lambda item: item[1]):
            if self._captures.get(capture_id) != digest:
                return seq, f"capture {capture_id} is not what was recorded"
        for capture_id, stored in sorted(self._said.items()):
            seq, state = self._corrected.get(capture_id, (self.seq + 1, _NOT_CORRECTED))
            if stored != state:
                return seq, f"the correction of capture {capture_id} is not what was recorded"
        unknown = sorted(self._results.keys() - self._vouched)
        if unknown:
            return self.seq + 1, f"result {unknown[0]} was never recorded"
        return None, ""

    def verdict(self, broken_seq: int | None, problem: str) -> Verdict:
        """Return a verdict with the totals so far and, if there is one, the problem."""
        return Verdict(self.seq, len(self._results), self._head.hex(), broken_seq, problem)


def _broken_link(row: Row, expected: int, previous: bytes) -> str:
    if row["seq"] != expected:
        return "a row is missing or was inserted"
    if bytes(row["prev_hash"]) != previous:
        return "it does not follow the row before it"
    fields = picked(row, _CHAINED) | {"prev_hash": bytes(row["prev_hash"])}
    if hash_chain.link(previous, fields.values()) != bytes(row["row_hash"]):
        return "its content was changed"
    return ""


def _rows(connection: sa.Connection) -> Iterator[Row]:
    query = sa.select(audit_event).order_by(audit_event.c.seq).execution_options(yield_per=1000)
    with connection.execute(query) as rows:
        yield from rows.mappings()
