"""The A4 page that shows the result of an exam to the doctor."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import Eye
from fundusd.reports import next_steps, panel, wording
from fundusd.reports.page import Page, wrapped
from fundusd.reports.page_parts import (
    COLOURS,
    MARGIN,
    TINTS,
    draw_footer,
    draw_header,
    draw_label,
    draw_panels,
    draw_paragraphs,
    draw_warning,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fundusd.clinical.exam import Exam
    from fundusd.domain.inference import Release
    from fundusd.reports.panel import Panel, Photograph

_A4 = (595.28, 841.89)


def exam_page(
    exam: Exam, photographs: Mapping[int, Photograph], releases: Mapping[int, Release]
) -> Page:
    """Return the page of an exam: first the result for the person, then the eyes.

    `photographs` show the decisive captures and are keyed by the number of the capture. `releases`
    are keyed by number.
    """
    page = Page(*_A4)
    y = draw_header(page, "Diabetic retinopathy: result of a visit", wording.facts(exam))
    y = draw_warning(page, y, wording.warning(list(releases.values())))
    y = _draw_warnings(page, _draw_result(page, y, exam), exam)
    bottom = draw_footer(page, releases) - 10
    draw_panels(page, y, list(_panels(exam, photographs)), bottom)
    return page


def _panels(exam: Exam, photographs: Mapping[int, Photograph]) -> Iterator[Panel]:
    by_eye = {result.eye: result for result in exam.eyes}
    for eye in (Eye.RIGHT, Eye.LEFT, Eye.UNKNOWN):
        if eye in by_eye:
            drawn = panel.of_eye(by_eye[eye], photographs[by_eye[eye].decisive.capture_id])
            yield replace(drawn, warnings=())  # drawn above, where a line is longer
        elif eye is not Eye.UNKNOWN:
            yield panel.missing(eye)


def _draw_result(page: Page, y: float, exam: Exam) -> float:
    width = page.width - 2 * MARGIN
    left, right = MARGIN + 16, MARGIN + width / 2 + 10
    column = width / 2 - 26
    grade, referable = exam.final.grade, exam.final.referable
    height = 12 + max(_height_of_result(exam, column), _height_of_steps(exam, column))
    page.box(MARGIN, y, width, height, TINTS[referable])
    page.box(MARGIN, y, 5, height, COLOURS[referable])
    draw_label(page, left, y + 15, "Result for the person, by the worse eye")
    baseline = page.paragraph(
        left, y + 31, column, wording.person(exam), 12, bold=True, colour=COLOURS[referable]
    )
    worst = f"Worst grade seen: {wording.grade_name(grade)}"
    baseline = page.paragraph(left, baseline - 2, column, worst, 8.5)
    page.paragraph(left, baseline, column, wording.standing(exam), 8, bold=True)
    draw_label(page, right, y + 15, "What to do next")
    draw_paragraphs(page, right, y + 28, column, next_steps.steps(exam))
    return y + height + 16


def _draw_warnings(page: Page, y: float, exam: Exam) -> float:
    text = wording.warnings_of_exam(exam)
    if not text:
        return y
    width = page.width - 2 * MARGIN
    return page.paragraph(MARGIN, y, width, f"Warning. {text}", 7.5, bold=True) + 2


def _height_of_result(exam: Exam, column: float) -> float:
    heading = wrapped(wording.person(exam), column, 12, bold=True)
    standing = wrapped(wording.standing(exam), column, 8, bold=True)
    return len(heading) * 16.6 + 30 + 11 * len(standing)


def _height_of_steps(exam: Exam, column: float) -> float:
    height = 17
    for step in next_steps.steps(exam):
        height += 11 * len(wrapped(step, column, 8)) + 2
    return height
