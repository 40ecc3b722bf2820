"""Remember what older versions did not store: what receivers were sent, and numbers without issuer.

Versions before revision 0002 did not store what they sent. Without it, a report would be
preliminary after it was final, and Observations that state the model's result in the codes of a
reader's would stay as they are. FHIR resources and CSV files are filled in, because these versions
derived their ids from the exam. The content is not known, and is empty.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

EYES = ("R", "L", "U")
_NAMESPACE = uuid.UUID("5a0f4d4e-6bd5-4f5e-9c53-9d1f6f0c1c57")
_MARK = 16  # hexadecimal digits of the digest of a photograph that are remembered
_SLICE = 500  # deliveries in one statement

Row = Mapping[Any, Any]
Key = tuple[int, str, str]  # exam, receiver, kind of document

BARE_KEYS = sa.text(
    """
    SELECT e.id, e.patient_key, r.content
    FROM exam e
    JOIN capture c ON c.exam_id = e.id
    JOIN job j ON j.id = c.job_id
    JOIN result r ON r.digest = j.digest AND r.release_id = j.release_id
    WHERE e.patient_key IS NOT NULL AND r.content LIKE '%"bare_key"%'
    """
)
DELIVERIES = sa.text(
    """
    SELECT exam_id, receiver, document, delivered_at
    FROM delivery WHERE delivered_at IS NOT NULL OR attempts > 0 OR answer IS NOT NULL
    """
)
EVENTS = sa.text(
    "SELECT seq, at, entity_id, detail FROM audit_event WHERE event = 'document.sent' ORDER BY seq"
)
# a version that knew revision 0002 has judged all exams anew then, and stored what it sent later
FIRST_JUDGED = sa.text("SELECT min(seq) FROM audit_event WHERE event = 'exams.rejudged'")
OF_EXAMS = {
    "exam": "SELECT id AS exam_id, study_uid, patient_key, day FROM exam WHERE id IN :ids",
    "capture": """
        SELECT exam_id, camera_id, path_text, eye, digest, superseded, received_at FROM capture
        WHERE exam_id IN :ids AND outcome IS NOT NULL AND outcome <> 'failed'
        """,
    "review": """
        SELECT exam_id, eye, created_at FROM review WHERE exam_id IN :ids AND verdict <> 'defer'
        """,
    "eye_result": "SELECT exam_id, eye FROM eye_result WHERE exam_id IN :ids",
}
SENT_DOCUMENT = sa.table(
    "sent_document",
    *map(sa.column, ("receiver", "exam_id", "document", "eye", "identifier", "status")),
    *map(sa.column, ("content", "photographs", "sent_at")),
)


class Known(NamedTuple):
    """What the database knows about an exam at the time of its last document."""

    exam: Row
    captures: Sequence[Row]
    reviews: Sequence[Row]
    eyes: Sequence[str]  # those that documents may have named
    counting: Sequence[str]  # those of them that had a result of their own


def upgrade() -> None:
    _bare_keys()
    _sent_documents(op.get_bind())


def _bare_keys() -> None:
    """Store the key that a patient's number has without the issuer that headers name."""
    op.execute("ALTER TABLE exam ADD COLUMN bare_key TEXT")
    is_known = sa.text("bare_key IS NOT NULL")
    op.create_index(
        "ix_exam_bare_key",
        "exam",
        ["bare_key", "day"],
        sqlite_where=is_known,
        postgresql_where=is_known,
    )
    keys: dict[int, str] = {}
    for row in op.get_bind().execute(BARE_KEYS):
        content = orjson.loads(row.content)
        if content.get("bare_key") and content.get("patient_key") == row.patient_key:
            keys[row.id] = content["bare_key"]
    rows = [{"at_id": number, "key": key} for number, key in keys.items()]
    if rows:
        op.get_bind().execute(sa.text("UPDATE exam SET bare_key = :key WHERE id = :at_id"), rows)


def _sent_documents(connection: sa.Connection) -> None:
    stored = _stored(connection)
    times = _times(connection, {(exam_id, receiver) for exam_id, receiver, _ in stored})
    keys = sorted(times)
    for first in range(0, len(keys), _SLICE):
        of_slice = keys[first : first + _SLICE]
        of_exams = _of_exams(connection, sorted({exam_id for exam_id, _, _ in of_slice}))
        rows = []
        for key in of_slice:
            exam_id, receiver, document = key
            shared = {"exam_id": exam_id, "receiver": receiver, "document": document}
            if exam_id in of_exams["exam"]:
                rows += [shared | row for row in _rows(exam_id, document, times[key], of_exams)]
        new = [row for row in rows if _identity(row) not in stored]
        if new:
            connection.execute(sa.insert(SENT_DOCUMENT), new)


def _identity(row: Row) -> tuple[int, str, str]:
    return row["exam_id"], row["receiver"], row["identifier"]


def _stored(connection: sa.Connection) -> set[tuple[int, str, str]]:
    columns = SENT_DOCUMENT.c["exam_id", "receiver", "identifier"]
    return {_identity(row) for row in connection.execute(sa.select(*columns)).mappings()}


# -- what was sent, and when


def _times(connection: sa.Connection, stored: set[tuple[int, str]]) -> dict[Key, list[Any]]:
    """Return when documents were sent by older versions, in order.

    The time is None if an attempt was made that the receiver has never confirmed. `stored` are the
    exams and receivers of which a version that knew revision 0002 has stored what it sent.
    """
    times: dict[Key, list[Any]] = {}
    first_judged = connection.scalar(FIRST_JUDGED)
    for row in connection.execute(EVENTS):
        detail = orjson.loads(row.detail)
        key = (row.entity_id, detail["receiver"], detail["document"])
        is_older = first_judged is not None and row.seq < first_judged
        if is_older or key[:2] not in stored:
            times.setdefault(key, []).append(_time(row.at))
    for row in connection.execute(DELIVERIES):
        key = (row.exam_id, row.receiver, row.document)
        if key[:2] not in stored:
            times.setdefault(key, [_time(row.delivered_at)])
    return times


def _time(stored: Any) -> datetime | None:
    """Return a time, which SQLite and the audit trail store as text."""
    if isinstance(stored, str):
        return datetime.fromisoformat(stored)
    return stored  # type: ignore[no-any-return]  # a datetime of PostgreSQL


def _of_exams(connection: sa.Connection, ids: Sequence[int]) -> dict[str, dict[int, list[Row]]]:
    """Return the rows of each table about exams, by exam."""
    of_exams: dict[str, dict[int, list[Row]]] = {}
    for table, query in OF_EXAMS.items():
        by_exam = of_exams.setdefault(table, {})
        statement = sa.text(query).bindparams(sa.bindparam("ids", expanding=True))
        for row in connection.execute(statement, {"ids": ids}).mappings():
            by_exam.setdefault(row["exam_id"], []).append(row)
    return of_exams


# -- the documents


def _rows(
    exam_id: int, document: str, times: Sequence[Any], of_exams: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield what is remembered about the documents of an exam that one receiver was sent."""
    known = _known(exam_id, times[-1] or datetime.now(UTC), of_exams)
    for former in dict.fromkeys(_exam_uuids(known, times)):
        if document == "fhir":
            documents = _fhir(known, former)
        elif document == "csv":
            documents = _csv(known, former)
        else:
            return
        for row in documents:
            yield row | {"content": "", "sent_at": _stored_time(times[-1])}


def _stored_time(at: datetime | None) -> Any:
    if at is not None and op.get_context().dialect.name == "sqlite":
        return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return at


def _known(exam_id: int, at: datetime, of_exams: Mapping[str, Any]) -> Known:
    [exam] = of_exams["exam"][exam_id]
    captures = _until(at, of_exams["capture"].get(exam_id, []), "received_at")
    reviews = _until(at, of_exams["review"].get(exam_id, []), "created_at")
    judged = {row["eye"] for row in of_exams["eye_result"].get(exam_id, [])}
    eyes = {row["eye"] for row in (*_with_eye(captures), *reviews)}
    if "U" in judged:  # maybe because the files of one photograph name different eyes
        eyes.add("U")
    counting = eyes & judged or eyes
    return Known(exam, captures, reviews, _in_order(eyes), _in_order(counting))


def _with_eye(captures: Sequence[Row]) -> list[Row]:
    """Return captures without those that have the eye of another file of the same photograph."""
    known = {_photograph(row) for row in captures if row["eye"] != "U"}
    return [row for row in captures if row["eye"] != "U" or _photograph(row) not in known]


def _photograph(row: Row) -> tuple[str, str]:
    folder, slash, name = row["path_text"].rpartition("/")
    return row["camera_id"], folder + slash + (name.rpartition(".")[0] or name)


def _in_order(eyes: set[str]) -> list[str]:
    return [eye for eye in EYES if eye in eyes]


def _until(at: datetime, rows: Iterable[Row], column: str) -> list[Row]:
    return [row for row in rows if (_time(row[column]) or at) <= at]


def _fhir(known: Known, former: str) -> Iterator[dict[str, Any]]:
    for eye in known.eyes:
        identifier = f"Observation/{_uuid('observation', former, eye)}"
        yield _row(known, eye, identifier, is_final=_is_read(known, eye))
    is_final = bool(known.counting) and all(_is_read(known, eye) for eye in known.counting)
    yield _row(known, None, f"DiagnosticReport/{_uuid('report', former)}", is_final=is_final)


def _csv(known: Known, former: str) -> Iterator[dict[str, Any]]:
    for eye in known.eyes:
        identifier = f"{known.exam['day']}_{former}.csv#{eye}"
        yield _row(known, eye, identifier, is_final=_is_read(known, eye))


def _is_read(known: Known, eye: str) -> bool:
    """Return whether a person had read an eye, so that a document about it may have been final."""
    return any(row["eye"] == eye for row in known.reviews)


def _row(known: Known, eye: str | None, identifier: str, *, is_final: bool) -> dict[str, Any]:
    digests = {
        row["digest"]
        for row in known.captures
        if eye in {None, row["eye"]} and not row["superseded"]
    }
    return {
        "eye": eye,
        "identifier": identifier,
        "status": "final" if is_final else "preliminary",
        "photographs": " ".join(digest[:_MARK] for digest in sorted(digests)),
    }


# -- ids, as versions before revision 0002 derived them


def _exam_uuids(known: Known, times: Sequence[datetime | None]) -> Iterator[str]:
    """Yield the ids by which an exam was sent.

    Without a patient and a study, the id depended on the photographs that the exam had then.
    """
    exam = known.exam
    if exam["patient_key"]:
        yield _uuid("exam", exam["patient_key"], exam["day"])
        return
    if exam["study_uid"]:
        yield _uuid("exam", exam["study_uid"])
        return
    for at in times:
        captures = _until(at or datetime.now(UTC), known.captures, "received_at")
        for shown in (captures, [row for row in captures if not row["superseded"]]):
            if shown:
                yield _uuid("exam", min(row["digest"] for row in shown), exam["day"])


def _uuid(*parts: str) -> str:
    encoded = b""
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        encoded += b"t" + len(raw).to_bytes(4) + raw
    return str(uuid.uuid5(_NAMESPACE, encoded.hex()))
