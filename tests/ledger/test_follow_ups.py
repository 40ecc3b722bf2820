"""Follow-ups, and readings of what had failed, stay with their photographs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests import ledger_cases as cases
from tests.ledger.test_readings import rows
from tests.reading_cases import BY, exam_of, number, photograph, read, the_eye

from fundusd.clinical.path_rules import Naming
from fundusd.domain.clinical_terms import Eye, Reason, Referable, ReviewVerdict
from fundusd.domain.readings import ExclusionReason, FollowUpKind, OtherLesion
from fundusd.ledger import Ledger

if TYPE_CHECKING:
    from fundusd.clinical.exam import Exam

RIGHT, LEFT, UNKNOWN = Eye.RIGHT, Eye.LEFT, Eye.UNKNOWN


def ungradable(ledger: Ledger, name: str, eye: Eye) -> Exam:
    """Record a photograph of an eye, and a reader who wants the eye to be seen by a specialist."""
    exam = photograph(ledger, name, eye)
    return read(ledger, exam, ReviewVerdict.UNGRADABLE, eye, follow_up=FollowUpKind.REFERRAL)


def places(ledger: Ledger) -> list[tuple[int, str]]:
    return [(row["exam_id"], row["eye"]) for row in rows(ledger, "v_follow_up")]


def test_c6_a_corrected_eye_takes_no_follow_up_of_the_other(ledger: Ledger) -> None:
    exam = ungradable(ledger, "1.jpg", RIGHT)
    photograph(ledger, "3.jpg", UNKNOWN)
    ledger.exclude(number(ledger, "1.jpg"), ExclusionReason.RETAKEN, BY)
    ledger.correct_eye(number(ledger, "3.jpg"), LEFT, BY)
    assert places(ledger) == [(exam.exam_id, RIGHT)]


def test_c6_nor_one_that_is_of_an_excluded_photograph(ledger: Ledger) -> None:
    exam = ungradable(ledger, "1.jpg", RIGHT)
    photograph(ledger, "3.jpg")
    ledger.exclude(number(ledger, "1.jpg"), ExclusionReason.RETAKEN, BY)
    ledger.correct_eye(number(ledger, "3.jpg"), LEFT, BY)
    assert places(ledger) == [(exam.exam_id, RIGHT)]


@pytest.mark.parametrize("eye", [UNKNOWN, RIGHT])
def test_c6_a_follow_up_goes_along_with_the_only_photograph_of_its_eye(
    ledger: Ledger, eye: Eye
) -> None:
    exam = ungradable(ledger, "1.jpg", eye)
    ledger.correct_eye(number(ledger, "1.jpg"), LEFT, BY)
    assert places(ledger) == [(exam.exam_id, LEFT)]


def test_c6_a_follow_up_stays_with_the_other_photographs_of_its_eye(ledger: Ledger) -> None:
    photograph(ledger, "2.jpg")
    exam = ungradable(ledger, "1.jpg", RIGHT)
    ledger.correct_eye(number(ledger, "1.jpg"), LEFT, BY)
    assert places(ledger) == [(exam.exam_id, RIGHT)]


def test_v18_a_follow_up_goes_along_when_its_only_photograph_is_parted(ledger: Ledger) -> None:
    photograph(ledger, "2.jpg", LEFT)
    exam = ungradable(ledger, "1.jpg", RIGHT)
    parted = ledger.part_exam(number(ledger, "1.jpg"), BY)
    assert places(ledger) == [(parted.exam_id, RIGHT)]
    assert parted.exam_id != exam.exam_id
    assert [followed.eye for followed in parted.follow_ups] == [RIGHT]
    assert ledger.verify().problem == ""


def test_v18_and_when_its_file_is_renamed_to_another_patient(store_url: str) -> None:
    naming = {cases.CAMERA: Naming.of("generic", r"(?P<patient>P\d)_(?P<eye>OD|OS)")}
    ledger = Ledger(store_url, site_key=cases.SITE_KEY, naming=naming)
    ledger.start(cases.release())
    ledger.register_camera(cases.CAMERA)
    photograph(ledger, "P1_OS.jpg", UNKNOWN, patient=None)
    exam = photograph(ledger, "P1_OD.jpg", UNKNOWN, patient=None)
    read(ledger, exam, ReviewVerdict.UNGRADABLE, follow_up=FollowUpKind.REFERRAL)
    stat = cases.found("P1_OD.jpg", "P1_OD.jpg").stat
    ledger.mark_missing(cases.CAMERA, [b"P1_OD.jpg"])
    ledger.admit(cases.found("P2_OD.jpg", "P1_OD.jpg", inode=stat.inode, mtime_ns=stat.mtime_ns))
    other = exam_of(ledger, "P2_OD.jpg")
    assert other.exam_id != exam.exam_id
    assert places(ledger) == [(other.exam_id, RIGHT)]
    assert [followed.eye for followed in other.follow_ups] == [RIGHT]
    assert ledger.verify().problem == ""
    ledger.close()


def with_lesion(ledger: Ledger) -> Exam:
    """Record a photograph that fails, and a reader who has seen a lesion at the slit lamp."""
    exam = photograph(ledger, "1.dcm", reason=Reason.TRUNCATED, study_uid="1.2.3")
    return read(ledger, exam, ReviewVerdict.UNGRADABLE, lesion=OtherLesion.AMD)


def rescued(ledger: Ledger) -> None:
    ledger.retry(number(ledger, "1.dcm"))
    [claim] = ledger.claim(1)
    ledger.record([cases.finding(claim, cases.CONTENT_OF_JPEG, (5.0, 0.0, 0.0, 0.0, 0.0))])


def test_c20_a_reading_of_a_failed_photograph_follows_it_to_the_corrected_eye(
    ledger: Ledger,
) -> None:
    exam = with_lesion(ledger)
    assert exam.final.referable is Referable.YES
    after = ledger.correct_eye(number(ledger, "1.dcm"), LEFT, BY)
    assert the_eye(after, LEFT).final.referable is Referable.YES
    rescued(ledger)
    later = ledger.exam(exam.exam_id)
    assert later is not None
    assert the_eye(later, LEFT).final.referable is Referable.YES
    assert ("L", "read_again") in [
        (row["eye"], row["waits_for"]) for row in rows(ledger, "v_worklist")
    ]


def test_c20_and_into_another_exam(ledger: Ledger) -> None:
    exam = with_lesion(ledger)
    other = photograph(ledger, "2.dcm", LEFT, study_uid="1.2.4")
    after = ledger.join_exams(exam.exam_id, other.exam_id, BY)
    assert after.final.referable is Referable.YES
    assert ledger.verify().problem == ""
