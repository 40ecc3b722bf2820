"""An exam as a FHIR R4 transaction: an Observation for each eye, a DiagnosticReport, Provenance, Device.

Every resource is written by PUT under an id that follows from the exam, so that a repeat overwrites and a review
turns `preliminary` into `final` in its place. The person is a logical reference by identifier, never a Patient.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

import orjson

from fundusd.domain.clinical_terms import SAFETY_WORDS, Action, Outcome
from fundusd.outbox import codes, document_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime
    from uuid import UUID

    from fundusd.clinical.exam import Exam, EyeResult
    from fundusd.domain.inference import Release
    from fundusd.outbox.codes import Code
    from fundusd.outbox.document_ids import Document

    Json = dict[str, Any]

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
    """Make the transaction about an exam; `releases` by number, `at` is when its result was judged."""
    name = document_ids.of_exam(exam)
    devices = {number: _device(release) for number, release in sorted(releases.items())}
    observations = [
        _observation(exam, eye, name, devices[eye.decisive.release_id]) for eye in exam.eyes
    ]
    report = _report(exam, name, observations, at)
    provenance = _provenance(exam, name, [*observations, report], list(devices.values()), at)
    for one in observations:
        one["issued"] = _instant(at)
    resources = [*devices.values(), *observations, report, provenance]
    made = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [_entry(one) for one in resources],
    }
    return document_ids.Document(
        f"{name}.fhir.json", MEDIA_TYPE, orjson.dumps(made, option=orjson.OPT_INDENT_2)
    )


def _entry(resource: Json) -> Json:
    url = f"{resource['resourceType']}/{resource['id']}"
    return {
        "fullUrl": _urn(resource),
        "resource": resource,
        "request": {"method": "PUT", "url": url},
    }


def _resource(kind: str, name: UUID, **content: Any) -> Json:
    return {"resourceType": kind, "id": str(name), "meta": {"security": [_AI_ASSERTED]}, **content}


def _urn(resource: Json) -> str:
    return f"urn:uuid:{resource['id']}"


def _identified(name: UUID) -> list[Json]:
    return [{"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{name}"}]


def _device(release: Release) -> Json:
    name = document_ids.named("device", document_ids.of_release(release))
    versions = {
        "program": release.program_version,
        "model": release.revision or release.weights_digest,
    }
    return _resource(
        "Device",
        name,
        identifier=_identified(name),
        deviceName=[{"name": f"fundusd with {release.model}", "type": "user-friendly-name"}],
        version=[
            {"type": {"text": kind}, "value": value} for kind, value in versions.items() if value
        ],
        note=[{"text": f"{SAFETY_WORDS} Release {document_ids.of_release(release)}."}],
    )


def _observation(exam: Exam, eye: EyeResult, exam_name: UUID, device: Json) -> Json:
    name = document_ids.named("observation", str(exam_name), eye.eye)
    made = _resource(
        "Observation",
        name,
        identifier=_identified(name),
        status="final" if eye.is_read else "preliminary",
        category=[
            {
                "coding": [
                    {"system": f"{_HL7}observation-category", "code": "exam", "display": "Exam"}
                ]
            }
        ],
        code=_concept(codes.SEVERITY_OF_EYE[eye.eye]),
        effectiveDateTime=exam.day.isoformat(),
        bodySite=_concept(codes.BODY_SITE[eye.eye]),
        device={"reference": _urn(device)},
        derivedFrom=list(_sources(exam, eye)),
        note=[{"text": SAFETY_WORDS}],
        component=list(_components(eye)),
        **_subject(exam),
    )
    if eye.is_read and eye.reading is not None:
        made["performer"] = [{"display": f"{eye.reading.reviewer} ({eye.reading.role})"}]
    grade = eye.final.grade
    if grade is not None:
        made["valueCodeableConcept"] = _concept(*codes.systems_of(grade))
    else:
        absent = _ABSENT.get(eye.outcome, "unknown")
        made["dataAbsentReason"] = {
            "coding": [{"system": f"{_HL7}data-absent-reason", "code": absent}],
            "text": _why_absent(eye),
        }
    return made


def _why_absent(eye: EyeResult) -> str:
    if eye.is_read and eye.reading is not None:
        return f"Not gradable, says the reader: {codes.own(eye.reading.verdict).meaning.lower()}"
    return codes.own(eye.reason).meaning if eye.reason else codes.own(eye.outcome).meaning


def _subject(exam: Exam) -> Json:
    system, value = (
        (_PATIENT_ID, exam.patient_id)
        if exam.patient_id is not None
        else (_PATIENT_KEY, exam.patient_key)
    )
    return (
        {"subject": {"type": "Patient", "identifier": {"system": system, "value": value}}}
        if value
        else {}
    )


def _sources(exam: Exam, eye: EyeResult) -> Iterator[Json]:
    if exam.study_uid:
        study = {"system": "urn:dicom:uid", "value": f"urn:oid:{exam.study_uid}"}
        yield {"type": "ImagingStudy", "identifier": study}
    for digest in sorted({shot.digest for shot in eye.shots}):
        yield {"type": "Media", "identifier": {"system": "urn:x-fundusd:sha256", "value": digest}}


def _components(eye: EyeResult) -> Iterator[Json]:
    yield _said(codes.OUTCOME, codes.own(eye.outcome))
    yield _said(codes.REFERABLE, codes.own(eye.final.referable))
    if eye.grade is not None:
        yield _said(codes.MODEL_SEVERITY, *codes.systems_of(eye.grade))
    if eye.reason is not None:
        yield _said(codes.REASON, codes.own(eye.reason))
    if eye.action is not Action.NONE:
        yield _said(codes.ACTION, codes.own(eye.action))
    for field in eye.missing_fields:
        yield _said(codes.MISSING_FIELDS, codes.own(field))
    if eye.reading is not None:
        yield _said(codes.VERDICT, codes.own(eye.reading.verdict))
        if eye.reading.reason:
            yield _said(codes.DISAGREES, codes.own(eye.reading.reason))
    scores = eye.decisive.scores if eye.grade is not None else None
    for name, score in zip(codes.SCORES, scores or (), strict=False):
        yield {"code": _concept(name), "valueQuantity": {"value": round(score, 6)}}


def _said(name: Code, *values: Code) -> Json:
    return {"code": _concept(name), "valueCodeableConcept": _concept(*values)}


def _concept(*coded: Code) -> Json:
    coding = [{"system": codes.SYSTEMS[one.scheme], "code": one.value} for one in coded]
    return {"coding": coding, "text": coded[0].meaning}


def _report(exam: Exam, name: UUID, observations: Iterable[Json], at: datetime) -> Json:
    report_name = document_ids.named("report", str(name))
    return _resource(
        "DiagnosticReport",
        report_name,
        identifier=_identified(report_name),
        status="final" if exam.is_reviewed else "preliminary",
        code=_concept(codes.REPORT),
        effectiveDateTime=exam.day.isoformat(),
        issued=_instant(at),
        result=[{"reference": _urn(one)} for one in observations],
        conclusion=_conclusion(exam),
        **_subject(exam),
    )


def _conclusion(exam: Exam) -> str:
    eyes = [f"{codes.NAMES[eye.eye]}: {_in_words(eye)}" for eye in exam.eyes]
    eyes += [f"{codes.NAMES[eye]}: not photographed" for eye in exam.missing]
    return f"To be referred: {exam.final.referable}. {'; '.join(eyes)}. {SAFETY_WORDS}"


def _in_words(eye: EyeResult) -> str:
    read = " (read by a person)" if eye.is_read else ""
    if eye.final.grade is not None:
        return f"{codes.SEVERITY[eye.final.grade].meaning}{read}"
    action = f"; {codes.own(eye.action).meaning.lower()}" if eye.action is not Action.NONE else ""
    return f"no grade, {_why_absent(eye).lower()}{read}{action}"


def _provenance(
    exam: Exam, name: UUID, targets: Iterable[Json], devices: Iterable[Json], at: datetime
) -> Json:
    readers = sorted(
        {
            f"{eye.reading.reviewer} ({eye.reading.role})"
            for eye in exam.eyes
            if eye.reading is not None
        }
    )
    agents = [_agent("assembler", {"reference": _urn(device)}) for device in devices]
    agents += [_agent("verifier", {"display": reader}) for reader in readers]
    digests = sorted({shot.digest for eye in exam.eyes for shot in eye.shots})
    return _resource(
        "Provenance",
        document_ids.named("provenance", str(name)),
        target=[{"reference": _urn(one)} for one in targets],
        recorded=_instant(at),
        agent=agents,
        entity=[
            {
                "role": "source",
                "what": {"identifier": {"system": "urn:x-fundusd:sha256", "value": digest}},
            }
            for digest in digests
        ],
    )


def _agent(kind: str, who: Json) -> Json:
    return {
        "type": {"coding": [{"system": f"{_HL7}provenance-participant-type", "code": kind}]},
        "who": who,
    }


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds")
