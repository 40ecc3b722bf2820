"""Reports of the situations that a reader meets: what they say, and that everything is on them.

Set FUNDUSD_PAGES to a folder to look at them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from pypdf import PdfReader
from tests import imaging_cases
from tests.exam_cases import read, reading
from tests.reports.test_pages import PHANTOM, shot

from fundusd.clinical.exam import Absence, Exam, FollowUp
from fundusd.clinical.judgement import files_of_no_eye, judge
from fundusd.clinical.shot import Shot
from fundusd.domain.clinical_terms import (
    SAFETY_WORDS,
    Eye,
    Grade,
    Outcome,
    Reason,
    Referable,
    ReviewVerdict,
)
from fundusd.domain.exams import DayDoubt
from fundusd.domain.readings import AbsenceReason, FollowUpKind, OtherLesion, ReadingPurpose
from fundusd.reports import exam_details, next_steps, panel, wording
from fundusd.reports.exam_details import Form
from fundusd.reports.exam_page import exam_pages
from fundusd.reports.page import Page, save_pages
from fundusd.reports.panel import Photograph

FORM = Form("Eye clinic", "Screening office, extension 4711", {Grade.NO_DR: 24})
AT = datetime(2026, 11, 3, 9, 30, tzinfo=UTC)
RELEASES = {1: PHANTOM}
RETINA = imaging_cases.retina(448, 448)
AGREE, OVERRIDE = ReviewVerdict.AGREE, ReviewVerdict.OVERRIDE
RIGHT = shot(1, Eye.RIGHT, Grade.NO_DR, field="macula", acquired_at=AT)
LEFT = shot(2, Eye.LEFT, Grade.NO_DR, field="macula", acquired_day=date(2026, 11, 3))


def exam(
    *shots: Shot,
    expected: Sequence[str] = (),
    absences: Sequence[Absence] = (),
    follow_ups: Sequence[FollowUp] = (),
    **changes: object,
) -> Exam:
    eyes = judge(shots, expected)
    made = Exam(12, date(2026, 11, 3), "ab" * 32, "PATIENT-7", None, tuple(eyes))
    made = replace(made, others=files_of_no_eye(shots, eyes))
    made = made.with_corrections(absences, follow_ups)
    return replace(made, **changes)  # type: ignore[arg-type]  # by name


def of_right(visit: Exam, change: Callable[..., object]) -> Exam:
    """Return an exam with its right eye changed."""
    right, *others = visit.eyes
    return replace(visit, eyes=(change(right), *others))  # type: ignore[arg-type]


def all_read(visit: Exam) -> Exam:
    agreed = [read(eye, reading(AGREE, eye.grade)) for eye in visit.eyes]
    return replace(visit, eyes=tuple(agreed))


def differ(right: object) -> object:
    return read(
        right,  # type: ignore[arg-type]
        reading(AGREE, Grade.NO_DR),
        reading(OVERRIDE, Grade.SEVERE, reviewer="Dr Lind", purpose=ReadingPurpose.SECOND),
    )


def asks(verdict: ReviewVerdict) -> Callable[[object], object]:
    """Return a change by which a reader cannot grade an eye that the model has graded."""
    return lambda right: read(right, reading(verdict))  # type: ignore[arg-type]


def former(right: object) -> object:
    old = reading(OVERRIDE, Grade.NO_DR)
    return right.with_readings([old])  # type: ignore[attr-defined]


def with_lesion(right: object) -> object:
    lesion = reading(
        AGREE,
        Grade.NO_DR,
        referable=Referable.YES,
        lesion=OtherLesion.GLAUCOMA_SUSPECT,
        is_for_retinopathy=False,
    )
    return read(right, lesion)  # type: ignore[arg-type]


BLURRED = shot(1, Eye.RIGHT, None, field="macula", acquired_at=AT)
REFUSED = shot(
    4, Eye.RIGHT, None, outcome=Outcome.REFUSED, reason=Reason.NOT_RETINA, field="macula"
)
RED_FREE = shot(
    5, Eye.RIGHT, None, outcome=Outcome.REFUSED, reason=Reason.REDFREE_OR_FA, field="macula"
)
FAILED = shot(6, Eye.LEFT, None, outcome=Outcome.FAILED, reason=Reason.TRUNCATED)
UNKNOWN = shot(7, Eye.UNKNOWN, Grade.MILD)
NO_RIGHT_EYE = Absence(Eye.RIGHT, AbsenceReason.PROSTHESIS)
NO_LEFT_EYE = Absence(Eye.LEFT, AbsenceReason.NO_VIEW, date(2027, 6, 30))
FOLLOW_UP = FollowUp(3, Eye.RIGHT, FollowUpKind.SLIT_LAMP, AT)
SITUATIONS = {
    "decided": (all_read(exam(RIGHT, LEFT)), ["No referable diabetic retinopathy", "24 months"]),
    "undecided_by_a_field": (
        exam(BLURRED, shot(3, Eye.RIGHT, Grade.NO_DR, field="disc"), LEFT),
        ["Undecided: referable", "Ungradable: too dark", "optic disc", "No result for this eye"],
    ),
    "refused_shot": (exam(replace(RIGHT, field=None), REFUSED, LEFT), ["no colour retina"]),
    "absent_eye": (
        all_read(exam(LEFT, absences=(NO_RIGHT_EYE,))),
        ["A person has said that the right eye is absent: prosthesis, for good.", "TO BE ABSENT"],
    ),
    "no_eyes": (
        exam(LEFT, absences=(NO_RIGHT_EYE, NO_LEFT_EYE)),
        ["the left eye is absent: no view, until 30 June 2027", "Check which eyes the patient"],
    ),
    "arbitration": (
        of_right(exam(RIGHT, LEFT), differ),
        ["readers differ", "Dr Lind", "second", "specialist, unless a reader decides otherwise."],
    ),
    "field_missing": (
        exam(RIGHT, replace(LEFT, grade=Grade.MILD), expected=("macula", "disc")),
        [
            "Not enough for a result: no photograph is known to show the disc",
            "Worst grade seen: Mild DR",
            "Photograph the disc of the right eye (not seen yet).",
        ],
    ),
    "files_that_do_not_count": (
        exam(RIGHT, RED_FREE, FAILED, UNKNOWN, replace(LEFT, is_excluded=True)),
        [
            "Capture 5: Right eye (OD), macula.",
            f"Failed: {Reason.TRUNCATED.wording}",
            "Excluded by a person, so it counts for no eye.",
            "Contact IT about the photograph of the left eye",
            "Find out which eye capture 7 shows",
        ],
    ),
    "asks_for_a_retake": (
        of_right(exam(RIGHT, LEFT), asks(ReviewVerdict.RETAKE)),
        ["Graded, but not enough for a result: a reader asks for another photograph"],
    ),
    "cannot_be_graded": (
        of_right(exam(RIGHT, LEFT), asks(ReviewVerdict.UNGRADABLE)),
        ["Graded, but not enough for a result: a reader cannot grade the eye"],
    ),
    "follow_up_open": (
        all_read(exam(RIGHT, LEFT, follow_ups=(FOLLOW_UP,))),
        ["a follow-up is open", "slit lamp (follow-up 3, open since 3 November 2026)"],
    ),
    "other_lesion": (
        of_right(all_read(exam(RIGHT, LEFT)), with_lesion),
        ["Referable: another lesion (glaucoma suspect)", "another lesion, glaucoma suspect"],
    ),
    "amended": (
        of_right(exam(RIGHT, LEFT), former),
        [
            "Of other photographs or another result",
            "Have a reader read the right eye again",
            "Graded, but not enough for a result: the photographs or the model's result have",
        ],
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_report_says_what_is_known_and_shows_every_photograph(tmp_path: Path, name: str) -> None:
    visit, parts = SITUATIONS[name]
    folder = Path(os.environ.get("FUNDUSD_PAGES", tmp_path))
    photographs = pictures(visit)
    save_pages(exam_pages(visit, photographs, RELEASES, FORM), folder / f"{name}.pdf")
    pages = PdfReader(folder / f"{name}.pdf").pages
    words = " ".join(" ".join(page.extract_text() for page in pages).split())
    for part in [*parts, wording.person(visit), "Eye clinic", "Screening office", *_always(visit)]:
        assert part in words, part
    assert words.count(SAFETY_WORDS) == 2 * len(pages)
    assert words.count("The scores are not MedSigLIP's") == len(pages)
    assert ("PRELIMINARY" in words) is not visit.is_final
    for made in exam_details.shots(visit):
        assert f"Capture {made.capture_id}:" in words
    assert ("Nothing beyond" in words) is (name in {"decided", "absent_eye"})
    for page in pages[1:]:
        assert wording.standing(visit) in " ".join(page.extract_text().split())


@pytest.mark.parametrize("name", SITUATIONS)
def test_a1_an_undecided_eye_is_not_good_enough_and_shows_no_scores(name: str) -> None:
    visit, _ = SITUATIONS[name]
    drawn = {made.heading: made for made in panel.of_exam(visit, {})}
    for eye in visit.eyes:
        of_eye = drawn[wording.EYES[eye.eye]]
        is_undecided = eye.final.referable is Referable.INDETERMINATE
        assert (of_eye.scores is None) is (is_undecided or eye not in visit.counting)
        assert (of_eye.quality == "Good enough to grade") is not is_undecided


@pytest.mark.parametrize("name", SITUATIONS)
def test_every_photograph_stands_in_its_own_place(name: str) -> None:
    visit, _ = SITUATIONS[name]
    pages = exam_pages(visit, pictures(visit), RELEASES, FORM)
    first, *details = [drawn_captures(page) for page in pages]
    assert first == [eye.decisive.capture_id for eye in visit.eyes if is_shown(eye.decisive)]
    listed = [made.capture_id for made in exam_details.shots(visit) if is_shown(made)]
    assert [number for page in details for number in page] == listed


def is_shown(made: Shot) -> bool:
    return made.outcome in {Outcome.GRADED, Outcome.UNGRADABLE}


def pictures(visit: Exam) -> dict[int, Photograph]:
    """Return a photograph for each capture that can be decoded, as bright as its number says."""
    shown = {}
    for made in exam_details.shots(visit):
        if is_shown(made):
            pixels = np.full_like(RETINA, 25 * made.capture_id)
            pixels[::7] = RETINA[::7]  # so that it can be looked at
            shown[made.capture_id] = Photograph(pixels, "As the model saw it.")
    return shown


def drawn_captures(page: Page) -> list[int]:
    """Return the numbers of the captures whose photographs stand on a page, in their order."""
    images = [image.get_array() for image in page.figure.axes[0].images]
    return [round(float(np.median(np.asarray(image))) / 25) for image in images]


def _always(visit: Exam) -> list[str]:
    worst = f"Worst grade seen: {wording.worst_grade(visit)}"
    return [
        wording.standing(visit),
        worst,
        f"Report {exam_details.report_id(visit, FORM, RELEASES)}",
    ]


def test_every_undecided_situation_says_what_to_do_next() -> None:
    for visit, _ in SITUATIONS.values():
        assert next_steps.steps(visit)


def test_the_id_of_a_report_changes_with_what_it_says() -> None:
    ids = [exam_details.report_id(visit, FORM, RELEASES) for visit, _ in SITUATIONS.values()]
    assert len(set(ids)) == len(ids)
    assert ids[0] == exam_details.report_id(SITUATIONS["decided"][0], FORM, RELEASES)


def test_the_id_of_a_report_changes_with_each_thing_that_it_shows() -> None:
    visit = SITUATIONS["decided"][0]
    rescored = replace(RIGHT, scores=(0.6, 0.1, 0.1, 0.1, 0.1))
    other_scores = replace(visit, eyes=(replace(visit.eyes[0], decisive=rescored), *visit.eyes[1:]))
    variants = [
        (visit, FORM, RELEASES),
        (replace(visit, day=date(2026, 11, 4)), FORM, RELEASES),
        (replace(visit, day_doubt=DayDoubt.RECEIVED), FORM, RELEASES),
        (replace(visit, patient_id="PATIENT-8"), FORM, RELEASES),
        (other_scores, FORM, RELEASES),
        (visit, replace(FORM, site="Other clinic"), RELEASES),
        (visit, replace(FORM, contact="Other office"), RELEASES),
        (visit, replace(FORM, recall_months={}), RELEASES),
        (visit, FORM, {1: replace(PHANTOM, revision="another")}),
    ]
    ids = [exam_details.report_id(*variant) for variant in variants]
    assert len(set(ids)) == len(ids)


def test_no_step_is_said_twice() -> None:
    retake = FollowUp(4, Eye.RIGHT, FollowUpKind.RETAKE, AT)
    visit = of_right(exam(RIGHT, LEFT), asks(ReviewVerdict.RETAKE))
    [step] = next_steps.steps(visit)
    assert (
        step == "Take the photograph of the right eye again: a reader asks for another photograph."
    )
    [step] = next_steps.steps(visit.with_corrections((), (retake,)))
    assert step.startswith("Take the photograph of the right eye again (follow-up 4, open since")


def test_a9_one_confirmed_eye_is_enough_to_refer() -> None:
    visit = exam(
        replace(RIGHT, grade=Grade.PDR, referable=Referable.YES),
        replace(LEFT, grade=Grade.SEVERE, referable=Referable.YES),
    )
    assert next_steps.steps(visit) == [next_steps.READ_FIRST]
    confirmed = of_right(visit, lambda right: read(right, reading(AGREE, Grade.PDR)))
    assert wording.person(confirmed) == "Referable diabetic retinopathy"
    assert next_steps.steps(confirmed) == [next_steps.REFER]
    assert wording.standing(confirmed).startswith("Preliminary")


def test_an_eye_that_nobody_could_judge_leaves_more_to_do_than_one_that_is_no_more() -> None:
    without = all_read(exam(LEFT, absences=(NO_RIGHT_EYE,)))
    assert next_steps.steps(without) == ["Nothing beyond the clinic's usual screening interval."]
    not_seen = Absence(Eye.RIGHT, AbsenceReason.NO_VIEW, date(2027, 6, 30))
    [step] = next_steps.steps(all_read(exam(LEFT, absences=(not_seen,))))
    assert step.startswith("Have the right eye examined in another way: it was not judged")
    assert step.endswith("(no view, until 30 June 2027).")


def test_a_question_that_a_person_has_answered_is_no_warning_any_more() -> None:
    doubted = replace(RIGHT, warnings=("eye_contradicted", "patient_conflict"))
    [warned] = exam(doubted).eyes
    assert len(wording.warnings_of_eye(warned)) == 2
    answered = exam(replace(doubted, is_eye_said=True, is_patient_said=True))
    assert wording.warnings_of_eye(answered.eyes[0]) == []
    assert "A person has said which eye it shows." in exam_details.photograph(
        answered, exam_details.shots(answered)[0]
    )


def test_readers_stand_on_pages_and_in_documents_with_their_names() -> None:
    visit = all_read(exam(RIGHT, LEFT)).with_reader_names({"Dr Okafor": "Dr Ada Okafor"})
    assert all("Dr Ada Okafor, doctor" in sentence for sentence in exam_details.readings(visit))


def test_the_same_report_is_the_same_file(tmp_path: Path) -> None:
    visit = SITUATIONS["arbitration"][0]
    files = []
    for name in ("a.pdf", "b.pdf"):
        save_pages(exam_pages(visit, {}, RELEASES, FORM), tmp_path / name)
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]
