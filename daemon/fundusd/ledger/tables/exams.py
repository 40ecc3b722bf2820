"""The tables of exams, eye results, reviews and deliveries."""

from __future__ import annotations

import sqlalchemy as sa

from fundusd.domain.clinical_terms import (
    Action,
    Eye,
    Outcome,
    Referable,
    ReviewReason,
    ReviewVerdict,
)
from fundusd.domain.delivery import DeliveryState, DocumentKind, DocumentStatus
from fundusd.domain.exams import DayDoubt
from fundusd.domain.readings import (
    Maculopathy,
    OtherLesion,
    Photocoagulation,
    ReadingPurpose,
    ReadingState,
)
from fundusd.ledger.tables.columns import (
    BigId,
    UTCTime,
    flag,
    index,
    metadata,
    one_of,
    partial_index,
)

# a person's visit (see fundusd.clinical.exam); its result is updated whenever the exam changes
exam = sa.Table(
    "exam",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    sa.Column("study_uid", sa.Text),  # of its captures, except where a person joined others to them
    sa.Column("patient_key", sa.Text),
    sa.Column("day", sa.Text, nullable=False, server_default=""),  # the clinic's date, YYYY-MM-DD
    sa.Column("created_at", UTCTime, nullable=False),
    # missing eyes and fields, for example "L R/macula"
    sa.Column("missing_fields", sa.Text, nullable=False, server_default=""),
    sa.Column("referable", sa.Text, nullable=False, server_default="indeterminate"),
    sa.Column("grade", sa.SmallInteger),
    sa.Column("final_referable", sa.Text, nullable=False, server_default="indeterminate"),
    sa.Column("final_grade", sa.SmallInteger),
    flag("is_reviewed", server_default=sa.false()),
    # why the day may not be the day of the visit: empty, received or clock_skew
    sa.Column("day_doubt", sa.Text, nullable=False, server_default=""),
    # the exam into which a person joined this one; its captures belong to that exam
    # (no foreign key: SQLite would read the whole table for each new exam)
    sa.Column("joined_into", BigId),
    # the settings of its cameras by which it was judged, as JSON; see exam_protocol
    sa.Column("protocol", sa.Text, nullable=False, server_default=""),
    # the key that the patient's number has without the issuer that headers name, as in a path
    sa.Column("bare_key", sa.Text),
    one_of("referable", Referable),
    one_of("final_referable", Referable),
    one_of("day_doubt", DayDoubt),
)
index(exam, "ix_exam_patient_key", "patient_key day")
index(exam, "ix_exam_day", "day")
partial_index(exam, "ix_exam_joined_into", "joined_into", exam.c.joined_into.is_not(None))
partial_index(exam, "ix_exam_bare_key", "bare_key day", exam.c.bare_key.is_not(None))

# a reader's verdict on the result of an eye as shown; rows are added, never changed
review = sa.Table(
    "review",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("exam_id", BigId, sa.ForeignKey("exam.id"), nullable=False),
    sa.Column("eye", sa.Text, nullable=False),
    # the decisive capture that was shown
    sa.Column("capture_id", BigId, sa.ForeignKey("capture.id"), nullable=False),
    sa.Column("release_id", BigId, sa.ForeignKey("release.id"), nullable=False),
    sa.Column("model_outcome", sa.Text, nullable=False),
    sa.Column("model_grade", sa.SmallInteger),
    sa.Column("model_referable", sa.Text, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("grade", sa.SmallInteger),  # the final grade from then on
    sa.Column("referable", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("reviewer", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    flag("blinded"),
    sa.Column("created_at", UTCTime, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False, server_default="routine"),
    # the digest of the set of photographs of the eye that were read
    sa.Column("photographs", sa.Text, nullable=False, server_default=""),
    sa.Column("lesion", sa.Text),  # another one than diabetic retinopathy
    sa.Column("maculopathy", sa.Text),
    sa.Column("photocoagulation", sa.Text),
    flag("stable_treated", server_default=sa.false()),  # R3S: proliferative, treated and stable
    one_of("purpose", ReadingPurpose),
    one_of("lesion", OtherLesion),
    one_of("maculopathy", Maculopathy),
    one_of("photocoagulation", Photocoagulation),
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
index(review, "ix_review_exam_id_eye", "exam_id eye id")

# the photographs that a review is about, which it follows wherever they are put
review_photograph = sa.Table(
    "review_photograph",
    metadata,
    sa.Column(
        "review_id", BigId, sa.ForeignKey("review.id"), primary_key=True, autoincrement=False
    ),
    sa.Column("digest", sa.Text, primary_key=True),
)
index(review_photograph, "ix_review_photograph_digest", "digest")

# the result of an eye, from all its captures and from the last review of that result
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
    sa.Column("missing_fields", sa.Text, nullable=False),  # for example "disc macula"
    # the decisive capture
    sa.Column("capture_id", BigId, sa.ForeignKey("capture.id"), nullable=False, index=True),
    sa.Column("captures", sa.Integer, nullable=False),
    sa.Column("release_id", BigId, sa.ForeignKey("release.id"), nullable=False),
    sa.Column("review_id", BigId, sa.ForeignKey("review.id")),  # the last review of this result
    sa.Column("final_referable", sa.Text, nullable=False),
    sa.Column("final_grade", sa.SmallInteger),
    sa.Column("urgency", sa.SmallInteger, nullable=False),  # 0: no reader is needed (any more)
    sa.Column("resulted_at", UTCTime, nullable=False),
    sa.Column("reading_state", sa.Text, nullable=False, server_default="unread"),
    # the last review of an earlier result or of other photographs; no foreign key, because SQLite
    # would read the whole table for each new review
    sa.Column("former_review_id", BigId),
    one_of("reading_state", ReadingState),
    one_of("eye", Eye),
    one_of("outcome", Outcome),
    one_of("referable", Referable),
    one_of("final_referable", Referable),
    one_of("action", Action),
)
partial_index(eye_result, "ix_eye_result_unread", "urgency exam_id", eye_result.c.urgency > 0)

# documents for receivers: one row per exam and receiver, queued again when the exam changes
delivery = sa.Table(
    "delivery",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("receiver", sa.Text, nullable=False),
    sa.Column("document", sa.Text, nullable=False),  # sr, fhir, csv
    sa.Column("exam_id", BigId, sa.ForeignKey("exam.id"), nullable=False, index=True),
    # the camera whose daemon can read the captures
    sa.Column("camera_id", sa.Text, sa.ForeignKey("camera.id"), nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    # changes of the exam so far; a document made before the last change is outdated
    sa.Column("changes", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    # seconds since 1970 by the database's clock
    sa.Column("available_at", sa.Double, nullable=False),
    sa.Column("answer", sa.Text),  # of the receiver, or why nothing was sent
    sa.Column("created_at", UTCTime, nullable=False),
    sa.Column("delivered_at", UTCTime),
    sa.UniqueConstraint("receiver", "exam_id"),
    one_of("state", DeliveryState),
)
partial_index(delivery, "ix_delivery_queued", "receiver available_at", "state = 'queued'")

# what receivers were sent about an exam: one row per SR instance, FHIR resource or CSV row
sent_document = sa.Table(
    "sent_document",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("receiver", sa.Text, nullable=False),
    sa.Column("exam_id", BigId, sa.ForeignKey("exam.id"), nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("eye", sa.Text),  # null: about the whole exam
    # SOP Instance UID, type and id of a resource, or name of a CSV row
    sa.Column("identifier", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("content", sa.Text, nullable=False),  # digest of what it says
    # the first digits of the digests of the photographs that it is about
    sa.Column("photographs", sa.Text, nullable=False),
    sa.Column("study_uid", sa.Text),
    sa.Column("series_uid", sa.Text),
    # null: an attempt was made, but the receiver has never confirmed it
    sa.Column("sent_at", UTCTime),
    flag("has_been_final", server_default=sa.false()),  # also before it was withdrawn
    sa.UniqueConstraint("exam_id", "receiver", "identifier"),
    one_of("document", DocumentKind),
    one_of("eye", Eye),
    one_of("status", DocumentStatus),
)
