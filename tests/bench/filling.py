"""Fill a ledger with a generated year: rows in bulk, exams by the program's own code."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import clinic
import sqlalchemy as sa
import year_rows
from tests import ledger_cases as cases

from fundusd.ledger import applied_results, audit, exams, hash_chain, visits
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.tables import (
    audit_event,
    camera,
    capture,
    correction,
    exam,
    eye_result,
    follow_up,
    job,
    metadata,
    release,
    result,
    review,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from clinic import Photograph
    from year_rows import Row

    from fundusd.ledger import Ledger

    Event = tuple[datetime, audit.Entry]

_SLICE = 5000
_READ, _CHECKED = 0.8, 0.03  # shares read of the eyes on the worklist, and of the others
_ABSENT = 3  # eyes that are said to be absent


def fill(ledger: Ledger, captures: int, seed: int = 1) -> None:
    """Write a year into an empty ledger."""
    with ledger.database.writing() as connection:
        _write_releases_and_cameras(connection)
        chain = _Chain()
        photographs = clinic.photographs(captures, seed)
        last_job: Row = {}
        while batch := list(itertools.islice(photographs, _SLICE)):
            last_job = _write_photographs(connection, batch, last_job, chain)
        ids = connection.scalars(sa.select(exam.c.id)).all()
        recording = ledger._recording(connection)
        exams.rejudge(recording, ids)
        exams.rejudge(recording, _write_reviews(connection, random.Random(seed), chain))
        exams.rejudge(recording, _write_absences(connection))
        _set_clocks(connection)


def _write_releases_and_cameras(connection: sa.Connection) -> None:
    start = datetime.combine(clinic.FIRST_DAY, datetime.min.time(), UTC)
    for number in (1, 2, 3):
        made = cases.release(number)
        row = {name: getattr(made, name) for name in made.__slots__}
        row |= {"id": number, "digest": cases.digest_of(f"release {number}"), "files": "{}"}
        connection.execute(sa.insert(release).values(row | {"created_at": start}))
    for camera_id in clinic.CAMERAS:
        fields = clinic.EXPECTED.get(camera_id, "")
        row = {"id": camera_id, "registered_at": start, "release_id": 3, "expected_fields": fields}
        connection.execute(sa.insert(camera).values(row))


class _Chain:
    """An audit chain at the clinic's own times."""

    def __init__(self) -> None:
        self._seq, self._head = 0, hash_chain.GENESIS

    def write(self, connection: sa.Connection, events: Iterable[Event]) -> None:
        rows = [self._row(at, entry) for at, entry in events]
        if rows:
            connection.execute(sa.insert(audit_event), rows)

    def _row(self, at: datetime, entry: audit.Entry) -> Row:
        self._seq += 1
        row = audit._row(self._seq, entry, self._head)
        row |= {
            "at": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "actor_id": "fundusd:fundusd",
            "host": "clinic",
        }
        self._head = row["row_hash"] = hash_chain.link(
            self._head, [row[name] for name in audit._CHAINED]
        )
        return row


def _write_photographs(
    connection: sa.Connection, batch: Sequence[Photograph], last_job: Row, chain: _Chain
) -> Row:
    """Write photographs with their jobs, results, exams and audit events; return the last job."""
    jobs, captures = [], []
    for photograph in batch:
        if not photograph.is_copy:
            last_job = year_rows.job_row(photograph)
            jobs.append(last_job)
        captures.append(year_rows.capture_row(photograph, last_job))
    _insert(connection, job, jobs)
    _insert(connection, result, [row["result"] for row in jobs if row["result"]])
    done = [row for row in captures if row["result"]]
    for row, exam_id in zip(done, visits.assign(connection, done, [None] * len(done)), strict=True):
        row["exam_id"] = exam_id
    _insert(connection, capture, captures)
    events: list[Event] = []
    for row in done:
        entry = applied_results.audit_entry(row, row, row["result"], reused=False)
        events.append((row["result"]["created_at"], entry))
    chain.write(connection, events)
    return last_job


def _insert(connection: sa.Connection, table: sa.Table, rows: Iterable[Row]) -> None:
    """Insert rows that may have more than the table's columns."""
    names = table.c.keys()
    if stored := [dict(zip(names, map(row.get, names), strict=True)) for row in rows]:
        connection.execute(sa.insert(table), stored)


def _write_reviews(connection: sa.Connection, chance: random.Random, chain: _Chain) -> list[int]:
    """Write reviews of most eyes on the worklist and of few others; return the exams."""
    query = sa.select(
        eye_result, exam.c.day, exam.c.patient_key, capture.c.digest, capture.c.received_at
    )
    query = query.select_from(eye_result).join(exam)
    query = query.join(capture, capture.c.id == eye_result.c.capture_id)
    query = query.order_by(exam.c.day, exam.c.id, eye_result.c.eye)
    rows: list[Row] = []
    events: list[Event] = []
    for shown in connection.execute(query).mappings():
        if chance.random() > (_READ if shown["urgency"] else _CHECKED):
            continue
        row = year_rows.review_row(chance, shown) | {"id": len(rows) + 1}
        rows.append(row)
        events.append((row["created_at"], _review_entry(row, shown)))
    connection.execute(sa.insert(review), rows)
    connection.execute(sa.insert(follow_up), year_rows.follow_up_rows(rows))
    chain.write(connection, sorted(events, key=lambda event: event[0]))
    return sorted({row["exam_id"] for row in rows})


def _write_absences(connection: sa.Connection) -> list[int]:
    """Write that some patients lack the eye that was not photographed; return their exams."""
    query = sa.select(exam.c.id, exam.c.patient_key, exam.c.day)
    query = query.where(exam.c.missing_fields == "L", exam.c.patient_key.is_not(None))
    rows = []
    for row in connection.execute(query.order_by(exam.c.id).limit(_ABSENT)):
        rows.append(year_rows.absence_row(row))
    connection.execute(sa.insert(correction), rows)
    keys = [row["patient_key"] for row in rows]
    of_these = sa.select(exam.c.id).where(exam.c.patient_key.in_(keys))
    return list(connection.scalars(of_these.order_by(exam.c.id)))


def _review_entry(row: Row, shown: sa.RowMapping) -> audit.Entry:
    detail = {"review_id": row["id"]}
    for name in ("eye", "verdict", "grade", "referable", "reviewer", "role", "blinded"):
        detail[name] = row[name]
    return audit.Entry(
        AuditEvent.REVIEW_RECORDED,
        "exam",
        row["exam_id"],
        shown["patient_key"],
        row["release_id"],
        shown["digest"],
        detail,
    )


def _set_clocks(connection: sa.Connection) -> None:
    """Move the times of exams and of results of eyes from now into the generated year."""
    first = sa.select(sa.func.min(capture.c.received_at)).where(capture.c.exam_id == exam.c.id)
    connection.execute(sa.update(exam).values(created_at=first.scalar_subquery()))
    decisive = sa.select(capture.c.received_at).where(capture.c.id == eye_result.c.capture_id)
    connection.execute(sa.update(eye_result).values(resulted_at=decisive.scalar_subquery()))


def copy(source: Ledger, target: Ledger) -> None:
    """Copy the rows of a SQLite ledger into an empty one on PostgreSQL, unchanged.

    Only its identity is not copied.
    """
    with source.database.reading() as reading, target.database.writing() as connection:
        for table in metadata.sorted_tables:
            if table.name in {"tally", "site"}:  # triggers count; each database is its own
                continue
            names = table.c.keys()
            query = f"SELECT {', '.join(names)} FROM {table.name}"  # noqa: S608
            rows = reading.exec_driver_sql(query)
            _copy_in(connection, table.name, names, rows)
            if "id" in names and table.name != "camera":
                last = f"(SELECT coalesce(max(id), 1) FROM {table.name})"  # noqa: S608
                connection.exec_driver_sql(f"SELECT setval('{table.name}_id_seq', {last})")


def _copy_in(
    connection: sa.Connection, table: str, names: Sequence[str], rows: Iterable[sa.Row[Any]]
) -> None:
    cursor: Any = connection.connection.cursor()
    with cursor.copy(f"COPY {table} ({', '.join(names)}) FROM STDIN") as into:
        for row in rows:
            into.write_row(tuple(row))
