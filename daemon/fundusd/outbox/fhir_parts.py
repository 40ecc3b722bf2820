"""The parts from which FHIR resources are assembled."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

from fundusd.outbox import codes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from fundusd.clinical.reading import Reading
    from fundusd.ledger.document_content import DocumentContent
    from fundusd.outbox.codes import Code
    from fundusd.outbox.sender import Sender

    JsonObject = dict[str, Any]

HL7 = "http://terminology.hl7.org/CodeSystem/"
# the label of resources that hold the model's values
AI_ASSERTED = {
    "security": [
        {
            "system": f"{HL7}v3-ObservationValue",
            "code": "AIAST",
            "display": "Artificial Intelligence asserted",
        }
    ]
}


def resource(kind: str, resource_id: UUID, *, by_model: bool, **content: Any) -> JsonObject:
    """Return a resource; `by_model` is whether it holds values of the model."""
    meta = {"meta": AI_ASSERTED} if by_model else {}
    return {"resourceType": kind, "id": str(resource_id), **meta, **content}


def url(made: JsonObject) -> str:
    """Return the address of a resource, relative to the server's."""
    return f"{made['resourceType']}/{made['id']}"


def urn(made: JsonObject) -> str:
    """Return the address of a resource within its transaction."""
    return f"urn:uuid:{made['id']}"


def references(resources: Iterable[JsonObject]) -> list[JsonObject]:
    """Return references to resources of the same transaction."""
    return [{"reference": urn(made)} for made in resources]


def identifier(resource_id: UUID) -> list[JsonObject]:
    """Return the identifier of a resource."""
    return [{"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{resource_id}"}]


def concept(*synonyms: Code) -> JsonObject:
    """Return codes that mean the same."""
    coding = [{"system": codes.SYSTEMS[code.scheme], "code": code.value} for code in synonyms]
    return {"coding": coding, "text": synonyms[0].meaning}


def hl7_concept(system: str, code: str, display: str) -> JsonObject:
    """Return a code of one of HL7's code systems."""
    return {"coding": [{"system": f"{HL7}{system}", "code": code, "display": display}]}


def sha256(digest: str) -> JsonObject:
    """Return the identifier of a photograph."""
    return {"system": "urn:x-fundusd:sha256", "value": digest}


def instant(at: datetime) -> str:
    """Return a time in UTC as text."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")


def reader(reading: Reading) -> str:
    """Return a reader's name and role."""
    return f"{reading.reviewer} ({reading.role})"


def subject(content: DocumentContent, sender: Sender) -> JsonObject:
    """Return the element that refers to the patient by identifier; it is empty without one."""
    patient = sender.patient(content)
    if patient is None:
        return {}
    system, value = patient
    return {"subject": {"type": "Patient", "identifier": {"system": system, "value": value}}}


def organization(sender: Sender) -> JsonObject | None:
    """Return a reference to the site by name and identifier, or None if it has neither."""
    site = sender.site
    reference: JsonObject = {"type": "Organization"}
    if site.identifier:
        reference["identifier"] = {"value": site.identifier}
        if site.identifier_system:
            reference["identifier"]["system"] = site.identifier_system
    if site.name:
        reference["display"] = site.name
    return reference if len(reference) > 1 else None
