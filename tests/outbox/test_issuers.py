"""A number is sent under the issuer that a header of its patient names, or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests import ledger_cases as cases
from tests.outbox import document_cases
from tests.outbox.outbox_cases import graded, on_disk, subscriptions
from tests.outbox.test_other_patients import (
    KINDS,
    NAMING,
    delivered,
    give,
    last_exam,
    of_header,
    take,
    take_jpeg,
)
from tests.reading_cases import BY

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.readings import ExclusionReason

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.outbox.test_sent_documents import Kept

    from fundusd.ledger import Ledger

BARE, HOSPITAL = "urn:x-fundusd:patient-id", "urn:x-fundusd:patient-id:HOSP"


@pytest.fixture
def ledger(open_ledger: Callable[..., Ledger]) -> Ledger:
    return open_ledger(*subscriptions(**KINDS), naming=NAMING)


def identifiers(record: Kept) -> list[tuple[str, str]]:
    """Return the system and value of the patient's identifier in each transaction, in order."""
    subjects: list[Any] = []
    for position in range(len(record.documents)):
        resources = replace(record, documents=record.documents[: position + 1]).last.values()
        of_document = [made["subject"]["identifier"] for made in resources if "subject" in made]
        assert all(each == of_document[0] for each in of_document)
        subjects.append(of_document[0])
    return [(subject["system"], subject["value"]) for subject in subjects]


def test_a_photograph_parted_from_the_patients_exam_keeps_the_issuer(
    ledger: Ledger, inbox: Path
) -> None:
    take_jpeg(ledger, inbox, "P1_OD.jpg")
    jpeg_id = cases.captures(ledger)[-1]["id"]
    take(ledger, inbox, "P1_OS.dcm", "P1", issuer="HOSP")
    ledger.part_exam(jpeg_id, BY)
    record = delivered(ledger, inbox)["record"]
    assert identifiers(record) == [(HOSPITAL, "P1")] * 2


def test_an_exam_whose_dicom_file_is_excluded_keeps_the_issuer(ledger: Ledger, inbox: Path) -> None:
    take(ledger, inbox, "P1_OS.dcm", "P1", issuer="HOSP")
    take_jpeg(ledger, inbox, "P1_OD.jpg")
    ledger.exclude(cases.captures(ledger)[0]["id"], ExclusionReason.OTHER, BY)
    record = delivered(ledger, inbox)["record"]
    assert identifiers(record) == [(HOSPITAL, "P1")]


def test_a_file_that_came_with_the_dicom_file_does_not_hide_the_issuer(
    ledger: Ledger, inbox: Path
) -> None:
    content, attributes = of_header("P1_OS.dcm", "P1", issuer="HOSP")
    ledger.admit(on_disk(inbox, "P1_OD.jpg", b"jpeg"))
    ledger.admit(on_disk(inbox, "P1_OS.dcm", document_cases.source(**attributes)))
    contents = [cases.CONTENT_OF_JPEG, content]
    findings = []
    for claim, of_file in zip(ledger.claim(2), contents, strict=True):
        findings.append(cases.finding(claim, of_file))
    ledger.record(findings)
    record = delivered(ledger, inbox)["record"]
    assert identifiers(record) == [(HOSPITAL, "P1")]


@pytest.mark.parametrize("issuer", [None, "HOSP", "CLINIC"])
def test_a_photograph_given_to_the_patient_has_the_patients_issuer_and_not_its_headers(
    ledger: Ledger, inbox: Path, issuer: str | None
) -> None:
    take(ledger, inbox, "P1_OS.dcm", "P1", issuer="HOSP")
    take(ledger, inbox, "P1_OD.dcm", "P9", issuer=issuer)
    assert give(ledger).exam_id == 3  # of its own study
    record = delivered(ledger, inbox)["record"]
    of_exams = [system for system, value in identifiers(record) if value == "P1"]
    assert of_exams == [HOSPITAL] * 2


def test_the_issuer_in_a_header_without_a_number_is_not_the_patients(
    ledger: Ledger, inbox: Path
) -> None:
    take(ledger, inbox, "P1_OD.dcm", None, issuer="ELSEWHERE")
    record = delivered(ledger, inbox)["record"]
    assert identifiers(record) == [(BARE, "P1")]


def take_unnamed(ledger: Ledger, inbox: Path) -> None:
    """Have a photograph of the patient's study graded whose header has no number."""
    content, attributes = of_header("P1_OS.dcm", "P1")
    attributes |= {"PatientID": "", "IssuerOfPatientID": "ELSEWHERE"}
    content = replace(content, patient_id=None, issuer="ELSEWHERE")
    graded(ledger, inbox, "P1_OS.dcm", content, **attributes)
    assert len(last_exam(ledger).eyes) == 2


def test_a_report_names_the_patients_issuer_if_the_header_of_its_photograph_names_nobody(
    ledger: Ledger, inbox: Path
) -> None:
    take(ledger, inbox, "P1_OD.dcm", "P1", issuer="HOSP")
    take_unnamed(ledger, inbox)
    reports = delivered(ledger, inbox)["archive"].reports()
    assert len(reports) == 2
    for report in reports:
        assert (report.PatientID, report.IssuerOfPatientID) == ("P1", "HOSP")


def test_a_report_names_no_number_if_its_issuer_cannot_be_said_in_one_attribute(
    ledger: Ledger, inbox: Path
) -> None:
    content, attributes = of_header("P1_OD.dcm", "P1", issuer="HOSP&1.2.3&ISO")
    graded(ledger, inbox, "P1_OD.dcm", content, **attributes | {"IssuerOfPatientID": "HOSP"})
    take_unnamed(ledger, inbox)
    _, report = delivered(ledger, inbox)["archive"].reports()
    assert report.PatientID == last_exam(ledger).patient_key
    assert "IssuerOfPatientID" not in report


def test_a_number_whose_issuer_is_not_known_is_not_sent(ledger: Ledger, inbox: Path) -> None:
    """A damaged file leaves only the number, and that its header names some issuer."""
    content, attributes = of_header("P1_OS.dcm", "P1", issuer="HOSP")
    ledger.admit(on_disk(inbox, "P1_OS.dcm", document_cases.source(**attributes)))
    [claim] = ledger.claim(1)
    ledger.fail(claim, Reason.TRUNCATED, "cut short", content)
    key = last_exam(ledger).patient_key
    take_jpeg(ledger, inbox, "P1_OD.jpg")
    receivers = delivered(ledger, inbox)
    assert identifiers(receivers["record"]) == [("urn:x-fundusd:patient-key", key)]
    [report] = receivers["archive"].reports()
    assert (report.PatientID, report.IssuerOfPatientID) == ("P1", "HOSP")  # as its header says


def test_a_number_in_names_alone_has_no_issuer(ledger: Ledger, inbox: Path) -> None:
    take_jpeg(ledger, inbox, "P1_OD.jpg")
    record = delivered(ledger, inbox)["record"]
    assert identifiers(record) == [(BARE, "P1")]


@pytest.mark.parametrize("patient", ["P1", "P9"])
def test_a_header_that_is_read_after_a_join_and_names_another_patient_makes_no_report(
    ledger: Ledger, inbox: Path, patient: str
) -> None:
    """The same number of another issuer is another patient, too."""
    take(ledger, inbox, "P1_OS.dcm", "P1", issuer="HOSP")
    content, attributes = of_header("x.dcm", patient, issuer="CLINIC")
    ledger.admit(on_disk(inbox, "x.dcm", document_cases.source(**attributes)))
    [claim] = ledger.claim(1)
    ledger.fail(claim, Reason.DECODE_ERROR, "the decoder ended")
    exam = ledger.join_exams(last_exam(ledger).exam_id, 1, BY)
    ledger.retry(cases.captures(ledger)[-1]["id"])
    [claim] = ledger.claim(1)
    ledger.record([cases.finding(claim, content)])
    assert last_exam(ledger).exam_id == exam.exam_id
    receivers = delivered(ledger, inbox)

    assert identifiers(receivers["record"]) == [(HOSPITAL, "P1")]
    [report] = receivers["archive"].reports()
    assert (report.PatientID, report.IssuerOfPatientID) == ("P1", "HOSP")
    for kept in receivers.values():
        assert b"CLINIC" not in kept.documents[-1].data
