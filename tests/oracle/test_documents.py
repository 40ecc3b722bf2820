"""Documents say of every exam what the oracle says of it, and never more."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import orjson
from tests.oracle import cases, program
from tests.oracle.rules import expected
from tests.outbox import document_cases

from fundusd.outbox import csv_export, fhir
from fundusd.outbox.sender import Sender

if TYPE_CHECKING:
    from tests.oracle import events
    from tests.oracle.rules import Expected

    from fundusd.clinical.exam import Exam

SAMPLE, SEED = 1500, 7
NO_DR = "LA18643-9"
SCORES = tuple(f"score_{grade}" for grade in range(5))
SITES = {"18944008": "R", "8966001": "L", "81745001": "U"}
REFERABLE_NO = ("referable", "no")
LOINC = "http://loinc.org"


def wrong_rows(judged: Exam, wanted: Expected) -> list[Any]:
    """Return what the CSV says in another way than the oracle."""
    text = csv_export.table(document_cases.content(judged)).data.decode()
    wrong: list[Any] = []
    for row in csv.DictReader(io.StringIO(text)):
        if row["person_referable"] != wanted.referable:
            wrong.append(row)
        if row["outcome"] == "absent":
            wrong += [row for name in (*SCORES, "grade", "model_grade", "verdict") if row.get(name)]
        if row["eye"] not in wanted.eyes or row["outcome"] == "absent":
            continue
        eye = wanted.eyes[row["eye"]]
        grade = "" if eye.final_grade is None else str(eye.final_grade)
        stated = (row["referable"], row["grade"], row["reason"], row["action"])
        if stated != (eye.final_referable, grade, eye.final_reason or "", eye.final_action):
            wrong.append((row, eye))
        if eye.final_referable == "indeterminate":
            wrong += [row for name in SCORES if row[name]]
            wrong += [row] if row["model_referable"] == "no" else []
        if row["status"] == "final" and (eye.state != "read" or eye.on_list_as is not None):
            wrong.append((row, eye))
    return wrong


def stated_pairs(observation: dict[str, Any]) -> set[tuple[str, str]]:
    """Return the codes of the components of an Observation with those of their values."""
    pairs = set()
    for component in observation.get("component", ()):
        name = component["code"]["coding"][0]["code"]
        value = component.get("valueCodeableConcept", {"coding": [{"code": ""}]})
        pairs.add((name, value["coding"][0]["code"]))
    return pairs


def wrong_observations(judged: Exam, wanted: Expected) -> list[Any]:
    """Return the Observations of undecided eyes with scores or a negative referral."""
    entries = orjson.loads(fhir.bundle(document_cases.content(judged), Sender()).data)["entry"]
    wrong: list[Any] = []
    for resource in (entry["resource"] for entry in entries):
        if resource["resourceType"] != "Observation":
            continue
        eye = wanted.eyes[SITES[resource["bodySite"]["coding"][0]["code"]]]
        has_scores = "score-" in orjson.dumps(resource).decode()
        if eye.final_referable == "indeterminate" and (
            has_scores or REFERABLE_NO in stated_pairs(resource)
        ):
            wrong.append(resource)
    return wrong


def wrong_resources(judged: Exam, wanted: Expected) -> list[Any]:
    """Return the FHIR resources that say what the oracle does not license."""
    entries = orjson.loads(fhir.bundle(document_cases.content(judged), Sender()).data)["entry"]
    wrong: list[Any] = []
    by_readers = {
        name for name, eye in wanted.eyes.items() if eye.state == "read" and eye.on_list_as is None
    }
    for entry in entries:
        resource = entry["resource"]
        text = orjson.dumps(resource).decode()
        if resource["resourceType"] == "DiagnosticReport":
            is_final = resource["status"] == "final"
            if is_final is not wanted.is_final:
                wrong.append(resource)
            if resource["conclusion"].startswith("Not final: ") is is_final:
                wrong.append(resource)
        if NO_DR in text and not any(
            wanted.eyes[eye].final_grade == 0
            and wanted.eyes[eye].final_referable != "indeterminate"
            for eye in by_readers
        ):
            wrong.append(resource)
        if LOINC in text and all(eye.state == "unread" for eye in wanted.eyes.values()):
            wrong.append(resource)
    return wrong


def wrong_documents(exam: events.Exam) -> list[Any]:
    """Return what CSV and FHIR say of an exam in another way than the oracle."""
    judged, wanted = program.judged(exam), expected(exam)
    if not judged.eyes:
        return []
    return [
        *wrong_rows(judged, wanted),
        *wrong_resources(judged, wanted),
        *wrong_observations(judged, wanted),
    ]


def test_documents_say_what_the_oracle_says() -> None:
    wrong = []
    for exam in cases.sampled(SAMPLE, SEED):
        differing = wrong_documents(exam)
        if differing:
            wrong.append((exam, differing))
    assert wrong[:3] == []
