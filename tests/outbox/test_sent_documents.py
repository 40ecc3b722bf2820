"""What is remembered about sent documents, and what follows from it for later ones."""

from __future__ import annotations

import contextlib
import csv
import json
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pydicom
import pytest
from tests import ledger_cases
from tests.outbox import document_cases as cases
from tests.outbox.outbox_cases import (
    DICOM,
    deliver_all,
    graded,
    outbox,
    subscriptions,
    the_delivery,
)
from tests.reading_cases import BY, PDR, photograph
from tests.reading_cases import read as read_eye

from fundusd.domain.clinical_terms import Eye, EyeSource, Grade, ReviewReason, ReviewVerdict
from fundusd.domain.delivery import DeliveryState, DocumentStatus
from fundusd.domain.files import OfflineReason
from fundusd.domain.readings import AbsenceReason
from fundusd.ledger import Ledger, exams
from fundusd.ledger.reviews import Review
from fundusd.ledger.tables import result, sent_document
from fundusd.outbox.receivers import Folder, ReceiverError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fundusd.outbox.document_ids import Document

    Open = Callable[..., Ledger]

RIGHT = replace(DICOM, eye=Eye.RIGHT, sop_uid="1.2.3.5")
UNKNOWN = replace(DICOM, eye=Eye.UNKNOWN, eye_source=EyeSource.NONE)


@dataclass
class Kept:
    """A receiver that keeps what it is sent; it refuses from the `fails_from`th document on."""

    documents: list[Document] = field(default_factory=list)
    fails_from: int = 1 << 20
    loses_answers: bool = False

    def send(self, document: Document) -> str:
        if len(self.documents) >= self.fails_from:
            raise ReceiverError("unreachable")
        self.documents.append(document)
        if self.loses_answers:
            raise ReceiverError("the answer was lost")
        return "kept"

    @property
    def last(self) -> dict[str, Any]:
        """Return the resources of the last transaction, by type and id."""
        entries = json.loads(self.documents[-1].data)["entry"]
        return {entry["request"]["url"]: entry["resource"] for entry in entries}

    def statuses(self, kind: str) -> list[str]:
        return sorted(
            resource["status"] for url, resource in self.last.items() if url.startswith(f"{kind}/")
        )

    def reports(self) -> list[pydicom.Dataset]:
        return [pydicom.dcmread(BytesIO(document.data)) for document in self.documents]


def read(ledger: Ledger, eye: Eye, verdict: ReviewVerdict = ReviewVerdict.AGREE) -> None:
    with ledger.database.reading() as connection:
        exam_id = connection.exec_driver_sql("SELECT max(id) FROM exam").scalar_one()
    ledger.review(Review(exam_id, eye, verdict, "reader.one", "ophthalmologist"))


def override(ledger: Ledger, eye: Eye, grade: int) -> None:
    with ledger.database.reading() as connection:
        exam_id = connection.exec_driver_sql("SELECT max(id) FROM exam").scalar_one()
    verdict = Review(exam_id, eye, ReviewVerdict.OVERRIDE, "reader.one", "ophthalmologist")
    verdict = replace(verdict, grade=Grade(grade))
    ledger.review(replace(verdict, reason=ReviewReason.FALSE_LESION))


def rejudge(ledger: Ledger) -> None:
    """Judge every exam again, as a correction does."""
    with ledger.recording() as recording:
        ids = recording.connection.exec_driver_sql("SELECT id FROM exam").scalars().all()
        exams.rejudge(recording, ids)


def remembered(ledger: Ledger) -> list[tuple[str, bool]]:
    return [
        (row["status"], row["sent_at"] is not None)
        for row in ledger_cases.rows(ledger, sent_document)
    ]


def two_eyes(ledger: Ledger, inbox: Path) -> None:
    graded(ledger, inbox, "left.dcm")
    graded(ledger, inbox, "right.dcm", RIGHT, SOPInstanceUID="1.2.3.5")


# -- statuses


def test_what_was_sent_is_remembered_with_the_delivery(open_ledger: Open, inbox: Path) -> None:
    ledger, archive = open_ledger(*subscriptions(archive="sr")), Kept()
    two_eyes(ledger, inbox)
    deliver_all(outbox(ledger, inbox, archive=archive), ledger, "archive")

    rows = ledger_cases.rows(ledger, sent_document)
    assert [row["identifier"] for row in rows] == [
        report.SOPInstanceUID for report in archive.reports()
    ]
    for row, report in zip(rows, archive.reports(), strict=True):
        assert (row["receiver"], row["document"], row["status"]) == (
            "archive",
            "sr",
            DocumentStatus.PRELIMINARY,
        )
        assert row["study_uid"] == report.StudyInstanceUID
        assert row["series_uid"] == report.SeriesInstanceUID
        assert row["sent_at"] is not None
    assert [row["eye"] for row in rows] == ["R", "L"]


@pytest.mark.parametrize("loses_answers", [False, True])
def test_a_new_photograph_after_the_final_report_is_amended_although_the_answer_was_lost(
    open_ledger: Open, inbox: Path, loses_answers: bool
) -> None:
    ledger, record = open_ledger(*subscriptions(record="fhir")), Kept()
    service = outbox(ledger, inbox, record=record)
    two_eyes(ledger, inbox)
    read(ledger, Eye.LEFT)
    read(ledger, Eye.RIGHT)
    record.loses_answers = loses_answers
    deliver_all(service, ledger, "record")
    assert record.statuses("DiagnosticReport") == ["final"]
    record.loses_answers = False

    override(ledger, Eye.LEFT, 0)
    deliver_all(service, ledger, "record")

    assert record.statuses("DiagnosticReport") == ["amended"]
    assert record.statuses("Observation").count("amended") == 1
    assert record.statuses("Observation").count("final") == 1


def test_a_lost_answer_repeats_the_same_bytes(open_ledger: Open, inbox: Path) -> None:
    for kind in ("fhir", "csv", "sr"):
        receiver = Kept(loses_answers=True)
        ledger = open_ledger(*subscriptions(**{kind: kind}))
        service = outbox(ledger, inbox, **{kind: receiver})  # type: ignore[arg-type]  # by name
        graded(ledger, inbox, f"{kind}.dcm", StudyID=kind)
        read(ledger, Eye.LEFT)
        deliver_all(service, ledger, kind)
        assert {is_accepted for _, is_accepted in remembered(ledger)} <= {False, True}

        receiver.loses_answers = False
        ledger_cases.execute(ledger, "UPDATE delivery SET available_at = 0")
        deliver_all(service, ledger, kind)
        ledger.retry_deliveries(ledger.deliveries(DeliveryState.DELIVERED, 1)[0]["id"], again=True)
        deliver_all(service, ledger, kind)

        assert len(receiver.documents) == 3
        assert len({document.data for document in receiver.documents}) == 1
        assert all(is_accepted for _, is_accepted in remembered(ledger))


def test_what_was_accepted_of_a_delivery_that_failed_is_remembered_as_such(
    open_ledger: Open, inbox: Path
) -> None:
    ledger, archive = open_ledger(*subscriptions(archive="sr")), Kept(fails_from=1)
    two_eyes(ledger, inbox)
    deliver_all(outbox(ledger, inbox, archive=archive), ledger, "archive")

    assert [is_accepted for _, is_accepted in remembered(ledger)] == [True, False]


def test_an_eye_that_is_no_more_is_withdrawn_and_its_report_replaced(
    open_ledger: Open, inbox: Path
) -> None:
    ledger = open_ledger(*subscriptions(record="fhir", archive="sr"))
    record, archive = Kept(), Kept()
    service = outbox(ledger, inbox, record=record, archive=archive)
    graded(ledger, inbox, content=UNKNOWN)
    deliver_all(service, ledger, "record", "archive")
    ledger_cases.execute(ledger, "UPDATE capture SET eye = 'L', eye_source = 'name'")
    rejudge(ledger)
    deliver_all(service, ledger, "record", "archive")

    assert record.statuses("Observation") == ["entered-in-error", "preliminary"]
    unknown, left = archive.reports()
    [study] = left.PredecessorDocumentsSequence
    instance = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert instance.ReferencedSOPInstanceUID == unknown.SOPInstanceUID


def test_an_eye_whose_photographs_are_gone_leaves_advice(open_ledger: Open, inbox: Path) -> None:
    ledger, archive = open_ledger(*subscriptions(archive="sr")), Kept()
    service = outbox(ledger, inbox, archive=archive)
    two_eyes(ledger, inbox)
    deliver_all(service, ledger, "archive")
    ledger_cases.execute(ledger, "UPDATE capture SET excluded = 'other' WHERE eye = 'R'")
    rejudge(ledger)
    deliver_all(service, ledger, "archive")

    assert the_delivery(ledger)["answer"] == (
        "kept; eye R: no longer part of the exam: remove its earlier reports from the archive"
    )


def test_an_exam_without_eyes_is_withdrawn_from_who_was_told_of_it(
    open_ledger: Open, inbox: Path
) -> None:
    ledger = open_ledger(*subscriptions(record="fhir", archive="sr", sheets="csv"))
    record, archive, sheets = Kept(), Kept(), Kept()
    service = outbox(ledger, inbox, record=record, archive=archive, sheets=sheets)
    graded(ledger, inbox)
    deliver_all(service, ledger, "record", "archive", "sheets")
    ledger_cases.execute(ledger, "UPDATE capture SET excluded = 'other'")
    rejudge(ledger)
    deliver_all(service, ledger, "record", "archive", "sheets")

    assert record.statuses("Observation") == ["entered-in-error"]
    assert record.statuses("DiagnosticReport") == ["entered-in-error"]
    assert len({document.name for document in sheets.documents}) == 1
    rows = list(csv.DictReader(sheets.documents[-1].data.decode().splitlines()))
    assert [row["outcome"] for row in rows] == ["missing", "missing"]
    [failed] = ledger.deliveries(DeliveryState.FAILED, 9)
    assert failed["answer"].startswith("the exam no longer has any photographs")


# -- when = "reviewed"


def reviewed(**kinds: str) -> list[Any]:
    return [replace(each, when_reviewed=True) for each in subscriptions(**kinds)]


def test_a9_a_confirmed_referral_does_not_wait_for_the_other_eye(
    open_ledger: Open, inbox: Path
) -> None:
    ledger = open_ledger(*reviewed(record="fhir", archive="sr"))
    record, archive = Kept(), Kept()
    service = outbox(ledger, inbox, ["record", "archive"], record=record, archive=archive)
    two_eyes(ledger, inbox)
    assert ledger.due("record") is None
    override(ledger, Eye.RIGHT, 4)
    deliver_all(service, ledger, "record", "archive")

    [report] = archive.reports()
    assert (report.PreliminaryFlag, report.InstanceNumber) == ("FINAL", 1)
    assert record.statuses("Observation") == ["final", "preliminary", "preliminary"]
    assert record.statuses("DiagnosticReport") == ["preliminary"]
    assert "left eye (OS) not read" in json.dumps(record.last)


def test_a9_a_confirmed_negative_waits_for_the_other_eye(open_ledger: Open, inbox: Path) -> None:
    ledger = open_ledger(*reviewed(record="fhir"))
    two_eyes(ledger, inbox)
    override(ledger, Eye.RIGHT, 0)

    [held] = ledger.held_exams(9)
    assert (held["receiver"], held["waits_for"]) == ("record", ["left eye not read"])
    assert ledger.due("record") is None
    override(ledger, Eye.LEFT, 0)
    assert ledger.due("record") is not None
    assert ledger.held_exams(9) == []


@pytest.fixture
def held_back(store_url: str) -> Iterator[Ledger]:
    """Open a ledger whose only receiver waits for readers."""
    ledger = Ledger(store_url, site_key=ledger_cases.SITE_KEY, subscriptions=reviewed(record="csv"))
    ledger.start(ledger_cases.release())
    ledger.register_camera(ledger_cases.CAMERA)
    yield ledger
    ledger.close()


def test_b36_an_exam_of_eyes_that_are_said_to_be_absent_is_listed_with_what_it_waits_for(
    held_back: Ledger,
) -> None:
    for eye in (Eye.RIGHT, Eye.LEFT):
        photograph(held_back, f"{eye}.jpg", eye)
        held_back.eye_absent(1, eye, AbsenceReason.NO_VIEW, BY)
    [held] = held_back.held_exams(9)
    assert held["waits_for"] == ["every photographed eye is said to be absent"]


def test_b36_the_limit_counts_only_exams_that_are_held_back(held_back: Ledger) -> None:
    photograph(held_back, "1.jpg", patient="P1")
    for patient in ("P2", "P3"):
        photograph(held_back, f"{patient}_L.jpg", Eye.LEFT, patient=patient)
        exam = photograph(held_back, f"{patient}_R.jpg", logits=PDR, patient=patient)
        read_eye(held_back, exam)
    # as if the receiver had been added to the settings after these referrals were confirmed
    ledger_cases.execute(held_back, "DELETE FROM delivery")
    assert [held["exam_id"] for held in held_back.held_exams(1)] == [1]


def test_a9_who_was_told_a_final_result_hears_that_it_is_outdated(
    open_ledger: Open, inbox: Path
) -> None:
    ledger = open_ledger(*reviewed(record="fhir", archive="sr"))
    record, archive = Kept(), Kept()
    service = outbox(ledger, inbox, ["record", "archive"], record=record, archive=archive)
    graded(ledger, inbox)
    override(ledger, Eye.LEFT, 0)
    deliver_all(service, ledger, "record", "archive")
    # as if a photograph had come: the model now says something else than was read
    ledger_cases.execute(ledger, "UPDATE result SET grade = 4")
    rejudge(ledger)
    deliver_all(service, ledger, "record", "archive")

    assert "amended" in record.statuses("Observation")
    assert [report.CompletionFlag for report in archive.reports()] == ["COMPLETE", "PARTIAL"]
    assert {report.PreliminaryFlag for report in archive.reports()} == {"FINAL"}


# -- identifiers


def test_the_issuer_and_the_order_come_from_the_header(open_ledger: Open, inbox: Path) -> None:
    ledger, record = open_ledger(*subscriptions(record="fhir")), Kept()
    graded(ledger, inbox, content=replace(DICOM, issuer="NORTH", accession="A-17"))
    deliver_all(outbox(ledger, inbox, record=record), ledger, "record")

    [report] = [made for url, made in record.last.items() if url.startswith("DiagnosticReport")]
    assert report["subject"]["identifier"]["system"] == "urn:x-fundusd:patient-id:NORTH"
    assert report["basedOn"][0]["identifier"]["value"] == "A-17"


def test_a_pseudonymous_site_sends_pseudonymous_uids_and_no_order(
    open_ledger: Open, inbox: Path
) -> None:
    kinds = {"archive": "sr", "record": "fhir", "sheets": "csv"}
    ledger = open_ledger(*subscriptions(**kinds), pseudonymous=True)
    receivers = {name: Kept() for name in kinds}
    content = replace(DICOM, issuer="NORTH", accession=cases.ACCESSION)
    graded(ledger, inbox, content=content, AccessionNumber=cases.ACCESSION)
    service = outbox(ledger, inbox, **receivers)  # type: ignore[arg-type]  # by name
    deliver_all(service, ledger, *kinds)

    assert cases.ACCESSION not in ledger_cases.rows(ledger, result)[0]["content"]
    [report] = receivers["archive"].reports()
    study_uid = ledger.identifiers.uid(cases.STUDY)
    assert report.StudyInstanceUID == study_uid
    assert f"urn:oid:{study_uid}" in receivers["record"].documents[0].data.decode()
    for kept in receivers.values():
        for planted in (cases.STUDY, cases.PATIENT, cases.ACCESSION, "NORTH"):
            assert planted.encode() not in kept.documents[0].data


def test_the_evidence_lists_every_photograph_that_was_judged(
    open_ledger: Open, inbox: Path
) -> None:
    ledger, archive = open_ledger(*subscriptions(archive="sr")), Kept()
    for number in range(3):
        uid = f"1.2.3.{number}"
        graded(ledger, inbox, f"{number}.dcm", replace(DICOM, sop_uid=uid), SOPInstanceUID=uid)
    graded(ledger, inbox, "3.jpg", replace(ledger_cases.CONTENT_OF_JPEG, eye=Eye.LEFT))
    deliver_all(outbox(ledger, inbox, archive=archive), ledger, "archive")

    [study] = archive.reports()[-1].CurrentRequestedProcedureEvidenceSequence
    [series] = study.ReferencedSeriesSequence
    uids = {instance.ReferencedSOPInstanceUID for instance in series.ReferencedSOPSequence}
    assert uids == {"1.2.3.0", "1.2.3.1", "1.2.3.2"}


def test_a_further_photograph_that_is_gone_does_not_keep_the_report_back(
    open_ledger: Open, inbox: Path
) -> None:
    ledger, archive = open_ledger(*subscriptions(archive="sr")), Kept()
    for number in range(2):
        uid = f"1.2.3.{number}"
        graded(ledger, inbox, f"{number}.dcm", replace(DICOM, sop_uid=uid), SOPInstanceUID=uid)
    (inbox / "0.dcm").unlink()
    service = outbox(ledger, inbox, archive=archive)
    ledger.offline(ledger_cases.CAMERA, OfflineReason.MISSING)
    deliver_all(service, ledger, "archive")
    assert archive.documents == []

    ledger.offline(ledger_cases.CAMERA, None)
    ledger.retry_deliveries(the_delivery(ledger)["id"])
    deliver_all(service, ledger, "archive")
    row = the_delivery(ledger)
    assert row["state"] == DeliveryState.DELIVERED
    assert row["answer"] == "kept; eye L: a photograph is not listed, file_missing"


# -- retry


def test_retry_does_not_repeat_a_delivered_document_unless_asked(
    open_ledger: Open, inbox: Path, tmp_path: Path
) -> None:
    ledger = open_ledger(*subscriptions(sheets="csv"))
    graded(ledger, inbox)
    queued = the_delivery(ledger)["id"]
    assert ledger.retry_deliveries(queued) == 1
    deliver_all(outbox(ledger, inbox, sheets=Folder(tmp_path)), ledger, "sheets")

    assert ledger.retry_deliveries(queued) == 0
    assert the_delivery(ledger)["state"] == DeliveryState.DELIVERED
    assert ledger.retry_deliveries(queued, again=True) == 1
    assert the_delivery(ledger)["state"] == DeliveryState.QUEUED
    with contextlib.suppress(ReceiverError):
        deliver_all(outbox(ledger, inbox, sheets=Kept(fails_from=0)), ledger, "sheets")
    assert ledger.retry_deliveries(queued) == 1
