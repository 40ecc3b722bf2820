"""Append to the audit chain inside the transaction that it describes; verify the chain."""

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
from fundusd.ledger.tables import GRADE_KEYS, audit_event, capture, result

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CHAINED = tuple(column.name for column in audit_event.c if column.name != "row_hash")
_SAID = ("digest", "outcome", "reason", "action", "grade", "referable", "content")
_NUMBERS = tuple(f"{kind}_{key}" for kind in ("logit", "score") for key in GRADE_KEYS)

# event -> DICOM PS3.15 event id, action, outcome (0 success, 4 minor, 8 serious failure)
_KINDS = {
    "application.started": ("110100", "E", 0),
    "application.stopped": ("110100", "E", 0),
    "model.verified": ("110100", "E", 0),
    "model.refused": ("110100", "E", 8),
    "release.registered": ("110100", "C", 0),
    "camera.registered": ("110100", "C", 0),
    "camera.offline": ("110100", "U", 4),
    "camera.online": ("110100", "U", 0),
    "capture.admitted": ("110107", "C", 0),
    "capture.touched": ("110107", "U", 0),
    "capture.moved": ("110107", "U", 0),
    "capture.superseded": ("110107", "U", 0),
    "capture.missing": ("110107", "U", 4),
    "capture.graded": ("110103", "E", 0),
    "capture.ungradable": ("110103", "E", 0),
    "capture.refused": ("110103", "E", 4),
    "capture.failed": ("110103", "E", 4),
    "document.queued": ("110100", "U", 0),
    "document.sent": ("110106", "R", 0),
    "document.refused": ("110106", "R", 8),
    "review.recorded": ("110100", "C", 0),
    "exam.shown": ("110103", "R", 0),
    "exam.exported": ("110106", "R", 0),
    "person.queried": ("110112", "E", 0),
    "job.queued": ("110100", "C", 0),
    "job.claimed": ("110103", "R", 0),
    "job.postponed": ("110100", "U", 4),
    "job.given_back": ("110100", "U", 0),
    "job.reclaimed": ("110100", "U", 4),
    "job.retried": ("110100", "U", 0),
    "job.adopted": ("110100", "U", 0),
}
_DETAIL_KEYS = frozenset(
    {
        "camera", "revision", "size", "eye", "eye_source", "reason", "attempts", "result_digest", "capture_digest",
        "result_id", "reused", "lane", "model", "release_digest", "version", "by", "wait_seconds", "job_id", "count",
        "from_capture", "cosine", "tolerance", "problem", "verdict", "grade", "referable", "reviewer", "role",
        "blinded", "review_id", "receiver", "document", "delivery_id",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened; `detail` takes whitelisted keys only."""

    event: str
    entity_kind: str | None = None
    entity_id: int | None = None
    patient_key: str | None = None
    release_id: int | None = None
    digest: str | None = None
    detail: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What walking the chain found; `broken_seq` is the first sequence number that does not hold."""

    events: int
    results: int
    head: str
    broken_seq: int | None = None
    problem: str = ""


def append(connection: sa.Connection, *entries: Entry) -> None:
    """Chain entries to the head, in a writing transaction: there is one at a time."""
    if not entries:
        return
    newest = (
        sa.select(audit_event.c.seq, audit_event.c.row_hash)
        .order_by(audit_event.c.seq.desc())
        .limit(1)
    )
    head = connection.execute(newest).one_or_none()
    seq, previous = (head.seq, bytes(head.row_hash)) if head else (0, hash_chain.GENESIS)
    rows = []
    for entry in entries:
        seq += 1
        row = _row(seq, entry, previous)
        previous = row["row_hash"]
        rows.append(row)
    connection.execute(sa.insert(audit_event), rows)


def _row(seq: int, entry: Entry, previous: bytes) -> dict[str, Any]:
    code, action, outcome = _KINDS[entry.event]
    detail = dict(entry.detail or {})
    if unknown := detail.keys() - _DETAIL_KEYS:
        raise KeyError(f"not an audit detail: {sorted(unknown)}")
    row = {
        "seq": seq,
        "at": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "event": entry.event,
        "code": code,
        "action": action,
        "outcome": outcome,
        **_actor(),
        "entity_kind": entry.entity_kind,
        "entity_id": entry.entity_id,
        "patient_key": entry.patient_key,
        "release_id": entry.release_id,
        "digest": entry.digest,
        "detail": orjson.dumps(detail, option=orjson.OPT_SORT_KEYS).decode(),
        "prev_hash": previous,
    }
    row["row_hash"] = hash_chain.link(previous, [row[name] for name in _CHAINED])
    return row


@cache
def _actor() -> dict[str, str]:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a passwd entry
        user = str(os.getuid())
    return {"actor_kind": "process", "actor_id": f"fundusd:{user}", "host": socket.gethostname()}


def result_digest(row: Any) -> str:
    """Digest what a result says, so that its audit row can vouch for it; floats by their exact text."""
    # + 0.0: SQLite stores -0.0 as 0.0
    floats = [None if row[name] is None else (float(row[name]) + 0.0).hex() for name in _NUMBERS]
    return hash_chain.digest([row["release_id"], *(row[name] for name in _SAID), *floats])


def capture_digest(row: Any) -> str:
    """Digest what a capture says of whose eye it is."""
    names = ["digest", "eye", "eye_source", "field", "patient_id", "patient_key"]
    return hash_chain.digest(
        [row["camera_id"], bytes(row["path"]), row["revision"], *(row[name] for name in names)]
    )


def verify(connection: sa.Connection) -> Verdict:
    """Walk the chain from its start; compare every result, and whose eye it is, with its audit row."""
    results = {
        row["id"]: result_digest(row) for row in connection.execute(sa.select(result)).mappings()
    }
    captures = {
        row["id"]: capture_digest(row) for row in connection.execute(sa.select(capture)).mappings()
    }
    vouched: set[int] = set()
    described: dict[int, tuple[int, str]] = {}
    previous, seq = hash_chain.GENESIS, 0
    for row in _rows(connection):
        problem = _broken_link(row, seq + 1, previous)
        detail = {} if problem else orjson.loads(row["detail"])
        if "result_id" in detail:
            vouched.add(detail["result_id"])
            if results.get(detail["result_id"]) != detail["result_digest"]:
                problem = f"result {detail['result_id']} is not what was recorded"
        if "capture_digest" in detail:
            described[row["entity_id"]] = (row["seq"], detail["capture_digest"])
        if problem:
            return Verdict(seq, len(results), previous.hex(), seq + 1, problem)
        previous, seq = bytes(row["row_hash"]), row["seq"]
    problem_seq, problem = _unvouched(results, vouched, captures, described, seq)
    return Verdict(seq, len(results), previous.hex(), problem_seq, problem)


def _broken_link(row: Any, expected: int, previous: bytes) -> str:
    if row["seq"] != expected:
        return "a row is gone or was put in"
    if bytes(row["prev_hash"]) != previous:
        return "it does not follow the row before it"
    fields = [row[name] for name in _CHAINED]
    fields[-1] = bytes(row["prev_hash"])
    return (
        ""
        if hash_chain.link(previous, fields) == bytes(row["row_hash"])
        else "its content was changed"
    )


def _unvouched(
    results: Mapping[int, str],
    vouched: set[int],
    captures: Mapping[int, str],
    described: Mapping[int, tuple[int, str]],
    last: int,
) -> tuple[int | None, str]:
    for capture_id, (seq, digest) in sorted(described.items(), key=lambda item: item[1]):
        if captures.get(capture_id) != digest:
            return seq, f"capture {capture_id} is not what was recorded"
    unknown = sorted(results.keys() - vouched)
    return (last + 1, f"result {unknown[0]} was never recorded") if unknown else (None, "")


def _rows(connection: sa.Connection) -> Iterator[Any]:
    query = sa.select(audit_event).order_by(audit_event.c.seq).execution_options(yield_per=1000)
    with connection.execute(query) as found:
        yield from found.mappings()
