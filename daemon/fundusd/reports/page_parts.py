"""Draw panels, and what every page ends with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import SAFETY_WORDS, Grade, Referable
from fundusd.reports import wording
from fundusd.reports.page import FAINT, INK, MUTED, RULE, Sheet, broken, width_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundusd.domain.inference import Release
    from fundusd.reports.panel import Panel, Photograph

# told apart without colour too: by the words beside them
COLOURS = {Referable.YES: "#a63a16", Referable.NO: "#1f6a53", Referable.INDETERMINATE: "#7a5a00"}
TINTS = {Referable.YES: "#fbeee8", Referable.NO: "#e9f4ef", Referable.INDETERMINATE: "#fdf5dd"}
MARGIN = 40.0
_NOTE = "Scores run from 0 to 1. They compare a photograph with descriptions, and are no probabilities of disease."
_GUTTER = 22.0
_SMALLEST = 90.0  # points: below that a photograph shows nothing
_BAR, _BAR_MUTED = "#1d4e79", "#9fb4c7"


def label(sheet: Sheet, x: float, y: float, text: str) -> None:
    """Write what names the value below it."""
    sheet.text(x, y, text.upper(), 6, bold=True, colour=MUTED)


def draw_header(sheet: Sheet, title: str, facts: Mapping[str, str]) -> float:
    """Draw the title and, below it, who and when: the first fact is the widest; return where the page goes on."""
    sheet.text(MARGIN, MARGIN + 14, title, 16, bold=True)
    y = end = MARGIN + 36
    rest = (sheet.width - 2 * MARGIN) * 0.5 / max(1, len(facts) - 1)
    x, room = MARGIN, sheet.width - 2 * MARGIN - rest * (len(facts) - 1) - 12
    for name, value in facts.items():
        label(sheet, x, y, name)
        end = max(end, sheet.paragraph(x, y + 12, room, value, 9.5, bold=True, lines=4))
        x, room = x + room + 12, rest - 12
    return end + 4


def draw_panels(sheet: Sheet, y: float, panels: Sequence[Panel], bottom: float) -> None:
    """Draw panels side by side between `y` and `bottom`, their photographs as large as the words below leave room."""
    width = (sheet.width - 2 * MARGIN - _GUTTER * (len(panels) - 1)) / len(panels)
    columns = [(MARGIN + number * (width + _GUTTER), panel) for number, panel in enumerate(panels)]
    y = max(_head(sheet, x, y, width, panel) for x, panel in columns)
    draft = Sheet(sheet.width, sheet.height)
    end = max(_below(draft, x, y + width, width, panel) for x, panel in columns)
    side = max(_SMALLEST, min(width, width - (end - bottom)))
    for x, panel in columns:
        _photograph(sheet, x, y, side, panel.photograph)
        _below(sheet, x, y + side, width, panel)


def draw_card(sheet: Sheet, y: float, panel: Panel) -> float:
    """Draw one panel, its photograph on the left, the words on the right; return where it ends."""
    side = (sheet.width - 2 * MARGIN - _GUTTER) / 2
    x = MARGIN + side + _GUTTER
    _photograph(sheet, MARGIN, y, side, panel.photograph)
    end = _caption(sheet, MARGIN, y + side + 11, side, panel.photograph)
    return max(end, _words(sheet, x, _head(sheet, x, y, side, panel), side, panel))


def _head(sheet: Sheet, x: float, y: float, width: float, panel: Panel) -> float:
    sheet.text(x, y + 11, panel.heading, 12, bold=True)
    return (
        sheet.paragraph(
            x, y + 24, width, panel.source[:1].upper() + panel.source[1:], 7, colour=MUTED, lines=3
        )
        - 2
    )


def _below(sheet: Sheet, x: float, y: float, width: float, panel: Panel) -> float:
    """Draw what stands below the photograph."""
    return _words(sheet, x, _caption(sheet, x, y + 11, width, panel.photograph), width, panel)


def _caption(sheet: Sheet, x: float, y: float, width: float, photograph: Photograph) -> float:
    text = "" if photograph.pixels is None else photograph.notes
    return sheet.paragraph(x, y, width, text, 6.5, colour=MUTED)


def _words(sheet: Sheet, x: float, y: float, width: float, panel: Panel) -> float:
    y = _verdict(sheet, x, y, width, panel)
    y = _scores(sheet, x, y, width, panel.scores)
    for name, lines in (("Human reader", [panel.reading]), ("Next", panel.steps)):
        if any(lines):
            label(sheet, x, y, name)
            y = paragraphs(sheet, x, y + 11, width, lines) + 7
    return y


def paragraphs(sheet: Sheet, x: float, y: float, width: float, lines: Sequence[str]) -> float:
    """Write paragraphs one below the other; return where a next one begins."""
    for line in lines:
        y = sheet.paragraph(x, y, width, line, 8) + 2
    return y


def _photograph(sheet: Sheet, x: float, y: float, side: float, photograph: Photograph) -> None:
    if photograph.pixels is not None:
        sheet.picture(x, y, side, photograph.pixels)
        return
    sheet.box(x, y, side, side, FAINT, RULE)
    lines = broken(photograph.notes, side - 36, 9)
    y += side / 2 - (len(lines) / 2 - 0.8) * 13
    for number, line in enumerate(lines):
        sheet.text(x + side / 2, y + number * 13, line, 9, colour=MUTED, align="center")


def _verdict(sheet: Sheet, x: float, y: float, width: float, panel: Panel) -> float:
    verdict = wording.VERDICTS[panel.referable].upper()
    pill = width_of(verdict, 8, bold=True) + 14
    sheet.box(x, y, pill, 16, COLOURS[panel.referable])
    sheet.text(x + pill / 2, y + 11, verdict, 8, bold=True, colour="white", align="center")
    y = sheet.paragraph(x, y + 31, width, panel.grade, 10, bold=True)
    if panel.model:
        y = sheet.paragraph(x, y, width, panel.model, 8)
    return sheet.paragraph(x, y, width, f"Quality: {panel.quality}", 8) + 8


def _scores(
    sheet: Sheet, x: float, y: float, width: float, scores: Sequence[float] | None
) -> float:
    if scores is None:
        return y
    label(sheet, x, y, "Score of each grade")
    names, figures = 64.0, 34.0
    room = width - names - figures
    for grade, score in zip(Grade, scores, strict=True):
        y += 14
        best = score == max(scores)
        sheet.text(x, y, grade.label, 8, bold=best)
        sheet.box(x + names, y - 7, room, 8.5, FAINT)
        sheet.box(x + names, y - 7, room * score, 8.5, _BAR if best else _BAR_MUTED)
        sheet.text(x + width, y, f"{score:.3f}", 8, bold=best, align="right")
    return y + 18


def draw_warning(sheet: Sheet, y: float, text: str | None) -> float:
    """Draw the notice that another model gave the scores; return where the page goes on."""
    if text is None:
        return y
    width = sheet.width - 2 * MARGIN
    lines = broken(text, width - 24, 8.5, bold=True, lines=3)
    height = len(lines) * 12 + 9
    sheet.box(MARGIN, y, width, height, INK)
    for number, line in enumerate(lines):
        sheet.text(MARGIN + 12, y + 14 + number * 12, line, 8.5, bold=True, colour="white")
    return y + height + 10


def draw_footer(sheet: Sheet, releases: Mapping[int, Release]) -> float:
    """Draw what made the scores, and the safety wording, at the foot of the page; return where that begins."""
    width = sheet.width - 2 * MARGIN
    notes = [_NOTE, *(wording.provenance(number, one) for number, one in sorted(releases.items()))]
    lines = [line for note in notes for line in broken(note, width, 6.5)]
    top = y = sheet.height - MARGIN - 9 * len(lines) - 19
    sheet.rule(top, MARGIN, width)
    sheet.text(MARGIN, y + 15, SAFETY_WORDS, 9, bold=True)
    for number, line in enumerate(lines):
        sheet.text(MARGIN, y + 28 + 9 * number, line, 6.5, colour=MUTED)
    return top
