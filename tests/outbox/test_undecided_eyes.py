"""What documents say of eyes about which nobody has decided, or which are said to be absent."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from tests.exam_cases import read, reading
from tests.outbox import document_cases as cases
from tests.outbox.test_csv_export import lines
from tests.outbox.test_fhir import components, observations, report, value

from fundusd.clinical.exam import Absence
from fundusd.domain.clinical_terms import SAFETY_WORDS, Eye, Grade, Referable, ReviewVerdict
from fundusd.domain.readings import AbsenceReason, OtherLesion
from fundusd.outbox import document_ids, eye_values

if TYPE_CHECKING:
    from fundusd.clinical.exam import Exam
    from fundusd.clinical.eye_result import EyeResult

AGREE = ReviewVerdict.AGREE
NEGATIVE: dict[str, Any] = {"grade": Grade.NO_DR, "referable": Referable.NO}
RIGHT = cases.shot(Eye.RIGHT, digest="1" * 64, **NEGATIVE)
LEFT = cases.shot(Eye.LEFT, digest="2" * 64, capture_id=2, stem="L", **NEGATIVE)
LATER = cases.shot(Eye.RIGHT, digest="3" * 64, capture_id=3, stem="R2", **NEGATIVE)
NO_VIEW = Absence(Eye.LEFT, AbsenceReason.NO_VIEW, date(2026, 12, 31))
SENTENCE = "left eye (OS): not judged: no view, until 31 December 2026"


def outdated(right: EyeResult, grade: Grade = Grade.NO_DR, **findings: Any) -> EyeResult:
    """Return an eye with a reading that was given of other photographs."""
    return right.with_readings([reading(AGREE, grade, **findings)])


def with_right(exam: Exam, right: EyeResult) -> Exam:
    return replace(exam, eyes=(right, *exam.eyes[1:]))


def test_c13_an_eye_to_be_read_again_has_no_scores_and_no_negative_referral() -> None:
    exam = cases.exam(RIGHT, LATER, LEFT)
    exam = with_right(exam, outdated(exam.eyes[0]))
    stated = components(observations(exam)["model R"])
    assert not {"referable", "score-0"} & stated.keys()
    assert value(observations(exam)["model R"]) == ["model-grade-0"]  # under a code of its own
    row, other = lines(exam)
    assert (row["model_grade"], row["model_referable"], row["score_0"]) == ("0", "", "")
    assert (row["grade"], row["referable"]) == ("", "indeterminate")
    assert other["score_0"]
    assert "according to the model" not in report(exam)["conclusion"]


def test_v3_of_an_earlier_reading_only_a_grade_that_refers_is_stated() -> None:
    exam = cases.exam(RIGHT, LATER, LEFT)
    lesion: dict[str, Any] = {"referable": Referable.YES, "lesion": OtherLesion.RETINAL_DETACHMENT}
    lesion["is_for_retinopathy"] = False
    mild = outdated(exam.eyes[0], Grade.MILD, **lesion)
    assert eye_values.reader_grade(mild) is None
    assert "retinal detachment" in eye_values.in_words(mild).lower()
    severe = reading(ReviewVerdict.OVERRIDE, Grade.SEVERE, is_for_retinopathy=True)
    assert eye_values.reader_grade(exam.eyes[0].with_readings([severe])) is Grade.SEVERE


def test_v4_a_disc_that_was_read_leaves_the_exam_open_and_says_which_field_is_missing() -> None:
    right = replace(RIGHT, field="disc")
    exam = cases.exam(right, LEFT)
    [eye, left] = exam.eyes
    agreed = reading(ReviewVerdict.OVERRIDE, Grade.NO_DR)
    exam = replace(exam, eyes=(read(eye, agreed), read(left, reading(AGREE, Grade.NO_DR))))
    conclusion = report(exam)["conclusion"]
    missing = "the macula of this eye was not photographed"
    assert conclusion.startswith(f"Not final: right eye (OD): {missing}.")
    assert f"right eye (OD): no grade, {missing} (a person has read what was" in conclusion


def test_v13_what_is_not_final_after_a_closed_follow_up_says_why() -> None:
    exam = cases.exam(RIGHT, LEFT)
    right, left = exam.eyes
    asks = reading(ReviewVerdict.RETAKE)
    exam = replace(exam, eyes=(read(right, asks), read(left, reading(AGREE, Grade.NO_DR))))
    assert report(exam)["conclusion"].startswith(
        "Not final: right eye (OD): a reader asks for another photograph."
    )


@pytest.mark.parametrize("is_read", [False, True])
def test_v2_an_eye_that_was_not_judged_reads_as_such(is_read: bool) -> None:
    exam = cases.exam(RIGHT, LEFT)
    if is_read:
        exam = replace(
            exam, eyes=tuple(read(eye, reading(AGREE, Grade.NO_DR)) for eye in exam.eyes)
        )
    exam = exam.with_corrections([NO_VIEW], [])
    assert SENTENCE in report(exam)["conclusion"]
    made = observations(exam)
    for observation in (made[name] for name in made if name.endswith("L")):
        assert f"A person has said: {SENTENCE}." in [note["text"] for note in observation["note"]]
        assert "LA18643-9" not in str(observation)
    assert not {"referable", "score-0"} & components(made["model L"]).keys()
    _, row = lines(exam)
    stated = (row["eye"], row["outcome"], row["reason"], row["referable"], row["action"])
    assert stated == ("L", "absent", "no_view", "indeterminate", "refer_reader")
    assert not any(row[name] for name in ("grade", "model_grade", "score_0", "verdict"))
    assert row["note"].startswith(SENTENCE)


def test_v2_a_prosthesis_is_absent() -> None:
    absent = Absence(Eye.LEFT, AbsenceReason.PROSTHESIS)
    exam = cases.exam(RIGHT).with_corrections([absent], [])
    assert "left eye (OS): absent: prosthesis" in report(exam)["conclusion"]
    _, row = lines(exam)
    assert (row["outcome"], row["reason"], row["action"]) == ("absent", "prosthesis", "none")


def test_a_prosthesis_that_was_photographed_has_to_be_looked_at() -> None:
    absent = Absence(Eye.LEFT, AbsenceReason.PROSTHESIS)
    exam = cases.exam(RIGHT, LEFT).with_corrections([absent], [])
    assert exam.impossible == (Eye.LEFT,)
    _, row = lines(exam)
    stated = (row["outcome"], row["reason"], row["referable"], row["action"])
    assert stated == ("absent", "prosthesis", "indeterminate", "refer_reader")
    remark = "left eye (OS): absent: prosthesis. Photographed, but said to be absent."
    assert row["note"] == f"{remark} {SAFETY_WORDS}"


def test_c23_the_file_of_an_exam_that_was_joined_away_asks_for_nothing() -> None:
    exam = replace(cases.exam(RIGHT), eyes=(), joined_into=1)
    assert lines(exam) == []


def test_v2_a_report_of_an_eye_that_is_said_to_be_absent_is_another_report() -> None:
    before = cases.exam(RIGHT, LEFT)
    after = before.with_corrections([NO_VIEW], [])
    release = cases.RELEASES[1]
    assert document_ids.verdict_digest(before, before.eyes[1], release) != (
        document_ids.verdict_digest(after, after.eyes[1], release)
    )
    assert f"A person has said: {SENTENCE}." in eye_values.remarks(after, after.eyes[1])
    assert eye_values.remarks(after, after.eyes[0]) == []


def test_an_answered_warning_makes_another_report() -> None:
    warned = replace(RIGHT, warnings=("eye_contradicted",))
    before = cases.exam(warned, LEFT)
    after = cases.exam(replace(warned, is_eye_said=True), LEFT)
    release = cases.RELEASES[1]
    digests = {document_ids.verdict_digest(exam, exam.eyes[0], release) for exam in (before, after)}
    assert len(digests) == 2
