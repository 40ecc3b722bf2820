"""The first schema: cameras, releases, captures, jobs, results, the audit chain and v_result."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UTC_TIME = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")

GUARDS = {
    "sqlite": (
        """CREATE TRIGGER audit_event_no_update BEFORE UPDATE ON audit_event
           BEGIN SELECT RAISE(ABORT, 'audit_event is append-only'); END""",
        """CREATE TRIGGER audit_event_no_delete BEFORE DELETE ON audit_event
           BEGIN SELECT RAISE(ABORT, 'audit_event is append-only'); END""",
        """CREATE TRIGGER audit_event_next_seq BEFORE INSERT ON audit_event
           WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM audit_event)
           BEGIN SELECT RAISE(ABORT, 'audit_event takes the next seq only'); END""",
    ),
    "postgresql": (
        """CREATE FUNCTION audit_event_refuse() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'audit_event is append-only'; END $$""",
        """CREATE TRIGGER audit_event_no_update BEFORE UPDATE ON audit_event
           FOR EACH STATEMENT EXECUTE FUNCTION audit_event_refuse()""",
        """CREATE TRIGGER audit_event_no_delete BEFORE DELETE OR TRUNCATE ON audit_event
           FOR EACH STATEMENT EXECUTE FUNCTION audit_event_refuse()""",
        "ALTER TABLE audit_event ENABLE ALWAYS TRIGGER audit_event_no_update",
        "ALTER TABLE audit_event ENABLE ALWAYS TRIGGER audit_event_no_delete",
    ),
}

V_RESULT = """
CREATE VIEW v_result AS
SELECT
    c.id AS capture_id,
    c.camera_id,
    c.path_text AS path,
    c.revision,
    c.superseded,
    c.digest,
    c.media_type,
    c.width,
    c.height,
    c.eye,
    c.eye_source,
    c.field,
    c.patient_id,
    c.patient_key,
    c.exam_id,
    c.acquired_at,
    c.received_at,
    j.state,
    CASE WHEN j.state = 'failed' THEN 'failed' ELSE r.outcome END AS outcome,
    coalesce(r.reason, j.reason) AS reason,
    coalesce(r.action, j.action) AS action,
    r.grade,
    CASE r.grade WHEN 0 THEN 'No DR' WHEN 1 THEN 'Mild DR' WHEN 2 THEN 'Moderate DR'
                 WHEN 3 THEN 'Severe DR' WHEN 4 THEN 'PDR' END AS grade_label,
    CASE WHEN j.state = 'failed' THEN 'indeterminate' ELSE r.referable END AS referable,
    r.score_no_dr,
    r.score_mild,
    r.score_moderate,
    r.score_severe,
    r.score_pdr,
    e.model,
    e.revision AS model_revision,
    e.prompt_set,
    e.preprocessing,
    j.release_id,
    r.created_at AS result_at,
    c.turnaround_ms,
    j.attempts,
    j.error
FROM capture c
JOIN job j ON j.id = c.job_id
JOIN release e ON e.id = j.release_id
LEFT JOIN result r ON r.digest = j.digest AND r.release_id = j.release_id
"""


def upgrade() -> None:
    op.create_table(
        "audit_event",
        sa.Column("seq", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Integer(), nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("entity_kind", sa.Text(), nullable=True),
        sa.Column("entity_id", BIG_ID, nullable=True),
        sa.Column("patient_key", sa.Text(), nullable=True),
        sa.Column("release_id", BIG_ID, nullable=True),
        sa.Column("digest", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("prev_hash", sa.LargeBinary(), nullable=False),
        sa.Column("row_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_event")),
    )
    op.create_table(
        "camera",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("registered_at", UTC_TIME, nullable=False),
        sa.Column("swept_at", UTC_TIME, nullable=True),
        sa.Column("last_sweep_at", UTC_TIME, nullable=True),
        sa.Column("last_sweep", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_camera")),
    )
    op.create_table(
        "exam",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("study_uid", sa.Text(), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exam")),
        sa.UniqueConstraint("study_uid", name=op.f("uq_exam_study_uid")),
    )
    op.create_table(
        "release",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("weights_digest", sa.Text(), nullable=False),
        sa.Column("tokenizer_digest", sa.Text(), nullable=False),
        sa.Column("files", sa.Text(), nullable=False),
        sa.Column("preprocessing", sa.Text(), nullable=False),
        sa.Column("prompt_set", sa.Text(), nullable=False),
        sa.Column("prompt_digest", sa.Text(), nullable=False),
        sa.Column("head", sa.Text(), nullable=False),
        sa.Column("referable_rule", sa.Text(), nullable=False),
        sa.Column("quality_gate", sa.Text(), nullable=False),
        sa.Column("dtype", sa.Text(), nullable=False),
        sa.Column("runtime", sa.Text(), nullable=False),
        sa.Column("program_version", sa.Text(), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_release")),
        sa.UniqueConstraint("digest", name=op.f("uq_release_digest")),
    )
    op.create_table(
        "job",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("release_id", BIG_ID, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("lane", sa.SmallInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("available_at", sa.Double(), nullable=False),
        sa.Column("token", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.CheckConstraint(
            "(state = 'running') = (lease_until IS NOT NULL)", name=op.f("ck_job_lease")
        ),
        sa.CheckConstraint("(state = 'running') = (token IS NOT NULL)", name=op.f("ck_job_token")),
        sa.CheckConstraint(
            "action IN ('retake', 'refer_reader', 'contact_it', 'none')", name=op.f("ck_job_action")
        ),
        sa.CheckConstraint(
            "state <> 'failed' OR reason IS NOT NULL", name=op.f("ck_job_failed_has_reason")
        ),
        sa.CheckConstraint(
            "state <> 'succeeded' OR reason IS NULL", name=op.f("ck_job_succeeded_has_none")
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'succeeded', 'failed')", name=op.f("ck_job_state")
        ),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_job_attempts")),
        sa.ForeignKeyConstraint(
            ["release_id"], ["release.id"], name=op.f("fk_job_release_id_release")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
        sa.UniqueConstraint("digest", "release_id", name=op.f("uq_job_digest_release_id")),
    )
    op.create_index(
        "ix_job_claim", "job", ["state", "lane", "attempts", "position", "id"], unique=False
    )
    op.create_index("ix_job_lease", "job", ["state", "lease_until"], unique=False)
    op.create_table(
        "capture",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("camera_id", sa.Text(), nullable=False),
        sa.Column("path", sa.LargeBinary(), nullable=False),
        sa.Column("path_text", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column(
            "superseded", sa.Boolean(create_constraint=True, name="superseded"), nullable=False
        ),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("inode", sa.BigInteger(), nullable=False),
        sa.Column("hinted", sa.Boolean(create_constraint=True, name="hinted"), nullable=False),
        sa.Column("job_id", BIG_ID, nullable=False),
        sa.Column("exam_id", BIG_ID, nullable=True),
        sa.Column("media_type", sa.Text(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("eye", sa.Text(), nullable=False),
        sa.Column("eye_source", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=True),
        sa.Column("patient_id", sa.Text(), nullable=True),
        sa.Column("patient_key", sa.Text(), nullable=True),
        sa.Column("sop_uid", sa.Text(), nullable=True),
        sa.Column("warnings", sa.Text(), nullable=True),
        sa.Column("acquired_at", UTC_TIME, nullable=True),
        sa.Column("received_at", UTC_TIME, nullable=False),
        sa.Column("local_day", sa.Text(), nullable=False),
        sa.Column("local_week", sa.Text(), nullable=False),
        sa.Column("turnaround_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("eye IN ('R', 'L', 'U')", name=op.f("ck_capture_eye")),
        sa.CheckConstraint(
            "eye_source IN ('image_laterality', 'laterality', 'frame_laterality', 'name', 'conflict', 'none')",
            name=op.f("ck_capture_eye_source"),
        ),
        sa.CheckConstraint(
            "media_type IN ('image/jpeg', 'image/png', 'image/tiff', 'application/dicom')",
            name=op.f("ck_capture_media_type"),
        ),
        sa.CheckConstraint("revision >= 1", name=op.f("ck_capture_revision")),
        sa.ForeignKeyConstraint(
            ["camera_id"], ["camera.id"], name=op.f("fk_capture_camera_id_camera")
        ),
        sa.ForeignKeyConstraint(["exam_id"], ["exam.id"], name=op.f("fk_capture_exam_id_exam")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_capture_job_id_job")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_capture")),
        sa.UniqueConstraint(
            "camera_id", "path", "revision", name=op.f("uq_capture_camera_id_path_revision")
        ),
    )
    op.create_index("ix_capture_digest", "capture", ["digest"], unique=False)
    op.create_index(op.f("ix_capture_exam_id"), "capture", ["exam_id"], unique=False)
    op.create_index(op.f("ix_capture_job_id"), "capture", ["job_id"], unique=False)
    op.create_index("ix_capture_received_at", "capture", ["received_at"], unique=False)
    op.create_table(
        "result",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("release_id", BIG_ID, nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("grade", sa.SmallInteger(), nullable=True),
        sa.Column("referable", sa.Text(), nullable=False),
        sa.Column("logit_no_dr", sa.Double(), nullable=True),
        sa.Column("logit_mild", sa.Double(), nullable=True),
        sa.Column("logit_moderate", sa.Double(), nullable=True),
        sa.Column("logit_severe", sa.Double(), nullable=True),
        sa.Column("logit_pdr", sa.Double(), nullable=True),
        sa.Column("score_no_dr", sa.Double(), nullable=True),
        sa.Column("score_mild", sa.Double(), nullable=True),
        sa.Column("score_moderate", sa.Double(), nullable=True),
        sa.Column("score_severe", sa.Double(), nullable=True),
        sa.Column("score_pdr", sa.Double(), nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("decode_ms", sa.Double(), nullable=False),
        sa.Column("model_ms", sa.Double(), nullable=True),
        sa.Column("batch_size", sa.Integer(), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.CheckConstraint(
            "(outcome = 'graded') = (grade IS NOT NULL)", name=op.f("ck_result_graded_has_grade")
        ),
        sa.CheckConstraint(
            "(outcome = 'graded') = (logit_mild IS NOT NULL)", name=op.f("ck_result_logit_mild")
        ),
        sa.CheckConstraint(
            "(outcome = 'graded') = (logit_moderate IS NOT NULL)",
            name=op.f("ck_result_logit_moderate"),
        ),
        sa.CheckConstraint(
            "(outcome = 'graded') = (logit_no_dr IS NOT NULL)", name=op.f("ck_result_logit_no_dr")
        ),
        sa.CheckConstraint(
            "(outcome = 'graded') = (logit_pdr IS NOT NULL)", name=op.f("ck_result_logit_pdr")
        ),
        sa.CheckConstraint(
            "(outcome = 'graded') = (logit_severe IS NOT NULL)", name=op.f("ck_result_logit_severe")
        ),
        sa.CheckConstraint(
            "(outcome = 'graded') = (reason IS NULL)", name=op.f("ck_result_ungraded_has_reason")
        ),
        sa.CheckConstraint(
            "(outcome = 'graded') = (referable <> 'indeterminate')",
            name=op.f("ck_result_referable_if_graded"),
        ),
        sa.CheckConstraint(
            "(outcome = 'graded') = (score_mild IS NOT NULL)", name=op.f("ck_result_score_mild")
        ),
        sa.CheckConstraint(
            "(outcome = 'graded') = (score_moderate IS NOT NULL)",
            name=op.f("ck_result_score_moderate"),
        ),
        sa.CheckConstraint(
            "(outcome = 'graded') = (score_no_dr IS NOT NULL)", name=op.f("ck_result_score_no_dr")
        ),
        sa.CheckConstraint(
            "(outcome = 'graded') = (score_pdr IS NOT NULL)", name=op.f("ck_result_score_pdr")
        ),
        sa.CheckConstraint(
            "(outcome = 'graded') = (score_severe IS NOT NULL)", name=op.f("ck_result_score_severe")
        ),
        sa.CheckConstraint(
            "action IN ('retake', 'refer_reader', 'contact_it', 'none')",
            name=op.f("ck_result_action"),
        ),
        sa.CheckConstraint("outcome <> 'failed'", name=op.f("ck_result_never_failed")),
        sa.CheckConstraint(
            "outcome IN ('graded', 'ungradable', 'refused', 'failed')",
            name=op.f("ck_result_outcome"),
        ),
        sa.CheckConstraint(
            "referable IN ('yes', 'no', 'indeterminate')", name=op.f("ck_result_referable")
        ),
        sa.CheckConstraint("grade BETWEEN 0 AND 4", name=op.f("ck_result_icdr")),
        sa.ForeignKeyConstraint(
            ["digest", "release_id"], ["job.digest", "job.release_id"], name="fk_result_job"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_result")),
        sa.UniqueConstraint("digest", "release_id", name=op.f("uq_result_digest_release_id")),
    )
    op.create_table(
        "sighting",
        sa.Column("camera_id", sa.Text(), nullable=False),
        sa.Column("directory", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("ctime_ns", sa.BigInteger(), nullable=False),
        sa.Column("inode", sa.BigInteger(), nullable=False),
        sa.Column("capture_id", BIG_ID, nullable=True),
        sa.Column("ignored", sa.Text(), nullable=True),
        sa.Column("missing_since", UTC_TIME, nullable=True),
        sa.CheckConstraint(
            "(capture_id IS NULL) <> (ignored IS NULL)", name=op.f("ck_sighting_one_of_two")
        ),
        sa.ForeignKeyConstraint(
            ["camera_id"], ["camera.id"], name=op.f("fk_sighting_camera_id_camera")
        ),
        sa.ForeignKeyConstraint(
            ["capture_id"], ["capture.id"], name=op.f("fk_sighting_capture_id_capture")
        ),
        sa.PrimaryKeyConstraint("camera_id", "directory", "name", name=op.f("pk_sighting")),
    )
    op.create_index(op.f("ix_sighting_capture_id"), "sighting", ["capture_id"], unique=False)

    for statement in GUARDS[op.get_context().dialect.name]:
        op.execute(statement)
    op.execute(V_RESULT)
