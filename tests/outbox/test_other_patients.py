"""No document about a patient holds what a header says of another one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests import ledger_cases
from tests.ledger_cases import CAMERA
from tests.outbox import document_cases as cases
from tests.outbox.outbox_cases import (
    DICOM,
    deliver_all,
    graded,
    on_disk,
    outbox,
    subscriptions,
)
from tests.outbox.test_sent_documents import Kept
from tests.reading_cases import BY, NO_DR, PDR

from fundusd.clinical.path_rules import Naming
from fundusd.domain.clinical_terms import Eye, EyeSource, Reason
from fundusd.domain.delivery import DeliveryState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from fundusd.clinical.exam import Exam
    from fundusd.domain.decoding import Content
    from fundusd.ledger import Ledger

    Open = Callable[..., Ledger]

NAMING = {CAMERA: Naming.of("generic", r"(?P<patient>P\d)_(?P<eye>OD|OS)(_\d)?")}
KINDS = {"archive": "sr", "record": "fhir", "sheets": "csv"}
NAMES = {"P1": "First^Fay", "P9": "Nine^Nora", None: "Nobody^Nell"}
BORN = {"P1": "19510101", "P9": "19590909", None: "19500505"}
ORDERS = {"P1": "ORDER-1", "P9": "ORDER-9", None: "ORDER-0"}
STUDIES = {"P1": "1.2.826.0.1.1001", "P9": "1.2.826.0.1.9009", None: "1.2.826.0.1.5005"}


def planted(patient: str | None) -> tuple[str, ...]:
    """Return what only a header of this patient says."""
    family, given = NAMES[patient].split("^")
    return family, given, BORN[patient], ORDERS[patient], STUDIES[patient]


def of_header(name: str, patient: str | None, **more: Any) -> tuple[Content, dict[str, Any]]:
    """Return what is read from a header, and its attributes."""
    uid = f"1.2.3.{sum(name.encode())}"
    content = replace(
        DICOM,
        eye=Eye.UNKNOWN,
        eye_source=EyeSource.NONE,
        patient_id=patient,
        study_uid=STUDIES[patient],
        accession=ORDERS[patient],
        sop_uid=uid,
        **more,
    )
    attributes: dict[str, Any] = {
        "PatientID": patient or "",
        "IssuerOfPatientID": content.issuer,
        "PatientName": NAMES[patient],
        "PatientBirthDate": BORN[patient],
        "AccessionNumber": ORDERS[patient],
        "StudyInstanceUID": STUDIES[patient],
        "SeriesInstanceUID": f"{STUDIES[patient]}.1",
        "SOPInstanceUID": uid,
    }
    return content, attributes


def take(
    ledger: Ledger,
    inbox: Path,
    name: str,
    patient: str | None,
    logits: Sequence[float] = ledger_cases.LOGITS,
    **more: Any,
) -> None:
    """Have a DICOM photograph graded whose header names a patient."""
    content, attributes = of_header(name, patient, **more)
    graded(ledger, inbox, name, content, logits=logits, **attributes)


def take_jpeg(ledger: Ledger, inbox: Path, name: str) -> None:
    graded(ledger, inbox, name, ledger_cases.CONTENT_OF_JPEG, name.encode())


def give(ledger: Ledger, into: Exam | None = None) -> Exam:
    """Say that the last photograph is of the other patient whom its sources name.

    The study in its header makes an exam of its own, which may be joined into another one.
    """
    exam = ledger.belongs_to_other(ledger_cases.captures(ledger)[-1]["id"], BY)
    return ledger.join_exams(exam.exam_id, into.exam_id, BY) if into else exam


def last_exam(ledger: Ledger) -> Exam:
    exam = ledger.exam_of(ledger_cases.captures(ledger)[-1]["id"])
    assert exam is not None
    return exam


def delivered(ledger: Ledger, inbox: Path) -> dict[str, Kept]:
    """Deliver all documents, and return what each receiver has been sent."""
    receivers = {name: Kept() for name in KINDS}
    deliver_all(outbox(ledger, inbox, **receivers), ledger, *KINDS)  # type: ignore[arg-type]
    return receivers


def answer(ledger: Ledger, exam_id: int) -> tuple[str, str]:
    """Return the state and the answer of the delivery of an exam to the archive."""
    every = [row for state in DeliveryState for row in ledger.deliveries(state, 100)]
    [row] = [r for r in every if (r["receiver"], r["exam_id"]) == ("archive", exam_id)]
    return row["state"], row["answer"]


@pytest.mark.parametrize("pseudonymous", [False, True], ids=["clear", "pseudonymous"])
def test_a_photograph_given_to_a_patient_brings_nothing_of_another_ones_header(
    open_ledger: Open, inbox: Path, *, pseudonymous: bool
) -> None:
    options = {"naming": NAMING, "pseudonymous": pseudonymous}
    ledger = open_ledger(*subscriptions(**KINDS), **options)
    take(ledger, inbox, "P1_OS.dcm", "P1")
    of_first = last_exam(ledger)
    take(ledger, inbox, "P1_OD.dcm", "P9")
    exam = give(ledger, of_first)
    assert exam.patient_key == of_first.patient_key
    receivers = delivered(ledger, inbox)

    for kept in receivers.values():
        for document in kept.documents:
            for value in ("P9", *planted("P9"), ledger.identifiers.uid(STUDIES["P9"])):
                assert value.encode() not in document.data
    [report] = receivers["archive"].reports()
    assert report.StudyInstanceUID == ledger.identifiers.uid(STUDIES["P1"])
    state, text = answer(ledger, exam.exam_id)
    assert state == DeliveryState.FAILED
    assert "eye R: no report, because the header of its photograph names another patient" in text
    if not pseudonymous:
        assert (report.PatientID, str(report.PatientName)) == ("P1", NAMES["P1"])
        [made] = [
            made for url, made in receivers["record"].last.items() if url.startswith("Diagnostic")
        ]
        assert [order["identifier"]["value"] for order in made["basedOn"]] == [ORDERS["P1"]]


def test_a_further_photograph_with_another_ones_header_is_not_listed(
    open_ledger: Open, inbox: Path
) -> None:
    ledger = open_ledger(*subscriptions(**KINDS), naming=NAMING)
    take(ledger, inbox, "P1_OD.dcm", "P9", NO_DR)
    given = give(ledger)
    take(ledger, inbox, "P1_OD_2.dcm", "P1", PDR)
    exam = ledger.join_exams(given.exam_id, last_exam(ledger).exam_id, BY)
    receivers = delivered(ledger, inbox)

    [report] = receivers["archive"].reports()
    assert report.StudyInstanceUID == STUDIES["P1"]
    for value in ("P9", *planted("P9")):
        assert value.encode() not in receivers["archive"].documents[0].data
    state, text = answer(ledger, exam.exam_id)
    assert state == DeliveryState.DELIVERED
    assert "eye R: a photograph is not listed, because its header names another patient" in text


def test_another_file_of_the_photograph_whose_header_is_the_patients_makes_the_report(
    open_ledger: Open, inbox: Path
) -> None:
    ledger = open_ledger(*subscriptions(**KINDS), naming=NAMING)
    take(ledger, inbox, "P1_OD.dicom", "P1")
    of_first = last_exam(ledger)
    take(ledger, inbox, "P1_OD.dcm", "P9", PDR)
    exam = give(ledger, of_first)
    assert exam.eyes[0].decisive.capture_id == ledger_cases.captures(ledger)[-1]["id"]
    receivers = delivered(ledger, inbox)

    [report] = receivers["archive"].reports()
    assert (report.PatientID, report.StudyInstanceUID) == ("P1", STUDIES["P1"])


def test_a_study_that_only_another_ones_header_names_is_not_the_patients(
    open_ledger: Open, inbox: Path
) -> None:
    ledger = open_ledger(*subscriptions(**KINDS), naming=NAMING)
    take_jpeg(ledger, inbox, "P1_OS.jpg")
    take(ledger, inbox, "P1_OD.dcm", "P9")
    exam = give(ledger)
    receivers = delivered(ledger, inbox)

    assert b'"value": "P1"' in receivers["record"].documents[-1].data
    for value in ("P9", *planted("P9")):
        assert value.encode() not in receivers["record"].documents[-1].data
    assert receivers["archive"].documents == []
    assert answer(ledger, exam.exam_id)[0] == DeliveryState.FAILED


def test_a_damaged_photograph_with_another_ones_header_makes_no_report(
    open_ledger: Open, inbox: Path
) -> None:
    ledger = open_ledger(*subscriptions(**KINDS), naming=NAMING)
    take(ledger, inbox, "P1_OS.dcm", "P1")
    of_first = last_exam(ledger)
    content, attributes = of_header("P1_OD.dcm", "P9")
    ledger.admit(on_disk(inbox, "P1_OD.dcm", cases.source(**attributes)))
    [claim] = ledger.claim(1)
    ledger.fail(claim, Reason.TRUNCATED, "cut short", content)
    exam = give(ledger)
    assert exam.exam_id == of_first.exam_id
    receivers = delivered(ledger, inbox)

    assert [report.PatientID for report in receivers["archive"].reports()] == ["P1"]
    text = answer(ledger, exam.exam_id)[1]
    assert "eye R: no report, because the header of its photograph names another patient" in text


def test_of_a_header_that_names_no_patient_nothing_about_the_patient_is_sent(
    open_ledger: Open, inbox: Path
) -> None:
    ledger = open_ledger(*subscriptions(**KINDS), naming=NAMING)
    take(ledger, inbox, "P1_OD.dcm", None, issuer="ELSEWHERE")
    receivers = delivered(ledger, inbox)

    [report] = receivers["archive"].reports()
    assert report.StudyInstanceUID == STUDIES[None]  # that of the photograph
    assert (report.PatientID, str(report.PatientName)) == ("P1", "")
    assert "IssuerOfPatientID" not in report
    for kept in receivers.values():
        for value in planted(None)[:-1]:
            assert value.encode() not in kept.documents[-1].data
