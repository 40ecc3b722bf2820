"""Exams of older versions that hold photographs of several days or DICOM studies are parted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from tests import ledger_cases as cases
from tests.upgrade_cases import copy, upgrade_to

from fundusd.clinical.path_rules import Naming
from fundusd.domain.clinical_terms import Eye, Reason, ReviewVerdict
from fundusd.domain.delivery import DeliveryState
from fundusd.ledger import Ledger
from fundusd.ledger.corrections import Corrector
from fundusd.ledger.reviews import Review
from fundusd.ledger.tables import delivery, exam, eye_result, sent_document

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_DR = (5.0, 0.0, 0.0, 0.0, 0.0)
NAMING = {
    cases.CAMERA: Naming.of("generic", r"(?P<patient>P\d+)_(?P<date>\d{8})_(?P<eye>OD|OS)|[rl]\d?")
}


@pytest.fixture
def older(sqlite_url: str) -> Iterator[Ledger]:
    """Open a ledger to write what the older version would have written."""
    opened = Ledger(sqlite_url, site_key=cases.SITE_KEY, naming=NAMING)
    opened.start(cases.release())
    opened.register_camera(cases.CAMERA)
    yield opened
    opened.close()


@pytest.fixture
def ledger(empty_store_url: str) -> Iterator[Ledger]:
    """Open an empty database, to which the older version's rows are copied."""
    opened = Ledger(empty_store_url, naming=NAMING)  # `fundusd db upgrade` does not need the key
    yield opened
    opened.close()


def photograph(ledger: Ledger, name: str, eye: Eye, study: str | None) -> None:
    content = replace(cases.CONTENT, eye=eye, study_uid=study, sop_uid=None)
    if study is None:
        content = replace(cases.CONTENT_OF_JPEG, patient_id=content.patient_id, issuer="clinic")
        content = replace(content, eye=eye, eye_source=cases.CONTENT.eye_source)
    ledger.record([cases.finding(cases.take(ledger, name, name), content, NO_DR)])


def joined_by_the_older_version(older: Ledger, ledger: Ledger, revision: str = "0001") -> None:
    """Copy the rows, with all photographs in the first exam, which was negative."""
    upgrade_to(ledger, revision)
    copy(older, ledger)
    is_twice = "exam_id <> 1 AND eye IN (SELECT eye FROM eye_result WHERE exam_id = 1)"
    of_table = "" if ledger.database.is_sqlite else " ON review"
    for statement in (
        f"DROP TRIGGER review_no_update{of_table}",
        "UPDATE review SET exam_id = 1",
        "UPDATE capture SET exam_id = 1",
        f"DELETE FROM eye_result WHERE {is_twice}",  # noqa: S608  ours
        "UPDATE eye_result SET exam_id = 1",
        "DELETE FROM exam WHERE id <> 1",
        "UPDATE exam SET referable = 'no', final_referable = 'no', missing_fields = ''",
    ):
        cases.execute(ledger, statement)


def exams_of(ledger: Ledger) -> dict[str, int]:
    """Return the exam of each file."""
    return {row["path_text"]: row["exam_id"] for row in cases.captures(ledger)}


def results(ledger: Ledger) -> list[tuple[str, str]]:
    return [(row["referable"], row["final_referable"]) for row in cases.rows(ledger, exam)]


UNDECIDED = ("indeterminate", "indeterminate")


@pytest.mark.parametrize("revision", ["0001", "0004"])
def test_b42_an_old_exam_of_two_studies_is_parted(
    older: Ledger, ledger: Ledger, revision: str
) -> None:
    photograph(older, "r.dcm", Eye.RIGHT, "1.2.3")
    photograph(older, "l.dcm", Eye.LEFT, "1.2.4")
    joined_by_the_older_version(older, ledger, revision)

    done = ledger.upgrade()

    assert (done.regrouped_exams, done.judged_exams, done.changed_exams) == (1, 2, 2)
    places = exams_of(ledger)
    assert places["r.dcm"] == 1 != places["l.dcm"]
    assert results(ledger) == [UNDECIDED] * 2
    assert [row["study_uid"] for row in cases.rows(ledger, exam)] == ["1.2.3", "1.2.4"]
    details = cases.details(ledger, "exams.rejudged")
    assert details == [{"count": 2, "changes": 2, "regrouped": 1}]
    assert ledger.verify().broken_seq is None
    assert ledger.upgrade().regrouped_exams == 0


def test_b42_a_file_without_a_study_follows_the_other_file_of_its_photograph(
    older: Ledger, ledger: Ledger
) -> None:
    photograph(older, "r.dcm", Eye.RIGHT, "1.2.3")
    photograph(older, "l.dcm", Eye.LEFT, "1.2.4")
    photograph(older, "l.jpg", Eye.LEFT, None)
    joined_by_the_older_version(older, ledger)

    assert ledger.upgrade().regrouped_exams == 1

    places = exams_of(ledger)
    assert places["l.jpg"] == places["l.dcm"] != places["r.dcm"]
    assert results(ledger) == [UNDECIDED] * 2


def test_b42_photographs_whose_names_give_two_dates_are_parted(
    older: Ledger, ledger: Ledger
) -> None:
    """The older version ignored a date without a time."""
    for name in ("P1_20190304_OD.jpg", "P1_20260105_OS.jpg"):
        content = replace(cases.CONTENT_OF_JPEG, eye=Eye.UNKNOWN)
        older.record([cases.finding(cases.take(older, name, name), content, NO_DR)])
    joined_by_the_older_version(older, ledger)

    assert ledger.upgrade().regrouped_exams == 1

    days = {row["id"]: row["day"] for row in cases.rows(ledger, exam)}
    places = exams_of(ledger)
    assert days[places["P1_20190304_OD.jpg"]] == "2019-03-04"
    assert days[places["P1_20260105_OS.jpg"]] == "2026-01-05"
    assert "no" not in {final for _, final in results(ledger)}


def test_b42_an_exam_of_one_study_and_files_without_a_study_is_left_alone(
    older: Ledger, ledger: Ledger
) -> None:
    photograph(older, "r.dcm", Eye.RIGHT, "1.2.3")
    photograph(older, "l.jpg", Eye.LEFT, None)
    joined_by_the_older_version(older, ledger)
    assert ledger.upgrade().regrouped_exams == 0
    assert set(exams_of(ledger).values()) == {1}
    assert results(ledger) == [("no", "no")]


def test_b42_what_a_person_has_joined_is_left_alone(older: Ledger, ledger: Ledger) -> None:
    photograph(older, "r.dcm", Eye.RIGHT, "1.2.3")
    photograph(older, "l.dcm", Eye.LEFT, "1.2.4")
    older.join_exams(2, 1, Corrector("reader.one", "nurse"))
    upgrade_to(ledger, "0004")
    copy(older, ledger)
    assert ledger.upgrade().regrouped_exams == 0
    assert set(exams_of(ledger).values()) == {1}


def test_b42_a_reading_follows_its_photograph_and_is_read_again(
    older: Ledger, ledger: Ledger
) -> None:
    photograph(older, "r.dcm", Eye.RIGHT, "1.2.3")
    photograph(older, "l.dcm", Eye.LEFT, "1.2.4")
    for number, eye in ((1, Eye.RIGHT), (2, Eye.LEFT)):
        older.review(Review(number, eye, ReviewVerdict.AGREE, "reader.one", "ophthalmologist"))
    joined_by_the_older_version(older, ledger)

    ledger.upgrade()

    states = {row["eye"]: row["reading_state"] for row in cases.rows(ledger, eye_result)}
    assert states == {"R": "read", "L": "outdated"}


def test_b42_who_was_sent_the_old_exam_is_sent_both(older: Ledger, ledger: Ledger) -> None:
    photograph(older, "r.dcm", Eye.RIGHT, "1.2.3")
    photograph(older, "l.dcm", Eye.LEFT, "1.2.4")
    now = datetime.now(UTC)
    row = {"receiver": "record", "document": "fhir", "exam_id": 1, "camera_id": cases.CAMERA}
    row |= {"state": DeliveryState.DELIVERED, "changes": 1, "attempts": 1, "available_at": 0.0}
    with older.database.writing() as connection:
        insert = sa.insert(delivery).values(row | {"created_at": now, "delivered_at": now})
        connection.execute(insert)
    joined_by_the_older_version(older, ledger)

    assert ledger.upgrade().queued_documents == 1  # again, and another one for the first time

    numbers = {row["exam_id"] for row in cases.rows(ledger, delivery) if row["state"] == "queued"}
    assert numbers == {row["id"] for row in cases.rows(ledger, exam)}


def test_b46_photographs_under_a_number_without_its_issuer_are_put_to_their_person(
    older: Ledger, ledger: Ledger
) -> None:
    content = replace(cases.CONTENT, eye=Eye.RIGHT, patient_id="P1", sop_uid=None)
    older.record([cases.finding(cases.take(older, "r.dcm", "r"), content, NO_DR)])
    content = replace(content, eye=Eye.LEFT)
    older.record([cases.finding(cases.take(older, "l.dcm", "l"), content, NO_DR)])
    day = cases.rows(older, exam)[0]["day"].replace("-", "")
    older.fail(cases.take(older, f"P2_{day}_OD.jpg", "cut"), Reason.DECODE_ERROR, "damaged")
    # in the older version, it was an exam of another person
    bare = older.identifiers.key(None, "P1")
    upgrade_to(ledger, "0004")
    copy(older, ledger)
    cases.execute(ledger, "UPDATE capture SET patient_key = :key WHERE id = 3", key=bare)
    cases.execute(
        ledger,
        "UPDATE exam SET patient_key = :key, key = 'patient:' || :key || ':' || day WHERE id = 2",
        key=bare,
    )

    assert ledger.upgrade().regrouped_exams == 1

    assert set(exams_of(ledger).values()) == {1}
    assert results(ledger)[0] == UNDECIDED


def test_b42_a_report_on_a_photograph_goes_with_it(older: Ledger, ledger: Ledger) -> None:
    photograph(older, "r.dcm", Eye.RIGHT, "1.2.3")
    photograph(older, "l.dcm", Eye.LEFT, "1.2.4")
    now = datetime.now(UTC)
    row = {"receiver": "archive", "document": "sr", "exam_id": 1, "camera_id": cases.CAMERA}
    row |= {"state": DeliveryState.DELIVERED, "changes": 1, "attempts": 1, "available_at": 0.0}
    with older.database.writing() as connection:
        insert = sa.insert(delivery).values(row | {"created_at": now, "delivered_at": now})
        connection.execute(insert)
    joined_by_the_older_version(older, ledger)

    ledger.upgrade()

    places = exams_of(ledger)
    sent = {row["eye"]: row["exam_id"] for row in cases.rows(ledger, sent_document)}
    assert sent == {"R": places["r.dcm"], "L": places["l.dcm"]}


def test_b42_a_report_on_unknown_photographs_stays(older: Ledger, ledger: Ledger) -> None:
    photograph(older, "r.dcm", Eye.RIGHT, "1.2.3")
    photograph(older, "l.dcm", Eye.LEFT, "1.2.4")
    row = {
        "receiver": "archive",
        "exam_id": 1,
        "document": "sr",
        "eye": "R",
        "identifier": "2.25.1",
    }
    row |= {"status": "preliminary", "content": "", "photographs": "", "has_been_final": False}
    with older.database.writing() as connection:
        connection.execute(sa.insert(sent_document).values(row))
    joined_by_the_older_version(older, ledger, "0004")
    assert ledger.upgrade().regrouped_exams == 1
    assert [row["exam_id"] for row in cases.rows(ledger, sent_document)] == [1]
