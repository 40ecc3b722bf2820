"""Documents for receivers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class DeliveryState(StrEnum):
    """Where a document for a receiver is: queued -> delivered | failed, and queued again by any change of its exam."""

    QUEUED = "queued"
    DELIVERED = "delivered"
    FAILED = "failed"


class DocumentKind(StrEnum):
    """What a receiver wants of an exam."""

    SR = "sr"
    FHIR = "fhir"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Subscription:
    """That a receiver is to be told of exams: of which document, when, and how long after the last change."""

    receiver: str
    document: DocumentKind
    when_reviewed: bool  # not before a human has settled every eye
    quiet_seconds: float
