"""Decide by more than the worst photograph: readings, follow-ups, corrections, days, fields."""

from collections.abc import Iterator
from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UTC_TIME = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")

EYES = "('R', 'L', 'U')"
READING_STATES = "('unread', 'read', 'outdated', 'disputed')"
PURPOSES = "('routine', 'second', 'arbitration', 'quality_assurance')"
LESIONS = (
    "('amd', 'glaucoma_suspect', 'vein_occlusion', 'artery_occlusion', 'hypertensive_retinopathy', "
    "'retinal_detachment', 'epiretinal_membrane', 'optic_disc_swelling', 'pigmented_lesion', "
    "'other')"
)
EXCLUSIONS = "('not_this_patient', 'not_a_retina', 'test', 'retaken', 'other')"
FOLLOW_UPS = "('retake', 'slit_lamp', 'referral')"
FOLLOW_UP_ENDS = "('read', 'done', 'declined', 'not_possible', 'opened_in_error')"
CORRECTIONS = "('eye', 'exclude', 'include', 'belongs', 'absent', 'present', 'join', 'part')"
PROTOCOLS = "('any', 'one', 'two')"
DAY_DOUBTS = "('', 'received', 'clock_skew')"
DOCUMENTS = "('sr', 'fhir', 'csv')"
STATUSES = "('preliminary', 'final', 'amended', 'corrected', 'entered-in-error')"
MACULOPATHY = "('M0', 'M1')"
PHOTOCOAGULATION = "('P0', 'P1')"
CLOSED = "(closed_at IS NULL) = (closed_by IS NULL) AND (closed_at IS NULL) = (closed_how IS NULL)"


def upgrade() -> None:
    for table, columns in (
        ("camera", _camera()),
        ("capture", _capture()),
        ("exam", _exam()),
        ("review", _review()),
        ("eye_result", _eye_result()),
    ):
        for column in columns:
            # as text, because on SQLite alembic adds no CHECK to a table that is there
            op.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
    _days()
    _follow_up()
    _correction()
    _sent_document()
    for statement in _guards():
        op.execute(statement)


def within(table: str, column: str, values: str) -> str:
    return f"CONSTRAINT ck_{table}_{column} CHECK ({column} IN {values})"


def is_sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"


def number(column: str) -> str:
    """Return a column that holds the id of a row."""
    return f"{column} {'INTEGER' if is_sqlite() else 'BIGINT'}"


def flag(table: str, column: str) -> str:
    """Return a boolean column, which needs a CHECK on SQLite only."""
    if is_sqlite():
        return f"{column} BOOLEAN DEFAULT 0 NOT NULL {within(table, column, '(0, 1)')}"
    return f"{column} BOOLEAN DEFAULT false NOT NULL"


def _camera() -> Iterator[str]:
    yield f"fields TEXT DEFAULT 'any' NOT NULL {within('camera', 'fields', PROTOCOLS)}"
    share = "DOUBLE" if is_sqlite() else "DOUBLE PRECISION"
    yield f"confirmed_share {share} DEFAULT 0 NOT NULL"


def _capture() -> Iterator[str]:
    yield "acquired_day TEXT"
    yield f"corrected_eye TEXT {within('capture', 'corrected_eye', EYES)}"
    yield f"excluded TEXT {within('capture', 'excluded', EXCLUSIONS)}"
    yield flag("capture", "belongs")
    yield number("placed_exam_id")


def _exam() -> Iterator[str]:
    yield f"day_doubt TEXT DEFAULT '' NOT NULL {within('exam', 'day_doubt', DAY_DOUBTS)}"
    yield number("joined_into")
    yield "protocol TEXT DEFAULT '' NOT NULL"


def _days() -> None:
    """Fill the day of each photograph whose time is known, and name the day in keys of studies."""
    rows = op.get_bind().execute(
        sa.text("SELECT id, acquired_at FROM capture WHERE acquired_at IS NOT NULL")
    )
    days = []
    for row in rows:
        at = row.acquired_at
        if isinstance(at, str):  # SQLite
            at = datetime.fromisoformat(at)
        days.append({"at_id": row.id, "day": at.astimezone().date().isoformat()})
    if days:
        update = sa.text("UPDATE capture SET acquired_day = :day WHERE id = :at_id")
        op.get_bind().execute(update, days)
    op.execute("UPDATE exam SET key = key || ':' || day WHERE key LIKE 'study:%'")
    is_joined = sa.text("joined_into IS NOT NULL")
    op.create_index(
        "ix_exam_joined_into",
        "exam",
        ["joined_into"],
        sqlite_where=is_joined,
        postgresql_where=is_joined,
    )


def _review() -> Iterator[str]:
    yield f"purpose TEXT DEFAULT 'routine' NOT NULL {within('review', 'purpose', PURPOSES)}"
    yield "photographs TEXT DEFAULT '' NOT NULL"
    yield f"lesion TEXT {within('review', 'lesion', LESIONS)}"
    yield f"maculopathy TEXT {within('review', 'maculopathy', MACULOPATHY)}"
    yield f"photocoagulation TEXT {within('review', 'photocoagulation', PHOTOCOAGULATION)}"
    yield flag("review", "stable_treated")


def _eye_result() -> Iterator[str]:
    state = within("eye_result", "reading_state", READING_STATES)
    yield f"reading_state TEXT DEFAULT 'unread' NOT NULL {state}"
    yield number("former_review_id")


def _follow_up() -> None:
    op.create_table(
        "follow_up",
        sa.Column("id", BIG_ID, primary_key=True),
        sa.Column("exam_id", BIG_ID, sa.ForeignKey("exam.id"), nullable=False),
        sa.Column("eye", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("review_id", BIG_ID, sa.ForeignKey("review.id"), nullable=False),
        sa.Column("opened_at", UTC_TIME, nullable=False),
        sa.Column("closed_at", UTC_TIME),
        sa.Column("closed_by", sa.Text),
        sa.Column("closed_how", sa.Text),
        sa.CheckConstraint(f"eye IN {EYES}", name="eye"),
        sa.CheckConstraint(f"kind IN {FOLLOW_UPS}", name="kind"),
        sa.CheckConstraint(f"closed_how IN {FOLLOW_UP_ENDS}", name="closed_how"),
        sa.CheckConstraint(CLOSED, name="closed"),
    )
    op.create_index("ix_follow_up_exam_id", "follow_up", ["exam_id", "eye"])
    is_open = sa.text("closed_at IS NULL")
    op.create_index(
        "ix_follow_up_open",
        "follow_up",
        ["opened_at"],
        sqlite_where=is_open,
        postgresql_where=is_open,
    )


def _correction() -> None:
    op.create_table(
        "correction",
        sa.Column("id", BIG_ID, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("exam_id", BIG_ID, sa.ForeignKey("exam.id"), nullable=False),
        sa.Column("patient_key", sa.Text),
        sa.Column("capture_id", BIG_ID, sa.ForeignKey("capture.id")),
        sa.Column("other_exam_id", BIG_ID, sa.ForeignKey("exam.id")),
        sa.Column("eye", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("until", sa.Text),
        sa.Column("reader", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.CheckConstraint(f"kind IN {CORRECTIONS}", name="kind"),
        sa.CheckConstraint(f"eye IN {EYES}", name="eye"),
    )
    op.create_index("ix_correction_exam_id", "correction", ["exam_id"])
    is_known = sa.text("patient_key IS NOT NULL")
    op.create_index(
        "ix_correction_patient_key",
        "correction",
        ["patient_key"],
        sqlite_where=is_known,
        postgresql_where=is_known,
    )


def _sent_document() -> None:
    op.create_table(
        "sent_document",
        sa.Column("id", BIG_ID, primary_key=True),
        sa.Column("receiver", sa.Text, nullable=False),
        sa.Column("exam_id", BIG_ID, sa.ForeignKey("exam.id"), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("eye", sa.Text),
        sa.Column("identifier", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("photographs", sa.Text, nullable=False),
        sa.Column("study_uid", sa.Text),
        sa.Column("series_uid", sa.Text),
        sa.Column("sent_at", UTC_TIME),
        sa.UniqueConstraint("exam_id", "receiver", "identifier"),
        sa.CheckConstraint(f"document IN {DOCUMENTS}", name="document"),
        sa.CheckConstraint(f"eye IN {EYES}", name="eye"),
        sa.CheckConstraint(f"status IN {STATUSES}", name="status"),
    )


def _guards() -> Iterator[str]:
    """Yield the triggers that make the corrections append-only."""
    refused = "correction is append-only"
    if is_sqlite():
        for event in ("update", "delete"):
            yield f"""CREATE TRIGGER correction_no_{event} BEFORE {event.upper()} ON correction
           BEGIN SELECT RAISE(ABORT, '{refused}'); END"""
        return
    yield f"""CREATE FUNCTION correction_refuse() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION '{refused}'; END $$"""
    for event, when in (("update", "UPDATE"), ("delete", "DELETE OR TRUNCATE")):
        yield f"""CREATE TRIGGER correction_no_{event} BEFORE {when} ON correction
           FOR EACH STATEMENT EXECUTE FUNCTION correction_refuse()"""
