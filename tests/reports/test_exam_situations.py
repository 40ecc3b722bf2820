"""Reports of the situations that a reader meets: what they say, and that everything is on them.

Set FUNDUSD_PAGES to a folder to look at them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from pypdf import PdfReader
from tests import imaging_cases
from tests.exam_cases import read, reading
from tests.reports.test_pages import PHANTOM, shot

from fundusd.clinical.exam import Exam, FollowUp
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
from fundusd.domain.readings import FollowUpKind, OtherLesion, ReadingPurpose
from fundusd.reports import exam_details, next_steps, wording
from fundusd.reports.exam_details import Form
from fundusd.reports.exam_page import exam_pages
from fundusd.reports.page import save_pages
from fundusd.reports.panel import Photograph

FORM = Form("Eye clinic", "Screening office, extension 4711", {Grade.NO_DR: 24})
AT = datetime(2026, 11, 3, 9, 30, tzinfo=UTC)
RETINA = imaging_cases.retina(448, 448)
AGREE, OVERRIDE = ReviewVerdict.AGREE, ReviewVerdict.OVERRIDE
RIGHT = shot(1, Eye.RIGHT, Grade.NO_DR, field="macula", acquired_at=AT)
LEFT = shot(2, Eye.LEFT, Grade.NO_DR, field="macula", acquired_day=date(2026, 11, 3))


def exam(*shots: Shot, **changes: object) -> Exam:
    eyes = judge(shots)
    made = Exam(12, date(2026, 11, 3), "ab" * 32, "PATIENT-7", None, tuple(eyes))
    made = replace(made, others=files_of_no_eye(shots, eyes))
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
FOLLOW_UP = FollowUp(3, Eye.RIGHT, FollowUpKind.SLIT_LAMP, AT)
SITUATIONS = {
    "decided": (all_read(exam(RIGHT, LEFT)), ["No referable diabetic retinopathy", "24 months"]),
    "undecided_by_a_field": (
        exam(BLURRED, replace(RIGHT, capture_id=3, stem="3", field="disc"), LEFT),
        ["Undecided: referable", "Ungradable: too dark", "optic disc", "No result for this eye"],
    ),
    "refused_shot": (exam(replace(RIGHT, field=None), REFUSED, LEFT), ["no colour retina"]),
    "absent_eye": (
        all_read(exam(LEFT, absent=(Eye.RIGHT,))),
        ["Right eye (OD): a person has said that it is absent."],
    ),
    "arbitration": (of_right(exam(RIGHT, LEFT), differ), ["readers differ", "Dr Lind", "second"]),
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
        ["Of other photographs or another result", "Have a reader read the right eye again"],
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_report_says_what_is_known_and_shows_every_photograph(tmp_path: Path, name: str) -> None:
    visit, parts = SITUATIONS[name]
    folder = Path(os.environ.get("FUNDUSD_PAGES", tmp_path))
    photographs = {
        made.capture_id: Photograph(RETINA, "As the model saw it.")
        for made in exam_details.shots(visit)
        if made.outcome is not Outcome.REFUSED
    }
    save_pages(exam_pages(visit, photographs, {1: PHANTOM}, FORM), folder / f"{name}.pdf")
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


def _always(visit: Exam) -> list[str]:
    return [wording.standing(visit), f"Report {exam_details.report_id(visit, FORM)}"]


def test_every_undecided_situation_says_what_to_do_next() -> None:
    for visit, _ in SITUATIONS.values():
        assert next_steps.steps(visit)


def test_the_id_of_a_report_changes_with_what_it_says() -> None:
    ids = [exam_details.report_id(visit, FORM) for visit, _ in SITUATIONS.values()]
    assert len(set(ids)) == len(ids)
    assert ids[0] == exam_details.report_id(SITUATIONS["decided"][0], FORM)


def test_the_same_report_is_the_same_file(tmp_path: Path) -> None:
    visit = SITUATIONS["arbitration"][0]
    files = []
    for name in ("a.pdf", "b.pdf"):
        save_pages(exam_pages(visit, {}, {1: PHANTOM}, FORM), tmp_path / name)
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]
