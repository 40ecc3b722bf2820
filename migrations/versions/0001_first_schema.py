"""Create the first schema: captures, results, exams, reviews, audit trail, running counts."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UTC_TIME = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")

GRADE_KEYS = ("no_dr", "mild", "moderate", "severe", "pdr")
EYES = "('R', 'L', 'U')"
OUTCOMES = "('graded', 'ungradable', 'refused', 'failed')"
REFERABLE = "('yes', 'no', 'indeterminate')"
ACTIONS = "('retake', 'refer_reader', 'contact_it', 'none')"
APPEND_ONLY = ("audit_event", "review")
# tables whose rows are counted by the values of a column; None counts all rows as one kind
COUNTED = (("job", "state"), ("result", "outcome"), ("capture", None))
HAS_RESULT = "outcome IS NOT NULL AND NOT superseded"


def upgrade() -> None:
    for create in (
        _release,
        _camera,
        _exam,
        _job,
        _capture,
        _result,
        _sighting,
        _incomplete,
        _review,
        _eye_result,
        _delivery,
        _audit_event,
        _tally,
    ):
        create()
    for statement in _triggers():
        op.execute(statement)


def _triggers() -> Iterator[str]:
    if op.get_context().dialect.name == "sqlite":
        guards, tally = _sqlite_guards, _sqlite_tally
    else:
        guards, tally = _postgresql_guards, _postgresql_tally
    yield from guards()
    for table, column in COUNTED:
        yield from tally(table, column)


def flag(name: str, **options: Any) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(create_constraint=True, name=name), nullable=False, **options)


def one_of(column: str, values: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(f"{column} IN {values}", name=column)


def set_if_graded(column: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(f"(outcome = 'graded') = ({column} IS NOT NULL)", name=column)


def index(name: str, table: str, columns: str, where: str | None = None) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(
        name, table, columns.split(), sqlite_where=condition, postgresql_where=condition
    )


def _release() -> None:
    op.create_table(
        "release",
        sa.Column("id", BIG_ID, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("weights_digest", sa.Text, nullable=False),
        sa.Column("tokenizer_digest", sa.Text, nullable=False),
        sa.Column("files", sa.Text, nullable=False),
        sa.Column("preprocessing", sa.Text, nullable=False),
        sa.Column("prompt_set", sa.Text, nullable=False),
        sa.Column("prompt_digest", sa.Text, nullable=False),
        sa.Column("head", sa.Text, nullable=False),
        sa.Column("referable_rule", sa.Text, nullable=False),
        sa.Column("quality_gate", sa.Text, nullable=False),
        sa.Column("dtype", sa.Text, nullable=False),
        sa.Column("runtime", sa.Text, nullable=False),
        sa.Column("program_version", sa.Text, nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.UniqueConstraint("digest"),
    )


def _camera() -> None:
    op.create_table(
        "camera",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("registered_at", UTC_TIME, nullable=False),
        sa.Column("swept_at", UTC_TIME),
        sa.Column("last_sweep_at", UTC_TIME),
        sa.Column("last_sweep", sa.Text),
        sa.Column("place", sa.Text),
        sa.Column("offline_since", UTC_TIME),
        sa.Column("offline_reason", sa.Text),
        sa.Column("release_id", BIG_ID, sa.ForeignKey("release.id")),
        sa.Column("started", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("expected_fields", sa.Text, nullable=False, server_default=""),
        sa.Column("orientation_votes", sa.Text, nullable=False, server_default=""),
        sa.Column("usual_orientation", sa.Text),
        one_of("offline_reason", "('missing', 'unreadable', 'empty', 'mass_disappearance')"),
    )


def _exam() -> None:
    op.create_table(
        "exam",
        sa.Column("id", BIG_ID, primary_key=True),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("study_uid", sa.Text),
        sa.Column("patient_key", sa.Text),
        sa.Column("day", sa.Text, nullable=False, server_default=""),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("missing_fields", sa.Text, nullable=False, server_default=""),
        sa.Column("referable", sa.Text, nullable=False, server_default="indeterminate"),
        sa.Column("grade", sa.SmallInteger),
        sa.Column("final_referable", sa.Text, nullable=False, server_default="indeterminate"),
        sa.Column("final_grade", sa.SmallInteger),
        flag("is_reviewed", server_default=sa.false()),
        sa.UniqueConstraint("key"),
        one_of("referable", REFERABLE),
        one_of("final_referable", REFERABLE),
    )
    index("ix_exam_day", "exam", "day")
    index("ix_exam_patient_key", "exam", "patient_key day")


def _job() -> None:
    op.create_table(
        "job",
        sa.Column("id", BIG_ID, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("release_id", BIG_ID, sa.ForeignKey("release.id"), nullable=False),
        sa.Column("camera_id", sa.Text, nullable=False, server_default=""),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("lane", sa.SmallInteger, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("available_at", sa.Double, nullable=False),
        sa.Column("token", sa.Text),
        sa.Column("lease_until", sa.Double),
        sa.Column("reason", sa.Text),
        sa.Column("action", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.UniqueConstraint("digest", "release_id"),
        one_of("state", "('queued', 'running', 'succeeded', 'failed')"),
        one_of("action", ACTIONS),
        sa.CheckConstraint("attempts >= 0", name="attempts"),
        sa.CheckConstraint("(state = 'running') = (token IS NOT NULL)", name="token"),
        sa.CheckConstraint("(state = 'running') = (lease_until IS NOT NULL)", name="lease"),
        sa.CheckConstraint("state <> 'failed' OR reason IS NOT NULL", name="failed_has_reason"),
        sa.CheckConstraint("state <> 'succeeded' OR reason IS NULL", name="succeeded_has_none"),
    )
    index("ix_job_claim", "job", "state camera_id lane attempts position id")
    index("ix_job_since", "job", "state created_at")


def _capture() -> None:
    op.create_table(
        "capture",
        sa.Column("id", BIG_ID, primary_key=True),
        sa.Column("camera_id", sa.Text, sa.ForeignKey("camera.id"), nullable=False),
        sa.Column("path", sa.LargeBinary, nullable=False),
        sa.Column("path_text", sa.Text, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        flag("superseded"),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("mtime_ns", sa.BigInteger, nullable=False),
        sa.Column("inode", sa.BigInteger, nullable=False),
        flag("hinted"),
        sa.Column("job_id", BIG_ID, sa.ForeignKey("job.id"), nullable=False),
        sa.Column("exam_id", BIG_ID, sa.ForeignKey("exam.id")),
        sa.Column("media_type", sa.Text),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("eye", sa.Text, nullable=False),
        sa.Column("eye_source", sa.Text, nullable=False),
        sa.Column("field", sa.Text),
        sa.Column("patient_id", sa.Text),
        sa.Column("patient_key", sa.Text),
        sa.Column("sop_uid", sa.Text),
        sa.Column("warnings", sa.Text),
        sa.Column("acquired_at", UTC_TIME),
        sa.Column("received_at", UTC_TIME, nullable=False),
        sa.Column("local_day", sa.Text, nullable=False),
        sa.Column("local_week", sa.Text, nullable=False),
        sa.Column("turnaround_ms", sa.BigInteger),
        sa.Column("release_id", BIG_ID),
        sa.Column("outcome", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("grade", sa.SmallInteger),
        sa.Column("referable", sa.Text),
        *(sa.Column(f"ppm_{key}", sa.Integer) for key in GRADE_KEYS),
        sa.UniqueConstraint("camera_id", "path", "revision"),
        one_of("eye", EYES),
        one_of(
            "eye_source",
            "('image_laterality', 'laterality', 'frame_laterality', 'name', 'lookup', 'conflict', "
            "'none')",
        ),
        one_of("media_type", "('image/jpeg', 'image/png', 'image/tiff', 'application/dicom')"),
        one_of("outcome", OUTCOMES),
        one_of("referable", REFERABLE),
        sa.CheckConstraint("revision >= 1", name="revision"),
    )
    index("ix_capture_day", "capture", "local_day turnaround_ms", HAS_RESULT)
    index("ix_capture_digest", "capture", "digest")
    index("ix_capture_exam_id", "capture", "exam_id eye field outcome superseded")
    index("ix_capture_job_id", "capture", "job_id")
    index(
        "ix_capture_reason",
        "capture",
        "outcome local_day camera_id reason",
        "reason IS NOT NULL AND NOT superseded",
    )
    index("ix_capture_received_at", "capture", "received_at")
    index(
        "ix_capture_week",
        "capture",
        "local_week camera_id release_id outcome reason grade referable "
        "ppm_no_dr ppm_mild ppm_moderate ppm_severe ppm_pdr",
        HAS_RESULT,
    )


def _result() -> None:
    op.create_table(
        "result",
        sa.Column("id", BIG_ID, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("release_id", BIG_ID, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("quality_level", sa.Text),
        sa.Column("grade", sa.SmallInteger),
        sa.Column("referable", sa.Text, nullable=False),
        *(sa.Column(f"logit_{key}", sa.Double) for key in GRADE_KEYS),
        *(sa.Column(f"score_{key}", sa.Double) for key in GRADE_KEYS),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("decode_ms", sa.Double, nullable=False),
        sa.Column("model_ms", sa.Double),
        sa.Column("batch_size", sa.Integer, nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.UniqueConstraint("digest", "release_id"),
        sa.ForeignKeyConstraint(
            ["digest", "release_id"], ["job.digest", "job.release_id"], name="fk_result_job"
        ),
        one_of("outcome", OUTCOMES),
        one_of("action", ACTIONS),
        one_of("quality_level", "('good', 'usable', 'reject')"),
        one_of("referable", REFERABLE),
        sa.CheckConstraint("outcome <> 'failed'", name="never_failed"),
        sa.CheckConstraint("(outcome = 'graded') = (grade IS NOT NULL)", name="graded_has_grade"),
        sa.CheckConstraint("(outcome = 'graded') = (reason IS NULL)", name="ungraded_has_reason"),
        sa.CheckConstraint(
            "(outcome = 'graded') = (referable <> 'indeterminate')", name="referable_if_graded"
        ),
        sa.CheckConstraint("grade BETWEEN 0 AND 4", name="icdr"),
        *(set_if_graded(f"logit_{key}") for key in GRADE_KEYS),
        *(set_if_graded(f"score_{key}") for key in GRADE_KEYS),
    )


def _sighting() -> None:
    op.create_table(
        "sighting",
        sa.Column("camera_id", sa.Text, sa.ForeignKey("camera.id"), primary_key=True),
        sa.Column("directory", sa.LargeBinary, primary_key=True),
        sa.Column("name", sa.LargeBinary, primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("mtime_ns", sa.BigInteger, nullable=False),
        sa.Column("ctime_ns", sa.BigInteger, nullable=False),
        sa.Column("inode", sa.BigInteger, nullable=False),
        sa.Column("capture_id", BIG_ID, sa.ForeignKey("capture.id")),
        sa.Column("ignored", sa.Text),
        sa.Column("missing_since", UTC_TIME),
        sa.CheckConstraint("(capture_id IS NULL) <> (ignored IS NULL)", name="one_of_two"),
    )
    index("ix_sighting_capture_id", "sighting", "capture_id")
    index("ix_sighting_file", "sighting", "camera_id inode mtime_ns")
    index("ix_sighting_present", "sighting", "camera_id directory", "missing_since IS NULL")


def _incomplete() -> None:
    op.create_table(
        "incomplete",
        sa.Column("camera_id", sa.Text, sa.ForeignKey("camera.id"), primary_key=True),
        sa.Column("path", sa.LargeBinary, primary_key=True),
        sa.Column("path_text", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("since", UTC_TIME, nullable=False),
        sa.Column("quarantined_at", UTC_TIME),
        one_of("reason", "('empty', 'changing', 'held', 'unreadable')"),
    )


def _review() -> None:
    op.create_table(
        "review",
        sa.Column("id", BIG_ID, primary_key=True),
        sa.Column("exam_id", BIG_ID, sa.ForeignKey("exam.id"), nullable=False),
        sa.Column("eye", sa.Text, nullable=False),
        sa.Column("capture_id", BIG_ID, sa.ForeignKey("capture.id"), nullable=False),
        sa.Column("release_id", BIG_ID, sa.ForeignKey("release.id"), nullable=False),
        sa.Column("model_outcome", sa.Text, nullable=False),
        sa.Column("model_grade", sa.SmallInteger),
        sa.Column("model_referable", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("grade", sa.SmallInteger),
        sa.Column("referable", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("reviewer", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        flag("blinded"),
        sa.Column("created_at", UTC_TIME, nullable=False),
        one_of("eye", EYES),
        one_of("verdict", "('agree', 'override', 'ungradable', 'retake', 'defer')"),
        one_of("model_outcome", OUTCOMES),
        one_of("model_referable", REFERABLE),
        one_of("referable", REFERABLE),
        one_of(
            "reason",
            "('missed_lesion', 'false_lesion', 'laser_scars', 'non_dr_pathology', 'wrong_eye', "
            "'poor_image', 'other')",
        ),
        sa.CheckConstraint("grade BETWEEN 0 AND 4", name="icdr"),
        sa.CheckConstraint(
            "verdict <> 'override' OR (grade IS NOT NULL AND reason IS NOT NULL)",
            name="override_says",
        ),
    )
    index("ix_review_exam_id_eye", "review", "exam_id eye id")


def _eye_result() -> None:
    op.create_table(
        "eye_result",
        sa.Column(
            "exam_id", BIG_ID, sa.ForeignKey("exam.id"), primary_key=True, autoincrement=False
        ),
        sa.Column("eye", sa.Text, primary_key=True),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("referable", sa.Text, nullable=False),
        sa.Column("grade", sa.SmallInteger),
        sa.Column("reason", sa.Text),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("missing_fields", sa.Text, nullable=False),
        sa.Column("capture_id", BIG_ID, sa.ForeignKey("capture.id"), nullable=False),
        sa.Column("captures", sa.Integer, nullable=False),
        sa.Column("release_id", BIG_ID, sa.ForeignKey("release.id"), nullable=False),
        sa.Column("review_id", BIG_ID, sa.ForeignKey("review.id")),
        sa.Column("final_referable", sa.Text, nullable=False),
        sa.Column("final_grade", sa.SmallInteger),
        sa.Column("urgency", sa.SmallInteger, nullable=False),
        sa.Column("resulted_at", UTC_TIME, nullable=False),
        one_of("eye", EYES),
        one_of("outcome", OUTCOMES),
        one_of("referable", REFERABLE),
        one_of("final_referable", REFERABLE),
        one_of("action", ACTIONS),
    )
    index("ix_eye_result_capture_id", "eye_result", "capture_id")
    index("ix_eye_result_unread", "eye_result", "urgency exam_id", "urgency > 0")


def _delivery() -> None:
    op.create_table(
        "delivery",
        sa.Column("id", BIG_ID, primary_key=True),
        sa.Column("receiver", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("exam_id", BIG_ID, sa.ForeignKey("exam.id"), nullable=False),
        sa.Column("camera_id", sa.Text, sa.ForeignKey("camera.id"), nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("changes", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("available_at", sa.Double, nullable=False),
        sa.Column("answer", sa.Text),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("delivered_at", UTC_TIME),
        sa.UniqueConstraint("receiver", "exam_id"),
        one_of("state", "('queued', 'delivered', 'failed')"),
    )
    index("ix_delivery_exam_id", "delivery", "exam_id")
    index("ix_delivery_queued", "delivery", "receiver available_at", "state = 'queued'")


def _audit_event() -> None:
    op.create_table(
        "audit_event",
        sa.Column("seq", BIG_ID, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("outcome", sa.Integer, nullable=False),
        sa.Column("actor_kind", sa.Text, nullable=False),
        sa.Column("actor_id", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("entity_kind", sa.Text),
        sa.Column("entity_id", BIG_ID),
        sa.Column("patient_key", sa.Text),
        sa.Column("release_id", BIG_ID),
        sa.Column("digest", sa.Text),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("prev_hash", sa.LargeBinary, nullable=False),
        sa.Column("row_hash", sa.LargeBinary, nullable=False),
    )
    index("ix_audit_event_patient_key", "audit_event", "patient_key seq", "patient_key IS NOT NULL")
    index("ix_audit_event_started", "audit_event", "seq", "event = 'application.started'")


def _tally() -> None:
    op.create_table(
        "tally",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, primary_key=True),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.CheckConstraint("count >= 0", name="count"),
    )


def _sqlite_guards() -> Iterator[str]:
    """Yield the triggers that make the audit trail and the reviews append-only."""
    for table in APPEND_ONLY:
        for event in ("update", "delete"):
            yield f"""CREATE TRIGGER {table}_no_{event} BEFORE {event.upper()} ON {table}
           BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"""
    yield """CREATE TRIGGER audit_event_next_seq BEFORE INSERT ON audit_event
           WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM audit_event)
           BEGIN SELECT RAISE(ABORT, 'audit_event takes the next seq only'); END"""


def _postgresql_guards() -> Iterator[str]:
    """Yield the triggers that make the audit trail and the reviews append-only."""
    for table in APPEND_ONLY:
        yield f"""CREATE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$"""
        for event, when in (("update", "UPDATE"), ("delete", "DELETE OR TRUNCATE")):
            yield f"""CREATE TRIGGER {table}_no_{event} BEFORE {when} ON {table}
           FOR EACH STATEMENT EXECUTE FUNCTION {table}_refuse()"""
    for event in ("update", "delete"):  # in replication sessions, too
        yield f"ALTER TABLE audit_event ENABLE ALWAYS TRIGGER audit_event_no_{event}"


def _sqlite_tally(table: str, column: str | None) -> Iterator[str]:
    """Yield the triggers that count a table's rows, by the values of `column` if it is given."""
    new, old = (f"NEW.{column}", f"OLD.{column}") if column else ("'all'", "'all'")
    one_more = f"""INSERT INTO tally VALUES ('{table}', {new}, 1)
        ON CONFLICT (kind, value) DO UPDATE SET count = count + 1;"""  # noqa: S608  our names
    one_less = f"""UPDATE tally SET count = count - 1
        WHERE kind = '{table}' AND value = {old};"""  # noqa: S608
    yield f"CREATE TRIGGER {table}_tally_insert AFTER INSERT ON {table} BEGIN {one_more} END"
    yield f"CREATE TRIGGER {table}_tally_delete AFTER DELETE ON {table} BEGIN {one_less} END"
    if column:
        yield f"""CREATE TRIGGER {table}_tally_update AFTER UPDATE OF {column} ON {table}
                WHEN OLD.{column} <> NEW.{column} BEGIN {one_less} {one_more} END"""


def _postgresql_tally(table: str, column: str | None) -> Iterator[str]:
    """Yield the triggers that count a table's rows, by the values of `column` if it is given.

    They count once per statement, because counting each row would update a tally repeatedly.
    """
    value = column or "'all'"
    more = f"SELECT {value} AS value, 1 AS change FROM new_rows"  # noqa: S608  our names
    less = f"SELECT {value} AS value, -1 AS change FROM old_rows"  # noqa: S608
    new_rows, old_rows = "NEW TABLE AS new_rows", "OLD TABLE AS old_rows"
    changes = [("insert", more, new_rows), ("delete", less, old_rows)]
    if column:
        changes.append(("update", f"{more} UNION ALL {less}", f"{new_rows} {old_rows}"))
    for event, change, transition_tables in changes:
        name = f"{table}_tally_{event}"
        # two statements, because the CHECK sees a negative row before ON CONFLICT adds it
        yield f"""CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                INSERT INTO tally SELECT '{table}', value, 0 FROM ({change}) AS c GROUP BY value
                ORDER BY value ON CONFLICT DO NOTHING;
                UPDATE tally SET count = count + c.change
                FROM (SELECT value, sum(change) AS change FROM ({change}) AS c GROUP BY value) AS c
                WHERE tally.kind = '{table}' AND tally.value = c.value AND c.change <> 0;
                RETURN NULL; END $$"""  # noqa: S608
        yield f"""CREATE TRIGGER {name} AFTER {event.upper()} ON {table}
                REFERENCING {transition_tables}
                FOR EACH STATEMENT EXECUTE FUNCTION {name}()"""
