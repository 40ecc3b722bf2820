"""The tables: private to the ledger. Whoever queries from outside reads the views."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

from fundusd.domain.clinical_terms import (
    Action,
    Eye,
    EyeSource,
    Grade,
    Outcome,
    Referable,
    ReviewReason,
    ReviewVerdict,
)
from fundusd.domain.decoding import MediaType
from fundusd.domain.delivery import DeliveryState
from fundusd.domain.files import OfflineReason, WaitReason
from fundusd.domain.jobs import JobState

if TYPE_CHECKING:
    from enum import Enum

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UTCTime(TypeDecorator[datetime]):
    """An aware UTC time: timestamptz on PostgreSQL, sortable ISO text on SQLite."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        """Pick the column type of the database."""
        return dialect.type_descriptor(
            sa.Text() if dialect.name == "sqlite" else self.impl_instance
        )

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> Any:
        """Store in UTC; a naive time is the clinic's local time."""
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return (
            utc.isoformat(timespec="microseconds").replace("+00:00", "Z")
            if dialect.name == "sqlite"
            else utc
        )

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        """Read back an aware UTC time."""
        if value is None:
            return None
        return (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(UTC)


class SignedInode(TypeDecorator[int]):
    """An inode number in 64 signed bits: some file systems use all 64, PostgreSQL has 63."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: sa.Dialect) -> int | None:  # noqa: ARG002
        """Wrap numbers above 2**63."""
        return value if value is None or value < 2**63 else value - 2**64

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> int | None:  # noqa: ARG002
        """Unwrap them."""
        return value if value is None or value >= 0 else value + 2**64


BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # only INTEGER is a rowid on SQLite
GRADE_KEYS = tuple(grade.name.lower() for grade in Grade)  # no_dr, mild, moderate, severe, pdr


def storable(text: str) -> str:
    """Return a text as both databases can hold it: no NUL, bytes that were no UTF-8 as escapes."""
    return text.replace("\0", "").encode("utf-8", "backslashreplace").decode()


def one_of(column: str, values: type[Enum]) -> sa.CheckConstraint:
    """Build the CHECK that a column holds one of an enum's values."""
    listed = ", ".join(f"'{member.value}'" for member in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=column)


def _partial(name: str, where: sa.ColumnElement[bool], *columns: sa.Column[Any]) -> None:
    """Index some rows only; a query must say `where` in these very words to be answered from it."""
    sa.Index(name, *columns, sqlite_where=where, postgresql_where=where)


camera = sa.Table(
    "camera",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("registered_at", UTCTime, nullable=False),
    sa.Column("swept_at", UTCTime),  # end of the first full sweep
    sa.Column("last_sweep_at", UTCTime),
    sa.Column("last_sweep", sa.Text),  # canonical JSON of the report
    sa.Column("place", sa.Text),  # device and inode of the inbox when files were last seen in it
    sa.Column("offline_since", UTCTime),
    sa.Column("offline_reason", sa.Text),
    sa.Column(
        "release_id", BigId, sa.ForeignKey("release.id")
    ),  # that the daemon at work for it has
    sa.Column(
        "started", sa.BigInteger, nullable=False, server_default="0"
    ),  # audit event of that daemon's start
    sa.Column(
        "expected_fields", sa.Text, nullable=False, server_default=""
    ),  # of each eye: "disc macula"
    one_of("offline_reason", OfflineReason),
)

release = sa.Table(
    "release",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False, unique=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("revision", sa.Text, nullable=False),
    sa.Column("weights_digest", sa.Text, nullable=False),
    sa.Column("tokenizer_digest", sa.Text, nullable=False),
    sa.Column("files", sa.Text, nullable=False),  # canonical JSON: name -> sha256
    sa.Column("preprocessing", sa.Text, nullable=False),
    sa.Column("prompt_set", sa.Text, nullable=False),
    sa.Column("prompt_digest", sa.Text, nullable=False),
    sa.Column("head", sa.Text, nullable=False),
    sa.Column("referable_rule", sa.Text, nullable=False),
    sa.Column("quality_gate", sa.Text, nullable=False),
    sa.Column("dtype", sa.Text, nullable=False),
    sa.Column("runtime", sa.Text, nullable=False),  # backend, its version, device
    sa.Column("program_version", sa.Text, nullable=False),
    sa.Column("created_at", UTCTime, nullable=False),
)

# a person's visit, see fundusd.exam; what it comes to is written down whenever it changes
exam = sa.Table(
    "exam",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    sa.Column("study_uid", sa.Text),  # of its first DICOM study
    sa.Column("patient_key", sa.Text),
    sa.Column("day", sa.Text, nullable=False, server_default=""),  # the clinic's, YYYY-MM-DD
    sa.Column("created_at", UTCTime, nullable=False),
    sa.Column("missing_fields", sa.Text, nullable=False, server_default=""),  # eyes and fields: "L R/macula"
    sa.Column("referable", sa.Text, nullable=False, server_default="indeterminate"),
    sa.Column("grade", sa.SmallInteger),
    sa.Column("final_referable", sa.Text, nullable=False, server_default="indeterminate"),
    sa.Column("final_grade", sa.SmallInteger),
    sa.Column("is_reviewed", sa.Boolean(create_constraint=True, name="is_reviewed"), nullable=False,
              server_default=sa.false()),
    one_of("referable", Referable),
    one_of("final_referable", Referable),
)  # fmt: skip
sa.Index("ix_exam_patient_key", exam.c.patient_key, exam.c.day)
sa.Index("ix_exam_day", exam.c.day)

job = sa.Table(
    "job",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("release_id", BigId, sa.ForeignKey("release.id"), nullable=False),
    sa.Column(
        "camera_id", sa.Text, nullable=False, server_default=""
    ),  # whose capture queued it: by its turns
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("lane", sa.SmallInteger, nullable=False),  # 0 today's captures, 1 the backlog
    sa.Column("position", sa.BigInteger, nullable=False),  # backlog: minus mtime_ns, newest first
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column(
        "available_at", sa.Double, nullable=False
    ),  # seconds since 1970 by the database's clock
    sa.Column("token", sa.Text),
    sa.Column("lease_until", sa.Double),
    sa.Column("reason", sa.Text),
    sa.Column("action", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("created_at", UTCTime, nullable=False),
    sa.UniqueConstraint("digest", "release_id"),
    one_of("state", JobState),
    one_of("action", Action),
    sa.CheckConstraint("attempts >= 0", name="attempts"),
    sa.CheckConstraint("(state = 'running') = (token IS NOT NULL)", name="token"),
    sa.CheckConstraint("(state = 'running') = (lease_until IS NOT NULL)", name="lease"),
    sa.CheckConstraint("state <> 'failed' OR reason IS NOT NULL", name="failed_has_reason"),
    sa.CheckConstraint("state <> 'succeeded' OR reason IS NULL", name="succeeded_has_none"),
)
sa.Index(
    "ix_job_claim",
    job.c.state,
    job.c.camera_id,
    job.c.lane,
    job.c.attempts,
    job.c.position,
    job.c.id,
)
sa.Index("ix_job_since", job.c.state, job.c.created_at)

capture = sa.Table(
    "capture",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("camera_id", sa.Text, sa.ForeignKey("camera.id"), nullable=False),
    sa.Column(
        "path", sa.LargeBinary, nullable=False
    ),  # relative to the inbox, as the file system has it
    sa.Column("path_text", sa.Text, nullable=False),  # the same for people
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("superseded", sa.Boolean(create_constraint=True, name="superseded"), nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("mtime_ns", sa.BigInteger, nullable=False),
    sa.Column("inode", SignedInode, nullable=False),
    sa.Column("hinted", sa.Boolean(create_constraint=True, name="hinted"), nullable=False),
    sa.Column("job_id", BigId, sa.ForeignKey("job.id"), nullable=False, index=True),
    sa.Column("exam_id", BigId, sa.ForeignKey("exam.id")),
    sa.Column("media_type", sa.Text),
    sa.Column("width", sa.Integer),
    sa.Column("height", sa.Integer),
    sa.Column("eye", sa.Text, nullable=False),
    sa.Column("eye_source", sa.Text, nullable=False),
    sa.Column("field", sa.Text),
    sa.Column("patient_id", sa.Text),
    sa.Column("patient_key", sa.Text),
    sa.Column("sop_uid", sa.Text),
    sa.Column("warnings", sa.Text),  # canonical JSON list of codes
    sa.Column("acquired_at", UTCTime),
    sa.Column("received_at", UTCTime, nullable=False),
    sa.Column("local_day", sa.Text, nullable=False),  # the clinic's, YYYY-MM-DD
    sa.Column("local_week", sa.Text, nullable=False),  # ISO, YYYY-Www
    sa.Column("turnaround_ms", sa.BigInteger),
    # of its result once more, so that the views that count need not look each one up
    sa.Column("release_id", BigId),
    sa.Column("outcome", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("grade", sa.SmallInteger),
    sa.Column("referable", sa.Text),
    *(
        sa.Column(f"ppm_{key}", sa.Integer) for key in GRADE_KEYS
    ),  # scores: whole numbers add up alike everywhere
    sa.UniqueConstraint("camera_id", "path", "revision"),
    one_of("eye", Eye),
    one_of("eye_source", EyeSource),
    one_of("media_type", MediaType),
    one_of("outcome", Outcome),
    one_of("referable", Referable),
    sa.CheckConstraint("revision >= 1", name="revision"),
)
sa.Index("ix_capture_digest", capture.c.digest)
sa.Index("ix_capture_received_at", capture.c.received_at)
sa.Index(
    "ix_capture_exam_id",
    *(capture.c[name] for name in ("exam_id", "eye", "field", "outcome", "superseded")),
)
_COUNTS: sa.ColumnElement[bool] = sa.literal_column("outcome IS NOT NULL AND NOT superseded")
_partial("ix_capture_week", _COUNTS, *(capture.c[name] for name in (
    "local_week", "camera_id", "release_id", "outcome", "reason", "grade", "referable",
    *(f"ppm_{key}" for key in GRADE_KEYS),
)))  # fmt: skip
_partial("ix_capture_day", _COUNTS, capture.c.local_day, capture.c.turnaround_ms)
_UNGRADED: sa.ColumnElement[bool] = sa.literal_column("reason IS NOT NULL AND NOT superseded")
_partial(
    "ix_capture_reason",
    _UNGRADED,
    *(capture.c[name] for name in ("outcome", "local_day", "camera_id", "reason")),
)

sighting = sa.Table(
    "sighting",
    metadata,
    sa.Column("camera_id", sa.Text, sa.ForeignKey("camera.id"), primary_key=True),
    sa.Column(
        "directory", sa.LargeBinary, primary_key=True
    ),  # relative to the inbox, b"" for itself
    sa.Column("name", sa.LargeBinary, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("mtime_ns", sa.BigInteger, nullable=False),
    sa.Column("ctime_ns", sa.BigInteger, nullable=False),
    sa.Column("inode", SignedInode, nullable=False),
    sa.Column("capture_id", BigId, sa.ForeignKey("capture.id"), index=True),  # the current revision
    sa.Column("ignored", sa.Text),
    sa.Column("missing_since", UTCTime),
    sa.CheckConstraint("(capture_id IS NULL) <> (ignored IS NULL)", name="one_of_two"),
)

# files that are not complete: no captures yet, visible all the same
incomplete = sa.Table(
    "incomplete",
    metadata,
    sa.Column("camera_id", sa.Text, sa.ForeignKey("camera.id"), primary_key=True),
    sa.Column("path", sa.LargeBinary, primary_key=True),
    sa.Column("path_text", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("since", UTCTime, nullable=False),
    sa.Column("quarantined_at", UTCTime),
    one_of("reason", WaitReason),
)

_partial(
    "ix_sighting_present",
    sighting.c.missing_since.is_(None),
    sighting.c.camera_id,
    sighting.c.directory,
)
sa.Index("ix_sighting_file", sighting.c.camera_id, sighting.c.inode, sighting.c.mtime_ns)

result = sa.Table(
    "result",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("release_id", BigId, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("grade", sa.SmallInteger),
    sa.Column("referable", sa.Text, nullable=False),
    *(sa.Column(f"logit_{key}", sa.Double) for key in GRADE_KEYS),
    *(sa.Column(f"score_{key}", sa.Double) for key in GRADE_KEYS),
    sa.Column(
        "content", sa.Text, nullable=False
    ),  # canonical JSON of what the bytes say of themselves
    sa.Column("decode_ms", sa.Double, nullable=False),
    sa.Column("model_ms", sa.Double),
    sa.Column("batch_size", sa.Integer, nullable=False),
    sa.Column("created_at", UTCTime, nullable=False),
    sa.UniqueConstraint("digest", "release_id"),
    sa.ForeignKeyConstraint(
        ["digest", "release_id"], ["job.digest", "job.release_id"], name="fk_result_job"
    ),
    one_of("outcome", Outcome),
    one_of("action", Action),
    one_of("referable", Referable),
    sa.CheckConstraint("outcome <> 'failed'", name="never_failed"),
    sa.CheckConstraint("(outcome = 'graded') = (grade IS NOT NULL)", name="graded_has_grade"),
    sa.CheckConstraint("(outcome = 'graded') = (reason IS NULL)", name="ungraded_has_reason"),
    sa.CheckConstraint(
        "(outcome = 'graded') = (referable <> 'indeterminate')", name="referable_if_graded"
    ),
    sa.CheckConstraint("grade BETWEEN 0 AND 4", name="icdr"),
    *(
        sa.CheckConstraint(
            f"(outcome = 'graded') = ({kind}_{key} IS NOT NULL)", name=f"{kind}_{key}"
        )
        for kind in ("logit", "score")
        for key in GRADE_KEYS
    ),
)

# what a human said of an eye, of the result as it was shown: rows are added, never changed
review = sa.Table(
    "review",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("exam_id", BigId, sa.ForeignKey("exam.id"), nullable=False),
    sa.Column("eye", sa.Text, nullable=False),
    sa.Column(
        "capture_id", BigId, sa.ForeignKey("capture.id"), nullable=False
    ),  # the decisive one that was shown
    sa.Column("release_id", BigId, sa.ForeignKey("release.id"), nullable=False),
    sa.Column("model_outcome", sa.Text, nullable=False),
    sa.Column("model_grade", sa.SmallInteger),
    sa.Column("model_referable", sa.Text, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("grade", sa.SmallInteger),  # what counts since
    sa.Column("referable", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("reviewer", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("blinded", sa.Boolean(create_constraint=True, name="blinded"), nullable=False),
    sa.Column("created_at", UTCTime, nullable=False),
    one_of("eye", Eye),
    one_of("verdict", ReviewVerdict),
    one_of("model_outcome", Outcome),
    one_of("model_referable", Referable),
    one_of("referable", Referable),
    one_of("reason", ReviewReason),
    sa.CheckConstraint("grade BETWEEN 0 AND 4", name="icdr"),
    sa.CheckConstraint(
        "verdict <> 'override' OR (grade IS NOT NULL AND reason IS NOT NULL)", name="override_says"
    ),
)
sa.Index("ix_review_exam_id_eye", review.c.exam_id, review.c.eye, review.c.id)

# what the photographs of an eye come to, with what a human said of that
eye_result = sa.Table(
    "eye_result",
    metadata,
    sa.Column("exam_id", BigId, sa.ForeignKey("exam.id"), primary_key=True, autoincrement=False),
    sa.Column("eye", sa.Text, primary_key=True),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("referable", sa.Text, nullable=False),
    sa.Column("grade", sa.SmallInteger),
    sa.Column("reason", sa.Text),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("missing_fields", sa.Text, nullable=False),  # expected fields: "disc macula"
    sa.Column(
        "capture_id", BigId, sa.ForeignKey("capture.id"), nullable=False, index=True
    ),  # the decisive one
    sa.Column("captures", sa.Integer, nullable=False),
    sa.Column("release_id", BigId, sa.ForeignKey("release.id"), nullable=False),
    sa.Column("review_id", BigId, sa.ForeignKey("review.id")),  # the last one of this very result
    sa.Column("final_referable", sa.Text, nullable=False),
    sa.Column("final_grade", sa.SmallInteger),
    sa.Column("urgency", sa.SmallInteger, nullable=False),  # 0: need not be read (any more)
    sa.Column("resulted_at", UTCTime, nullable=False),
    one_of("eye", Eye),
    one_of("outcome", Outcome),
    one_of("referable", Referable),
    one_of("final_referable", Referable),
    one_of("action", Action),
)
_partial(
    "ix_eye_result_unread", eye_result.c.urgency > 0, eye_result.c.urgency, eye_result.c.exam_id
)

# documents for receivers: one row per exam and receiver, queued again whenever the exam changes
delivery = sa.Table(
    "delivery",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("receiver", sa.Text, nullable=False),
    sa.Column("document", sa.Text, nullable=False),  # sr, fhir, csv
    sa.Column("exam_id", BigId, sa.ForeignKey("exam.id"), nullable=False, index=True),
    sa.Column(
        "camera_id", sa.Text, sa.ForeignKey("camera.id"), nullable=False
    ),  # whose daemon can read the captures
    sa.Column("state", sa.Text, nullable=False),
    sa.Column(
        "changes", sa.Integer, nullable=False
    ),  # of the exam: what was sent before the last one is old
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column(
        "available_at", sa.Double, nullable=False
    ),  # seconds since 1970 by the database's clock
    sa.Column("answer", sa.Text),  # the receiver's own, or why nothing could be sent
    sa.Column("created_at", UTCTime, nullable=False),
    sa.Column("delivered_at", UTCTime),
    sa.UniqueConstraint("receiver", "exam_id"),
    one_of("state", DeliveryState),
)
_partial("ix_delivery_queued", delivery.c.state == sa.literal_column("'queued'"), delivery.c.receiver,
         delivery.c.available_at)  # fmt: skip

audit_event = sa.Table(
    "audit_event",
    metadata,
    sa.Column("seq", BigId, primary_key=True, autoincrement=False),
    sa.Column(
        "at", sa.Text, nullable=False
    ),  # text on both databases: the hash covers these very bytes
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False),  # DICOM PS3.15 event id
    sa.Column("action", sa.Text, nullable=False),  # C R U D E
    sa.Column("outcome", sa.Integer, nullable=False),  # 0 4 8 12
    sa.Column("actor_kind", sa.Text, nullable=False),
    sa.Column("actor_id", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("entity_kind", sa.Text),
    sa.Column("entity_id", BigId),
    sa.Column("patient_key", sa.Text),
    sa.Column("release_id", BigId),
    sa.Column("digest", sa.Text),
    sa.Column("detail", sa.Text, nullable=False),  # canonical JSON of whitelisted keys
    sa.Column("prev_hash", sa.LargeBinary, nullable=False),
    sa.Column("row_hash", sa.LargeBinary, nullable=False),
)
STARTED = audit_event.c.event == sa.literal_column("'application.started'")
_partial("ix_audit_event_started", STARTED, audit_event.c.seq)
_partial("ix_audit_event_patient_key", audit_event.c.patient_key.isnot(None), audit_event.c.patient_key,
         audit_event.c.seq)  # fmt: skip

# counts that the database keeps up by triggers: `status` must not count a year's rows
tally = sa.Table(
    "tally",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),  # job, result, capture
    sa.Column("value", sa.Text, primary_key=True),  # a job's state, a result's outcome, all
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.CheckConstraint("count >= 0", name="count"),
)
