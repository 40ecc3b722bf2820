"""Exams come to a result for each eye and the person; humans review them; documents about them are sent."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UTC_TIME = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")

EYES = "('R', 'L', 'U')"
OUTCOMES = "('graded', 'ungradable', 'refused', 'failed')"
REFERABLE = "('yes', 'no', 'indeterminate')"
ACTIONS = "('retake', 'refer_reader', 'contact_it', 'none')"
OLD_SOURCES = "eye_source IN ('image_laterality', 'laterality', 'frame_laterality', 'name', 'conflict', 'none')"
SOURCES = "eye_source IN ('image_laterality', 'laterality', 'frame_laterality', 'name', 'lookup', 'conflict', 'none')"

GUARDS = {
    "sqlite": (
        """CREATE TRIGGER review_no_update BEFORE UPDATE ON review
           BEGIN SELECT RAISE(ABORT, 'review is append-only'); END""",
        """CREATE TRIGGER review_no_delete BEFORE DELETE ON review
           BEGIN SELECT RAISE(ABORT, 'review is append-only'); END""",
    ),
    "postgresql": (
        """CREATE FUNCTION review_refuse() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'review is append-only'; END $$""",
        """CREATE TRIGGER review_no_update BEFORE UPDATE ON review
           FOR EACH STATEMENT EXECUTE FUNCTION review_refuse()""",
        """CREATE TRIGGER review_no_delete BEFORE DELETE OR TRUNCATE ON review
           FOR EACH STATEMENT EXECUTE FUNCTION review_refuse()""",
    ),
}


def rule(table: str, column: str, values: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(f"{column} IN {values}", name=op.f(f"ck_{table}_{column}"))


def upgrade() -> None:
    is_sqlite = op.get_context().dialect.name == "sqlite"
    op.add_column(
        "camera", sa.Column("expected_fields", sa.Text(), nullable=False, server_default="")
    )
    _exam(is_sqlite=is_sqlite)
    _eye_sources(is_sqlite=is_sqlite)
    _review()
    _eye_result()
    _delivery()
    for statement in GUARDS[op.get_context().dialect.name]:
        op.execute(statement)


def _exam(*, is_sqlite: bool) -> None:
    """Let an exam be known by more than its study: the study was its key."""
    op.execute("ALTER TABLE exam RENAME COLUMN study_uid TO key")
    if is_sqlite:
        _edit("exam", "uq_exam_study_uid", "uq_exam_key")
    else:
        op.execute("ALTER TABLE exam RENAME CONSTRAINT uq_exam_study_uid TO uq_exam_key")
    op.add_column("exam", sa.Column("study_uid", sa.Text()))
    op.add_column("exam", sa.Column("patient_key", sa.Text()))
    op.add_column("exam", sa.Column("day", sa.Text(), nullable=False, server_default=""))
    op.add_column("exam", sa.Column("missing_fields", sa.Text(), nullable=False, server_default=""))
    for name in ("", "final_"):
        check = f"CONSTRAINT ck_exam_{name}referable CHECK ({name}referable IN {REFERABLE})"
        op.execute(
            f"ALTER TABLE exam ADD COLUMN {name}referable TEXT DEFAULT 'indeterminate' NOT NULL {check}"
        )
        op.add_column("exam", sa.Column(f"{name}grade", sa.SmallInteger()))
    default, check = "false", ""
    if is_sqlite:
        default, check = "0", "CONSTRAINT ck_exam_is_reviewed CHECK (is_reviewed IN (0, 1))"
    op.execute(
        f"ALTER TABLE exam ADD COLUMN is_reviewed BOOLEAN DEFAULT {default} NOT NULL {check}"
    )
    day = "substr(created_at, 1, 10)" if is_sqlite else "CAST(CAST(created_at AS date) AS text)"
    op.execute(f"UPDATE exam SET study_uid = key, key = 'study:' || key, day = {day}")  # noqa: S608  ours
    op.create_index("ix_exam_patient_key", "exam", ["patient_key", "day"])
    op.create_index("ix_exam_day", "exam", ["day"])


def _eye_sources(*, is_sqlite: bool) -> None:
    """Let the camera's own database be a source: the rule grows by a word, so no row can break it."""
    if not is_sqlite:
        op.execute("ALTER TABLE capture DROP CONSTRAINT ck_capture_eye_source")
        op.execute(f"ALTER TABLE capture ADD CONSTRAINT ck_capture_eye_source CHECK ({SOURCES})")
        return
    _edit("capture", OLD_SOURCES, SOURCES)


def _edit(table: str, old: str, new: str) -> None:
    """Change the text of a SQLite table's rules where no row is touched by it.

    A copy of the table would take minutes and lose its triggers; see "Making Other Kinds Of Table Schema Changes",
    sqlite.org/lang_altertable.html.
    """
    connection = op.get_bind()
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    connection.exec_driver_sql(
        "UPDATE sqlite_schema SET sql = replace(sql, ?, ?) WHERE type = 'table' AND name = ?",
        (old, new, table),
    )
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = OFF")


def _review() -> None:
    op.create_table(
        "review",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("exam_id", BIG_ID, nullable=False),
        sa.Column("eye", sa.Text(), nullable=False),
        sa.Column("capture_id", BIG_ID, nullable=False),
        sa.Column("release_id", BIG_ID, nullable=False),
        sa.Column("model_outcome", sa.Text(), nullable=False),
        sa.Column("model_grade", sa.SmallInteger()),
        sa.Column("model_referable", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("grade", sa.SmallInteger()),
        sa.Column("referable", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("blinded", sa.Boolean(create_constraint=True, name="blinded"), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        rule("review", "eye", EYES),
        rule("review", "verdict", "('agree', 'override', 'ungradable', 'retake', 'defer')"),
        rule("review", "model_outcome", OUTCOMES),
        rule("review", "model_referable", REFERABLE),
        rule("review", "referable", REFERABLE),
        rule(
            "review",
            "reason",
            "('missed_lesion', 'false_lesion', 'laser_scars', 'non_dr_pathology', 'wrong_eye', 'poor_image', 'other')",
        ),
        sa.CheckConstraint("grade BETWEEN 0 AND 4", name=op.f("ck_review_icdr")),
        sa.CheckConstraint(
            "verdict <> 'override' OR (grade IS NOT NULL AND reason IS NOT NULL)",
            name=op.f("ck_review_override_says"),
        ),
        sa.ForeignKeyConstraint(["exam_id"], ["exam.id"], name=op.f("fk_review_exam_id_exam")),
        sa.ForeignKeyConstraint(
            ["capture_id"], ["capture.id"], name=op.f("fk_review_capture_id_capture")
        ),
        sa.ForeignKeyConstraint(
            ["release_id"], ["release.id"], name=op.f("fk_review_release_id_release")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review")),
    )
    op.create_index("ix_review_exam_id_eye", "review", ["exam_id", "eye", "id"])


def _eye_result() -> None:
    op.create_table(
        "eye_result",
        sa.Column("exam_id", BIG_ID, nullable=False),
        sa.Column("eye", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("referable", sa.Text(), nullable=False),
        sa.Column("grade", sa.SmallInteger()),
        sa.Column("reason", sa.Text()),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("missing_fields", sa.Text(), nullable=False),
        sa.Column("capture_id", BIG_ID, nullable=False),
        sa.Column("captures", sa.Integer(), nullable=False),
        sa.Column("release_id", BIG_ID, nullable=False),
        sa.Column("review_id", BIG_ID),
        sa.Column("final_referable", sa.Text(), nullable=False),
        sa.Column("final_grade", sa.SmallInteger()),
        sa.Column("urgency", sa.SmallInteger(), nullable=False),
        sa.Column("resulted_at", UTC_TIME, nullable=False),
        rule("eye_result", "eye", EYES),
        rule("eye_result", "outcome", OUTCOMES),
        rule("eye_result", "referable", REFERABLE),
        rule("eye_result", "final_referable", REFERABLE),
        rule("eye_result", "action", ACTIONS),
        sa.ForeignKeyConstraint(["exam_id"], ["exam.id"], name=op.f("fk_eye_result_exam_id_exam")),
        sa.ForeignKeyConstraint(
            ["capture_id"], ["capture.id"], name=op.f("fk_eye_result_capture_id_capture")
        ),
        sa.ForeignKeyConstraint(
            ["release_id"], ["release.id"], name=op.f("fk_eye_result_release_id_release")
        ),
        sa.ForeignKeyConstraint(
            ["review_id"], ["review.id"], name=op.f("fk_eye_result_review_id_review")
        ),
        sa.PrimaryKeyConstraint("exam_id", "eye", name=op.f("pk_eye_result")),
    )
    op.create_index(op.f("ix_eye_result_capture_id"), "eye_result", ["capture_id"])
    unread = sa.text("urgency > 0")
    columns = ["urgency", "exam_id"]
    op.create_index(
        "ix_eye_result_unread", "eye_result", columns, sqlite_where=unread, postgresql_where=unread
    )


def _delivery() -> None:
    op.create_table(
        "delivery",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("exam_id", BIG_ID, nullable=False),
        sa.Column("camera_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("available_at", sa.Double(), nullable=False),
        sa.Column("answer", sa.Text()),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("delivered_at", UTC_TIME),
        rule("delivery", "state", "('queued', 'delivered', 'failed')"),
        sa.ForeignKeyConstraint(["exam_id"], ["exam.id"], name=op.f("fk_delivery_exam_id_exam")),
        sa.ForeignKeyConstraint(
            ["camera_id"], ["camera.id"], name=op.f("fk_delivery_camera_id_camera")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.UniqueConstraint("receiver", "exam_id", name=op.f("uq_delivery_receiver_exam_id")),
    )
    op.create_index(op.f("ix_delivery_exam_id"), "delivery", ["exam_id"])
    queued = sa.text("state = 'queued'")
    columns = ["receiver", "available_at"]
    op.create_index(
        "ix_delivery_queued", "delivery", columns, sqlite_where=queued, postgresql_where=queued
    )
