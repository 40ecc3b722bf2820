"""An exam as a FHIR R4 transaction.

The transaction contains a Device for each release, an Observation for each eye, a DiagnosticReport
and a Provenance. Every resource is written by PUT under an id that is always the same for the same
exam or release. A repeated transaction therefore overwrites the resources, and a review changes
`preliminary` to `final` in place. The patient is referenced by an identifier, and no Patient
resource is written.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

import orjson

from fundusd.domain.clinical_terms import SAFETY_WORDS, Action, Outcome
from fundusd.outbox import codes, document_ids, safety_notes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime
    from uuid import UUID

    from fundusd.clinical.exam import Exam, EyeResult
    from fundusd.clinical.reading import Reading
    from fundusd.domain.inference import Release
    from fundusd.outbox.codes import Code
    from fundusd.outbox.document_ids import Document

    JsonObject = dict[str, Any]

MEDIA_TYPE = "application/fhir+json"
_HL7 = "http://terminology.hl7.org/CodeSystem/"
_PATIENT_ID, _PATIENT_KEY = "urn:x-fundusd:patient-id", "urn:x-fundusd:patient-key"
_AI_ASSERTED = {
    "system": f"{_HL7}v3-ObservationValue",
    "code": "AIAST",
    "display": "Artificial Intelligence asserted",
}
_ABSENT = {Outcome.UNGRADABLE: "unknown", Outcome.REFUSED: "unsupported", Outcome.FAILED: "error"}


def bundle(exam: Exam, releases: Mapping[int, Release], at: datetime) -> Document:
    """Return the transaction for an exam.

    `releases` are keyed by number. `at` is the time at which the result was reached.
    """
    exam_id = document_ids.exam_uuid(exam)
    devices = {number: _device(release) for number, release in sorted(releases.items())}
    observations = list(_observations(exam, exam_id, devices, at))
    report = _report(exam, exam_id, observations, at)
    safety_notes.add_to_fhir(observations, report, releases.values())
    provenance = _provenance(exam, exam_id, [*observations, report], devices.values(), at)
    resources = [*devices.values(), *observations, report, provenance]
    transaction = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [_entry(resource) for resource in resources],
    }
    data = orjson.dumps(transaction, option=orjson.OPT_INDENT_2)
    return document_ids.Document(f"{exam_id}.fhir.json", MEDIA_TYPE, data)


def _entry(resource: JsonObject) -> JsonObject:
    url = f"{resource['resourceType']}/{resource['id']}"
    return {
        "fullUrl": _urn(resource),
        "resource": resource,
        "request": {"method": "PUT", "url": url},
    }


def _resource(kind: str, resource_id: UUID, **content: Any) -> JsonObject:
    meta = {"security": [_AI_ASSERTED]}
    return {"resourceType": kind, "id": str(resource_id), "meta": meta, **content}


def _urn(resource: JsonObject) -> str:
    return f"urn:uuid:{resource['id']}"


def _references(resources: Iterable[JsonObject]) -> list[JsonObject]:
    return [{"reference": _urn(resource)} for resource in resources]


def _identifier(resource_id: UUID) -> list[JsonObject]:
    return [{"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{resource_id}"}]


def _device(release: Release) -> JsonObject:
    digest = document_ids.release_digest(release)
    device_id = document_ids.uuid_for("device", digest)
    return _resource(
        "Device",
        device_id,
        identifier=_identifier(device_id),
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


def _observations(
    exam: Exam, exam_id: UUID, devices: Mapping[int, JsonObject], at: datetime
) -> Iterator[JsonObject]:
    for eye in exam.eyes:
        yield _observation(exam, eye, exam_id, devices[eye.decisive.release_id], at)


def _observation(
    exam: Exam, eye: EyeResult, exam_id: UUID, device: JsonObject, at: datetime
) -> JsonObject:
    observation_id = document_ids.uuid_for("observation", str(exam_id), eye.eye)
    category = {"system": f"{_HL7}observation-category", "code": "exam", "display": "Exam"}
    observation = _resource(
        "Observation",
        observation_id,
        identifier=_identifier(observation_id),
        status=codes.STATUS[eye.is_read],
        category=[{"coding": [category]}],
        code=_concept(codes.SEVERITY_OF_EYE[eye.eye]),
        effectiveDateTime=exam.day.isoformat(),
        bodySite=_concept(codes.BODY_SITE[eye.eye]),
        device={"reference": _urn(device)},
        derivedFrom=list(_sources(exam, eye)),
        note=[{"text": SAFETY_WORDS}],
        component=[*_components(eye), *_scores(eye)],
        **_subject(exam),
    )
    if eye.is_read and eye.reading is not None:
        observation["performer"] = [{"display": _reader(eye.reading)}]
    if eye.final.grade is not None:
        observation["valueCodeableConcept"] = _concept(*codes.severity_codes(eye.final.grade))
    else:
        absent = _ABSENT.get(eye.outcome, "unknown")
        observation["dataAbsentReason"] = {
            "coding": [{"system": f"{_HL7}data-absent-reason", "code": absent}],
            "text": _why_absent(eye),
        }
    observation["issued"] = _instant(at)
    return observation


def _why_absent(eye: EyeResult) -> str:
    if eye.is_read and eye.reading is not None:
        verdict = codes.private_code(eye.reading.verdict)
        return f"Not gradable according to the reader: {verdict.meaning.lower()}"
    if eye.reason is not None:
        return codes.private_code(eye.reason).meaning
    return codes.private_code(eye.outcome).meaning


def _reader(reading: Reading) -> str:
    return f"{reading.reviewer} ({reading.role})"


def _subject(exam: Exam) -> JsonObject:
    system, value = _PATIENT_KEY, exam.patient_key
    if exam.patient_id is not None:
        system, value = _PATIENT_ID, exam.patient_id
    if not value:
        return {}
    return {"subject": {"type": "Patient", "identifier": {"system": system, "value": value}}}


def _sources(exam: Exam, eye: EyeResult) -> Iterator[JsonObject]:
    if exam.study_uid:
        study = {"system": "urn:dicom:uid", "value": f"urn:oid:{exam.study_uid}"}
        yield {"type": "ImagingStudy", "identifier": study}
    for digest in document_ids.photograph_digests([eye]):
        yield {"type": "Media", "identifier": _sha256(digest)}


def _sha256(digest: str) -> JsonObject:
    return {"system": "urn:x-fundusd:sha256", "value": digest}


def _components(eye: EyeResult) -> Iterator[JsonObject]:
    yield _component(codes.OUTCOME, codes.private_code(eye.outcome))
    yield _component(codes.REFERABLE, codes.private_code(eye.final.referable))
    if eye.grade is not None:
        yield _component(codes.MODEL_SEVERITY, *codes.severity_codes(eye.grade))
    if eye.reason is not None:
        yield _component(codes.REASON, codes.private_code(eye.reason))
    if eye.action is not Action.NONE:
        yield _component(codes.ACTION, codes.private_code(eye.action))
    for field in eye.missing_fields:
        yield _component(codes.MISSING_FIELDS, codes.private_code(field))
    if eye.reading is not None:
        yield _component(codes.VERDICT, codes.private_code(eye.reading.verdict))
        if eye.reading.reason:
            yield _component(codes.DISAGREES, codes.private_code(eye.reading.reason))


def _scores(eye: EyeResult) -> Iterator[JsonObject]:
    if eye.grade is not None:
        for name, score in zip(codes.SCORES, eye.decisive.scores or (), strict=False):
            yield {"code": _concept(name), "valueQuantity": {"value": round(score, 6)}}


def _component(name: Code, *values: Code) -> JsonObject:
    return {"code": _concept(name), "valueCodeableConcept": _concept(*values)}


def _concept(*synonyms: Code) -> JsonObject:
    coding = [{"system": codes.SYSTEMS[code.scheme], "code": code.value} for code in synonyms]
    return {"coding": coding, "text": synonyms[0].meaning}


def _report(
    exam: Exam, exam_id: UUID, observations: Iterable[JsonObject], at: datetime
) -> JsonObject:
    report_id = document_ids.uuid_for("report", str(exam_id))
    return _resource(
        "DiagnosticReport",
        report_id,
        identifier=_identifier(report_id),
        status=codes.STATUS[exam.is_reviewed],
        code=_concept(codes.REPORT),
        effectiveDateTime=exam.day.isoformat(),
        issued=_instant(at),
        result=_references(observations),
        conclusion=_conclusion(exam),
        **_subject(exam),
    )


def _conclusion(exam: Exam) -> str:
    eyes = "; ".join(_conclusions(exam))
    return f"To be referred: {exam.final.referable}. {eyes}. {SAFETY_WORDS}"


def _conclusions(exam: Exam) -> Iterator[str]:
    for eye in exam.eyes:
        yield f"{codes.NAMES[eye.eye]}: {_in_words(eye)}"
    for missing in exam.missing:
        yield f"{codes.NAMES[missing]}: not photographed"


def _in_words(eye: EyeResult) -> str:
    read = action = ""
    if eye.is_read:
        read = " (read by a person)"
    if eye.final.grade is not None:
        return f"{codes.SEVERITY[eye.final.grade].meaning}{read}"
    if eye.action is not Action.NONE:
        action = f"; {codes.private_code(eye.action).meaning.lower()}"
    return f"no grade, {_why_absent(eye).lower()}{read}{action}"


def _provenance(
    exam: Exam,
    exam_id: UUID,
    targets: Iterable[JsonObject],
    devices: Iterable[JsonObject],
    at: datetime,
) -> JsonObject:
    return _resource(
        "Provenance",
        document_ids.uuid_for("provenance", str(exam_id)),
        target=_references(targets),
        recorded=_instant(at),
        agent=list(_agents(exam, devices)),
        entity=list(_entities(exam)),
    )


def _agents(exam: Exam, devices: Iterable[JsonObject]) -> Iterator[JsonObject]:
    for device in devices:
        yield _agent("assembler", {"reference": _urn(device)})
    readers = set()
    for eye in exam.eyes:
        if eye.reading is not None:
            readers.add(_reader(eye.reading))
    for reader in sorted(readers):
        yield _agent("verifier", {"display": reader})


def _entities(exam: Exam) -> Iterator[JsonObject]:
    for digest in document_ids.photograph_digests(exam.eyes):
        yield {"role": "source", "what": {"identifier": _sha256(digest)}}


def _agent(kind: str, who: JsonObject) -> JsonObject:
    return {
        "type": {"coding": [{"system": f"{_HL7}provenance-participant-type", "code": kind}]},
        "who": who,
    }


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds")
