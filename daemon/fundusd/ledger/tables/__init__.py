"""The tables, which are private to the ledger; other programs read the views."""

from fundusd.ledger.tables.audit import STARTED, audit_event
from fundusd.ledger.tables.captures import (
    camera,
    capture,
    incomplete,
    job,
    release,
    result,
    sighting,
)
from fundusd.ledger.tables.columns import GRADE_KEYS, UTCTime, metadata, storable
from fundusd.ledger.tables.exams import (
    delivery,
    exam,
    eye_result,
    review,
    review_photograph,
    sent_document,
)
from fundusd.ledger.tables.readings import correction, follow_up
from fundusd.ledger.tables.site import site
from fundusd.ledger.tables.tallies import tally

__all__ = [
    "GRADE_KEYS",
    "STARTED",
    "UTCTime",
    "audit_event",
    "camera",
    "capture",
    "correction",
    "delivery",
    "exam",
    "eye_result",
    "follow_up",
    "incomplete",
    "job",
    "metadata",
    "release",
    "result",
    "review",
    "review_photograph",
    "sent_document",
    "sighting",
    "site",
    "storable",
    "tally",
]
