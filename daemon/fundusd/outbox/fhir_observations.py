"""The FHIR Observations of an exam.

The model's result and the reader's are separate Observations of an eye, because they differ in
everything that a receiver acts on: the code, the performer, the status and the security label. An
Observation therefore never changes its meaning in place, and the model's values never get the codes
of a reader's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fundusd.clinical.eye_result import needed_action
from fundusd.domain.clinical_terms import SAFETY_WORDS, Outcome
from fundusd.domain.delivery import DocumentKind, DocumentStatus, SentDocument
from fundusd.domain.readings import ReadingState
from fundusd.outbox import codes, document_ids, document_status, eye_values, fhir_parts
from fundusd.outbox.fhir_parts import concept, references, resource, sha256, urn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from uuid import UUID

    from fundusd.clinical.exam import Exam
    from fundusd.clinical.eye_result import EyeResult
    from fundusd.ledger.document_content import DocumentContent
    from fundusd.outbox.codes import Code
    from fundusd.outbox.fhir_parts import JsonObject
    from fundusd.outbox.sender import Sender

_ABSENT = {Outcome.UNGRADABLE: "unknown", Outcome.REFUSED: "unsupported", Outcome.FAILED: "error"}
_TO_BE_READ = "temp-unknown"  # a value is expected
_CATEGORY = [fhir_parts.hl7_concept("observation-category", "exam", "Exam")]
_OUTDATED = (
    "The photographs or the result have changed since a person read this eye. "
    "It has not been read again."
)


# of a reading that was taken back, or of the model: older versions stated its grade in these codes
_NO_READING = (
    "What this stated before does not count any more, and no person has read the eye since."
)
_STATES = {
    ReadingState.OUTDATED: (_OUTDATED, "The more severe result counts until then."),
    ReadingState.DISPUTED: (
        "Readers differ about the referral. The most severe reading counts until one decides.",
    ),
}


@dataclass(frozen=True, slots=True)
class Observations:
    """The Observations of an exam, and what is remembered about them.

    `results` are those that state what is known now, the reader's before the model's.
    """

    results: tuple[JsonObject, ...]
    others: tuple[JsonObject, ...]
    sent: tuple[SentDocument, ...]

    @property
    def all(self) -> tuple[JsonObject, ...]:
        """Return every Observation."""
        return self.results + self.others


def observations(
    content: DocumentContent, sender: Sender, exam_id: UUID, devices: Mapping[int, JsonObject]
) -> Observations:
    """Return the Observations of all eyes; `devices` are keyed by release."""
    shared = _shared(content, sender)
    results, others, sent = [], [], []
    for eye in content.exam.eyes:
        verdict = document_ids.verdict_digest(
            content.exam, eye, content.releases[eye.decisive.release_id]
        )
        device = devices[eye.decisive.release_id]
        by_model = _by_model(content.exam, eye, exam_id, device, shared)
        sent.append(_remembered(by_model, eye, verdict))
        by_reader = _reader_observation(content, eye, exam_id, verdict, shared, by_model)
        if by_reader is not None:
            sent.append(_remembered(by_reader, eye, verdict))
            results.append(by_reader)
        if eye.is_read:
            others.append(by_model)
        else:
            results.append(by_model)
    return Observations(tuple(results), tuple(others), tuple(sent))


def _shared(content: DocumentContent, sender: Sender) -> JsonObject:
    return {
        "category": _CATEGORY,
        "effectiveDateTime": content.exam.day.isoformat(),
        "issued": fhir_parts.instant(content.resulted_at),
        **fhir_parts.subject(content, sender),
    }


def _remembered(observation: JsonObject, eye: EyeResult, verdict: str) -> SentDocument:
    return SentDocument(
        DocumentKind.FHIR,
        eye.eye,
        fhir_parts.url(observation),
        DocumentStatus(observation["status"]),
        verdict,
        document_ids.photograph_marks([eye]),
    )


# -- the model's


def _by_model(
    exam: Exam, eye: EyeResult, exam_id: UUID, device: JsonObject, shared: JsonObject
) -> JsonObject:
    observation_id = document_ids.uuid_for("model-observation", str(exam_id), eye.eye)
    grade = eye_values.model_grade(eye)
    if grade is not None:
        value = {"valueCodeableConcept": concept(codes.MODEL_GRADE[grade])}
    else:
        value = _absent(_ABSENT.get(eye.outcome, "unknown"), eye_values.why_not_by_model(eye))
    return resource(
        "Observation",
        observation_id,
        by_model=True,
        identifier=fhir_parts.identifier(observation_id),
        status=DocumentStatus.PRELIMINARY,  # always: a person settles the eye, not the model
        code=concept(codes.MODEL_SEVERITY),
        bodySite=concept(codes.BODY_SITE[eye.eye]),
        device={"reference": urn(device)},
        derivedFrom=list(_sources(exam, eye)),
        note=list(_notes(SAFETY_WORDS, *eye_values.remarks(exam, eye))),
        component=[*_model_components(eye), *_scores(eye)],
        **value,
        **shared,
    )


def _absent(code: str, text: str) -> JsonObject:
    coding = {"system": f"{fhir_parts.HL7}data-absent-reason", "code": code}
    return {"dataAbsentReason": {"coding": [coding], "text": text}}


def _sources(exam: Exam, eye: EyeResult) -> Iterator[JsonObject]:
    if exam.study_uid:
        study = {"system": "urn:dicom:uid", "value": f"urn:oid:{exam.study_uid}"}
        yield {"type": "ImagingStudy", "identifier": study}
    for digest in document_ids.photograph_digests([eye]):
        yield {"type": "Media", "identifier": sha256(digest)}


def _notes(*texts: str) -> Iterator[JsonObject]:
    for text in texts:
        yield {"text": text}


def _model_components(eye: EyeResult) -> Iterator[JsonObject]:
    yield _component(codes.OUTCOME, codes.private_code(eye.outcome))
    referable = eye_values.model_referable(eye)
    if referable is not None:
        yield _component(codes.REFERABLE, codes.private_code(referable))
    if eye.reason is not None:
        yield _component(codes.REASON, codes.private_code(eye.reason))
        yield _component(codes.ACTION, codes.private_code(needed_action(eye.reason)))
    for field in eye.missing_fields:
        yield _component(codes.MISSING_FIELDS, codes.private_code(field))


def _scores(eye: EyeResult) -> Iterator[JsonObject]:
    for name, score in zip(codes.SCORES, eye_values.scores(eye), strict=False):
        yield {"code": concept(name), "valueQuantity": {"value": round(score, 6)}}


def _component(name: Code, value: Code) -> JsonObject:
    return {"code": concept(name), "valueCodeableConcept": concept(value)}


# -- the reader's


def _reader_observation(
    content: DocumentContent,
    eye: EyeResult,
    exam_id: UUID,
    verdict: str,
    shared: JsonObject,
    by_model: JsonObject,
) -> JsonObject | None:
    """Return the Observation of an eye by its readers, or None if there is nothing to say or undo.

    If no reading counts any more, an Observation that was sent before loses its value.
    """
    observation_id = document_ids.uuid_for("observation", str(exam_id), eye.eye)
    last = document_status.last_sent(content.sent, f"Observation/{observation_id}")
    was_sent = last is not None and last.status is not DocumentStatus.ENTERED_IN_ERROR
    reading = eye_values.reading(eye)
    if eye.state is ReadingState.UNREAD:
        reading = None
    if reading is None and not was_sent:
        return None
    marks = document_ids.photograph_marks([eye])
    statement: JsonObject
    if reading is not None:
        statement = _of_readers(content.exam, eye)
    else:
        why = _OUTDATED if eye.state is ReadingState.OUTDATED else _NO_READING
        statement = _absent(_TO_BE_READ, why)
        statement["note"] = list(_notes(SAFETY_WORDS, why))
    return resource(
        "Observation",
        observation_id,
        by_model=False,
        identifier=fhir_parts.identifier(observation_id),
        status=document_status.next_status(
            last, verdict, marks, is_final=content.exam.is_settled(eye)
        ),
        code=concept(codes.SEVERITY_OF_EYE[eye.eye]),
        bodySite=concept(codes.BODY_SITE[eye.eye]),
        derivedFrom=[*references([by_model]), *_sources(content.exam, eye)],
        **statement,
        **shared,
    )


def _of_readers(exam: Exam, eye: EyeResult) -> JsonObject:
    """Return what the readings state on which the final result of an eye rests.

    The most severe one says what the verdict is; of the others, only other findings are added.
    """
    readings = eye_values.stated_readings(eye)
    components: dict[str, JsonObject] = {}
    for reading in readings:
        for question, answer in eye_values.of_reading(reading):
            components.setdefault(question.value, _component(question, answer))
    displays = dict.fromkeys(fhir_parts.reader(reading) for reading in readings)
    remarks = [*_STATES.get(eye.state, ()), *eye_values.remarks(exam, eye)]
    statement: JsonObject = {
        "performer": [{"display": display} for display in displays],
        "note": list(_notes(SAFETY_WORDS, *remarks)),
        "component": list(components.values()),
    }
    grade = eye_values.reader_grade(eye)
    if grade is not None:
        statement["valueCodeableConcept"] = concept(*codes.severity_codes(grade))
    else:
        statement |= _absent("unknown", eye_values.why_ungraded(eye))
    return statement
