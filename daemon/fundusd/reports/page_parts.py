"""Draw the header, warning, panels and footer of a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import SAFETY_WORDS, Grade, Referable
from fundusd.reports import wording
from fundusd.reports.page import FAINT, INK, MUTED, RULE, Page, text_width, wrapped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundusd.domain.inference import Release
    from fundusd.reports.panel import Panel, Photograph

# pages also give the meaning of each colour in words, for readers who do not see colour
COLOURS = {Referable.YES: "#a63a16", Referable.NO: "#1f6a53", Referable.INDETERMINATE: "#7a5a00"}
TINTS = {Referable.YES: "#fbeee8", Referable.NO: "#e9f4ef", Referable.INDETERMINATE: "#fdf5dd"}
MARGIN = 40.0
_NOTE = (
    "Scores run from 0 to 1. They result from comparing a photograph with descriptions of grades, "
    "and are not probabilities of disease."
)
_GUTTER = 22.0
_MIN_SIDE = 28.0  # points: on a page that is full of sentences
_THUMBNAIL = 64.0  # points: a smaller photograph shows nothing
_BAR, _BAR_MUTED = "#1d4e79", "#9fb4c7"


def draw_label(page: Page, x: float, y: float, text: str) -> None:
    """Draw the caption of a value that is drawn below it."""
    page.text(x, y, text.upper(), 6, bold=True, colour=MUTED)


def draw_header(page: Page, title: str, facts: Mapping[str, str]) -> float:
    """Draw the title, the safety words and a row of captioned facts.

    The first fact has the widest column. Return the y coordinate at which the facts end.
    """
    page.text(MARGIN, MARGIN + 14, title, 16, bold=True)
    page.text(MARGIN, MARGIN + 27, SAFETY_WORDS, 8, bold=True)
    y = end = MARGIN + 46
    width = page.width - 2 * MARGIN
    narrow = width * 0.7 / max(1, len(facts) - 1)
    x, column = MARGIN, width - narrow * (len(facts) - 1) - 12
    for name, value in facts.items():
        draw_label(page, x, y, name)
        end = max(end, page.paragraph(x, y + 12, column, value, 9.5, bold=True, max_lines=4))
        x, column = x + column + 12, narrow - 12
    return end + 4


def draw_panels(page: Page, y: float, panels: Sequence[Panel], bottom: float) -> None:
    """Draw panels side by side from `y` to `bottom`.

    Their photographs are as large as the text below them allows.
    """
    width = (page.width - 2 * MARGIN - _GUTTER * (len(panels) - 1)) / len(panels)
    columns = [(MARGIN + number * (width + _GUTTER), panel) for number, panel in enumerate(panels)]
    top = y
    for x, panel in columns:
        top = max(top, _draw_heading(page, x, y, width, panel))
    draft, end = Page(page.width, page.height), 0.0
    for x, panel in columns:
        end = max(end, _draw_text_below(draft, x, top + width, width, panel))
    side = max(_MIN_SIDE, min(width, width - (end - bottom)))
    for x, panel in columns:
        _draw_photograph(page, x, top, side, panel.photograph)
        _draw_text_below(page, x, top + side, width, panel)


def draw_card(page: Page, y: float, panel: Panel) -> float:
    """Draw one panel, its photograph on the left and its text on the right.

    Return the y coordinate of the panel's end.
    """
    side = (page.width - 2 * MARGIN - _GUTTER) / 2
    x = MARGIN + side + _GUTTER
    _draw_photograph(page, MARGIN, y, side, panel.photograph)
    caption_end = _draw_caption(page, MARGIN, y + side + 11, side, panel.photograph)
    top = _draw_heading(page, x, y, side, panel)
    return max(caption_end, _draw_result(page, x, top, side, panel))


def _draw_heading(page: Page, x: float, y: float, width: float, panel: Panel) -> float:
    page.text(x, y + 11, panel.heading, 12, bold=True)
    source = panel.source[:1].upper() + panel.source[1:]
    return page.paragraph(x, y + 24, width, source, 7, colour=MUTED, max_lines=3) - 2


def _draw_text_below(page: Page, x: float, y: float, width: float, panel: Panel) -> float:
    y = _draw_caption(page, x, y + 11, width, panel.photograph)
    return _draw_result(page, x, y, width, panel)


def _draw_caption(page: Page, x: float, y: float, width: float, photograph: Photograph) -> float:
    caption = ""
    if photograph.pixels is not None:
        caption = photograph.notes
    return page.paragraph(x, y, width, caption, 6.5, colour=MUTED)


def _draw_result(page: Page, x: float, y: float, width: float, panel: Panel) -> float:
    y = _draw_verdict(page, x, y, width, panel)
    if panel.scores is not None:
        y = _draw_scores(page, x, y, width, panel.scores)
    if panel.warnings:
        draw_label(page, x, y, "Warning")
        y = draw_paragraphs(page, x, y + 11, width, panel.warnings) + 7
    if panel.reading:
        draw_label(page, x, y, "Human reader")
        y = draw_paragraphs(page, x, y + 11, width, [panel.reading]) + 7
    if panel.steps:
        draw_label(page, x, y, "Next")
        y = draw_paragraphs(page, x, y + 11, width, panel.steps) + 7
    return y


def draw_paragraphs(page: Page, x: float, y: float, width: float, texts: Sequence[str]) -> float:
    """Write paragraphs one below another.

    Return the baseline at which another paragraph would begin.
    """
    for text in texts:
        y = page.paragraph(x, y, width, text, 8) + 2
    return y


def _draw_photograph(page: Page, x: float, y: float, side: float, photograph: Photograph) -> None:
    if photograph.pixels is not None:
        page.picture(x, y, side, photograph.pixels)
        return
    page.box(x, y, side, side, FAINT, RULE)
    lines = wrapped(photograph.notes, side - 36, 9)
    y += side / 2 - (len(lines) / 2 - 0.8) * 13
    for number, line in enumerate(lines):
        page.text(x + side / 2, y + number * 13, line, 9, colour=MUTED, align="center")


def _draw_verdict(page: Page, x: float, y: float, width: float, panel: Panel) -> float:
    verdict = panel.verdict.upper()
    badge = text_width(verdict, 8, bold=True) + 14
    page.box(x, y, badge, 16, COLOURS[panel.referable])
    page.text(x + badge / 2, y + 11, verdict, 8, bold=True, colour="white", align="center")
    y = page.paragraph(x, y + 31, width, panel.grade, 10, bold=True)
    for remark in (panel.absence, panel.model):
        if remark:
            y = page.paragraph(x, y, width, remark, 8)
    return page.paragraph(x, y, width, f"Quality: {panel.quality}", 8) + 8


def _draw_scores(page: Page, x: float, y: float, width: float, scores: Sequence[float]) -> float:
    draw_label(page, x, y, "Score of each grade, not a probability")
    names, figures = 64.0, 34.0
    bar = width - names - figures
    for grade, score in zip(Grade, scores, strict=True):
        y += 14
        is_highest = score == max(scores)
        colour = _BAR_MUTED
        if is_highest:
            colour = _BAR
        page.text(x, y, grade.label, 8, bold=is_highest)
        page.box(x + names, y - 7, bar, 8.5, FAINT)
        page.box(x + names, y - 7, bar * score, 8.5, colour)
        page.text(x + width, y, f"{score:.3f}", 8, bold=is_highest, align="right")
    return y + 18


def draw_warning(page: Page, y: float, text: str | None) -> float:
    """Draw a warning, or nothing if `text` is None.

    Return the y coordinate at which the next part begins.
    """
    if text is None:
        return y
    width = page.width - 2 * MARGIN
    lines = wrapped(text, width - 24, 8.5, bold=True, max_lines=3)
    height = len(lines) * 12 + 9
    page.box(MARGIN, y, width, height, INK)
    for number, line in enumerate(lines):
        page.text(MARGIN + 12, y + 14 + number * 12, line, 8.5, bold=True, colour="white")
    return y + height + 10


def draw_thumbnail(
    page: Page, y: float, photograph: Photograph | None, texts: Sequence[str]
) -> float:
    """Draw a small photograph, if there is one, with sentences to its right.

    Return the y coordinate at which the next one begins.
    """
    x = MARGIN + _THUMBNAIL + 12
    if photograph is not None and photograph.pixels is not None:
        page.picture(MARGIN, y, _THUMBNAIL, photograph.pixels)
    else:
        page.box(MARGIN, y, _THUMBNAIL, _THUMBNAIL, FAINT, RULE)
        page.text(MARGIN + _THUMBNAIL / 2, y + _THUMBNAIL / 2, "Not shown", 6, align="center")
    end = draw_paragraphs(page, x, y + 9, page.width - MARGIN - x, texts)
    return max(y + _THUMBNAIL, end) + 8


def draw_footer(page: Page, releases: Mapping[int, Release], report_id: str = "") -> float:
    """Draw the safety wording, the releases and the report's id at the foot of the page.

    Return the y coordinate of the footer's upper edge.
    """
    width = page.width - 2 * MARGIN
    lines = wrapped(_NOTE, width, 6.5)
    for number, release in sorted(releases.items()):
        lines += wrapped(wording.provenance(number, release), width, 6.5)
    top = page.height - MARGIN - 9 * len(lines) - 19
    page.rule(top, MARGIN, width)
    page.text(MARGIN, top + 15, SAFETY_WORDS, 9, bold=True)
    if report_id:
        x = page.width - MARGIN
        page.text(x, top - 4, f"Report {report_id}", 6.5, colour=MUTED, align="right")
    for number, line in enumerate(lines):
        page.text(MARGIN, top + 28 + 9 * number, line, 6.5, colour=MUTED)
    return top
