"""What was judged or read stays judged or read, wherever its photographs are put."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests import ledger_cases as cases
from tests.ledger.test_readings import rows
from tests.reading_cases import BY, PDR, exam_of, number, photograph, read, the_eye
from tests.visit_cases import TODAY

from fundusd.domain.clinical_terms import Eye, Grade, Reason, Referable, ReviewVerdict
from fundusd.domain.errors import RequestError
from fundusd.domain.eye_reasons import EyeReason
from fundusd.domain.files import IgnoreReason
from fundusd.domain.readings import AbsenceReason, ExclusionReason, ReadingPurpose, ReadingState
from fundusd.ledger import same_day
from fundusd.outbox import document_ids
from fundusd.reports import next_steps

if TYPE_CHECKING:
    from fundusd.clinical.exam import Exam
    from fundusd.ledger import Ledger

OVERRIDE = ReviewVerdict.OVERRIDE


def missed_lesion(ledger: Ledger, exam: Exam, eye: Eye) -> Exam:
    return read(ledger, exam, OVERRIDE, eye, grade=Grade.PDR)


def waiting(ledger: Ledger) -> dict[str, str]:
    return {row["eye"]: row["waits_for"] for row in rows(ledger, "v_worklist")}


def moved(ledger: Ledger, old: str, new: str) -> None:
    """Rename a file as the watcher reports it."""
    stat = cases.found(old, old).stat
    ledger.mark_missing(cases.CAMERA, [old.encode()])
    ledger.admit(cases.found(new, old, inode=stat.inode, mtime_ns=stat.mtime_ns))


@pytest.mark.parametrize("eye", [Eye.UNKNOWN, Eye.RIGHT])
def test_a_reading_follows_its_photograph_to_the_corrected_eye(ledger: Ledger, eye: Eye) -> None:
    exam = photograph(ledger, "1.jpg", eye)
    missed_lesion(ledger, exam, eye)
    after = ledger.correct_eye(number(ledger, "1.jpg"), Eye.LEFT, BY)
    left = the_eye(after, Eye.LEFT)
    assert (left.state, left.final.referable) == (ReadingState.OUTDATED, Referable.YES)
    assert waiting(ledger) == {"L": "read_again"}
    other = photograph(ledger, "2.jpg", Eye.RIGHT)
    assert the_eye(other, Eye.RIGHT).state is ReadingState.UNREAD
    assert other.final.referable is Referable.YES


def test_a_reading_follows_its_photographs_into_another_exam(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.dcm", study_uid="1.2.3")
    missed_lesion(ledger, exam, Eye.RIGHT)
    other = photograph(ledger, "2.dcm", Eye.LEFT, study_uid="1.2.4")
    assert other.exam_id != exam.exam_id
    after = ledger.join_exams(exam.exam_id, other.exam_id, BY)
    assert after.final.referable is Referable.YES
    assert waiting(ledger) == {"R": "read_again"}
    parted = ledger.part_exam(number(ledger, "1.dcm"), BY)
    assert parted.final.referable is Referable.YES


def test_a_reading_of_an_excluded_photograph_is_not_forgotten(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg")
    missed_lesion(ledger, exam, Eye.RIGHT)
    photograph(ledger, "2.jpg")
    after = ledger.exclude(number(ledger, "1.jpg"), ExclusionReason.OTHER, BY)
    assert the_eye(after).final.referable is Referable.YES
    assert waiting(ledger) == {"R": "read_again"}


@pytest.mark.parametrize("patient", ["PATIENT-7", "PATIENT-8"])
def test_a_referable_photograph_remains_if_another_is_written_at_its_path(
    ledger: Ledger, patient: str
) -> None:
    before = photograph(ledger, "1.jpg", logits=PDR)
    photograph(ledger, "2.jpg")
    photograph(ledger, "3.jpg", Eye.LEFT)
    photograph(ledger, "1.jpg", word="other bytes", patient=patient)
    after = ledger.exam(before.exam_id)
    assert after is not None
    assert after.final.referable is Referable.YES
    assert the_eye(after).decisive.is_overwritten
    excluded = ledger.exclude(the_eye(after).decisive.capture_id, ExclusionReason.OTHER, BY)
    assert excluded.final.referable is Referable.NO


def test_a_referable_photograph_remains_if_an_ignored_file_takes_its_path(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg", logits=PDR)
    photograph(ledger, "2.jpg")
    stat = cases.found("1.jpg", "a note").stat
    ledger.ignore(cases.CAMERA, {b"1.jpg": (stat, IgnoreReason.SIDECAR)})
    after = ledger.exam(exam.exam_id)
    assert after is not None
    assert after.final.referable is Referable.YES


def test_a_better_file_at_the_same_path_resolves_the_doubt_of_the_first(ledger: Ledger) -> None:
    photograph(ledger, "1.jpg", reason=Reason.TOO_DARK)
    after = photograph(ledger, "1.jpg", word="the whole file")
    assert the_eye(after).referable is Referable.NO


def test_a_bad_file_at_the_path_of_a_good_one_leaves_a_doubt(ledger: Ledger) -> None:
    photograph(ledger, "1.jpg")
    eye = the_eye(photograph(ledger, "1.jpg", word="a blurred one", reason=Reason.BLUR))
    assert (eye.referable, eye.reason) == (Referable.INDETERMINATE, Reason.BLUR)


def test_c16_an_overwritten_file_makes_up_for_no_other(ledger: Ledger) -> None:
    photograph(ledger, "1.jpg", field="macula")
    photograph(ledger, "2.jpg", Eye.LEFT)
    after = photograph(ledger, "1.jpg", word="blurred", reason=Reason.BLUR, field="macula")
    assert the_eye(after).reason is Reason.BLUR
    retaken = photograph(ledger, "3.jpg", field="macula")
    assert the_eye(retaken).referable is Referable.NO


def test_a_moved_file_counts_at_its_old_place_until_it_is_judged_at_the_new_one(
    ledger: Ledger,
) -> None:
    exam = photograph(ledger, "1.jpg", logits=PDR)
    photograph(ledger, "2.jpg")
    ledger.start(replace(cases.release(), revision="another"))
    moved(ledger, "1.jpg", "9.jpg")
    after = ledger.exam(exam.exam_id)
    assert after is not None
    assert after.final.referable is Referable.YES
    [claim] = ledger.claim(1)
    content = replace(cases.CONTENT_OF_JPEG, patient_id="PATIENT-7", eye=Eye.RIGHT)
    ledger.record([cases.finding(claim, content, PDR)])
    after = ledger.exam(exam.exam_id)
    assert after is not None
    assert [shot.capture_id for shot in the_eye(after).shots] == [2, 3]


def test_names_by_uid_without_a_suffix_are_different_photographs(ledger: Ledger) -> None:
    photograph(ledger, "1.2.840.5")
    after = photograph(ledger, "1.2.840.6", reason=Reason.BLUR)
    assert the_eye(after).reason is Reason.BLUR


def test_equal_bytes_under_the_names_of_both_eyes_are_of_no_known_eye(ledger: Ledger) -> None:
    photograph(ledger, "OD.jpg", word="the same bytes")
    ledger.admit(cases.found("OS.jpg", "the same bytes"))
    cases.execute(ledger, "UPDATE capture SET eye = 'L' WHERE path_text = 'OS.jpg'")
    exam = exam_of(ledger, "OD.jpg")
    assert [eye.eye for eye in exam.eyes] == [Eye.UNKNOWN]
    assert exam.final.referable is Referable.INDETERMINATE


def test_a_failed_photograph_leaves_no_negative_and_its_rescue_asks_for_a_reading(
    ledger: Ledger,
) -> None:
    photograph(ledger, "1.jpg", Eye.LEFT)
    photograph(ledger, "2.jpg", reason=Reason.BLUR)
    exam = photograph(ledger, "3.jpg", reason=Reason.TRUNCATED)
    after = read(ledger, exam, OVERRIDE, Eye.RIGHT, grade=Grade.NO_DR)
    assert the_eye(after).open_reason is Reason.TRUNCATED
    assert the_eye(after).final.referable is Referable.INDETERMINATE
    ledger.retry(number(ledger, "3.jpg"))
    [claim] = ledger.claim(1)
    content = replace(cases.CONTENT_OF_JPEG, patient_id="PATIENT-7", eye=Eye.RIGHT)
    ledger.record([cases.finding(claim, content)])
    rescued = exam_of(ledger, "3.jpg")
    assert the_eye(rescued).state is ReadingState.OUTDATED


def test_a_reader_may_insist_on_the_photographs_that_were_read(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg")
    seen = the_eye(exam).photographs[:8]
    assert read(ledger, exam, photographs=seen).is_reviewed
    later = photograph(ledger, "2.jpg")
    with pytest.raises(RequestError, match="other photographs by now"):
        read(ledger, later, photographs=seen)


def test_an_eye_of_which_only_the_disc_was_photographed_is_never_negative(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg", field="disc")
    after = read(ledger, exam, OVERRIDE, grade=Grade.NO_DR)
    assert the_eye(after).final.referable is Referable.INDETERMINATE
    assert the_eye(after).missing_fields == ("macula",)


def test_a_second_reader_and_an_arbiter_are_other_people(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg")
    read(ledger, exam)
    for purpose in (ReadingPurpose.SECOND, ReadingPurpose.ARBITRATION):
        with pytest.raises(RequestError, match="another reader"):
            read(ledger, exam, purpose=purpose)
    assert read(ledger, exam, by="reader 2", purpose=ReadingPurpose.SECOND).is_reviewed


@pytest.mark.parametrize("verdict", [ReviewVerdict.AGREE, ReviewVerdict.DEFER])
def test_they_are_other_people_also_after_the_photograph_was_joined_or_its_eye_corrected(
    ledger: Ledger, verdict: ReviewVerdict
) -> None:
    first = photograph(ledger, "1.dcm", study_uid="1.2.3")
    read(ledger, first, verdict)
    exam = photograph(ledger, "2.dcm", Eye.LEFT, study_uid="1.2.4")
    exam = ledger.join_exams(first.exam_id, exam.exam_id, BY)
    for purpose in (ReadingPurpose.SECOND, ReadingPurpose.ARBITRATION):
        with pytest.raises(RequestError, match="another reader"):
            read(ledger, exam, purpose=purpose)
    ledger.correct_eye(number(ledger, "1.dcm"), Eye.LEFT, BY)
    with pytest.raises(RequestError, match="another reader"):
        read(ledger, exam, eye=Eye.LEFT, purpose=ReadingPurpose.ARBITRATION)
    read(ledger, exam, eye=Eye.LEFT, by="reader 2", purpose=ReadingPurpose.ARBITRATION)


@pytest.mark.parametrize("is_taken_back", [False, True])
def test_an_arbiter_has_not_read_a_photograph_that_was_excluded_after_a_join(
    ledger: Ledger, *, is_taken_back: bool
) -> None:
    first = photograph(ledger, "1.dcm", study_uid="1.2.3")
    missed_lesion(ledger, first, Eye.RIGHT)
    if is_taken_back:
        read(ledger, first, ReviewVerdict.DEFER)
    exam = photograph(ledger, "2.dcm", study_uid="1.2.4")
    ledger.join_exams(first.exam_id, exam.exam_id, BY)
    after = ledger.exclude(number(ledger, "1.dcm"), ExclusionReason.OTHER, BY)
    final = Referable.NO if is_taken_back else Referable.YES  # by the former reading
    assert the_eye(after).final.referable is final
    with pytest.raises(RequestError, match="another reader"):
        read(ledger, exam, purpose=ReadingPurpose.ARBITRATION)


def test_c26_a_correction_applies_to_all_files_with_the_same_bytes(ledger: Ledger) -> None:
    exam = photograph(ledger, "a.jpg", word="right")
    photograph(ledger, "os.jpg", Eye.LEFT)
    ledger.admit(cases.found("copy/a2.jpg", "right"))
    parted = ledger.part_exam(number(ledger, "a.jpg"), BY)
    assert len(the_eye(parted).shots) == 2
    left = ledger.exam(exam.exam_id)
    assert left is not None
    assert left.missing == (Eye.RIGHT,)
    corrected = ledger.correct_eye(number(ledger, "copy/a2.jpg"), Eye.LEFT, BY)
    assert len(the_eye(corrected, Eye.LEFT).shots) == 2
    assert ledger.verify().problem == ""


def test_c26_also_to_those_at_paths_that_others_have_taken(ledger: Ledger) -> None:
    exam = photograph(ledger, "a.jpg", word="right")
    ledger.admit(cases.found("copy/a2.jpg", "right"))
    photograph(ledger, "a.jpg", Eye.LEFT, word="left")
    ledger.part_exam(number(ledger, "copy/a2.jpg"), BY)
    left = ledger.exam(exam.exam_id)
    assert left is not None
    assert left.missing == (Eye.RIGHT,)


def test_two_exams_of_unknown_patients_are_not_joined(ledger: Ledger) -> None:
    one = photograph(ledger, "1.jpg", patient=None)
    other = photograph(ledger, "2.jpg", Eye.LEFT, patient=None)
    with pytest.raises(RequestError, match="may be two people"):
        ledger.join_exams(one.exam_id, other.exam_id, BY)


def test_a_file_beside_one_of_another_patient_is_in_doubt_until_a_person_says(
    ledger: Ledger,
) -> None:
    photograph(ledger, "1.jpg", Eye.LEFT)
    photograph(ledger, "12.jpg")
    ledger.exclude(number(ledger, "12.jpg"), ExclusionReason.NOT_THIS_PATIENT, BY)
    twin = photograph(ledger, "12.png")
    assert the_eye(twin).reason is EyeReason.PATIENT_UNCERTAIN
    ledger.admit(cases.found("again.jpg", "12.jpg"))
    again = exam_of(ledger, "again.jpg")
    assert [shot.capture_id for shot in the_eye(again).shots] == [number(ledger, "12.png")]
    after = ledger.belongs(number(ledger, "12.png"), BY)
    assert the_eye(after).referable is Referable.NO


def test_another_exam_of_the_day_has_to_be_looked_at(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.dcm", study_uid="1.2.3")
    exam = photograph(ledger, "2.dcm", Eye.LEFT, study_uid="1.2.3")
    other = photograph(ledger, "3.dcm", logits=PDR, study_uid="1.2.4")
    read(ledger, exam)
    after = read(ledger, exam, eye=Eye.LEFT)
    assert after.final.referable is Referable.NO
    assert next_steps.steps(after) == [
        f"Look at exam {other.exam_id}, too: it is of the same patient and day."
    ]
    joined = ledger.join_exams(other.exam_id, exam.exam_id, BY)
    assert (joined.others_of_day, joined.final.referable) == ((), Referable.YES)
    with pytest.raises(RequestError, match="was joined into"):
        ledger.eye_absent(other.exam_id, Eye.LEFT, AbsenceReason.PROSTHESIS, BY)


@pytest.mark.parametrize("patient", ["PATIENT-7", None])
def test_another_exam_of_the_day_is_looked_at_where_it_was_joined_to(
    ledger: Ledger, patient: str | None
) -> None:
    days = [TODAY - timedelta(days=number) for number in range(3)]
    joined = photograph(
        ledger, "1.dcm", logits=PDR, study_uid="1.2.3", acquired_day=days[0], patient=patient
    )
    photograph(ledger, "2.dcm", study_uid="1.2.4", acquired_day=days[0])
    exam = photograph(ledger, "3.dcm", Eye.LEFT, study_uid="1.2.4", acquired_day=days[0])
    before = photograph(ledger, "4.dcm", study_uid="1.2.5", acquired_day=days[1])
    first = photograph(ledger, "5.dcm", study_uid="1.2.6", acquired_day=days[2])
    read(ledger, exam)
    assert read(ledger, exam, eye=Eye.LEFT).is_final is (patient is None)
    ledger.join_exams(joined.exam_id, before.exam_id, BY)
    ledger.join_exams(before.exam_id, first.exam_id, BY)
    after = exam_of(ledger, "3.dcm")
    assert (after.is_final, after.open_others) == (False, (first.exam_id,))
    holder = exam_of(ledger, "1.dcm")
    assert [other.exam_id for other in holder.others_of_day] == [exam.exam_id]
    with ledger.database.reading() as connection:
        assert exam.exam_id in same_day.related(connection, [before.exam_id])
    assert ledger.verify().problem == ""


def test_the_id_of_an_exam_of_an_unknown_patient_is_its_own_and_stays(ledger: Ledger) -> None:
    first = photograph(ledger, "a/1.jpg", patient=None)
    ledger.admit(cases.found("b/1.jpg", "a/1.jpg"))
    copy = exam_of(ledger, "b/1.jpg")
    assert document_ids.exam_uuid(copy) != document_ids.exam_uuid(first)
    later = photograph(ledger, "a/1.png", patient=None)
    assert later.exam_id == first.exam_id
    assert document_ids.exam_uuid(later) == document_ids.exam_uuid(first)
