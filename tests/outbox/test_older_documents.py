"""After an upgrade, receivers are told what no longer holds of documents of older versions.

These did not store what they sent, stated the model's result in the codes of a reader's, and
derived other ids from exams of which no patient is known.
"""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from tests import ledger_cases
from tests.outbox.outbox_cases import DICOM, deliver_all, graded, outbox
from tests.outbox.test_sent_documents import Kept
from tests.upgrade_cases import copy, upgrade_to

from fundusd.domain.clinical_terms import Eye, Grade, Reason, ReviewVerdict
from fundusd.domain.delivery import DeliveryState
from fundusd.ledger import Ledger, audit, rejudging
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.path_metadata import PathMetadata
from fundusd.ledger.reviews import Review
from fundusd.ledger.tables import delivery, exam, sent_document
from fundusd.outbox import codes
from fundusd.outbox.document_ids import uuid_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEALTHY = (5.0, 0.0, 0.0, 0.0, 0.0)


@pytest.fixture
def older(sqlite_url: str) -> Iterator[Ledger]:
    """Open a ledger to write what the older version would have written."""
    opened = Ledger(sqlite_url, site_key=ledger_cases.SITE_KEY)
    opened.start(ledger_cases.release())
    opened.register_camera(ledger_cases.CAMERA)
    yield opened
    opened.close()


@pytest.fixture
def ledger(empty_store_url: str) -> Iterator[Ledger]:
    """Open an empty database, to which the older version's rows are copied."""
    opened = Ledger(empty_store_url, site_key=ledger_cases.SITE_KEY)
    yield opened
    opened.close()


def photograph(
    ledger: Ledger, name: str, eye: Eye, patient: str | None = "P1", study: str | None = "1.2"
) -> int:
    """Have a healthy eye graded, and return the number of its exam."""
    claim = ledger_cases.take(ledger, name, name)
    content = replace(DICOM, eye=eye, patient_id=patient, study_uid=study, sop_uid=None)
    ledger.record([ledger_cases.finding(claim, content, HEALTHY)])
    return int(ledger_cases.captures(ledger)[-1]["exam_id"])


def blur(ledger: Ledger, name: str, eye: Eye, patient: str = "P1") -> int:
    claim = ledger_cases.take(ledger, name, name)
    content = replace(DICOM, eye=eye, patient_id=patient, study_uid="1.2", sop_uid=None)
    ledger.record([ledger_cases.refusal(claim, Reason.BLUR, content)])
    return int(ledger_cases.captures(ledger)[-1]["exam_id"])


def read(ledger: Ledger, exam_id: int, *eyes: Eye) -> None:
    for eye in eyes:
        verdict = Review(exam_id, eye, ReviewVerdict.AGREE, "reader.one", "ophthalmologist")
        ledger.review(verdict)


def delivered(ledger: Ledger, exam_id: int, receiver: str = "record", kind: str = "fhir") -> None:
    """Write that the older version has delivered a document."""
    now = datetime.now(UTC)
    row = {"receiver": receiver, "document": kind, "exam_id": exam_id}
    row |= {"camera_id": ledger_cases.CAMERA, "state": DeliveryState.DELIVERED, "changes": 1}
    row |= {"attempts": 1, "available_at": 0.0, "created_at": now, "delivered_at": now}
    with ledger.database.writing() as connection:
        connection.execute(sa.insert(delivery).values(row))


def upgraded(older: Ledger, ledger: Ledger, revision: str = "0001") -> Any:
    upgrade_to(ledger, revision)
    copy(older, ledger)
    if revision == "0001":  # its keys of studies had no day
        ledger_cases.execute(
            ledger, "UPDATE exam SET key = 'study:' || study_uid WHERE key LIKE 'study:%'"
        )
    return ledger.upgrade()


def sent(ledger: Ledger, inbox: Path, receiver: str = "record") -> list[Kept]:
    """Deliver what is due, and return one receiver's documents, each as one that keeps only it."""
    kept = Kept()
    receivers: dict[str, Any] = {receiver: kept}
    deliver_all(outbox(ledger, inbox, **receivers), ledger, receiver)
    return [Kept([document]) for document in kept.documents]


def of_patient(ledger: Ledger, exam_id: int) -> str:
    [row] = [row for row in ledger_cases.rows(ledger, exam) if row["id"] == exam_id]
    return str(uuid_for("exam", row["patient_key"], row["day"]))


def observation(exam_uuid: str, eye: Eye) -> str:
    return f"Observation/{uuid_for('observation', exam_uuid, eye)}"


def report(exam_uuid: str) -> str:
    return f"DiagnosticReport/{uuid_for('report', exam_uuid)}"


def states_no_dr(resource: dict[str, Any]) -> bool:
    values = resource.get("valueCodeableConcept", {}).get("coding", [])
    return codes.SEVERITY[Grade.NO_DR].value in {value["code"] for value in values}


def test_b43_after_a_final_report_of_an_older_version_comes_an_amended_one(
    older: Ledger, ledger: Ledger, inbox: Path
) -> None:
    number = photograph(older, "r.dcm", Eye.RIGHT)
    photograph(older, "l.dcm", Eye.LEFT)
    read(older, number, Eye.RIGHT, Eye.LEFT)
    delivered(older, number)
    blur(older, "r2.dcm", Eye.RIGHT)

    done = upgraded(older, ledger)

    assert done.queued_documents == 1
    [received] = sent(ledger, inbox)
    exam_uuid = of_patient(ledger, number)
    assert received.last[report(exam_uuid)]["status"] == "amended"
    right = received.last[observation(exam_uuid, Eye.RIGHT)]
    assert right["status"] == "amended"
    assert not states_no_dr(right)
    assert ledger.verify().broken_seq is None


@pytest.mark.parametrize("revision", ["0001", "0004"])
def test_b43_the_models_result_does_not_stay_under_a_readers_code(
    older: Ledger, ledger: Ledger, inbox: Path, revision: str
) -> None:
    """The exam is as before, so that nothing else would have it sent again."""
    number = photograph(older, "r.dcm", Eye.RIGHT)
    photograph(older, "l.dcm", Eye.LEFT)
    delivered(older, number)

    done = upgraded(older, ledger, revision)

    assert (done.changed_exams, done.queued_documents) == (0, 1)
    [received] = sent(ledger, inbox)
    exam_uuid = of_patient(ledger, number)
    for eye in (Eye.RIGHT, Eye.LEFT):
        withdrawn = received.last[observation(exam_uuid, eye)]
        assert withdrawn["status"] == "preliminary"
        assert withdrawn["dataAbsentReason"]["text"].endswith("no person has read the eye since.")
        assert not states_no_dr(withdrawn)
    assert received.last[report(exam_uuid)]["status"] == "preliminary"
    ledger.upgrade()
    assert sent(ledger, inbox) == []


@pytest.mark.parametrize("kind", ["fhir", "csv", "sr"])
def test_b43_a_later_upgrade_does_not_send_them_again(
    older: Ledger, ledger: Ledger, inbox: Path, kind: str
) -> None:
    graded(older, inbox, "r.dcm", replace(DICOM, eye=Eye.RIGHT))
    delivered(older, 1, "there", kind)
    assert upgraded(older, ledger).queued_documents == 1
    assert len(sent(ledger, inbox, "there")) == 1
    paths = PathMetadata({}, {}, ledger.identifiers)
    with ledger.database.writing() as connection:
        assert rejudging.rejudge_all(connection, paths, "0005").queued == 0


def test_b43_an_eye_that_is_no_more_is_entered_in_error(
    older: Ledger, ledger: Ledger, inbox: Path
) -> None:
    number = photograph(older, "r.dcm", Eye.RIGHT)
    photograph(older, "l.dcm", Eye.LEFT)
    delivered(older, number)
    assert upgraded(older, ledger).queued_documents == 1
    ledger_cases.execute(ledger, "UPDATE capture SET corrected_eye = 'R' WHERE id = 2")
    with ledger.database.writing() as connection:
        connection.execute(sa.text("DELETE FROM eye_result WHERE eye = 'L'"))

    [received] = sent(ledger, inbox)

    exam_uuid = of_patient(ledger, number)
    assert received.last[observation(exam_uuid, Eye.LEFT)]["status"] == "entered-in-error"


def test_b43_documents_under_ids_that_are_not_used_any_more_are_withdrawn(
    older: Ledger, ledger: Ledger, inbox: Path
) -> None:
    of_study = photograph(older, "r.dcm", Eye.RIGHT, patient=None)
    of_shot = photograph(older, "x.jpg", Eye.LEFT, patient=None, study=None)
    for number in (of_study, of_shot):
        delivered(older, number)
    day = ledger_cases.rows(older, exam)[0]["day"]
    ids = {
        of_study: (str(uuid_for("exam", "1.2")), Eye.RIGHT),
        of_shot: (str(uuid_for("exam", ledger_cases.digest_of("x.jpg"), day)), Eye.LEFT),
    }

    assert upgraded(older, ledger).queued_documents == 2

    for received, (exam_uuid, eye) in zip(sent(ledger, inbox), ids.values(), strict=True):
        for url in (observation(exam_uuid, eye), report(exam_uuid)):
            assert received.last[url]["status"] == "entered-in-error"
        assert sorted(received.statuses("DiagnosticReport")) == ["entered-in-error", "preliminary"]
    ledger_cases.execute(ledger, "UPDATE delivery SET state = 'queued', available_at = 0")
    for received in sent(ledger, inbox):  # a withdrawal that was confirmed is not repeated
        assert received.statuses("DiagnosticReport") == ["preliminary"]


def test_b43_csv_files_under_names_that_are_not_used_any_more_are_emptied(
    older: Ledger, ledger: Ledger, inbox: Path
) -> None:
    number = photograph(older, "x.jpg", Eye.LEFT, patient=None, study=None)
    delivered(older, number, "sheets", "csv")
    day = ledger_cases.rows(older, exam)[0]["day"]
    former = f"{day}_{uuid_for('exam', ledger_cases.digest_of('x.jpg'), day)}.csv"

    upgraded(older, ledger)

    received = sent(ledger, inbox, "sheets")
    lines = {each.documents[0].name: list(rows_of(each)) for each in received}
    assert len(lines) == 2
    assert lines.pop(former) == []
    [rows] = lines.values()
    assert [row["eye"] for row in rows] == ["L", "R"]
    ledger_cases.execute(ledger, "UPDATE delivery SET state = 'queued', available_at = 0")
    assert len(sent(ledger, inbox, "sheets")) == 1


def rows_of(received: Kept) -> Iterator[dict[str, str]]:
    yield from csv.DictReader(io.StringIO(received.documents[0].data.decode()))


def test_b43_csv_rows_of_a_patient_are_amended(older: Ledger, ledger: Ledger, inbox: Path) -> None:
    number = photograph(older, "r.dcm", Eye.RIGHT)
    read(older, number, Eye.RIGHT)
    delivered(older, number, "sheets", "csv")
    blur(older, "r2.dcm", Eye.RIGHT)

    upgraded(older, ledger)

    [received] = sent(ledger, inbox, "sheets")
    assert [row["status"] for row in rows_of(received)] == ["amended", "preliminary"]


def test_b43_what_a_reader_has_settled_and_is_as_before_is_not_sent_again(
    older: Ledger, ledger: Ledger, inbox: Path
) -> None:
    number = photograph(older, "r.dcm", Eye.RIGHT)
    photograph(older, "l.dcm", Eye.LEFT)
    read(older, number, Eye.RIGHT, Eye.LEFT)
    delivered(older, number)
    assert upgraded(older, ledger).queued_documents == 0
    statuses = [row["status"] for row in ledger_cases.rows(ledger, sent_document)]
    assert statuses == ["final"] * 3


def test_b43_an_attempt_of_an_older_version_without_an_answer_counts_as_sent(
    older: Ledger, ledger: Ledger, inbox: Path
) -> None:
    number = photograph(older, "r.dcm", Eye.RIGHT)
    delivered(older, number)
    ledger_cases.execute(
        older, "UPDATE delivery SET state = 'queued', delivered_at = NULL, answer = 'no answer'"
    )
    upgraded(older, ledger)
    assert {row["sent_at"] for row in ledger_cases.rows(ledger, sent_document)} == {None}
    [received] = sent(ledger, inbox)
    withdrawn = received.last[observation(of_patient(ledger, number), Eye.RIGHT)]
    assert not states_no_dr(withdrawn)


def test_b43_a_database_whose_documents_were_sent_again_at_revision_0004_is_put_right(
    older: Ledger, ledger: Ledger, inbox: Path
) -> None:
    """Its first upgrade changed the exam, and the new documents left out the old Observations."""
    number = photograph(older, "r.dcm", Eye.RIGHT)
    photograph(older, "l.dcm", Eye.LEFT)
    delivered(older, number)
    detail = {"receiver": "record", "document": "fhir", "count": 1, "attempts": 1}
    with older.recording() as recording:
        connection = recording.connection
        entry = audit.Entry(AuditEvent.DOCUMENT_SENT, "exam", number, detail=detail)
        audit.append(connection, entry)
        detail = {"count": 1, "changes": 1}
        audit.append(connection, audit.Entry(AuditEvent.EXAMS_REJUDGED, detail=detail))
    ledger_cases.execute(older, "UPDATE delivery SET state = 'queued'")
    sent(older, inbox)

    assert upgraded(older, ledger, "0004").queued_documents == 1

    [received] = sent(ledger, inbox)
    exam_uuid = of_patient(ledger, number)
    assert not states_no_dr(received.last[observation(exam_uuid, Eye.RIGHT)])
    assert "valueCodeableConcept" not in received.last[observation(exam_uuid, Eye.RIGHT)]


# -- structured reports


def test_b43_reports_have_the_uids_under_which_the_older_version_sent_them(
    older: Ledger, ledger: Ledger
) -> None:
    """The UIDs were computed by that version (commit add962d) for the same photographs."""
    number = photograph(older, "r.dcm", Eye.RIGHT)
    photograph(older, "l.dcm", Eye.LEFT)
    read(older, number, Eye.LEFT)
    of_study = photograph(older, "s.dcm", Eye.RIGHT, patient=None, study="1.3")
    for exam_id in (number, of_study):
        delivered(older, exam_id, "archive", "sr")

    assert upgraded(older, ledger).queued_documents == 2

    rows = ledger_cases.rows(ledger, sent_document)
    assert {(row["exam_id"], row["eye"], row["status"], row["identifier"]) for row in rows} == {
        (1, "R", "preliminary", "2.25.240284153588462710629069350143108242556"),
        (1, "L", "final", "2.25.120966466678844894469899585163519751983"),
        (2, "R", "preliminary", "2.25.101341685333350860742591142419928127084"),
    }
    assert {(row["study_uid"], row["series_uid"]) for row in rows} == {
        ("1.2", "2.25.55605823250077354878259893942313323803"),
        ("1.3", "2.25.140467363795039030668765360059625158380"),
    }


def test_b43_the_next_report_names_the_one_of_the_older_version_and_is_not_preliminary(
    older: Ledger, ledger: Ledger, inbox: Path
) -> None:
    graded(older, inbox, "r.dcm", replace(DICOM, eye=Eye.RIGHT, sop_uid="1.2.3.5"))
    read(older, 1, Eye.RIGHT)
    delivered(older, 1, "archive", "sr")
    blurred = replace(DICOM, eye=Eye.RIGHT, sop_uid="1.2.3.6")
    graded(older, inbox, "r2.dcm", blurred, SOPInstanceUID="1.2.3.6")
    upgraded(older, ledger)
    [former] = ledger_cases.rows(ledger, sent_document)

    [received] = sent(ledger, inbox, "archive")

    [report_now] = received.reports()
    [predecessor] = report_now.PredecessorDocumentsSequence
    [series] = predecessor.ReferencedSeriesSequence
    [instance] = series.ReferencedSOPSequence
    assert instance.ReferencedSOPInstanceUID == former["identifier"]
    assert report_now.PreliminaryFlag == "FINAL"
    assert report_now.CompletionFlagDescription.startswith("Amended")


def test_b43_reports_of_a_pseudonymous_site_are_not_named_again(
    sqlite_url: str, older: Ledger
) -> None:
    photograph(older, "r.dcm", Eye.RIGHT)
    delivered(older, 1, "archive", "sr")
    pseudonymous = Ledger(sqlite_url, pseudonymous=True)
    with pseudonymous.database.writing() as connection:
        paths = PathMetadata({}, {}, pseudonymous.identifiers)
        rejudging.rejudge_all(connection, paths, "0001")
    assert ledger_cases.rows(pseudonymous, sent_document) == []
    pseudonymous.close()


def test_b43_an_eye_whose_photographs_changed_before_it_was_read_again_names_no_report(
    older: Ledger, ledger: Ledger
) -> None:
    """Nobody can know any more what the report said."""
    photograph(older, "r.dcm", Eye.RIGHT)
    delivered(older, 1, "archive", "sr")
    photograph(older, "r2.dcm", Eye.RIGHT)
    upgraded(older, ledger)
    assert ledger_cases.rows(ledger, sent_document) == []


def test_b43_the_other_file_of_a_photograph_is_no_eye_of_its_own(
    older: Ledger, ledger: Ledger
) -> None:
    photograph(older, "r.dcm", Eye.RIGHT)
    photograph(older, "r.jpg", Eye.UNKNOWN, study=None)
    delivered(older, 1)
    upgraded(older, ledger)
    assert {row["eye"] for row in ledger_cases.rows(ledger, sent_document)} == {"R", None}
