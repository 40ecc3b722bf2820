"""What the second trial of deciding and telling found; the letters are those of its findings."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests import ledger_cases as cases
from tests.ledger.test_followed_photographs import moved
from tests.ledger.test_readings import rows
from tests.reading_cases import BY, PDR, exam_of, number, photograph, read, the_eye
from tests.visit_cases import TODAY

from fundusd.clinical.path_rules import Naming
from fundusd.domain.clinical_terms import Eye, Grade, Reason, Referable, ReviewVerdict
from fundusd.domain.delivery import DocumentKind, Subscription
from fundusd.domain.errors import RequestError
from fundusd.domain.exams import DayDoubt
from fundusd.domain.eye_reasons import EyeReason
from fundusd.domain.readings import AbsenceReason, ExclusionReason, ReadingPurpose, ReadingState
from fundusd.ledger import Ledger
from fundusd.ledger.tables import delivery
from fundusd.reports import next_steps, wording

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.clinical.exam import Exam

YES, OPEN, NO = Referable.YES, Referable.INDETERMINATE, Referable.NO
OVERRIDE, AGREE, RETAKE = ReviewVerdict.OVERRIDE, ReviewVerdict.AGREE, ReviewVerdict.RETAKE
ARBITRATION, SECOND = ReadingPurpose.ARBITRATION, ReadingPurpose.SECOND


def again(ledger: Ledger, exam: Exam) -> Exam:
    """Return an exam as it is now."""
    after = ledger.exam(exam.exam_id)
    assert after is not None
    return after


# -- readings


def test_c1_an_exclusion_does_not_bring_an_older_negative_reading_back(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg")
    read(ledger, exam, by="r1")
    photograph(ledger, "2.jpg")
    read(ledger, exam, OVERRIDE, grade=Grade.PDR, by="r2")
    with pytest.raises(RequestError, match="so no retake replaces it"):  # C17
        ledger.exclude(number(ledger, "2.jpg"), ExclusionReason.RETAKEN, BY)
    after = ledger.exclude(number(ledger, "2.jpg"), ExclusionReason.OTHER, BY)
    eye = the_eye(after)
    assert (eye.state, eye.final.referable) == (ReadingState.OUTDATED, YES)
    settled = read(ledger, exam, OVERRIDE, grade=Grade.NO_DR, by="r2")
    assert (the_eye(settled).state, the_eye(settled).final.referable) == (ReadingState.READ, NO)


def test_c1_an_older_reading_that_agrees_with_the_newer_one_still_counts(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg")
    read(ledger, exam, by="r1")
    photograph(ledger, "2.jpg")
    read(ledger, exam, by="r2")
    after = ledger.exclude(number(ledger, "2.jpg"), ExclusionReason.RETAKEN, BY)
    assert the_eye(after).state is ReadingState.READ


def test_a2_nor_if_another_reader_agreed_with_the_older_one_since(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg")
    read(ledger, exam, by="r1")
    photograph(ledger, "2.jpg")
    read(ledger, exam, OVERRIDE, grade=Grade.PDR, by="r2")
    read(ledger, exam, OVERRIDE, grade=Grade.NO_DR, by="r3")
    after = ledger.exclude(number(ledger, "2.jpg"), ExclusionReason.OTHER, BY)
    assert (the_eye(after).state, after.is_final) == (ReadingState.OUTDATED, False)
    assert after.final.referable is YES


def test_c3_v11_a_reading_of_the_other_eye_does_not_replace_one_that_follows(
    ledger: Ledger,
) -> None:
    exam = photograph(ledger, "1.jpg")
    photograph(ledger, "3.jpg", Eye.LEFT)
    read(ledger, exam, OVERRIDE, grade=Grade.PDR, by="r1")
    read(ledger, exam, AGREE, Eye.LEFT, by="r1")
    after = ledger.correct_eye(number(ledger, "1.jpg"), Eye.LEFT, BY)
    left = the_eye(after, Eye.LEFT)
    assert (left.state, left.final.referable) == (ReadingState.OUTDATED, YES)
    settled = read(ledger, after, OVERRIDE, Eye.LEFT, grade=Grade.NO_DR, by="r1")
    assert the_eye(settled, Eye.LEFT).final.referable is NO


def test_c3_nor_does_a_reading_of_the_other_exam(ledger: Ledger) -> None:
    first = photograph(ledger, "1.dcm", study_uid="1.2.3")
    second = photograph(ledger, "2.dcm", study_uid="1.2.4")
    read(ledger, first, OVERRIDE, grade=Grade.PDR, by="r1")
    read(ledger, second, by="r1")
    joined = ledger.join_exams(first.exam_id, second.exam_id, BY)
    assert joined.final.referable is YES


def test_v1_a_reading_of_the_same_bytes_in_another_patients_exam_changes_nothing(
    ledger: Ledger,
) -> None:
    first = photograph(ledger, "1.dcm")
    stat = cases.found("copy.dcm", "1.dcm")
    ledger.admit(stat)
    cases.execute(ledger, "UPDATE capture SET patient_key = 'other', exam_id = NULL WHERE id = 2")
    other = photograph(ledger, "9.dcm", patient="PATIENT-9")
    cases.execute(ledger, "UPDATE capture SET exam_id = :exam WHERE id = 2", exam=other.exam_id)
    read(ledger, first, OVERRIDE, grade=Grade.SEVERE, by="r1")
    read(ledger, again(ledger, other), OVERRIDE, grade=Grade.NO_DR, by="r1")
    after = again(ledger, first)
    assert (after.final.referable, the_eye(after).state) == (YES, ReadingState.READ)
    assert [reading.grade for reading in the_eye(after).readings.current] == [Grade.SEVERE]


def test_c22_a_grade_is_read_again_if_the_rule_that_refers_it_changes(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg")
    read(ledger, exam, OVERRIDE, grade=Grade.MILD)
    stricter = replace(cases.release(), referable_rule="icdr>=1/or>=2", revision="another")
    ledger.start(stricter)
    moved(ledger, "1.jpg", "2.jpg")
    for claim in ledger.claim(1):
        content = replace(cases.CONTENT_OF_JPEG, patient_id="PATIENT-7", eye=Eye.RIGHT)
        ledger.record([cases.finding(claim, content)])
    assert the_eye(again(ledger, exam)).state is ReadingState.OUTDATED


def disputed(ledger: Ledger) -> Exam:
    exam = photograph(ledger, "1.jpg")
    read(ledger, exam, OVERRIDE, grade=Grade.PDR, by="r1")
    return read(ledger, exam, OVERRIDE, grade=Grade.NO_DR, by="r2")


def test_c5_a_party_to_a_dispute_does_not_arbitrate_it_after_taking_the_reading_back(
    ledger: Ledger,
) -> None:
    exam = disputed(ledger)
    read(ledger, exam, ReviewVerdict.DEFER, by="r2")
    with pytest.raises(RequestError, match="for another purpose"):
        read(ledger, exam, OVERRIDE, grade=Grade.NO_DR, by="r2", purpose=ARBITRATION)


def test_v7_an_arbiter_may_replace_an_arbitration_and_nobody_else(ledger: Ledger) -> None:
    exam = disputed(ledger)
    read(ledger, exam, ReviewVerdict.UNGRADABLE, by="r3", purpose=ARBITRATION)
    with pytest.raises(RequestError, match="An arbiter has decided"):
        read(ledger, exam, OVERRIDE, grade=Grade.PDR, by="r1")
    after = read(ledger, exam, OVERRIDE, grade=Grade.PDR, by="r3", purpose=ARBITRATION)
    assert after.final.referable is YES
    read(ledger, exam, ReviewVerdict.DEFER, by="r3", purpose=ARBITRATION)
    assert the_eye(again(ledger, exam)).state is ReadingState.DISPUTED


# -- what nobody can look at


def test_c4_a_referable_photograph_that_was_overwritten_is_not_read_as_negative(
    ledger: Ledger,
) -> None:
    exam = photograph(ledger, "1.jpg", logits=PDR)
    photograph(ledger, "1.jpg", word="other bytes", patient="PATIENT-8")
    with pytest.raises(RequestError, match="No photograph of this eye can be looked at"):
        read(ledger, exam, OVERRIDE, grade=Grade.NO_DR)
    photograph(ledger, "2.jpg")
    after = read(ledger, exam, OVERRIDE, grade=Grade.NO_DR)
    eye = the_eye(after)
    assert (eye.final.referable, eye.open_reason) == (OPEN, EyeReason.OVERWRITTEN)
    assert (
        "Export capture 1 again under a new name, or exclude it as retaken: another file was "
        "written over it, so nobody can look at it."
    ) in next_steps.steps(after)
    excluded = ledger.exclude(1, ExclusionReason.RETAKEN, BY)
    assert the_eye(excluded).state is ReadingState.OUTDATED


def test_c4_the_same_bytes_under_a_new_name_can_be_read(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg", logits=PDR)
    photograph(ledger, "1.jpg", word="other bytes", patient="PATIENT-8")
    ledger.admit(cases.found("again.jpg", "1.jpg"))
    after = read(ledger, exam, OVERRIDE, grade=Grade.NO_DR)
    assert the_eye(after).final.referable is NO


def test_v21_a_file_without_a_picture_cannot_be_graded_by_a_reader(ledger: Ledger) -> None:
    exam = photograph(ledger, "letter.dcm", reason=Reason.WRONG_MODALITY)
    with pytest.raises(RequestError, match="No photograph of this eye can be looked at"):
        read(ledger, exam, OVERRIDE, grade=Grade.NO_DR)


# -- exclusions


def test_v35_no_retake_replaces_a_photograph_that_the_model_refers(ledger: Ledger) -> None:
    photograph(ledger, "1.jpg", logits=PDR)
    photograph(ledger, "2.jpg")
    with pytest.raises(RequestError, match="so no retake replaces it"):
        ledger.exclude(1, ExclusionReason.RETAKEN, BY)
    assert the_eye(ledger.exclude(1, ExclusionReason.NOT_A_RETINA, BY)).referable is NO


def test_a9_nor_one_that_was_overwritten_since_and_read_by_nobody(ledger: Ledger) -> None:
    photograph(ledger, "1.jpg", logits=PDR)
    photograph(ledger, "1.jpg", word="another picture")
    with pytest.raises(RequestError, match="so no retake replaces it"):
        ledger.exclude(1, ExclusionReason.RETAKEN, BY)


def test_c30_a_mark_that_is_too_short_is_refused(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg")
    for mark in ("", the_eye(exam).photographs[:1]):
        with pytest.raises(RequestError, match="at least 8 characters"):
            read(ledger, exam, photographs=mark)
    read(ledger, exam, photographs=the_eye(exam).photographs[:8])


# -- absent eyes, other exams


def both_read(ledger: Ledger) -> Exam:
    exam = photograph(ledger, "1.jpg")
    photograph(ledger, "2.jpg", Eye.LEFT)
    read(ledger, exam)
    return read(ledger, exam, AGREE, Eye.LEFT)


def test_v9_v12_a_photograph_of_a_prosthesis_leaves_no_negative(ledger: Ledger) -> None:
    exam = both_read(ledger)
    assert exam.is_final
    after = ledger.eye_absent(exam.exam_id, Eye.LEFT, AbsenceReason.PROSTHESIS, BY)
    assert (after.final.referable, after.is_final) == (OPEN, False)
    assert next_steps.steps(after) == [
        "Check which eye this is: the left eye is said to be absent, but was photographed."
    ]
    assert [row["missing_fields"] for row in rows(ledger, "v_incomplete_exam")] == ["L"]


def test_a10_it_stays_on_the_list_when_a_later_exam_lacks_nothing(ledger: Ledger) -> None:
    yesterday = TODAY - timedelta(days=1)
    exam = photograph(ledger, "1.jpg", acquired_day=yesterday)
    photograph(ledger, "2.jpg", Eye.LEFT, acquired_day=yesterday)
    ledger.eye_absent(exam.exam_id, Eye.LEFT, AbsenceReason.PROSTHESIS, BY)
    photograph(ledger, "3.jpg", acquired_day=TODAY)
    assert [row["exam_id"] for row in rows(ledger, "v_incomplete_exam")] == [exam.exam_id]


def test_a11_a_photograph_of_another_day_makes_no_day_certain(ledger: Ledger) -> None:
    undated = photograph(ledger, "1.jpg")
    dated = photograph(ledger, "2.jpg", Eye.LEFT, acquired_day=TODAY - timedelta(days=1))
    joined = ledger.join_exams(dated.exam_id, undated.exam_id, BY)
    assert joined.day_doubt is DayDoubt.RECEIVED


def test_a11_an_exam_of_which_only_a_photograph_of_another_day_is_left_is_in_doubt(
    ledger: Ledger,
) -> None:
    own = photograph(ledger, "1.jpg", acquired_day=TODAY)
    dated = photograph(ledger, "2.jpg", Eye.LEFT, acquired_day=TODAY - timedelta(days=1))
    assert ledger.join_exams(dated.exam_id, own.exam_id, BY).day_doubt is DayDoubt.NONE
    after = ledger.exclude(number(ledger, "1.jpg"), ExclusionReason.OTHER, BY)
    assert (after.day, after.day_doubt) == (TODAY, DayDoubt.RECEIVED)
    for view in ("v_incomplete_exam", "v_person_exam"):
        [label] = [row["day_doubt_label"] for row in rows(ledger, view) if row["missing_fields"]]
        assert label == DayDoubt.RECEIVED.wording == "in doubt: no photograph has this date"
    assert ledger.verify().problem == ""


@pytest.fixture
def two_of_a_day(store_url: str) -> Iterator[Ledger]:
    """Yield a ledger with two exams of a patient and day, of which the final second one is sent."""
    receiver = Subscription("pacs", DocumentKind.FHIR, when_reviewed=False, quiet_seconds=0)
    naming = {cases.CAMERA: Naming.of("generic", r".+_(?P<date>\d{8})_(?P<eye>OD|OS)")}
    ledger = Ledger(store_url, site_key=cases.SITE_KEY, subscriptions=[receiver], naming=naming)
    ledger.start(cases.release())
    ledger.register_camera(cases.CAMERA)
    photograph(ledger, "r1.dcm", study_uid="1.2.3")
    photograph(ledger, "l1.dcm", Eye.LEFT, study_uid="1.2.3")
    photograph(ledger, "r2.dcm", study_uid="1.2.4")
    exam = photograph(ledger, "l2.dcm", Eye.LEFT, study_uid="1.2.4")
    read(ledger, exam)
    read(ledger, exam, AGREE, Eye.LEFT)
    assert again(ledger, exam).is_final
    cases.execute(ledger, "UPDATE delivery SET state = 'delivered'")
    yield ledger
    ledger.close()


def require_sent_again(ledger: Ledger) -> None:
    """Require that the second exam is not final any more, and that its document is queued."""
    exam = exam_of(ledger, "l2.dcm")
    assert not exam.is_final
    states = {row["exam_id"]: row["state"] for row in cases.rows(ledger, delivery)}
    assert states[exam.exam_id] == "queued"


def test_a12_the_other_exam_of_the_day_is_told_of_a_doubt_in_this_one(two_of_a_day: Ledger) -> None:
    two_of_a_day.part_exam(number(two_of_a_day, "r1.dcm"), BY)
    require_sent_again(two_of_a_day)


def test_a12_also_if_an_exam_of_another_day_brings_the_doubt(two_of_a_day: Ledger) -> None:
    """The file names its day, but its bytes do not: they are those of a photograph of today."""
    two_of_a_day.admit(cases.found("P7_20250310_OD.jpg", "r1.dcm"))
    assert the_eye(exam_of(two_of_a_day, "r1.dcm")).identity_doubt is EyeReason.DAY_UNCERTAIN
    require_sent_again(two_of_a_day)


def test_v2_an_eye_without_a_view_was_not_judged(ledger: Ledger) -> None:
    exam = both_read(ledger)
    after = ledger.eye_absent(exam.exam_id, Eye.LEFT, AbsenceReason.NO_VIEW, BY)
    assert after.final.referable is NO
    assert wording.standing(after) == "A human has read every eye that was judged."
    assert not next_steps.is_complete(after)


def test_c11_a_negative_exam_is_not_final_beside_one_that_is_not(ledger: Ledger) -> None:
    photograph(ledger, "1.dcm", study_uid="1.2.3")
    exam = photograph(ledger, "2.dcm", Eye.LEFT, study_uid="1.2.3")
    read(ledger, exam)
    read(ledger, exam, AGREE, Eye.LEFT)
    assert again(ledger, exam).is_final
    other = photograph(ledger, "3.dcm", logits=PDR, study_uid="1.2.4")
    after = again(ledger, exam)
    assert (after.is_final, after.open_others) == (False, (other.exam_id,))
    assert "another exam of the day is not negative" in wording.standing(after)


def test_v8_a_retake_that_may_have_come_is_not_asked_for_again(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg", reason=Reason.TOO_DARK)
    read(ledger, exam, RETAKE)
    photograph(ledger, "2.jpg")
    steps = next_steps.steps(again(ledger, exam))
    assert (
        "Check whether the right eye has been photographed again since a reader asked for it; "
        "if so, close follow-up 1."
    ) in steps
    assert not [step for step in steps if "(follow-up 1" in step]
