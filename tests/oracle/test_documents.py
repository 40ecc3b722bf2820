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
LOINC = "http://loinc.org"


def wrong_rows(judged: Exam, wanted: Expected) -> list[Any]:
    """Return what the CSV says in another way than the oracle."""
    text = csv_export.table(document_cases.content(judged)).data.decode()
    wrong: list[Any] = []
    for row in csv.DictReader(io.StringIO(text)):
        if row["person_referable"] != wanted.referable:
            wrong.append(row)
        if row["eye"] not in wanted.eyes:
            continue
        eye = wanted.eyes[row["eye"]]
        grade = "" if eye.final_grade is None else str(eye.final_grade)
        stated = (row["referable"], row["grade"], row["reason"], row["action"])
        if stated != (eye.final_referable, grade, eye.final_reason or "", eye.final_action):
            wrong.append((row, eye))
        if row["status"] == "final" and (eye.state != "read" or eye.on_list_as is not None):
            wrong.append((row, eye))
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
    return [*wrong_rows(judged, wanted), *wrong_resources(judged, wanted)]


def test_documents_say_what_the_oracle_says() -> None:
    wrong = []
    for exam in cases.sampled(SAMPLE, SEED):
        differing = wrong_documents(exam)
        if differing:
            wrong.append((exam, differing))
    assert wrong[:3] == []
