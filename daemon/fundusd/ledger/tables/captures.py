"""The tables of captures, from camera and file to job and result."""

from __future__ import annotations

import sqlalchemy as sa

from fundusd.domain.clinical_terms import Action, Eye, EyeSource, Outcome, QualityLevel, Referable
from fundusd.domain.decoding import MediaType
from fundusd.domain.exams import FieldProtocol
from fundusd.domain.files import OfflineReason, WaitReason
from fundusd.domain.jobs import JobState
from fundusd.domain.readings import ExclusionReason
from fundusd.ledger.tables.columns import (
    BigId,
    SignedInode,
    UTCTime,
    flag,
    index,
    metadata,
    one_of,
    partial_index,
    score_columns,
    set_if_graded,
)

camera = sa.Table(
    "camera",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("registered_at", UTCTime, nullable=False),
    sa.Column("swept_at", UTCTime),  # end of the first full sweep
    sa.Column("last_sweep_at", UTCTime),
    sa.Column("last_sweep", sa.Text),  # canonical JSON of the sweep report
    sa.Column("place", sa.Text),  # device and inode of the inbox when files were last seen in it
    sa.Column("offline_since", UTCTime),
    sa.Column("offline_reason", sa.Text),
    # the release of the daemon that works for this camera
    sa.Column("release_id", BigId, sa.ForeignKey("release.id")),
    # the audit event of that daemon's start
    sa.Column("started", sa.BigInteger, nullable=False, server_default="0"),
    # the fields expected of each eye, for example "disc macula"
    sa.Column("expected_fields", sa.Text, nullable=False, server_default=""),
    # where nose and brow lay in its last captures (see fundusd.clinical.camera_orientation)
    sa.Column("orientation_votes", sa.Text, nullable=False, server_default=""),
    sa.Column("usual_orientation", sa.Text),  # null until it is known
    # which fields it photographs, and the share of its negative eyes that readers confirm
    sa.Column("fields", sa.Text, nullable=False, server_default="any"),
    sa.Column("confirmed_share", sa.Double, nullable=False, server_default="0"),
    one_of("offline_reason", OfflineReason),
    one_of("fields", FieldProtocol),
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

job = sa.Table(
    "job",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("release_id", BigId, sa.ForeignKey("release.id"), nullable=False),
    # the camera of the capture that queued the job; cameras take turns
    sa.Column("camera_id", sa.Text, nullable=False, server_default=""),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("lane", sa.SmallInteger, nullable=False),  # 0 today's captures, 1 the backlog
    sa.Column("position", sa.BigInteger, nullable=False),  # backlog: minus mtime_ns, newest first
    sa.Column("attempts", sa.Integer, nullable=False),
    # seconds since 1970 by the database's clock
    sa.Column("available_at", sa.Double, nullable=False),
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
index(job, "ix_job_claim", "state camera_id lane attempts position id")
index(job, "ix_job_since", "state created_at")

capture = sa.Table(
    "capture",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("camera_id", sa.Text, sa.ForeignKey("camera.id"), nullable=False),
    # relative to the inbox, in the bytes of the file system
    sa.Column("path", sa.LargeBinary, nullable=False),
    sa.Column("path_text", sa.Text, nullable=False),  # the path as readable text
    sa.Column("revision", sa.Integer, nullable=False),
    flag("superseded"),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("mtime_ns", sa.BigInteger, nullable=False),
    sa.Column("inode", SignedInode, nullable=False),
    flag("hinted"),
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
    sa.Column("local_day", sa.Text, nullable=False),  # the clinic's date, YYYY-MM-DD
    sa.Column("local_week", sa.Text, nullable=False),  # ISO week, YYYY-Www
    sa.Column("turnaround_ms", sa.BigInteger),
    # copied from the result, so that views that count captures need no join
    sa.Column("release_id", BigId),
    sa.Column("outcome", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("grade", sa.SmallInteger),
    sa.Column("referable", sa.Text),
    # scores in millionths, because sums of integers are the same on every database
    *score_columns("ppm", sa.Integer),
    # the clinic's date on which it was taken, YYYY-MM-DD, even if the time is not known
    sa.Column("acquired_day", sa.Text),
    # by people, and kept when the sources are read again (see fundusd.ledger.corrections)
    sa.Column("corrected_eye", sa.Text),
    sa.Column("excluded", sa.Text),
    flag("belongs", server_default=sa.false()),  # to its exam, whatever the sources say
    sa.Column("placed_exam_id", BigId),
    # the capture of the same file at its new path; null for a file that was overwritten
    sa.Column("moved_to", BigId),
    # whom, and which day, a source names that does not take precedence
    sa.Column("other_patient_id", sa.Text),
    sa.Column("other_patient_key", sa.Text),
    sa.Column("other_acquired_day", sa.Text),
    sa.CheckConstraint("corrected_eye IN ('R', 'L', 'U')", name="corrected_eye"),
    one_of("excluded", ExclusionReason),
    sa.UniqueConstraint("camera_id", "path", "revision"),
    one_of("eye", Eye),
    one_of("eye_source", EyeSource),
    one_of("media_type", MediaType),
    one_of("outcome", Outcome),
    one_of("referable", Referable),
    sa.CheckConstraint("revision >= 1", name="revision"),
)
index(capture, "ix_capture_digest", "digest")
index(capture, "ix_capture_received_at", "received_at")
index(capture, "ix_capture_exam_id", "exam_id eye field outcome superseded")
partial_index(capture, "ix_capture_moved_to", "moved_to", capture.c.moved_to.is_not(None))
partial_index(
    capture,
    "ix_capture_other_patient",
    "other_patient_key",
    capture.c.other_patient_key.is_not(None),
)
_HAS_RESULT = "outcome IS NOT NULL AND NOT superseded"
partial_index(
    capture,
    "ix_capture_week",
    "local_week camera_id release_id outcome reason grade referable "
    "ppm_no_dr ppm_mild ppm_moderate ppm_severe ppm_pdr",
    _HAS_RESULT,
)
partial_index(capture, "ix_capture_day", "local_day turnaround_ms", _HAS_RESULT)
partial_index(
    capture,
    "ix_capture_reason",
    "outcome local_day camera_id reason",
    "reason IS NOT NULL AND NOT superseded",
)

sighting = sa.Table(
    "sighting",
    metadata,
    sa.Column("camera_id", sa.Text, sa.ForeignKey("camera.id"), primary_key=True),
    # relative to the inbox, b"" for the inbox itself
    sa.Column("directory", sa.LargeBinary, primary_key=True),
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
partial_index(
    sighting, "ix_sighting_present", "camera_id directory", sighting.c.missing_since.is_(None)
)
index(sighting, "ix_sighting_file", "camera_id inode mtime_ns")

# files that are incomplete and therefore not captures yet
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

result = sa.Table(
    "result",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("release_id", BigId, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("quality_level", sa.Text),
    sa.Column("grade", sa.SmallInteger),
    sa.Column("referable", sa.Text, nullable=False),
    *score_columns("logit", sa.Double),
    *score_columns("score", sa.Double),
    # canonical JSON of what was read from the bytes
    sa.Column("content", sa.Text, nullable=False),
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
    one_of("quality_level", QualityLevel),
    one_of("referable", Referable),
    sa.CheckConstraint("outcome <> 'failed'", name="never_failed"),
    sa.CheckConstraint("(outcome = 'graded') = (grade IS NOT NULL)", name="graded_has_grade"),
    sa.CheckConstraint("(outcome = 'graded') = (reason IS NULL)", name="ungraded_has_reason"),
    sa.CheckConstraint(
        "(outcome = 'graded') = (referable <> 'indeterminate')", name="referable_if_graded"
    ),
    sa.CheckConstraint("grade BETWEEN 0 AND 4", name="icdr"),
    *set_if_graded("logit"),
    *set_if_graded("score"),
)
