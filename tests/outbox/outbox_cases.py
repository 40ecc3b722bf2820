"""Photographs that are graded, and documents about them that are delivered, for tests."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests import ledger_cases
from tests.ledger_cases import CAMERA
from tests.outbox import document_cases as cases

from fundusd.domain.clinical_terms import Eye, EyeSource
from fundusd.domain.decoding import Content, MediaType
from fundusd.domain.delivery import DeliveryState, DocumentKind, Subscription
from fundusd.files.filesystem import place_of
from fundusd.files.safe_read import status_at
from fundusd.outbox.making import DocumentMaker
from fundusd.outbox.sender import Sender
from fundusd.outbox.service import Outbox

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.outbox.receiver_cases import Received

    from fundusd.domain.files import SettledFile
    from fundusd.ledger import Ledger
    from fundusd.outbox.receivers import Receiver

SHORT: dict[str, Any] = {"connect_seconds": 5.0, "answer_seconds": 5.0}
DICOM = Content(
    MediaType.DICOM,
    16,
    16,
    Eye.LEFT,
    EyeSource.IMAGE_LATERALITY,
    cases.PATIENT,
    None,
    cases.STUDY,
    "1.2.3.4",
)


def subscriptions(**kinds: str) -> list[Subscription]:
    return [
        Subscription(name, DocumentKind(kind), when_reviewed=False, quiet_seconds=0)
        for name, kind in kinds.items()
    ]


def graded(
    ledger: Ledger,
    inbox: Path,
    name: str = "a.dcm",
    content: Content = DICOM,
    data: bytes | None = None,
    logits: Sequence[float] = ledger_cases.LOGITS,
    **header: Any,
) -> None:
    """Put a photograph, or other bytes, into the inbox and have it graded."""
    ledger.admit(on_disk(inbox, name, data or cases.source(**header)))
    ledger.record([ledger_cases.finding(claim, content, logits) for claim in ledger.claim(1)])


def on_disk(inbox: Path, name: str, data: bytes) -> SettledFile:
    """Put a file into the inbox, and return it as the watcher finds it."""
    (inbox / name).write_bytes(data)
    stat = status_at(inbox, name.encode())
    assert stat is not None
    return replace(ledger_cases.found(name), stat=stat, digest=hashlib.sha256(data).hexdigest())


def outbox(
    ledger: Ledger, inbox: Path, only_reviewed: Sequence[str] = (), **receivers: Receiver
) -> Outbox:
    ledger.found_at(CAMERA, str(place_of(inbox)))
    sender = Sender(identifiers=ledger.identifiers)
    maker = DocumentMaker(sender, {CAMERA: inbox}, 1 << 20, ledger.is_away)
    return Outbox(ledger, receivers, maker, only_reviewed, poll_seconds=0.02)


def deliver_all(service: Outbox, ledger: Ledger, *names: str) -> None:
    """Deliver all due documents in this thread, one receiver after the other."""
    for name in names:
        while (due := ledger.due(name)) is not None:
            service.deliver(due)


def of_kind(received: Received, kind: str) -> list[dict[str, Any]]:
    """Return the resources of a kind that a FHIR server keeps."""
    return [kept for url, kept in received.kept.items() if url.startswith(f"{kind}/")]


def the_delivery(ledger: Ledger) -> dict[str, Any]:
    [row] = [row for state in DeliveryState for row in ledger.deliveries(state, 100)]
    return row
