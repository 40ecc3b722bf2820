"""Documents that are delivered to receivers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from fundusd.domain.retry_policy import LONGEST_OUTAGE_PAUSE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fundusd.domain.clinical_terms import Eye


# in the answer of a delivery after which somebody has to do this: reports cannot be withdrawn
REMOVE = "remove its earlier reports from the archive"


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


class DocumentStatus(StrEnum):
    """The status of a document about an eye or an exam, in the words of FHIR.

    A status that has been FINAL never becomes PRELIMINARY again.
    """

    PRELIMINARY = "preliminary"
    FINAL = "final"
    AMENDED = "amended"  # after FINAL: new photographs or another reading
    CORRECTED = "corrected"  # after FINAL: it was about a photograph that is not of this eye
    ENTERED_IN_ERROR = "entered-in-error"  # the eye is no longer part of the exam


@dataclass(frozen=True, slots=True)
class SentDocument:
    """What is remembered about a document, or a resource of one, that was sent to a receiver."""

    document: DocumentKind
    eye: Eye | None  # None: about the whole exam
    identifier: str  # SOP Instance UID, type and id of a FHIR resource, or name of a CSV row
    status: DocumentStatus
    content: str  # the digest of what it says
    photographs: tuple[str, ...]  # abbreviated digests
    study_uid: str | None = None
    series_uid: str | None = None
    is_accepted: bool = False  # the receiver has confirmed it
    has_been_final: bool = False  # this document or an earlier version of it


@dataclass(frozen=True, slots=True)
class Site:
    """The institution that sends documents, as it is named in them."""

    name: str = ""
    identifier: str = ""
    identifier_system: str = ""  # a URI
    contact: str = ""


@dataclass(frozen=True, slots=True)
class Subscription:
    """The kind of exam document that a receiver gets, and when it is delivered."""

    receiver: str
    document: DocumentKind
    when_reviewed: bool  # only after a reading, see `document_rules.is_released`
    quiet_seconds: float  # since the last change of the exam


def longest_pause(subscriptions: Iterable[Subscription]) -> float:
    """Return the longest time, in seconds, for which a delivery is ever postponed."""
    pauses = [subscription.quiet_seconds for subscription in subscriptions]
    return max([LONGEST_OUTAGE_PAUSE_SECONDS, *pauses])
