"""A visit on one page of A4, for the doctor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import Eye
from fundusd.reports import panel, wording
from fundusd.reports.page import Sheet, broken
from fundusd.reports.page_parts import (
    COLOURS,
    MARGIN,
    TINTS,
    draw_footer,
    draw_header,
    draw_panels,
    draw_warning,
    label,
    paragraphs,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fundusd.clinical.exam import Exam
    from fundusd.domain.inference import Release
    from fundusd.reports.panel import Photograph

_A4 = (595.28, 841.89)


def exam_page(
    exam: Exam, photographs: Mapping[int, Photograph], releases: Mapping[int, Release]
) -> Sheet:
    """Draw a visit: the person's result, then each eye as a reader expects it, the right one on the left.

    `photographs` by capture, `releases` by number: those of the captures that decide.
    """
    sheet = Sheet(*_A4)
    y = draw_header(sheet, "Diabetic retinopathy: result of a visit", wording.facts(exam))
    y = draw_warning(sheet, y, wording.warning(list(releases.values())))
    y = _result(sheet, y, exam)
    by_eye = {one.eye: one for one in exam.eyes}
    shown = [Eye.RIGHT, Eye.LEFT, *([Eye.UNKNOWN] if Eye.UNKNOWN in by_eye else [])]
    panels = [
        panel.of_eye(by_eye[eye], photographs[by_eye[eye].decisive.capture_id])
        if eye in by_eye
        else panel.missing(eye)
        for eye in shown
    ]
    draw_panels(sheet, y, panels, draw_footer(sheet, releases) - 10)
    return sheet


def _result(sheet: Sheet, y: float, exam: Exam) -> float:
    width = sheet.width - 2 * MARGIN
    final = exam.final
    left, right = MARGIN + 16, MARGIN + width / 2 + 10
    room = width / 2 - 26
    heading = broken(wording.person(exam), room, 12, bold=True)
    steps = wording.steps(exam)
    tall = 12 + max(
        len(heading) * 16.6 + 30 + 11 * len(broken(wording.standing(exam), room, 8, bold=True)),
        17 + sum(11 * len(broken(step, room, 8)) + 2 for step in steps),
    )
    sheet.box(MARGIN, y, width, tall, TINTS[final.referable])
    sheet.box(MARGIN, y, 5, tall, COLOURS[final.referable])
    label(sheet, left, y + 15, "Result for the person, by the worse eye")
    at = sheet.paragraph(
        left, y + 31, room, wording.person(exam), 12, bold=True, colour=COLOURS[final.referable]
    )
    at = sheet.paragraph(left, at - 2, room, f"Worst grade seen: {wording.grade(final.grade)}", 8.5)
    sheet.paragraph(left, at, room, wording.standing(exam), 8, bold=True)
    label(sheet, right, y + 15, "What to do next")
    paragraphs(sheet, right, y + 28, room, steps)
    return y + tall + 16
