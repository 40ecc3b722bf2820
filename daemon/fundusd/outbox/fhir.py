"""An exam as a FHIR R4 transaction.

The transaction contains a Device for each release, Observations for each eye, a DiagnosticReport
and a Provenance. Every resource is written by PUT under an id that is always the same for the same
exam or release. A repeated transaction therefore overwrites the resources, and a review changes
their status in place. The patient is referenced by an identifier, and no Patient resource is
written.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import orjson

from fundusd.domain.clinical_terms import SAFETY_WORDS, Referable
from fundusd.domain.delivery import DocumentKind, SentDocument
from fundusd.domain.readings import ReadingState
from fundusd.ledger import hash_chain
from fundusd.outbox import (
    codes,
    document_ids,
    document_status,
    eye_values,
    fhir_parts,
    safety_notes,
)
from fundusd.outbox.fhir_observations import Observations, observations
from fundusd.outbox.fhir_parts import references, resource, sha256, url, urn
from fundusd.outbox.fhir_withdrawals import withdrawals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

    from fundusd.clinical.exam import Exam
    from fundusd.domain.inference import Release
    from fundusd.ledger.document_content import DocumentContent
    from fundusd.outbox.document_ids import Document
    from fundusd.outbox.fhir_parts import JsonObject
    from fundusd.outbox.sender import Sender

MEDIA_TYPE = "application/fhir+json"
# the table has no code for ophthalmology
_CATEGORY = [fhir_parts.hl7_concept("v2-0074", "IMG", "Diagnostic Imaging")]
_ACCESSION = fhir_parts.hl7_concept("v2-0203", "ACSN", "Accession ID")
_NARRATIVE = '<div xmlns="http://www.w3.org/1999/xhtml"><p>{}</p></div>'


def bundle(content: DocumentContent, sender: Sender) -> Document:
    """Return the transaction for an exam."""
    exam = content.exam
    exam_id = document_ids.exam_uuid(exam)
    devices = {number: _device(release) for number, release in sorted(content.releases.items())}
    made = observations(content, sender, exam_id, devices)
    safety_notes.add_to_observations(made.all, content.releases.values())
    results, sent = list(made.all), list(made.sent)
    if exam.eyes:
        report, record = _report(content, sender, exam_id, made)
        results.append(report)
        sent.append(record)
    for withdrawn, record in withdrawals(content, sender, sent):
        results.append(withdrawn)
        sent.append(record)
    provenance = _provenance(content, exam_id, results, devices.values())
    resources = [*devices.values(), *results, provenance]
    transaction = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [_entry(each) for each in resources],
    }
    data = orjson.dumps(transaction, option=orjson.OPT_INDENT_2)
    name = f"{exam_id}.fhir.json"
    return document_ids.Document(name, MEDIA_TYPE, data, tuple(sent))


def _entry(made: JsonObject) -> JsonObject:
    return {
        "fullUrl": urn(made),
        "resource": made,
        "request": {"method": "PUT", "url": url(made)},
    }


def _device(release: Release) -> JsonObject:
    digest = document_ids.release_digest(release)
    device_id = document_ids.uuid_for("device", digest)
    return resource(
        "Device",
        device_id,
        by_model=True,
        identifier=fhir_parts.identifier(device_id),
        deviceName=[{"name": f"fundusd with {release.model}", "type": "user-friendly-name"}],
        version=list(_versions(release)),
        note=[{"text": f"{SAFETY_WORDS} Release {digest}."}],
    )


def _versions(release: Release) -> Iterator[JsonObject]:
    if release.program_version:
        yield {"type": {"text": "program"}, "value": release.program_version}
    model_version = release.revision or release.weights_digest
    if model_version:
        yield {"type": {"text": "model"}, "value": model_version}


# -- the report


def _report(
    content: DocumentContent, sender: Sender, exam_id: UUID, made: Observations
) -> tuple[JsonObject, SentDocument]:
    exam = content.exam
    report_id = document_ids.uuid_for("report", str(exam_id))
    identifier = f"DiagnosticReport/{report_id}"
    conclusion = _conclusion(content)
    content_digest = _content_digest(exam, conclusion, made)
    marks = document_ids.photograph_marks(exam.eyes)
    last = document_status.last_sent(content.sent, identifier)
    status = document_status.next_status(last, content_digest, marks, is_final=exam.is_final)
    report = resource(
        "DiagnosticReport",
        report_id,
        by_model=not exam.is_reviewed,
        text={"status": "generated", "div": _NARRATIVE.format(escape(conclusion))},
        identifier=fhir_parts.identifier(report_id),
        status=status,
        category=_CATEGORY,
        code=fhir_parts.concept(codes.REPORT),
        effectiveDateTime=exam.day.isoformat(),
        issued=fhir_parts.instant(content.resulted_at),
        conclusion=conclusion,
        **fhir_parts.subject(content, sender),
        **_lists(content, sender, made),
    )
    return report, SentDocument(DocumentKind.FHIR, None, identifier, status, content_digest, marks)


def _content_digest(exam: Exam, conclusion: str, made: Observations) -> str:
    parts = [record.content for record in made.sent]
    return hash_chain.digest([*parts, conclusion, "final" if exam.is_final else "not final"])


def _lists(content: DocumentContent, sender: Sender, made: Observations) -> JsonObject:
    """Return those elements of the report that are left out if they have no content."""
    lists: JsonObject = {}
    if content.accession_numbers:
        lists["basedOn"] = [_order(number) for number in content.accession_numbers]
    organization = fhir_parts.organization(sender)
    if organization is not None:
        lists["performer"] = [organization]
    if made.results:
        lists["result"] = references(made.results)
    return lists


def _order(accession_number: str) -> JsonObject:
    identifier = {"type": _ACCESSION, "value": accession_number}
    return {"type": "ServiceRequest", "identifier": identifier}


def _conclusion(content: DocumentContent) -> str:
    exam = content.exam
    eyes = "; ".join(_conclusions(exam))
    note = safety_notes.note(content.releases.values())
    return f"{_not_final(exam)}{_referral(exam)} {eyes}. {note}"


_WHY_NOT_READ = {
    ReadingState.UNREAD: "not read by a person",
    ReadingState.OUTDATED: "to be read again",
    ReadingState.DISPUTED: "read by persons who differ about the referral",
}


def _not_final(exam: Exam) -> str:
    """Return why the report is not final, followed by a space, or nothing if it is."""
    if exam.is_final:
        return ""
    reasons = _reasons_not_final(exam)
    return f"Not final: {', '.join(reasons)}. " if reasons else "Not final. "


def _reasons_not_final(exam: Exam) -> list[str]:
    reasons = []
    for eye in exam.counting:
        if not eye.is_read:
            reasons.append(f"{codes.NAMES[eye.eye]} {_WHY_NOT_READ[eye.state]}")
        elif why := eye_values.why_not_final(eye):
            reasons.append(f"{codes.NAMES[eye.eye]}: {why}")
    for open_one in exam.follow_ups:
        what = open_one.kind.replace("_", " ")
        reasons.append(f"{codes.NAMES[open_one.eye]}: {what} to follow")
    reasons += [f"{codes.NAMES[missing]} not photographed" for missing in exam.missing]
    if exam.lacks_both_eyes:
        reasons.append("both eyes are said to be absent")
    reasons += [
        f"{codes.NAMES[eye]} photographed, but said to be absent" for eye in exam.impossible
    ]
    if exam.final.referable is Referable.NO:
        reasons += [f"exam {other} of the same day is not negative" for other in exam.open_others]
    if exam.claims:
        reasons.append("a photograph in another exam may be of this patient")
    return reasons


def _referral(exam: Exam) -> str:
    is_confirmed = any(eye.is_read and eye.final.referable is Referable.YES for eye in exam.eyes)
    if exam.is_reviewed or is_confirmed:
        return f"To be referred: {exam.final.referable}."
    if exam.final.referable is exam.assessment.referable:
        return f"To be referred, as the model suggests: {exam.final.referable}."
    return f"To be referred, not settled by readers yet: {exam.final.referable}."


def _conclusions(exam: Exam) -> Iterator[str]:
    for eye in exam.eyes:
        if eye in exam.counting:
            yield f"{codes.NAMES[eye.eye]}: {eye_values.in_words(eye)}"
    for missing in exam.missing:
        yield f"{codes.NAMES[missing]}: not photographed"
    for stated in exam.absences:
        yield eye_values.absence(stated)
    if exam.day_doubt.wording:
        yield f"day of the exam: {exam.day_doubt.wording}"


# -- where it comes from


def _provenance(
    content: DocumentContent,
    exam_id: UUID,
    targets: Iterable[JsonObject],
    devices: Iterable[JsonObject],
) -> JsonObject:
    made: JsonObject = resource(
        "Provenance",
        document_ids.uuid_for("provenance", str(exam_id)),
        by_model=False,
        target=references(targets),
        recorded=fhir_parts.instant(content.resulted_at),
        agent=list(_agents(content.exam, devices)),
    )
    digests = document_ids.photograph_digests(content.exam.eyes)
    if digests:
        made["entity"] = [
            {"role": "source", "what": {"identifier": sha256(digest)}} for digest in digests
        ]
    return made


def _agents(exam: Exam, devices: Iterable[JsonObject]) -> Iterator[JsonObject]:
    if not exam.eyes:
        yield _agent("assembler", {"display": "fundusd"})
    for device in devices:
        yield _agent("assembler", {"reference": urn(device)})
    readers: set[str] = set()
    for eye in exam.eyes:
        readers |= {fhir_parts.reader(reading) for reading in eye_values.stated_readings(eye)}
    for reader in sorted(readers):
        yield _agent("verifier", {"display": reader})


def _agent(kind: str, who: JsonObject) -> JsonObject:
    system = f"{fhir_parts.HL7}provenance-participant-type"
    return {"type": {"coding": [{"system": system, "code": kind}]}, "who": who}
