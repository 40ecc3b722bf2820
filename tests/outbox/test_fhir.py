from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from tests import exam_cases
from tests.outbox import document_cases as cases

from fundusd.domain.clinical_terms import SAFETY_WORDS, Eye, Grade, Reason, ReviewVerdict
from fundusd.outbox import fhir

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.clinical.exam import Exam

BOTH = (cases.shot(Eye.RIGHT), cases.shot(Eye.LEFT, Grade.NO_DR))
EXAMS = {
    "both eyes": cases.exam(*BOTH),
    "ungradable": cases.exam(cases.ungraded(Reason.TOO_DARK)),
    "refused": cases.exam(cases.ungraded(Reason.MONTAGE)),
    "unknown eye": cases.exam(cases.shot(Eye.UNKNOWN)),
    "overridden": cases.exam(*BOTH, reading=cases.OVERRIDE),
    "nobody": cases.exam(*BOTH, patient_id=None, patient_key=None, study_uid=None),
}


def resources(exam: Exam) -> dict[str, list[dict[str, Any]]]:
    by_type: dict[str, list[dict[str, Any]]] = {}
    for entry in json.loads(fhir.bundle(exam, cases.RELEASES, cases.AT).data)["entry"]:
        by_type.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
    return by_type


def the_eye(exam: Exam) -> dict[str, Any]:
    [observation] = resources(exam)["Observation"]
    return observation


def components(observation: dict[str, Any]) -> dict[str, Any]:
    values = {}
    for component in observation["component"]:
        name = component["code"]["coding"][0]["code"]
        values[name] = (
            component.get("valueQuantity", {}).get("value")
            or component["valueCodeableConcept"]["coding"][0]["code"]
        )
    return values


@pytest.mark.parametrize("name", EXAMS)
def test_a_bundle_is_valid_and_its_references_lead_somewhere(name: str) -> None:
    document = fhir.bundle(EXAMS[name], cases.RELEASES, cases.AT)

    made = Bundle.model_validate_json(document.data)
    there = {entry.fullUrl for entry in made.entry}
    assert set(_references(json.loads(document.data))) <= there
    assert len(there) == len(made.entry)


def _references(value: Any) -> Iterator[str]:
    children = []
    if isinstance(value, dict):
        if "reference" in value:
            yield value["reference"]
        children = list(value.values())
    elif isinstance(value, list):
        children = value
    for child in children:
        yield from _references(child)


def test_each_eye_has_its_own_term_site_and_grade() -> None:
    right, left = resources(EXAMS["both eyes"])["Observation"]

    for observation, term, site, answer in (
        (right, "71491-5", "18944008", "LA18645-4"),
        (left, "71490-7", "8966001", "LA18643-9"),
    ):
        assert observation["code"]["coding"] == [{"system": "http://loinc.org", "code": term}]
        assert observation["bodySite"]["coding"][0]["code"] == site
        assert observation["valueCodeableConcept"]["coding"][0] == {
            "system": "http://loinc.org",
            "code": answer,
        }
        assert observation["status"] == "preliminary"
        assert observation["note"] == [{"text": SAFETY_WORDS}]
    assert components(right)["referable"] == "yes"
    assert components(right)["score-2"] == 0.8


def test_an_eye_without_grade_says_why_and_what_to_do_and_has_no_value() -> None:
    eye = the_eye(EXAMS["ungradable"])

    assert "valueCodeableConcept" not in eye
    assert eye["dataAbsentReason"]["text"] == "Too dark"
    assert components(eye) == {
        "outcome": "ungradable",
        "referable": "indeterminate",
        "reason": "too_dark",
        "action": "action-retake",
    }


def test_an_override_is_the_value_and_the_grade_of_the_model_stays_visible() -> None:
    eye = resources(EXAMS["overridden"])["Observation"][0]

    assert eye["status"] == "final"
    assert eye["valueCodeableConcept"]["coding"][0]["code"] == "LA18646-2"
    assert components(eye)["model-severity"] == "LA18645-4"
    assert components(eye)["verdict"] == "override"
    assert eye["performer"] == [{"display": "reader.one (ophthalmologist)"}]


def test_an_eye_that_a_reader_calls_ungradable_has_no_value_though_the_model_graded_it() -> None:
    reading = replace(cases.OVERRIDE, verdict=ReviewVerdict.UNGRADABLE, grade=None)
    eye = the_eye(cases.exam(cases.shot(), reading=reading))

    assert "valueCodeableConcept" not in eye
    assert "according to the reader" in eye["dataAbsentReason"]["text"]
    assert components(eye)["model-severity"] == "LA18645-4"


def test_a_report_is_final_when_every_eye_is_read() -> None:
    one_read = EXAMS["both eyes"]
    one_read = replace(
        one_read, eyes=(exam_cases.read(one_read.eyes[0], cases.AGREES), one_read.eyes[1])
    )

    for exam, status in ((one_read, "preliminary"), (EXAMS["overridden"], "final")):
        [report] = resources(exam)["DiagnosticReport"]
        assert report["status"] == status
    assert [eye["status"] for eye in resources(one_read)["Observation"]] == ["final", "preliminary"]


def test_the_report_concludes_with_the_person_the_eyes_and_the_safety_words() -> None:
    [report] = resources(cases.exam(cases.shot(Eye.RIGHT)))["DiagnosticReport"]

    assert report["conclusion"] == (
        "To be referred: yes. right eye (OD): Moderate non-proliferative retinopathy; "
        f"left eye (OS): not photographed. {SAFETY_WORDS}"
    )


def test_every_resource_says_that_an_ai_asserted_it() -> None:
    for same in resources(EXAMS["both eyes"]).values():
        for resource in same:
            assert resource["meta"]["security"][0]["code"] == "AIAST"


def test_a_repeat_and_a_review_are_written_over_what_is_there() -> None:
    def urls(exam: Exam) -> list[str]:
        entries = json.loads(fhir.bundle(exam, cases.RELEASES, cases.AT).data)["entry"]
        assert {entry["request"]["method"] for entry in entries} == {"PUT"}
        return [entry["request"]["url"] for entry in entries]

    exam = EXAMS["both eyes"]
    assert fhir.bundle(exam, cases.RELEASES, cases.AT) == fhir.bundle(
        exam, cases.RELEASES, cases.AT
    )
    assert urls(exam) == urls(EXAMS["overridden"])
    assert urls(exam) == urls(replace(exam, exam_id=77))
    assert not set(urls(exam)[1:]) & set(urls(replace(exam, patient_key="cd" * 32))[1:])


def test_a_pseudonymous_site_sends_the_key_and_no_identifier_of_the_hospital() -> None:
    exam = replace(EXAMS["overridden"], patient_id=None)
    document = fhir.bundle(exam, cases.RELEASES, cases.AT)

    for observation in resources(exam)["Observation"]:
        assert observation["subject"]["identifier"] == {
            "system": "urn:x-fundusd:patient-key",
            "value": cases.KEY,
        }
    assert cases.PATIENT.encode() not in document.data
    assert cases.PATIENT.encode() in fhir.bundle(EXAMS["overridden"], cases.RELEASES, cases.AT).data
