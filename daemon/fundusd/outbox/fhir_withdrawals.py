"""FHIR resources that a receiver has but the exam has not, for instance of an eye that is no more.

Nothing is deleted: a resource that should not exist gets the status `entered-in-error`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fundusd.domain.delivery import DocumentStatus
from fundusd.outbox import codes, fhir_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fundusd.domain.delivery import SentDocument
    from fundusd.ledger.document_content import DocumentContent
    from fundusd.outbox.fhir_parts import JsonObject
    from fundusd.outbox.sender import Sender

_WORDS = "This is no longer part of the exam. Disregard it."


def withdrawals(
    content: DocumentContent, sender: Sender, current: Iterable[SentDocument]
) -> Iterator[tuple[JsonObject, SentDocument]]:
    """Yield each resource that was sent and is not `current`, with what is remembered about it.

    A withdrawal that the receiver has confirmed is not repeated.
    """
    kept = {record.identifier for record in current}
    for record in content.sent:
        is_done = record.status is DocumentStatus.ENTERED_IN_ERROR and record.is_accepted
        if record.identifier not in kept and not is_done:
            withdrawn = replace(record, status=DocumentStatus.ENTERED_IN_ERROR, is_accepted=False)
            yield _resource(record, content, sender), withdrawn


def _resource(record: SentDocument, content: DocumentContent, sender: Sender) -> JsonObject:
    kind, _, resource_id = record.identifier.partition("/")
    made: JsonObject = {
        "resourceType": kind,
        "id": resource_id,
        "status": DocumentStatus.ENTERED_IN_ERROR,
        "effectiveDateTime": content.exam.day.isoformat(),
        "issued": fhir_parts.instant(content.resulted_at),
        **fhir_parts.subject(content, sender),
    }
    if kind == "Observation":
        # not the code of a reader's result, which receivers count
        made["code"] = fhir_parts.concept(codes.MODEL_SEVERITY)
        made["dataAbsentReason"] = {"text": _WORDS}
    else:
        made["code"] = fhir_parts.concept(codes.REPORT)
        made["conclusion"] = _WORDS
    return made
