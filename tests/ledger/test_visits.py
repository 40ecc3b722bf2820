"""Which captures form a visit, and the day of a visit: by the day and the study of photographs."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import orjson
import pytest
import sqlalchemy as sa
from tests import ledger_cases as cases
from tests.visit_cases import JPEG, LONG_AGO, NOW, OTHER_STUDY, STUDY, TODAY, classify, exam_of

from fundusd.clinical.path_rules import Naming
from fundusd.domain.clinical_terms import Eye, Reason, Referable, ReviewVerdict
from fundusd.domain.decoding import MediaType
from fundusd.domain.delivery import DocumentKind, Subscription
from fundusd.domain.exams import DayDoubt
from fundusd.ledger import Ledger, ViewQuery
from fundusd.ledger.reviews import Review
from fundusd.ledger.tables import capture, delivery, exam
from fundusd.outbox import document_ids


def warnings(ledger: Ledger) -> list[str]:
    *_, last = cases.captures(ledger)
    codes: list[str] = orjson.loads(last["warnings"])
    return codes


# -- the day


def test_a7_a_header_with_a_date_and_no_time_gives_the_day(ledger: Ledger) -> None:
    old = classify(ledger, "a.dcm", backlog=True, acquired_day=LONG_AGO, study_uid=STUDY)
    new = classify(ledger, "b.dcm", backlog=True, acquired_day=TODAY, study_uid=OTHER_STUDY)
    assert old.exam_id != new.exam_id
    assert (old.day, old.day_doubt) == (LONG_AGO, DayDoubt.NONE)
    assert (new.day, new.day_doubt) == (TODAY, DayDoubt.NONE)
    [row, _] = cases.captures(ledger)
    assert (row["acquired_day"], row["acquired_at"]) == ("2019-03-04", None)
    assert {shown["acquired_day"] for shown in ledger.results()} == {
        "2019-03-04",
        TODAY.isoformat(),
    }


def test_a7_a_name_with_a_date_and_no_time_gives_the_day(store_url: str) -> None:
    naming = {cases.CAMERA: Naming.of("generic", r"(?P<patient>\w\d)_(?P<date>\d{8})_\d")}
    ledger = Ledger(store_url, site_key=cases.SITE_KEY, naming=naming)
    ledger.start(cases.release())
    ledger.register_camera(cases.CAMERA)
    for name in ("P1_20190304_1.jpg", "P1_20260105_1.jpg", "P1_20190304_2.jpg"):
        claim = cases.take(ledger, name, name, backlog=True)
        assert cases.captures(ledger)[-1]["acquired_day"]
        ledger.record([cases.finding(claim, cases.CONTENT_OF_JPEG)])
    days = [row["day"] for row in cases.rows(ledger, exam)]
    assert days == ["2019-03-04", "2026-01-05"]
    assert warnings(ledger) == []
    ledger.close()


def test_a7_without_any_date_it_is_the_day_of_reception_and_in_doubt(ledger: Ledger) -> None:
    first = classify(ledger, "a.jpg")
    assert (first.day, first.day_doubt) == (TODAY, DayDoubt.RECEIVED)
    # another photograph of the visit tells its day
    second = classify(ledger, "b.jpg", acquired_at=NOW)
    assert (second.exam_id, second.day_doubt) == (first.exam_id, DayDoubt.NONE)


def test_a7_an_old_photograph_without_a_date_does_not_make_up_for_one_of_today(
    ledger: Ledger,
) -> None:
    old = classify(ledger, "old.jpg", backlog=True, eye=Eye.LEFT)
    today = classify(ledger, "today.jpg", acquired_at=NOW)
    assert old.exam_id != today.exam_id
    assert today.final.referable is Referable.INDETERMINATE
    assert (old.day, old.day_doubt) == (TODAY, DayDoubt.RECEIVED)
    assert document_ids.exam_uuid(old) != document_ids.exam_uuid(today)


def test_a8_a_late_export_keeps_its_day_and_says_that_it_is_in_doubt(ledger: Ledger) -> None:
    taken = NOW - timedelta(days=5)
    late = classify(ledger, "a.jpg", acquired_at=taken)
    assert (late.day, late.day_doubt) == (taken.astimezone().date(), DayDoubt.CLOCK_SKEW)
    assert warnings(ledger) == ["clock_skew"]
    [shown] = ledger.ask(ViewQuery("v_person_exam", ()))
    assert (shown["day_doubt"], shown["day_doubt_label"]) == (
        "clock_skew",
        DayDoubt.CLOCK_SKEW.wording,
    )


@pytest.mark.parametrize("days", [2, 400])
def test_a8_a_date_in_the_future_is_not_the_day_of_the_visit(ledger: Ledger, days: int) -> None:
    future = classify(ledger, "a.jpg", backlog=True, acquired_day=TODAY + timedelta(days=days))
    assert (future.day, future.day_doubt) == (TODAY, DayDoubt.CLOCK_SKEW)


@pytest.mark.parametrize("day", [date(1970, 1, 1), date(1980, 1, 4), date(2000, 1, 1)])
@pytest.mark.parametrize("backlog", [False, True])
def test_a8_the_day_of_a_clock_that_was_reset_is_in_doubt(
    ledger: Ledger, day: date, *, backlog: bool
) -> None:
    reset = classify(ledger, "a.jpg", backlog=backlog, acquired_day=day)
    assert (reset.day, reset.day_doubt) == (TODAY, DayDoubt.CLOCK_SKEW)


def test_a8_a_late_photograph_joins_its_visit_and_reopens_it(store_url: str) -> None:
    ledger = with_receiver(store_url, DocumentKind.FHIR)
    taken = NOW - timedelta(days=1)
    first = classify(ledger, "a.jpg", acquired_at=taken)
    review = Review(first.exam_id, Eye.RIGHT, ReviewVerdict.AGREE, "reader 1", "grader")
    assert ledger.review(review).eyes[0].is_read
    due = ledger.due("pacs")
    assert due is not None
    ledger.delivered(due, "200", 1)
    assert ledger.due("pacs") is None
    late = classify(ledger, "late.jpg", acquired_at=taken)
    assert (late.exam_id, late.eyes[0].is_read) == (first.exam_id, False)
    [row] = cases.rows(ledger, delivery)
    assert row["state"] == "queued"
    ledger.close()


def with_receiver(store_url: str, document: DocumentKind) -> Ledger:
    receiver = Subscription("pacs", document, when_reviewed=False, quiet_seconds=0)
    ledger = Ledger(store_url, site_key=cases.SITE_KEY, subscriptions=[receiver])
    ledger.start(cases.release())
    ledger.register_camera(cases.CAMERA)
    return ledger


# -- the study


def test_a7_a_structured_report_is_sent_if_a_jpeg_came_before_the_study(store_url: str) -> None:
    ledger = with_receiver(store_url, DocumentKind.SR)
    classify(ledger, "a.jpg", acquired_at=NOW)
    assert ledger.due("pacs") is None
    classify(ledger, "b.dcm", acquired_at=NOW, study_uid=STUDY)
    assert ledger.due("pacs") is not None
    ledger.close()


def test_a7_a_study_joins_the_jpeg_that_came_first(ledger: Ledger) -> None:
    first = classify(ledger, "a.jpg", acquired_at=NOW)
    second = classify(ledger, "b.dcm", acquired_at=NOW, study_uid=STUDY)
    assert (first.exam_id, first.study_uid) == (second.exam_id, None)
    assert second.study_uid == STUDY
    third = classify(ledger, "c.jpg", acquired_at=NOW)
    assert third.exam_id == first.exam_id
    assert document_ids.exam_uuid(first) == document_ids.exam_uuid(second)


def test_a7_a_second_study_of_the_day_is_another_exam(ledger: Ledger) -> None:
    first = classify(ledger, "a.dcm", acquired_at=NOW, study_uid=STUDY)
    second = classify(ledger, "b.dcm", acquired_at=NOW, study_uid=OTHER_STUDY)
    again = classify(ledger, "c.dcm", acquired_at=NOW, study_uid=OTHER_STUDY)
    assert first.exam_id != second.exam_id == again.exam_id
    assert document_ids.exam_uuid(first) != document_ids.exam_uuid(second)
    assert (first.day, second.day) == (TODAY, TODAY)


def test_a7_a_jpeg_beside_two_studies_joins_that_of_its_own_photograph_or_none(
    ledger: Ledger,
) -> None:
    first = classify(ledger, "a.dcm", acquired_at=NOW, study_uid=STUDY)
    second = classify(ledger, "b.dcm", acquired_at=NOW, study_uid=OTHER_STUDY)
    assert classify(ledger, "b.jpg", acquired_at=NOW).exam_id == second.exam_id
    alone = classify(ledger, "c.jpg", acquired_at=NOW)
    assert alone.exam_id not in {first.exam_id, second.exam_id}
    assert alone.study_uid is None
    assert classify(ledger, "d.jpg", acquired_at=NOW).exam_id == alone.exam_id


def test_a7_a_study_of_nobody_known_on_two_days_is_two_exams(ledger: Ledger) -> None:
    first = classify(ledger, "a.dcm", patient_id=None, study_uid=STUDY, acquired_at=NOW)
    second = classify(
        ledger, "b.dcm", backlog=True, patient_id=None, study_uid=STUDY, acquired_day=LONG_AGO
    )
    assert first.exam_id != second.exam_id
    assert document_ids.exam_uuid(first) != document_ids.exam_uuid(second)


def test_a7_a_file_that_is_exported_again_stays_in_its_exam(ledger: Ledger) -> None:
    before = classify(ledger, "a.jpg", acquired_at=NOW)
    classify(ledger, "b.dcm", acquired_at=NOW, study_uid=STUDY)
    classify(ledger, "c.dcm", acquired_at=NOW, study_uid=OTHER_STUDY)
    ledger.admit(cases.found("again.jpg", "a.jpg"))
    assert exam_of(ledger, "again.jpg").exam_id == before.exam_id


def test_a7_a_copy_that_comes_on_a_later_day_stays_in_its_exam(ledger: Ledger) -> None:
    before = classify(ledger, "a.jpg")
    at, day = NOW - timedelta(days=1), str(TODAY - timedelta(days=1))
    with ledger.database.writing() as connection:
        connection.execute(sa.update(capture).values(received_at=at, local_day=day))
        key = f"patient:{before.patient_key}:{day}"
        connection.execute(sa.update(exam).values(day=day, key=key))
    ledger.admit(cases.found("again.jpg", "a.jpg"))
    assert exam_of(ledger, "again.jpg").exam_id == before.exam_id


def test_a7_a_failed_photograph_belongs_to_the_exam_of_its_day(ledger: Ledger) -> None:
    first = classify(ledger, "a.dcm", acquired_day=LONG_AGO, backlog=True, study_uid=STUDY)
    header = replace(JPEG, media_type=MediaType.DICOM, acquired_day=LONG_AGO, study_uid=STUDY)
    claim = cases.take(ledger, "b.dcm", "b", backlog=True)
    ledger.fail(claim, Reason.TRUNCATED, "cut short", header)
    assert exam_of(ledger, "b.dcm").exam_id == first.exam_id
