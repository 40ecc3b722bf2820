"""Documents that are delivered to receivers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class DeliveryState(StrEnum):
    """The state of a document: queued -> delivered | failed.

    A document is queued again if its exam changes.
    """

    QUEUED = "queued"
    DELIVERED = "delivered"
    FAILED = "failed"


class DocumentKind(StrEnum):
    """The kinds of documents that describe an exam."""

    SR = "sr"
    FHIR = "fhir"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Subscription:
    """The kind of exam document that a receiver gets, and when it is delivered."""

    receiver: str
    document: DocumentKind
    when_reviewed: bool  # only after readers have settled every eye
    quiet_seconds: float  # since the last change of the exam
