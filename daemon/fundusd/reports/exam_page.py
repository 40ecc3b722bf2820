"""The A4 page that shows the result of an exam to the doctor."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fundusd.reports import exam_details, next_steps, panel, wording
from fundusd.reports.exam_details import NO_FORM
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
    draw_thumbnail,
    draw_warning,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fundusd.clinical.exam import Exam
    from fundusd.domain.inference import Release
    from fundusd.reports.exam_details import Form
    from fundusd.reports.panel import Photograph

_A4 = (595.28, 841.89)
_TITLE = "Diabetic retinopathy: result of a visit"
_DETAILS = "Diabetic retinopathy: photographs and readings"
_PRELIMINARY = "PRELIMINARY"
_DRAFT_HEIGHT = 40.0  # of a sentence without a photograph, which may take three lines


def exam_pages(
    exam: Exam,
    photographs: Mapping[int, Photograph],
    releases: Mapping[int, Release],
    form: Form = NO_FORM,
) -> list[Page]:
    """Return the pages of an exam: the result for the person and the eyes, then the details.

    `photographs` are keyed by the number of the capture, and `releases` by their number.
    """
    first = exam_page(exam, photographs, releases, form)
    return [first, *details_pages(exam, photographs, releases, form)]


def exam_page(
    exam: Exam,
    photographs: Mapping[int, Photograph],
    releases: Mapping[int, Release],
    form: Form = NO_FORM,
) -> Page:
    """Return the first page of an exam: the result for the person, then the eyes."""
    page = Page(*_A4)
    y = draw_header(page, _TITLE, exam_details.facts(exam, form))
    y = draw_warning(page, y, wording.warning(list(releases.values())))
    y = _draw_warnings(page, _draw_result(page, y, exam), exam)
    bottom = draw_footer(page, releases, exam_details.report_id(exam, form, releases)) - 14
    panels = panel.of_exam(exam, photographs)
    # their warnings and steps are drawn above, where a line is longer
    panels = [replace(drawn, warnings=(), steps=()) for drawn in panels]
    draw_panels(page, y, panels, bottom)
    if not exam.is_final:
        page.across(_PRELIMINARY)
    return page


def details_pages(
    exam: Exam,
    photographs: Mapping[int, Photograph],
    releases: Mapping[int, Release],
    form: Form,
) -> list[Page]:
    """Return the pages that list every photograph of an exam, every reading and the rest."""
    facts = exam_details.facts(exam, form)
    result = f"{wording.person(exam)}. {wording.standing(exam)}"
    report_id = exam_details.report_id(exam, form, releases)
    pages: list[Page] = []
    y = bottom = 0.0
    for photograph, texts in _details(exam, photographs, form):
        height = _DRAFT_HEIGHT
        if photograph is not None:
            height = draw_thumbnail(Page(*_A4), 0.0, photograph, texts)
        if not pages or y + height > bottom:
            page = Page(*_A4)
            y = draw_header(page, _DETAILS, facts) + 8
            y = draw_warning(page, y, wording.warning(list(releases.values())))
            y = page.paragraph(MARGIN, y + 4, page.width - 2 * MARGIN, result, 8.5, bold=True) + 4
            bottom = draw_footer(page, releases, report_id) - 14
            if not exam.is_final:
                page.across(_PRELIMINARY)
            pages.append(page)
        if photograph is not None:
            y = draw_thumbnail(pages[-1], y, photograph, texts)
        else:
            y = _draw_section(pages[-1], y, texts)
    return pages


def _details(
    exam: Exam, photographs: Mapping[int, Photograph], form: Form
) -> Iterator[tuple[Photograph | None, list[str]]]:
    """Yield the photographs with their sentences, then the sentences without a photograph."""
    for shot in exam_details.shots(exam):
        shown = photographs.get(shot.capture_id, panel.NOT_SHOWN)
        yield shown, exam_details.photograph(exam, shot)
    for sentence in (*exam_details.readings(exam), *exam_details.remarks(exam, form)):
        yield None, [sentence]


def _draw_section(page: Page, y: float, texts: list[str]) -> float:
    return draw_paragraphs(page, MARGIN, y + 9, page.width - 2 * MARGIN, texts)


def _draw_result(page: Page, y: float, exam: Exam) -> float:
    width = page.width - 2 * MARGIN
    left, right = MARGIN + 16, MARGIN + width / 2 + 10
    column = width / 2 - 26
    referable = exam.final.referable
    height = 12 + max(_height_of_result(exam, column), _height_of_steps(exam, column))
    page.box(MARGIN, y, width, height, TINTS[referable])
    page.box(MARGIN, y, 5, height, COLOURS[referable])
    draw_label(page, left, y + 15, "Result for the person, by the worse eye")
    baseline = page.paragraph(
        left, y + 31, column, wording.person(exam), 12, bold=True, colour=COLOURS[referable]
    )
    worst = f"Worst grade seen: {wording.worst_grade(exam)}"
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
