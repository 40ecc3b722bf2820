"""The outbox: each receiver gets each exam once, also through outages and kills."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydicom import dcmread
from tests import daemon_cases, ledger_cases
from tests.ledger_cases import CAMERA
from tests.outbox import document_cases as cases
from tests.outbox import receiver_cases
from tests.outbox.outbox_cases import (
    SHORT,
    deliver_all,
    graded,
    of_kind,
    outbox,
    subscriptions,
    the_delivery,
)
from tests.outbox.receiver_cases import Received

from fundusd.cli.commands import command_line
from fundusd.domain.clinical_terms import Eye, Grade, ReviewReason, ReviewVerdict
from fundusd.domain.delivery import DeliveryState
from fundusd.domain.errors import LedgerError
from fundusd.domain.files import OfflineReason
from fundusd.ledger import Ledger
from fundusd.ledger.reviews import Review
from fundusd.outbox.dicom_receivers import DicomNode
from fundusd.outbox.fhir_receiver import FhirServer
from fundusd.outbox.receivers import Folder
from fundusd.outbox.service import Outbox
from fundusd.outbox.stow_receiver import StowServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KINDS = {"archive": "sr", "web": "sr", "record": "fhir", "sheets": "csv"}


@contextlib.contextmanager
def running(service: Outbox) -> Iterator[None]:
    stop, broken = threading.Event(), []

    def run() -> None:
        try:
            service.run(stop)
        except BaseException as error:  # noqa: BLE001  asserted below
            broken.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not broken


def wait_for(is_so: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    pause = threading.Event()
    while not is_so():
        assert time.monotonic() < until
        pause.wait(0.02)


def states(ledger: Ledger) -> dict[str, DeliveryState]:
    return {
        row["receiver"]: row["state"]
        for state in DeliveryState
        for row in ledger.deliveries(state, 100)
    }


def test_every_kind_of_receiver_gets_its_document_once_though_one_is_down_in_the_middle(
    open_ledger: Callable[..., Ledger], inbox: Path, tmp_path: Path
) -> None:
    ledger = open_ledger(*subscriptions(**KINDS))
    folder = tmp_path / "sheets"
    folder.mkdir()
    archive, web, record = Received(), Received(), Received(port=receiver_cases.free_port())
    with receiver_cases.dicom_node(archive) as port, receiver_cases.stow_server(web) as stow:
        service = outbox(
            ledger,
            inbox,
            archive=DicomNode("ARCHIVE", "127.0.0.1", port, **SHORT),
            web=StowServer(stow, **SHORT),
            record=FhirServer(f"http://127.0.0.1:{record.port}", **SHORT),
            sheets=Folder(folder),
        )
        with running(service):
            graded(ledger, inbox)
            wait_for(lambda: list(states(ledger).values()).count(DeliveryState.DELIVERED) == 3)
            wait_for(lambda: ledger.deliveries(DeliveryState.QUEUED, 9)[0]["attempts"] == 1)
            assert (
                ledger.deliveries(DeliveryState.QUEUED, 9)[0]["answer"]
                == "unreachable (ConnectionError)"
            )
            with receiver_cases.fhir_server(record):
                ledger.retry_deliveries(ledger.deliveries(DeliveryState.QUEUED, 9)[0]["id"])
                wait_for(lambda: set(states(ledger).values()) == {DeliveryState.DELIVERED})

    assert (archive.times, web.times) == (1, 1)
    assert archive.kept.keys() == web.kept.keys()
    assert sorted(url.partition("/")[0] for url in record.kept) == [
        "Device", "DiagnosticReport", "Observation", "Provenance",
    ]  # fmt: skip
    assert len(list(folder.iterdir())) == 1
    sent = ledger_cases.details(ledger, "document.sent")
    assert sorted(event["receiver"] for event in sent) == sorted(KINDS)
    assert ledger.verify().broken_seq is None


def test_an_exam_that_changes_again_before_it_is_sent_is_sent_once(
    open_ledger: Callable[..., Ledger], inbox: Path
) -> None:
    [subscription] = subscriptions(record="fhir")
    ledger = open_ledger(replace(subscription, quiet_seconds=3600))
    for number in range(3):
        graded(ledger, inbox, f"{number}.dcm", SOPInstanceUID=f"1.2.3.{number}")

    row = the_delivery(ledger)
    assert 3500 < row["next_in_seconds"] <= 3600
    assert ledger.due("record") is None
    received = Received()
    with receiver_cases.fhir_server(received) as url:
        ledger.retry_deliveries(row["id"])
        deliver_all(outbox(ledger, inbox, record=FhirServer(url, **SHORT)), ledger, "record")
    assert received.times == 4


def test_what_changes_while_it_is_sent_is_sent_again(
    open_ledger: Callable[..., Ledger], inbox: Path, tmp_path: Path
) -> None:
    ledger = open_ledger(*subscriptions(sheets="csv"))
    graded(ledger, inbox)
    due = ledger.due("sheets")
    assert due is not None
    graded(ledger, inbox, "b.dcm", SOPInstanceUID="1.2.3.9")

    assert not ledger.delivered(due, "written", 1)
    assert the_delivery(ledger)["state"] == DeliveryState.QUEUED
    deliver_all(outbox(ledger, inbox, sheets=Folder(tmp_path)), ledger, "sheets")
    assert the_delivery(ledger)["state"] == DeliveryState.DELIVERED


def test_a_review_makes_the_document_final_and_who_wants_only_reviewed_ones_waits_for_it(
    open_ledger: Callable[..., Ledger], inbox: Path
) -> None:
    early, late = subscriptions(early="fhir", late="fhir")
    ledger = open_ledger(early, replace(late, when_reviewed=True))
    received, late_received = Received(), Received()
    with (
        receiver_cases.fhir_server(received) as url,
        receiver_cases.fhir_server(late_received) as late_url,
    ):
        service = outbox(
            ledger, inbox, early=FhirServer(url, **SHORT), late=FhirServer(late_url, **SHORT)
        )
        graded(ledger, inbox)
        deliver_all(service, ledger, "early", "late")
        [model] = of_kind(received, "Observation")
        assert (model["status"], late_received.times) == ("preliminary", 0)

        exam_id = the_delivery(ledger)["exam_id"]
        review = Review(
            exam_id, Eye.LEFT, ReviewVerdict.OVERRIDE, "reader.one", "ophthalmologist", Grade.SEVERE
        )
        ledger.review(replace(review, reason=ReviewReason.MISSED_LESION))
        deliver_all(service, ledger, "early", "late")

    [reader] = [eye for eye in of_kind(received, "Observation") if eye["id"] != model["id"]]
    assert reader["status"] == "final"
    assert reader["valueCodeableConcept"]["coding"][0]["code"] == "LA18646-2"
    assert received.kept.keys() == late_received.kept.keys()


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from tests import ledger_cases
from fundusd.outbox.dicom_receivers import DicomNode
from fundusd.ledger import Ledger
from fundusd.outbox.making import DocumentMaker
from fundusd.outbox.sender import Sender
from fundusd.outbox.service import Outbox

class Killed:
    def send(self, document):
        DicomNode("ARCHIVE", "127.0.0.1", {port}, 5.0, 5.0).send(document)
        os.kill(os.getpid(), signal.SIGKILL)

ledger = Ledger({url!r}, site_key=ledger_cases.SITE_KEY)
ledger.start(ledger_cases.release())
maker = DocumentMaker(Sender(), {{"cam": Path({inbox!r})}}, 1 << 20, ledger.is_away)
service = Outbox(ledger, {{"archive": Killed()}}, maker)
service.deliver(ledger.due("archive"))
"""


def test_a_kill_between_sending_and_noting_sends_the_same_instance_again(
    open_ledger: Callable[..., Ledger], store_url: str, inbox: Path
) -> None:
    ledger = open_ledger(*subscriptions(archive="sr"))
    graded(ledger, inbox)
    received = Received()
    with receiver_cases.dicom_node(received) as port:
        tests = str(Path(__file__).parents[2])
        program = KILLED.format(tests=tests, port=port, url=store_url, inbox=str(inbox))
        done = subprocess.run([sys.executable, "-c", program], check=False)
        assert done.returncode == -signal.SIGKILL
        assert (received.times, the_delivery(ledger)["state"]) == (1, DeliveryState.QUEUED)

        ledger.start(ledger_cases.release())
        row = the_delivery(ledger)
        assert (row["attempts"], row["next_in_seconds"] > 20) == (1, True)
        ledger.retry_deliveries(row["id"])
        deliver_all(
            outbox(ledger, inbox, archive=DicomNode("ARCHIVE", "127.0.0.1", port, **SHORT)),
            ledger,
            "archive",
        )

    assert (received.times, len(received.kept)) == (2, 1)
    assert the_delivery(ledger)["state"] == DeliveryState.DELIVERED


def test_a_refusal_of_the_document_fails_and_can_be_queued_again(
    open_ledger: Callable[..., Ledger], inbox: Path
) -> None:
    ledger = open_ledger(*subscriptions(record="fhir"))
    graded(ledger, inbox)
    received = Received(status=422)
    with receiver_cases.fhir_server(received) as url:
        service = outbox(ledger, inbox, record=FhirServer(url, **SHORT))
        deliver_all(service, ledger, "record")
        row = the_delivery(ledger)
        assert (row["state"], row["answer"][:3]) == (DeliveryState.FAILED, "422")
        assert ledger.status()["outbox"] == [
            {"receiver": "record", "state": "failed", "count": 1, "attempts": 1}
        ]

        received.status = 0
        assert ledger.retry_deliveries(None) == 1
        deliver_all(service, ledger, "record")
    assert the_delivery(ledger)["state"] == DeliveryState.DELIVERED
    assert ledger.status()["outbox"] == []


def test_a_receiver_that_is_away_is_tried_later_and_later_and_never_given_up(
    open_ledger: Callable[..., Ledger], inbox: Path, tmp_path: Path
) -> None:
    ledger = open_ledger(*subscriptions(sheets="csv"))
    graded(ledger, inbox)
    service = outbox(ledger, inbox, sheets=Folder(tmp_path / "gone"))
    waits = []
    for _ in range(3):
        deliver_all(service, ledger, "sheets")
        waits.append(round(the_delivery(ledger)["next_in_seconds"], -1))
        ledger_cases.execute(ledger, "UPDATE delivery SET available_at = 0")

    assert waits == [30, 60, 120]
    assert the_delivery(ledger)["state"] == DeliveryState.QUEUED


def test_a_photograph_that_is_gone_fails_with_the_reason_unless_its_inbox_is_away(
    open_ledger: Callable[..., Ledger], inbox: Path, tmp_path: Path
) -> None:
    ledger = open_ledger(*subscriptions(archive="sr"))
    graded(ledger, inbox)
    (inbox / "a.dcm").unlink()
    service = outbox(ledger, inbox, archive=Folder(tmp_path))
    ledger.offline(CAMERA, OfflineReason.MISSING)
    deliver_all(service, ledger, "archive")
    assert the_delivery(ledger)["state"] == DeliveryState.QUEUED

    ledger.offline(CAMERA, None)
    ledger.retry_deliveries(the_delivery(ledger)["id"])
    deliver_all(service, ledger, "archive")
    row = the_delivery(ledger)
    assert (row["state"], row["answer"]) == (DeliveryState.FAILED, "eye L: no report, file_missing")


def test_other_bytes_under_the_same_name_are_never_taken_for_the_graded_ones(
    open_ledger: Callable[..., Ledger], inbox: Path, tmp_path: Path
) -> None:
    ledger = open_ledger(*subscriptions(archive="sr"))
    graded(ledger, inbox)
    (inbox / "a.dcm").write_bytes(cases.source(PatientID="SOMEBODY-ELSE"))
    folder = tmp_path / "out"
    folder.mkdir()
    deliver_all(outbox(ledger, inbox, archive=Folder(folder)), ledger, "archive")

    assert the_delivery(ledger)["answer"] == "eye L: no report, file_changed"
    assert list(folder.iterdir()) == []


def test_a_file_without_an_image_gets_no_report_and_is_in_none(
    open_ledger: Callable[..., Ledger], inbox: Path, tmp_path: Path
) -> None:
    ledger = open_ledger(*subscriptions(archive="sr"))
    service = outbox(ledger, inbox, archive=Folder(tmp_path))
    graded(ledger, inbox, "report.dcm", data=cases.encapsulated_pdf())
    deliver_all(service, ledger, "archive")
    row = the_delivery(ledger)
    assert (row["state"], row["answer"]) == (
        DeliveryState.FAILED,
        "eye L: no report, no_pixel_data",
    )

    graded(ledger, inbox, "photograph.dcm")
    deliver_all(service, ledger, "archive")
    row = the_delivery(ledger)
    assert row["state"] == DeliveryState.DELIVERED
    assert "a photograph is not listed, no_pixel_data" in row["answer"]
    [path] = tmp_path.glob("*.dcm")
    study, *others = dcmread(path).CurrentRequestedProcedureEvidenceSequence
    assert others == []
    assert [len(series.ReferencedSOPSequence) for series in study.ReferencedSeriesSequence] == [1]


def test_a_jpeg_has_no_study_and_so_no_report_but_the_other_documents(
    open_ledger: Callable[..., Ledger], inbox: Path, tmp_path: Path
) -> None:
    ledger = open_ledger(*subscriptions(archive="sr", sheets="csv"))
    graded(ledger, inbox, "a.jpg", ledger_cases.CONTENT_OF_JPEG)

    assert list(states(ledger)) == ["sheets"]


def test_a_pseudonymous_exam_names_nobody_in_any_document(
    open_ledger: Callable[..., Ledger], inbox: Path, tmp_path: Path
) -> None:
    ledger = open_ledger(*subscriptions(**KINDS))
    graded(ledger, inbox)
    ledger_cases.execute(ledger, "UPDATE capture SET patient_id = NULL")
    folder = tmp_path / "out"
    folder.mkdir()
    folders = {name: Folder(folder) for name in KINDS}
    service = outbox(ledger, inbox, **folders)  # type: ignore[arg-type]  # by name
    deliver_all(service, ledger, *KINDS)

    written = [path.read_bytes() for path in folder.iterdir()]
    assert len(written) == 3
    key = ledger_cases.captures(ledger)[0]["patient_key"].encode()
    for data in written:
        assert key in data
        for planted in (
            cases.NAME,
            "Plantee",
            cases.PATIENT,
            cases.ACCESSION,
            "19610203",
            "Referrer",
        ):
            assert planted.encode() not in data


def test_nothing_is_queued_where_nobody_is_to_be_told(
    open_ledger: Callable[..., Ledger], inbox: Path
) -> None:
    ledger = open_ledger()
    graded(ledger, inbox)

    assert not states(ledger)


def test_a_thread_that_breaks_ends_the_service_and_with_it_the_daemon(
    open_ledger: Callable[..., Ledger],
    inbox: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger = open_ledger(*subscriptions(one="csv", two="csv"))

    def broken(receiver: str, *, only_requested: bool) -> None:
        if receiver == "one":
            raise LedgerError("The database is damaged.")

    monkeypatch.setattr(ledger, "due", broken)

    with pytest.raises(LedgerError):
        outbox(ledger, inbox, one=Folder(tmp_path), two=Folder(tmp_path)).run(threading.Event())


def test_the_daemon_sends_what_it_grades_and_the_commands_tell_of_it(
    sqlite_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = daemon_cases.site(tmp_path, sqlite_url)
    (tmp_path / "sheets").mkdir()
    received = Received()
    with receiver_cases.dicom_node(received) as port:
        with place.path.open("a") as file:
            file.write(
                f"""
[outbox]
quiet_seconds = 0
[[receiver]]
id = "archive"
document = "sr"
dicom = "ARCHIVE@127.0.0.1:{port}"
[[receiver]]
id = "sheets"
document = "csv"
folder = "{tmp_path}/sheets"
[[receiver]]
id = "record"
document = "fhir"
fhir = "http://127.0.0.1:{receiver_cases.free_port()}"
"""
            )
        daemon_cases.drop(
            place, "P1_OS.dcm", daemon_cases.dicom(Grade.MODERATE, patient=cases.PATIENT)
        )
        with daemon_cases.running(place) as daemon:
            daemon.await_event("document.sent", 2)
            daemon.await_event("document.postponed")
            daemon.await_event("receiver.away")
            assert daemon.stop() == 0

    [report] = received.kept.values()
    assert report.Modality == "SR"
    assert len(list((tmp_path / "sheets").iterdir())) == 1
    assert cases.PATIENT.encode() not in b"".join(daemon.raw)

    def output_of(*arguments: str) -> str:
        with contextlib.suppress(SystemExit):
            command_line()([*arguments, "--config", str(place.path)], standalone_mode=False)
        return capsys.readouterr().out

    assert "1 queued, tried 1 times; AWAY since " in output_of("status")
    assert "unreachable" in output_of("outbox", "--json")
    assert (
        json.loads(output_of("outbox", "--state", "delivered", "--json"))[0]["state"] == "delivered"
    )
    assert "record" in output_of("outbox")
    assert output_of("outbox", "--state", "failed").startswith("No document is in the state failed")
    assert output_of("outbox", "retry", "--failed") == "0 queued again.\n"
    assert output_of("outbox", "retry", "1").startswith("0 queued again.\nNo such document")
    assert output_of("outbox", "retry", "1", "--again") == "1 queued again.\n"
