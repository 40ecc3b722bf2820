"""A11: eyes, photographs and visits that people correct; only another correction undoes one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from tests import ledger_cases as cases
from tests.reading_cases import (
    BY,
    MODERATE,
    PDR,
    exam_of,
    number,
    photograph,
    read,
    the_eye,
)
from tests.visit_cases import NOW, OTHER_STUDY, STUDY

from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.clinical_terms import Eye, EyeSource, Reason, Referable, ReviewVerdict
from fundusd.domain.errors import RequestError
from fundusd.domain.eye_reasons import EyeReason
from fundusd.domain.readings import AbsenceReason, ExclusionReason, ReadingState
from fundusd.ledger import Ledger, ViewQuery
from fundusd.ledger.tables import correction, exam

if TYPE_CHECKING:
    from collections.abc import Mapping

RIGHT, LEFT, UNKNOWN = Eye.RIGHT, Eye.LEFT, Eye.UNKNOWN


def kinds(ledger: Ledger) -> list[str]:
    return [row["kind"] for row in cases.rows(ledger, correction)]


def results(ledger: Ledger) -> dict[str, Mapping[str, Any]]:
    return {row["path"]: row for row in ledger.results()}


def warn(ledger: Ledger, name: str, code: CaptureWarning) -> None:
    cases.execute(
        ledger,
        "UPDATE capture SET warnings = :codes WHERE path_text = :name",
        codes=f'["{code}"]',
        name=name,
    )


# -- eyes


def test_a11_an_unknown_eye_is_assigned(ledger: Ledger) -> None:
    photograph(ledger, "1.jpg", RIGHT)
    before = photograph(ledger, "2.jpg", UNKNOWN)
    assert the_eye(before, UNKNOWN).reason is EyeReason.EYE_UNKNOWN
    after = ledger.correct_eye(number(ledger, "2.jpg"), LEFT, BY)
    assert [eye.eye for eye in after.eyes] == [RIGHT, LEFT]
    assert after.final.referable is Referable.NO
    assert kinds(ledger) == ["eye"]
    shown = results(ledger)["2.jpg"]
    assert (shown["eye"], shown["eye_source"]) == ("L", "reader")
    [detail] = cases.details(ledger, "correction.recorded")
    assert (detail["kind"], detail["eye"], detail["reviewer"]) == ("eye", "L", "okafor")
    assert ledger.verify().broken_seq is None


def test_a11_a_wrong_eye_is_corrected_and_corrected_again(ledger: Ledger) -> None:
    photograph(ledger, "1.jpg", RIGHT, PDR)
    after = ledger.correct_eye(number(ledger, "1.jpg"), LEFT, BY)
    assert [eye.eye for eye in after.eyes] == [LEFT]
    after = ledger.correct_eye(number(ledger, "1.jpg"), RIGHT, BY)
    assert [eye.eye for eye in after.eyes] == [RIGHT]
    assert kinds(ledger) == ["eye", "eye"]


def test_a11_a_reading_of_the_wrong_eye_has_to_be_given_again_for_the_corrected_one(
    ledger: Ledger,
) -> None:
    exam_read = photograph(ledger, "1.jpg", RIGHT)
    read(ledger, exam_read)
    after = ledger.correct_eye(number(ledger, "1.jpg"), LEFT, BY)
    assert the_eye(after, LEFT).state is ReadingState.OUTDATED
    assert not after.is_reviewed


def test_a11_confirming_the_eye_of_a_contradicted_photograph_clears_the_doubt(
    ledger: Ledger,
) -> None:
    photograph(ledger, "1.jpg", RIGHT)
    warn(ledger, "1.jpg", CaptureWarning.EYE_CONTRADICTED)
    assert the_eye(exam_of(ledger, "1.jpg")).reason is EyeReason.EYE_CONTRADICTED
    after = ledger.correct_eye(number(ledger, "1.jpg"), RIGHT, BY)
    assert (the_eye(after).reason, the_eye(after).final.referable) == (None, Referable.NO)


def test_a11_all_files_of_a_photograph_get_the_eye_and_so_does_one_that_comes_later(
    ledger: Ledger,
) -> None:
    photograph(ledger, "1.jpg", UNKNOWN)
    photograph(ledger, "1.png", UNKNOWN)
    ledger.correct_eye(number(ledger, "1.jpg"), LEFT, BY)
    assert {row["eye"] for row in results(ledger).values()} == {"L"}
    after = photograph(ledger, "1.dcm", RIGHT, MODERATE)
    [eye] = after.eyes
    assert (eye.eye, len(eye.shots), eye.referable) == (LEFT, 3, Referable.YES)


def test_a11_a_corrected_eye_outlives_a_result_that_comes_later(ledger: Ledger) -> None:
    ledger.fail(cases.take(ledger, "1.jpg", "1.jpg"), Reason.TIMEOUT, "slow")
    ledger.correct_eye(number(ledger, "1.jpg"), LEFT, BY)
    ledger.retry_failed()
    content = replace(cases.CONTENT_OF_JPEG, eye=RIGHT, eye_source=EyeSource.LATERALITY)
    ledger.record([cases.finding(ledger.claim(1)[0], content)])
    assert results(ledger)["1.jpg"]["eye"] == "L"
    assert [eye.eye for eye in exam_of(ledger, "1.jpg").eyes] == [LEFT]


def test_a11_a_corrected_eye_outlives_a_move_of_the_file(ledger: Ledger) -> None:
    photograph(ledger, "1.jpg", UNKNOWN)
    ledger.correct_eye(number(ledger, "1.jpg"), LEFT, BY)
    ledger.mark_missing(cases.CAMERA, [b"1.jpg"])
    stat = cases.found("1.jpg", "1.jpg").stat
    ledger.admit(cases.found("moved.jpg", "1.jpg", inode=stat.inode, mtime_ns=stat.mtime_ns))
    assert results(ledger)["moved.jpg"]["eye"] == "L"
    [eye] = exam_of(ledger, "moved.jpg").eyes
    assert eye.eye is LEFT
    ledger.admit(cases.found("moved.jpg", "other bytes"))
    claim = ledger.claim(1)[0]
    ledger.record([cases.finding(claim, replace(cases.CONTENT_OF_JPEG, patient_id="PATIENT-7"))])
    assert results(ledger)["moved.jpg"]["eye"] == "U"  # another picture


# -- photographs that do not count


def test_a11_an_excluded_photograph_counts_for_nothing_until_it_is_included(
    ledger: Ledger,
) -> None:
    photograph(ledger, "1.jpg", RIGHT)
    before = photograph(ledger, "2.jpg", RIGHT, reason=Reason.TOO_DARK)
    assert the_eye(before).reason is Reason.TOO_DARK
    dark = number(ledger, "2.jpg")
    after = ledger.exclude(dark, ExclusionReason.NOT_A_RETINA, BY)
    assert (the_eye(after).reason, [shot.capture_id for shot in after.others]) == (None, [dark])
    assert results(ledger)["2.jpg"]["excluded"] == "not_a_retina"
    assert the_eye(ledger.include(dark, BY)).reason is Reason.TOO_DARK
    assert kinds(ledger) == ["exclude", "include"]
    with pytest.raises(RequestError, match="is not excluded"):
        ledger.include(dark, BY)


def test_a11_a_photograph_of_two_patients_is_said_to_belong_and_excluding_it_undoes_that(
    ledger: Ledger,
) -> None:
    photograph(ledger, "1.jpg")
    warn(ledger, "1.jpg", CaptureWarning.PATIENT_CONFLICT)
    capture_id = number(ledger, "1.jpg")
    assert the_eye(exam_of(ledger, "1.jpg")).reason is EyeReason.PATIENT_UNCERTAIN
    assert the_eye(ledger.belongs(capture_id, BY)).reason is None
    ledger.exclude(capture_id, ExclusionReason.NOT_THIS_PATIENT, BY)
    assert the_eye(ledger.include(capture_id, BY)).reason is EyeReason.PATIENT_UNCERTAIN


# -- absent eyes


def test_a11_the_person_is_judged_by_the_other_eye_in_all_exams_until_a_day(
    ledger: Ledger,
) -> None:
    old = photograph(ledger, "1.jpg", RIGHT, acquired_at=NOW - timedelta(days=400))
    new = photograph(ledger, "2.jpg", RIGHT, acquired_at=NOW)
    assert old.final.referable is new.final.referable is Referable.INDETERMINATE
    last = old.day + timedelta(days=30)
    after = ledger.eye_absent(old.exam_id, LEFT, AbsenceReason.NO_VIEW, BY, last)
    assert (after.final.referable, after.missing, after.absent) == (Referable.NO, (), (LEFT,))
    assert exam_of(ledger, "2.jpg").final.referable is Referable.INDETERMINATE
    ledger.eye_absent(new.exam_id, LEFT, AbsenceReason.PROSTHESIS, BY)
    stored = [row["final_referable"] for row in cases.rows(ledger, exam)]
    assert stored == ["no", "no"]
    ledger.eye_present(old.exam_id, LEFT, BY)
    assert [row["missing_fields"] for row in cases.rows(ledger, exam)] == ["L", "L"]
    assert kinds(ledger) == ["absent", "absent", "present"]


def test_a11_an_absent_eye_with_retinopathy_still_counts(ledger: Ledger) -> None:
    photograph(ledger, "1.jpg", RIGHT)
    said_of = photograph(ledger, "2.jpg", LEFT, PDR)
    after = ledger.eye_absent(said_of.exam_id, LEFT, AbsenceReason.EXCLUDED, BY)
    assert after.final.referable is Referable.YES


def test_a11_what_is_no_absence_is_refused(ledger: Ledger) -> None:
    said_of = photograph(ledger, "1.jpg")
    with pytest.raises(RequestError, match="Only the right or the left"):
        ledger.eye_absent(said_of.exam_id, UNKNOWN, AbsenceReason.NO_VIEW, BY)
    early = said_of.day - timedelta(days=1)
    with pytest.raises(RequestError, match="before the day"):
        ledger.eye_absent(said_of.exam_id, LEFT, AbsenceReason.NO_VIEW, BY, early)
    with pytest.raises(RequestError, match="not said to be absent"):
        ledger.eye_present(said_of.exam_id, LEFT, BY)
    with pytest.raises(RequestError, match="no exam 99"):
        ledger.eye_present(99, LEFT, BY)
    assert kinds(ledger) == []


# -- visits


def two_studies(ledger: Ledger) -> tuple[int, int]:
    """Record the eyes of a visit under two studies; return the numbers of their exams."""
    right = photograph(ledger, "1.dcm", RIGHT, study_uid=STUDY)
    left = photograph(ledger, "2.dcm", LEFT, MODERATE, study_uid=OTHER_STUDY)
    assert right.exam_id != left.exam_id
    return right.exam_id, left.exam_id


def test_a11_two_exams_are_joined_with_what_comes_later(ledger: Ledger) -> None:
    one, other = two_studies(ledger)
    read_before = ledger.exam(one)
    assert read_before is not None
    read(ledger, read_before, ReviewVerdict.RETAKE)
    after = ledger.join_exams(one, other, BY)
    assert (after.exam_id, [eye.eye for eye in after.eyes]) == (other, [RIGHT, LEFT])
    assert after.missing == ()
    assert [followed.eye for followed in after.follow_ups] == [RIGHT]
    assert [eye.state for eye in after.eyes] == [ReadingState.OUTDATED, ReadingState.UNREAD]
    empty = ledger.exam(one)
    assert empty is not None
    assert empty.eyes == ()
    history = ledger.ask(ViewQuery("v_review", ()))
    assert [row["exam_id"] for row in history] == [one]
    assert photograph(ledger, "3.dcm", RIGHT, study_uid=STUDY).exam_id == other
    assert ledger.verify().broken_seq is None


def test_a11_exams_that_were_joined_are_joined_back(ledger: Ledger) -> None:
    one, other = two_studies(ledger)
    ledger.join_exams(one, other, BY)
    with pytest.raises(RequestError, match="was joined into"):
        ledger.join_exams(one, other, BY)
    assert len(ledger.join_exams(other, one, BY).eyes) == 2
    assert photograph(ledger, "3.dcm", RIGHT, study_uid=OTHER_STUDY).exam_id == one
    joined = {row["id"]: row["joined_into"] for row in cases.rows(ledger, exam)}
    assert joined == {one: None, other: one}


def test_a11_a_photograph_is_parted_and_joined_again(ledger: Ledger) -> None:
    photograph(ledger, "1.jpg", RIGHT)
    photograph(ledger, "1.png", RIGHT)
    old = photograph(ledger, "2.jpg", LEFT, PDR)
    after = ledger.part_exam(number(ledger, "2.jpg"), BY)
    assert after.exam_id != old.exam_id
    assert ([eye.eye for eye in after.eyes], after.day) == ([LEFT], old.day)
    remaining = ledger.exam(old.exam_id)
    assert remaining is not None
    assert [eye.eye for eye in remaining.eyes] == [RIGHT]
    assert photograph(ledger, "3.jpg", LEFT).exam_id == old.exam_id
    back = ledger.join_exams(after.exam_id, old.exam_id, BY)
    assert len(the_eye(back, LEFT).shots) == 2
    again = ledger.part_exam(number(ledger, "2.jpg"), BY)
    assert again.exam_id not in {old.exam_id, after.exam_id}
    assert kinds(ledger) == ["part", "join", "part"]


def test_a11_all_files_of_a_photograph_are_parted(ledger: Ledger) -> None:
    photograph(ledger, "1.jpg", RIGHT)
    photograph(ledger, "1.png", RIGHT)
    photograph(ledger, "2.jpg", LEFT)
    assert len(ledger.part_exam(number(ledger, "1.png"), BY).eyes[0].shots) == 2
    with pytest.raises(RequestError, match="only photograph"):
        ledger.part_exam(number(ledger, "1.jpg"), BY)


@pytest.mark.parametrize(
    ("patients", "sentence"),
    [
        (("PATIENT-7", "PATIENT-8"), "two different patients"),
        (("PATIENT-7", None), "is not known"),
    ],
)
def test_a11_exams_of_two_patients_are_never_joined(
    ledger: Ledger, patients: tuple[str, str | None], sentence: str
) -> None:
    one, other = [
        photograph(ledger, f"{place}.jpg", patient=patient)
        for place, patient in enumerate(patients)
    ]
    with pytest.raises(RequestError, match=sentence):
        ledger.join_exams(one.exam_id, other.exam_id, BY)
    with pytest.raises(RequestError, match="into itself"):
        ledger.join_exams(one.exam_id, one.exam_id, BY)
    assert kinds(ledger) == []


def test_a11_an_exam_of_nobody_known_is_joined_to_that_of_a_patient(ledger: Ledger) -> None:
    known = photograph(ledger, "1.jpg", RIGHT)
    nobody = photograph(ledger, "2.jpg", LEFT, patient=None)
    after = ledger.join_exams(nobody.exam_id, known.exam_id, BY)
    assert (after.patient_key, len(after.eyes)) == (known.patient_key, 2)


# -- what cannot be corrected


def test_a11_what_is_not_there_cannot_be_corrected(ledger: Ledger) -> None:
    photograph(ledger, "1.jpg")
    ledger.admit(cases.found("1.jpg", "other bytes"))
    for capture_id, sentence in ((99, "no capture 99"), (2, "no result yet")):
        with pytest.raises(RequestError, match=sentence):
            ledger.correct_eye(capture_id, LEFT, BY)


@pytest.mark.parametrize("change", ["UPDATE correction SET eye = 'R'", "DELETE FROM correction"])
def test_a11_a_correction_cannot_be_changed(ledger: Ledger, change: str) -> None:
    photograph(ledger, "1.jpg")
    ledger.correct_eye(number(ledger, "1.jpg"), LEFT, BY)
    with pytest.raises(sa.exc.DBAPIError, match="append-only"):
        cases.execute(ledger, change)


@pytest.mark.parametrize(
    "change", ["corrected_eye = 'R'", "corrected_eye = NULL", "excluded = 'test'", "belongs = TRUE"]
)
@pytest.mark.parametrize("name", ["1.jpg", "1.png", "2.jpg", "moved.jpg"])
def test_a11_a_correction_without_its_event_is_found(
    ledger: Ledger, change: str, name: str
) -> None:
    for path in ("1.jpg", "1.png", "2.jpg", "3.jpg"):
        photograph(ledger, path, UNKNOWN)
    for path in ("1.jpg", "3.jpg"):
        ledger.correct_eye(number(ledger, path), LEFT, BY)
    ledger.mark_missing(cases.CAMERA, [b"3.jpg"])
    stat = cases.found("3.jpg", "3.jpg").stat
    ledger.admit(cases.found("moved.jpg", "3.jpg", inode=stat.inode, mtime_ns=stat.mtime_ns))
    assert ledger.verify().broken_seq is None
    update = f"UPDATE capture SET {change} WHERE path_text = :name"  # noqa: S608  ours
    cases.execute(ledger, update, name=name)
    is_same = (change, name) == ("corrected_eye = NULL", "2.jpg")
    verdict = ledger.verify()
    assert (verdict.broken_seq is None) is is_same
    assert is_same or "the correction of capture" in verdict.problem
