"""A14: documents of results by an unsafe rule say so."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import orjson
from tests.outbox import document_cases
from tests.outbox.document_cases import RELEASES

from fundusd.domain.clinical_terms import SAFETY_WORDS
from fundusd.outbox import csv_export, fhir, structured_report
from fundusd.outbox.sender import Sender

UNSAFE = {1: replace(RELEASES[1], referable_rule="icdr>=2/sum>=0.9")}
SAFE = document_cases.content(document_cases.exam(document_cases.shot()))
CONTENT = replace(SAFE, releases=UNSAFE)
WARNING = "By the rule icdr>=2/sum>=0.9, a photograph"


def test_a14_fhir_says_that_the_rule_is_unsafe() -> None:
    safe = fhir.bundle(SAFE, Sender()).data.decode()
    assert "By the rule" not in safe

    entries = orjson.loads(fhir.bundle(CONTENT, Sender()).data)["entry"]
    resources = [entry["resource"] for entry in entries]
    [observation] = [found for found in resources if found["resourceType"] == "Observation"]
    [report] = [found for found in resources if found["resourceType"] == "DiagnosticReport"]
    notes = [note["text"] for note in observation["note"]]
    assert any(WARNING in note for note in notes)
    assert WARNING in report["conclusion"]
    assert SAFETY_WORDS in report["conclusion"]


def test_a14_the_csv_says_that_the_rule_is_unsafe() -> None:
    document = csv_export.table(CONTENT)
    right = next(csv.DictReader(io.StringIO(document.data.decode())))
    assert right["note"].startswith(SAFETY_WORDS)
    assert WARNING in right["note"]


def test_a14_the_structured_report_says_that_the_rule_is_unsafe() -> None:
    source = document_cases.header()
    eye = CONTENT.exam.eyes[0]
    document = structured_report.report(CONTENT, eye, [source], Sender())
    assert WARNING.encode() in document.data
