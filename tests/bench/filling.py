"""One generated year of a clinic in a ledger: rows in bulk, exams and reviews by the program's own code."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import clinic
import orjson
import sqlalchemy as sa
from tests import ledger_cases as cases

from fundusd.clinical.grading import grade as grade_of
from fundusd.clinical.pseudonyms import patient_key
from fundusd.domain.clinical_terms import (
    Action,
    Grade,
    Outcome,
    Referable,
    ReviewReason,
    ReviewVerdict,
)
from fundusd.domain.jobs import JobState
from fundusd.ledger import audit, exams, hash_chain, results
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.tables import (
    GRADE_KEYS,
    audit_event,
    camera,
    capture,
    exam,
    eye_result,
    job,
    metadata,
    release,
    result,
    review,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from clinic import Photograph

    from fundusd.ledger import Ledger

    Row = dict[str, Any]

_SLICE = 5000
_READ, _CHECKED = 0.8, 0.03  # shares of the eyes that had to be read, and of the others
_VERDICTS = (ReviewVerdict.AGREE, ReviewVerdict.OVERRIDE, ReviewVerdict.DEFER, ReviewVerdict.RETAKE)


def fill(ledger: Ledger, captures: int, seed: int = 1) -> None:
    """Write a year into an empty ledger."""
    with ledger.database.writing() as connection:
        _write_before(connection)
        chain = _Chain()
        made = clinic.photographs(captures, seed)
        job_row: Row = {}
        while some := list(itertools.islice(made, _SLICE)):
            job_row = _write_photographs(connection, some, job_row, chain)
        ids = connection.scalars(sa.select(exam.c.id)).all()
        recording = ledger._recording(connection)
        exams.rejudge(recording, ids)
        exams.rejudge(recording, _write_reviews(connection, random.Random(seed), chain))
        _set_clocks(connection)


def _write_before(connection: sa.Connection) -> None:
    start = datetime.combine(clinic.FIRST_DAY, datetime.min.time(), UTC)
    releases = [cases.release(number) for number in (1, 2, 3)]
    rows = [
        {name: getattr(one, name) for name in one.__slots__ if name != "files"} for one in releases
    ]
    for number, row in enumerate(rows, start=1):
        row |= {
            "id": number,
            "digest": cases.digest_of(f"release {number}"),
            "files": "{}",
            "created_at": start,
        }
    connection.execute(sa.insert(release), rows)
    connection.execute(
        sa.insert(camera),
        [
            {
                "id": one,
                "registered_at": start,
                "release_id": 3,
                "expected_fields": clinic.EXPECTED.get(one, ""),
            }
            for one in clinic.CAMERAS
        ],
    )


class _Chain:
    """An audit chain at the clinic's own times."""

    def __init__(self) -> None:
        self._seq, self._head = 0, hash_chain.GENESIS

    def write(
        self, connection: sa.Connection, told: Iterable[tuple[datetime, audit.Entry]]
    ) -> None:
        rows = [self._row(at, entry) for at, entry in told]
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
    connection: sa.Connection, some: Sequence[Photograph], job_row: Row, chain: _Chain
) -> Row:
    """Write photographs with all that belongs to them; return the last job."""
    jobs, found, captures = [], [], []
    for one in some:
        if not one.is_copy:
            job_row = _job(one)
            jobs.append(job_row)
            if job_row["state"] == JobState.SUCCEEDED:
                found.append(job_row["result"])
        captures.append(_capture(one, job_row))
    connection.execute(sa.insert(job), [{name: one[name] for name in job.c.keys()} for one in jobs])  # noqa: SIM118
    if found:
        connection.execute(sa.insert(result), found)
    done = [one for one in captures if one["result"]]
    for row, exam_id in zip(done, exams.assign(connection, done, [None] * len(done)), strict=True):
        row["exam_id"] = exam_id
    names = capture.c.keys()
    connection.execute(
        sa.insert(capture), [{name: one[name] for name in names} for one in captures]
    )
    told = (
        (one["result"]["created_at"], results._entry(one, one["result"], reused=False))
        for one in done
    )
    chain.write(connection, told)
    return job_row


def _job(one: Photograph) -> Row:
    is_running, is_failed = one.state is JobState.RUNNING, one.state is JobState.FAILED
    row: Row = {
        "id": one.number,
        "digest": cases.digest_of(f"photograph {one.number}"),
        "release_id": one.release,
        "camera_id": one.camera_id,
        "state": one.state,
        "lane": 0,
        "position": 0,
        "attempts": 4 if is_failed else 0 if one.state is JobState.QUEUED else 1,
        "available_at": 0.0,
        "token": "t" if is_running else None,
        "lease_until": 2e9 if is_running else None,
        "reason": one.reason if is_failed else None,
        "action": one.reason.action if is_failed and one.reason else None,
        "error": "generated" if is_failed else None,
        "created_at": one.received_at,
    }
    return row | {
        "result": _result(one, row["digest"]) if one.state is JobState.SUCCEEDED else None
    }


def _result(one: Photograph, digest: str) -> Row:
    grading = grade_of(one.logits) if one.reason is None else None
    row: Row = {
        "id": one.number,
        "digest": digest,
        "release_id": one.release,
        "outcome": one.reason.outcome if one.reason else Outcome.GRADED,
        "reason": one.reason,
        "action": one.reason.action if one.reason else Action.NONE,
        "grade": int(grading.grade) if grading else None,
        "referable": grading.referable if grading else Referable.INDETERMINATE,
        "content": orjson.dumps({"media_type": one.media_type}).decode(),
        "decode_ms": 30.0,
        "model_ms": 1000.0 if grading else None,
        "batch_size": 16,
        "created_at": one.received_at + timedelta(milliseconds=one.turnaround_ms),
    }
    for index, key in enumerate(GRADE_KEYS):
        row[f"logit_{key}"] = grading.logits[index] if grading else None
        row[f"score_{key}"] = grading.scores[index] if grading else None
    return row


def _capture(one: Photograph, of: Row) -> Row:
    local = one.received_at.astimezone()
    year, week, _ = local.isocalendar()
    row: Row = {
        **dict.fromkeys(capture.c.keys()),
        "id": one.number,
        "camera_id": one.camera_id,
        "path": one.path.encode(),
        "path_text": one.path,
        "revision": one.revision,
        "superseded": one.is_superseded,
        "digest": of["digest"],
        "size": 1_500_000,
        "mtime_ns": one.number,
        "inode": one.number,
        "hinted": True,
        "job_id": of["id"],
        "eye": one.eye,
        "eye_source": one.eye_source,
        "field": one.field,
        "patient_id": one.patient,
        "patient_key": patient_key(cases.SITE_KEY, None, one.patient),
        "acquired_at": one.acquired_at,
        "received_at": one.received_at,
        "local_day": local.date().isoformat(),
        "local_week": f"{year}-W{week:02}",
        "result": of["result"],
        "attempts": of["attempts"],
    }
    if of["result"]:
        told = {"media_type": one.media_type, "width": 4096, "height": 3072, "warnings": "[]"}
        row |= told | {"turnaround_ms": one.turnaround_ms} | results._counted(of["result"])
    return row


def _write_reviews(connection: sa.Connection, chance: random.Random, chain: _Chain) -> list[int]:
    """Let readers read most of what has to be read, and some of the rest; return the exams."""
    query = sa.select(
        eye_result, exam.c.day, exam.c.patient_key, capture.c.digest, capture.c.received_at
    )
    query = (
        query.select_from(eye_result)
        .join(exam)
        .join(capture, capture.c.id == eye_result.c.capture_id)
    )
    rows: list[Row] = []
    told: list[tuple[datetime, audit.Entry]] = []
    for seen in connection.execute(
        query.order_by(exam.c.day, exam.c.id, eye_result.c.eye)
    ).mappings():
        if chance.random() > (_READ if seen["urgency"] else _CHECKED):
            continue
        row = _review(chance, seen) | {"id": len(rows) + 1}
        rows.append(row)
        detail = {
            name: row[name]
            for name in ("eye", "verdict", "grade", "referable", "reviewer", "role", "blinded")
        }
        entity = (
            AuditEvent.REVIEW_RECORDED,
            "exam",
            row["exam_id"],
            seen["patient_key"],
            row["release_id"],
            seen["digest"],
        )
        told.append((row["created_at"], audit.Entry(*entity, detail | {"review_id": row["id"]})))
    connection.execute(sa.insert(review), rows)
    chain.write(connection, sorted(told, key=lambda one: one[0]))
    return sorted({row["exam_id"] for row in rows})


def _review(chance: random.Random, seen: Mapping[Any, Any]) -> Row:
    verdict = chance.choices(_VERDICTS, (78, 15, 3, 4))[0]
    grade, referable, reason = seen["grade"], seen["referable"], None
    if verdict is ReviewVerdict.OVERRIDE:
        said = chance.choice([one for one in Grade if one != grade])
        reason = ReviewReason.MISSED_LESION if said > (grade or 0) else ReviewReason.FALSE_LESION
        grade, referable = said, Referable.YES if said >= 2 else Referable.NO
    elif verdict is ReviewVerdict.RETAKE:
        grade, referable = None, Referable.INDETERMINATE
    reviewer, role = chance.choice(
        (("reader 1", "ophthalmologist"), ("reader 2", "grader"), ("reader 3", "grader"))
    )
    return {
        "exam_id": seen["exam_id"],
        "eye": seen["eye"],
        "capture_id": seen["capture_id"],
        "release_id": seen["release_id"],
        "model_outcome": seen["outcome"],
        "model_grade": seen["grade"],
        "model_referable": seen["referable"],
        "verdict": verdict,
        "grade": grade,
        "referable": referable,
        "reason": reason,
        "reviewer": reviewer,
        "role": role,
        "blinded": seen["urgency"] == 0,
        "created_at": seen["received_at"] + timedelta(minutes=chance.randrange(5, 2000)),
    }


def _set_clocks(connection: sa.Connection) -> None:
    """Let what was written down by today's clock have been written in its year."""
    created = (
        sa.select(sa.func.min(capture.c.received_at))
        .where(capture.c.exam_id == exam.c.id)
        .scalar_subquery()
    )
    connection.execute(sa.update(exam).values(created_at=created))
    judged = (
        sa.select(capture.c.received_at)
        .where(capture.c.id == eye_result.c.capture_id)
        .scalar_subquery()
    )
    connection.execute(sa.update(eye_result).values(resulted_at=judged))


def copy(source: Ledger, target: Ledger) -> None:
    """Write the rows of a SQLite ledger into an empty one on PostgreSQL, as they are."""
    with source.database.reading() as rows, target.database.writing() as connection:
        for table in metadata.sorted_tables:
            if table.name != "tally":  # triggers keep it
                names = table.c.keys()
                found = rows.exec_driver_sql(f"SELECT {', '.join(names)} FROM {table.name}")  # noqa: S608
                _copy_in(connection, table.name, names, found)
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


def told(ledger: Ledger, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Ask as an outside reader would; rows as both databases mean them: flags as 0 and 1, times as text."""
    with ledger.database.reading() as connection:
        found = connection.exec_driver_sql(query)
        return list(found.keys()), [tuple(map(_plain, row)) for row in found]


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return value


def in_order(rows: Iterable[Sequence[Any]]) -> list[str]:
    """Bring rows into one order by all their columns, whatever the database's collation."""
    return sorted(repr(tuple(row)) for row in rows)
